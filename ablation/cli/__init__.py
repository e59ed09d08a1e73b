"""The commands of ``skelcon-ablate``, and the commands of ``skelcon`` that train and evaluate."""

from ablation.cli.program import main

__all__ = ["main"]
