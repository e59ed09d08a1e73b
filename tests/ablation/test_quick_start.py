"""What a study's driver imports before Ray starts: not what its workers import while it waits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
from types import ModuleType

def run_with_ray(units, driver, source):
    print(*{"torch", "scipy.stats", "ray"} & {*sys.modules}, file=sys.stderr)
    raise KeyboardInterrupt

stub = ModuleType("ablation.scheduler.with_ray")
stub.run_with_ray = run_with_ray
sys.modules[stub.__name__] = stub
sys.argv = ["skelcon-ablate", "augmentations", "--results", sys.argv[1]]
from ablation.cli import main
main()
"""


def test_the_driver_of_a_study_does_not_import_torch(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 130, done.stderr
    assert done.stderr.startswith("\n"), done.stderr  # none of them, then the interrupt's message
