"""What the engine costs beside the training: its start, time of a study, memory of its driver.

    python tests/benchmarks/bench_engine.py start --runs 5
    python tests/benchmarks/bench_engine.py overhead --units 24 --seconds 20
    python tests/benchmarks/bench_engine.py many --units 1000

``start`` runs a built-in study in the quick preset until its first epoch has ended, several times,
and prints the seconds from the command until that epoch began and ended, and the CPU seconds of all
processes by then. ``overhead`` runs a study of so many units, each trained for about so many
seconds, and prints its wall time over the sum of the units' own training times divided by the
number of cores. ``many`` runs as many units as have next to nothing to do and prints the driver's
resident memory when 100 of them were done and when all were, what a unit took (early and late in
the run as well), and how long the plan of the finished study takes. Embedded data, a line of JSON
each. Run nothing beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

STUDY = """
title: A study to measure
reproduces: Table 5
protocols: [xsub]
base:
  pretrain.epochs: {epochs}
  pretrain.batch: 64
  pretrain.contrast: {{queue: 256, dim: 32, head_hidden: 32, momentum: 0.99}}
  pretrain.encoders.frames: 32
  pretrain.encoders.seq: {{hidden: 32, layers: 1}}
  pretrain.optimiser: {{name: adamw, lr: 0.001, schedule: cosine}}
  linear: {{epochs: {fitted}, crops: 1, weight_decay: 0}}
rows: {{{rows}}}
references:
  random: {{label: random weights, pretrain: false}}
columns:
  seq: {{label: SEQ, downstream: [seq], set: {{pretrain.representations: [seq]}}}}
"""


def study(folder: Path, epochs: int, fitted: int, rows: int) -> Path:
    """A study file whose rows differ in the learning rate's third digit."""
    made = ", ".join(
        f"row{n}: {{set: {{pretrain.optimiser.lr: {0.001 + n * 1e-5:.5f}}}}}" for n in range(rows)
    )
    path = folder / "measured.yaml"
    path.write_text(STUDY.format(epochs=epochs, fitted=fitted, rows=made))
    return path


def command(*words: object) -> list[str]:
    """The command line as its user types it."""
    return [sys.executable, "-c", "from ablation.cli import main; main()", *map(str, words)]


def ran(*words: object) -> float:
    """Seconds of a command that has to succeed."""
    began = time.perf_counter()
    subprocess.run(command(*words), check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def trained(results: Path) -> dict[str, list[float]]:
    """Kind of unit -> the seconds of training in the provenance of each."""
    found: dict[str, list[float]] = {"pretrain": [], "evaluate": []}
    for done in results.glob("units/*/DONE"):
        kind = json.loads((done.parent / "config.json").read_text())["unit"]
        values = json.loads((done.parent / "provenance.json").read_text())
        found[kind].append(values["seconds"])
    return found


def overhead(folder: Path, units: int, seconds: float) -> dict[str, Any]:
    """Half of the units pre-train, the other half fit a linear classifier for as long."""
    epochs, fitted = 20, 100
    for attempt in range(2):  # from few epochs to the number that takes the time asked for
        file = study(folder, epochs, fitted, 1)
        results = folder / f"trial{attempt}"
        ran("run", file, "--results", results, "--only", "row0", "--max-concurrent", 1)
        measured = trained(results)
        epochs = max(1, round(epochs * seconds / max(measured["pretrain"])))
        fitted = max(1, round(fitted * seconds / max(measured["evaluate"])))
    results = folder / "results"
    rows = ",".join(f"row{n}" for n in range(units // 2))
    wall = ran(
        "run", study(folder, epochs, fitted, units // 2), "--results", results, "--only", rows
    )
    times = [each for kind in trained(results).values() for each in kind]
    cores = os.cpu_count() or 1
    return {
        "units": len(times),
        "seconds_of_a_unit": round(sum(times) / len(times), 2),
        "wall_s": round(wall, 1),
        "cores": cores,
        "training_s_per_core": round(sum(times) / cores, 1),
        "ratio": round(wall / (sum(times) / cores), 3),
    }


def start(folder: Path, runs: int) -> dict[str, Any]:
    """From the command to the first epoch, with a new results directory each time."""
    began, ended, used = [], [], []
    # As after an installation, the programs are compiled: the first run sees to it.
    environment = {n: v for n, v in os.environ.items() if n != "PYTHONDONTWRITEBYTECODE"}
    for run in range(runs + 1):  # the first one also reads them from the disk
        results, at = folder / f"start{run}", time.perf_counter()
        driver = subprocess.Popen(
            command("augmentations", "--results", results),
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            env=environment,
        )
        for file, seconds in (("begun.jsonl", began), ("metrics.jsonl", ended)):
            while not any(path.stat().st_size for path in results.glob(f"units/*/{file}")):
                if driver.poll() is not None:
                    raise SystemExit(f"the study ended with {driver.returncode}")
                time.sleep(0.02)
            seconds.append(time.perf_counter() - at)
        used.append(cpu_seconds(driver.pid))
        driver.terminate()
        driver.wait()
    return {
        "runs": runs,
        "begins_s": round(statistics.median(began[1:]), 2),
        "begins_least_s": round(min(began[1:]), 2),
        "begins_most_s": round(max(began[1:]), 2),
        "ends_s": round(statistics.median(ended[1:]), 2),
        "cpu_s": round(statistics.median(used[1:]), 2),
    }


def cpu_seconds(session: int) -> float:
    """What all processes of a session have used, and those that they have waited for."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except (OSError, IndexError):  # it has just ended
            continue
        if int(fields[3]) == session:
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def many(folder: Path, units: int) -> dict[str, Any]:
    """Evaluations of random weights: nothing to train, and little to do."""
    results, file = folder / "results", study(folder, 1, 1, 1)
    words = ("run", file, "--results", results, "--only", "random", "--seeds", units)
    began = time.perf_counter()
    driver = subprocess.Popen(command(*words), stdout=subprocess.DEVNULL)
    seen: list[tuple[int, int, float]] = []

    def watch() -> None:
        while driver.poll() is None:
            done = sum(1 for _ in results.glob("units/*/DONE"))
            seen.append((done, resident(driver.pid), time.perf_counter() - began))
            time.sleep(1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    if driver.wait() != 0:
        raise SystemExit(f"the study ended with {driver.returncode}")
    wall = time.perf_counter() - began
    watcher.join()
    at_100 = next(size for done, size, _ in seen if done >= min(100, units))
    at_end = max(size for done, size, _ in seen if size and done >= units * 0.9)

    def pace(first: float, last: float) -> float:
        """Milliseconds a unit, from one share of the units to another."""
        within = [each for each in seen if first * units <= each[0] <= last * units]
        done = within[-1][0] - within[0][0]
        return round(1000 * (within[-1][2] - within[0][2]) / done, 1)

    return {
        "units": units,
        "driver_mib_at_100": at_100 >> 20,
        "driver_mib_at_the_end": at_end >> 20,
        "grown_mib": (at_end - at_100) >> 20,
        "ms_a_unit": round(1000 * wall / units, 1),
        "ms_a_unit_early": pace(0.05, 0.25),  # Ray and its workers have started by then
        "ms_a_unit_late": pace(0.75, 0.95),
        "ms_of_it_in_the_unit": round(1000 * sum(trained(results)["evaluate"]) / units, 1),
        "plan_s": round(ran(*words, "--plan"), 2),
        "again_s": round(ran(*words), 2),
    }


def resident(process: int) -> int:
    """Bytes of memory that a process holds at present; 0 if it has ended."""
    try:
        pages = Path(f"/proc/{process}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", choices=("start", "overhead", "many"))
    parser.add_argument("--units", type=int)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="skelcon-bench-") as folder:
        if asked.what == "start":
            measured = start(Path(folder), asked.runs)
        elif asked.what == "overhead":
            measured = overhead(Path(folder), asked.units or 24, asked.seconds)
        else:
            measured = many(Path(folder), asked.units or 1000)
    print(json.dumps({"case": asked.what, **measured}))


if __name__ == "__main__":
    main()
