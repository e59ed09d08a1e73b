"""Figures for a paper: how they look, and what an augmentation does to a clip.

Figures of a study's results are in `ablation.figures`.
"""
