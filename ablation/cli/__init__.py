"""The commands: those of ``skelcon-ablate``, and of ``skelcon`` the trainer for one model."""

from ablation.cli.program import main

__all__ = ["main"]
