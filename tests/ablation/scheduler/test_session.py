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
    worker = Worker.remote()
    process = psutil.Process(ray.get(worker.number.remote()))
    ray.shutdown = as_on_a_slow_machine
print(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
shutdown()
"""


def test_a_worker_that_has_not_noticed_that_ray_has_gone_does_not_stay() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout == "False\n"
