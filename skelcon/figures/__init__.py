"""Figures for a paper: how they look, and what an augmentation does to a clip.

Those of a study's results are in `ablation.figures`.
"""
