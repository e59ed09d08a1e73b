"""``skelcon``: the data tool, and the commands for trained encoders."""

from skelcon.cli.program import app, main

__all__ = ["app", "main"]
