"""The commands of ``skelcon-ablate``, and those of ``skelcon`` that train and evaluate."""

from ablation.cli.program import main

__all__ = ["main"]
