"""Both SLURM templates on a SLURM: one node, with munge, signals and requeues.

    apt-get install slurm-wlm munge
    python tests/real/test_real_slurm.py

Needs the right to make name spaces (root).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_helpers import alone, only_if_asked, program

pytestmark = pytest.mark.slow

UNSHARED = ("unshare", "--pid", "--net", "--mount-proc", "--fork", "--kill-child")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory with a short name: sockets lie in it."""
    only_if_asked()
    for name in ("munged", "slurmctld", "slurmd", "sbatch", "ip"):
        program(name)
    if subprocess.run([*UNSHARED, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to make name spaces")
    with tempfile.TemporaryDirectory(prefix="slurm-") as made:
        yield Path(made)


@pytest.mark.parametrize("kind", ["array", "ray"])
def test_jobs_that_slurm_signals_return_to_the_queue_and_end(
    place: Path, utd: Path, study_file: Path, kind: str
) -> None:
    words = [*UNSHARED, sys.executable, Path(__file__).with_name("slurm_site.py")]
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
    done = subprocess.run(
        [*map(str, words), str(place), str(utd), str(study_file), kind],
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
        env={**os.environ, "PATH": path},
    )
    assert done.returncode == 0, done.stderr[-6000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["units"] == 4, found
    assert found["resumed"] >= 1, found
    assert {"RUNNING", "PENDING"} <= set(found["states"]), found
    assert found["table"] == (kind == "ray"), found  # of an array the study's command makes it


if __name__ == "__main__":
    alone(__file__)
