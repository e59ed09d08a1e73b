"""A node of a Ray cluster loses its link, for a minute and for good; the study continues.

    python tests/real/test_real_nodes.py

Two nodes in network name spaces. Needs iproute2 and the right to make name spaces (root).
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
    program("ip")
    if subprocess.run([*UNSHARED, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to make name spaces")
    with tempfile.TemporaryDirectory(prefix="nodes-") as made:
        yield Path(made)


@pytest.mark.parametrize("seconds", [60, 0], ids=["for a minute", "for good"])
def test_a_node_that_loses_its_link_loses_nothing(
    place: Path, utd: Path, study_file: Path, seconds: int
) -> None:
    words = [*UNSHARED, sys.executable, Path(__file__).with_name("nodes_site.py")]
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
    done = subprocess.run(
        [*map(str, words), str(place), str(utd), str(study_file), str(seconds)],
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
        env={**os.environ, "PATH": path},
    )
    assert done.returncode == 0, done.stderr[-6000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["code"] == 0, found
    assert found["units"] == 4, found
    assert "its node was lost; it is retried" in found["driver"], found
    assert found["resumed"] >= 1, found


if __name__ == "__main__":
    alone(__file__)
