"""Run the command line as its user does."""

from __future__ import annotations

import subprocess
import sys


def ablate(*arguments: object, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    """Run skelcon-ablate as its user does, in a process of its own."""
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=timeout, check=False
    )


def command(*arguments: object) -> list[str]:
    program = "from ablation.cli import main; main()"
    return [sys.executable, "-c", program, *map(str, arguments)]
