"""``skelcon``: the data tool, and what is done with trained encoders."""

from skelcon.cli.program import app, main

__all__ = ["app", "main"]
