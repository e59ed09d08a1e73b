"""The Ray of one command: what it starts is gone when it is over."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

SCRIPT = """
import os
import psutil
from ablation.scheduler.resources import Resources
asked = Resources()
asked.stay_on_loopback()
from ablation.scheduler.session import cluster
import ray

@ray.remote
class Worker:
    def number(self):
        return os.getpid()

def as_on_a_slow_machine():  # Ray ends its own processes; the workers are left to notice
    for _, process in ray._private.worker._global_node.live_processes():
        process.kill()
        process.wait()

shutdown = ray.shutdown
with cluster(asked):
    children = [each for each in psutil.Process().children() if each.status() != "zombie"]
    print(*sorted(each.name() for each in children))
    worker = Worker.remote()
    process = psutil.Process(ray.get(worker.number.remote()))
    ray.shutdown = as_on_a_slow_machine
print(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
shutdown()
"""


def test_ray_has_what_it_needs_and_a_worker_that_has_not_noticed_its_end_does_not_stay() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120, check=True
    )
    started, stayed = done.stdout.splitlines()
    assert started == "gcs_server raylet"  # each Python program takes a CPU for a second
    assert stayed == "False"
