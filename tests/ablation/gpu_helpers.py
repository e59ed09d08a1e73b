"""Commands on a Ray of logical GPUs, in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PROGRAM = """
import ray, sys
from ablation.cli import main
ray.init(address="local", num_cpus={cpus}, num_gpus=2, include_dashboard=False,
         _node_ip_address="127.0.0.1", log_to_driver=False)
{before}
for words in {runs!r}:
    sys.argv = ["skelcon-ablate", *words]
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code or 0
    print(f"exit code {{code}}", flush=True)
"""

ONE_COLUMN = "  seq: {label"
"""How the line of the tiny study begins without which it has one column."""


def started(
    *runs: Sequence[object],
    cpus: int = 2,
    before: str = "",
    cwd: Path | None = None,
    **more: str,
) -> subprocess.Popen[str]:
    """The commands, one after the other, on one Ray of two logical GPUs, in a session of its own.

    ``before`` is run when Ray is up; ``more`` are variables of the environment.
    """
    words = [[str(word) for word in each] for each in runs]
    program = PROGRAM.format(cpus=cpus, before=before, runs=words)
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **more},
        cwd=cwd,
        start_new_session=True,
    )


def outputs(process: subprocess.Popen[str]) -> list[tuple[str, int]]:
    """What each of the commands printed, and its exit code."""
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 0, out
    *parts, rest = out.split("exit code ")
    codes = [int(part.split("\n", 1)[0]) for part in [*parts[1:], rest]]
    texts = [parts[0], *(part.split("\n", 1)[1] for part in parts[1:])]
    return list(zip(texts, codes, strict=True))
