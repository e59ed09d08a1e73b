"""From raw files to LaTeX with Ray, as a user would: run, run again, a failure, a Ray that dies."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from ablation_helpers import ablate, command, in_process, in_session, processes

import ablation
from ablation.store import Store

pytestmark = pytest.mark.slow

ONE = ("--max-concurrent", 1)
"""One worker: what takes longest is that each of them imports torch."""
TCP = Path("/proc/net/tcp")
"""Linux's list of open ports."""


def units(results: Path) -> dict[str, float]:
    """Key -> time at which the unit was done."""
    return {p.parent.name: p.stat().st_mtime for p in results.glob("units/*/DONE")}


@pytest.fixture(scope="module")
def finished(
    utd: Path, study_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    results = tmp_path_factory.mktemp("e2e") / "results"
    done = ablate("run", study_file, "--data", utd, "--results", results)
    return results, done


def test_from_files_to_latex(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    results, done = finished
    assert done.returncode == 0, done.stderr
    assert "10 distinct units (4 pre-trainings, 6 evaluations), 0 done, 10 to run" in done.stdout
    assert done.stdout.count("\ndone ") == 10
    assert done.stderr == ""
    assert len(units(results)) == 10
    out = results / "tiny"
    assert {p.name for p in out.iterdir()} == {
        "cells.csv",
        "table.csv",
        "table.tex",
        "table.md",
        "table.json",
        "study.json",
        "tensorboard",
    }
    frame = pd.read_csv(out / "cells.csv")
    assert list(frame["state"].unique()) == ["done"]
    assert frame["value"].between(0, 1).all()
    assert r"\toprule" in (out / "table.tex").read_text()
    document = json.loads((out / "table.json").read_text())
    assert document["provenance"]["data"][0]["family"] == "utd-mhad"
    assert len(document["provenance"]["units"]) == 10


def test_the_same_command_again_runs_nothing_and_does_not_start_ray(
    finished: tuple[Path, subprocess.CompletedProcess[str]],
    utd: Path,
    study_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    results, first = finished
    before = units(results)
    monkeypatch.setitem(sys.modules, "ray", None)  # no Ray
    again = in_process("run", study_file, "--data", utd, "--results", results)
    assert again.returncode == 0, again.stderr
    assert units(results) == before
    table = first.stdout[first.stdout.index("A tiny study") :]
    assert again.stdout == f"All 10 units are done: nothing to run.\n{table}"


def test_a_new_seed_runs_that_seed_only_and_a_failure_spoils_no_other_unit(
    finished: tuple[Path, subprocess.CompletedProcess[str]], utd: Path, study_file: Path
) -> None:
    """Without Ray, as `test_failures.py` has failures with it."""
    results, _ = finished
    before = units(results)
    words = (study_file, "--data", utd, "--seeds", 2, "--results", results)
    to_run = json.loads(in_process("plan", *words, "--json").stdout)[0]["to_run"]
    assert {unit["config"]["seed"] for unit in to_run} == {1}
    victim = next(unit for unit in to_run if unit["config"]["unit"] == "pretrain")
    # A directory where the unit's log should be: this unit cannot succeed, the others can.
    (results / "units" / victim["key"] / "metrics.jsonl").mkdir(parents=True)
    options: dict[str, Any] = {"in_process": True, "progress": False}
    ablation.run(study_file, utd, seeds=2, results=results, **options)
    log = results / "units" / victim["key"] / "log.txt"
    assert log.read_text().count("Traceback") == 2  # tried, and retried once
    after = units(results)
    assert {key: at for key, at in after.items() if key in before} == before
    assert len(after) == 18  # all but the pre-training and the evaluation that needs it
    frame = pd.read_csv(results / "tiny" / "cells.csv")
    (failed,) = frame[frame["state"] == "failed"].to_dict("records")
    assert failed["reason"].startswith("pre-training failed: IsADirectoryError")
    assert Store(results).state(victim["key"]) == "failed"
    # Mended, what is missing runs.
    (results / "units" / victim["key"] / "metrics.jsonl").rmdir()
    ablation.run(study_file, utd, seeds=2, results=results, **options)
    assert len(units(results)) == 20


def test_a_trial_that_can_never_start_is_the_users_mistake(
    utd: Path, study_file: Path, tmp_path: Path
) -> None:
    words = ("run", study_file, "--data", utd, "--results", tmp_path / "r")
    done = in_process(*words, "--cpus-per-trial", 4096)
    assert done.returncode == 2
    assert "--cpus-per-trial 4096: the cluster has" in done.stderr


def test_a_damaged_unit_is_set_aside_and_run_again_by_two_drivers_at_once(
    finished: tuple[Path, subprocess.CompletedProcess[str]],
    utd: Path,
    study_file: Path,
    tmp_path: Path,
) -> None:
    """Each unit is done by one of them, and both print the table of the first run."""
    first, _ = finished
    results = tmp_path / "moved"
    shutil.copytree(first, results)
    arguments = ("run", study_file, "--data", utd, "--results", results, "--verbose", *ONE)
    assert in_process(*arguments).returncode == 0  # of one seed, whatever other tests have asked
    table = (results / "tiny" / "cells.csv").read_bytes()
    store = Store(results)
    trained = sorted(path.parent for path in results.glob("units/*/weights.safetensors"))
    damaged, gone = [unit for unit in trained if store.config(unit.name)["seed"] == 0][:2]
    content = bytearray((damaged / "result.json").read_bytes())
    content[5] ^= 1
    (damaged / "result.json").write_bytes(content)
    shutil.rmtree(gone)
    drivers = [
        subprocess.Popen(
            command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for _ in range(2)
    ]
    printed = [driver.communicate(timeout=240)[0] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0], printed
    assert any(
        f"unit {damaged.name} is damaged (result.json is not what" in text for text in printed
    )
    assert [path.name for path in results.glob("damaged/*-*")] == [f"{damaged.name}-1"]
    assert (results / "tiny" / "cells.csv").read_bytes() == table
    for unit in (damaged, gone):
        log = (unit / "log.txt").read_text()
        assert log.count("training started") == 1, log
    assert not list(results.glob("drivers/*.json"))
    assert not list(results.glob("units/*/claim"))


def _wait_for_checkpoint(driver: subprocess.Popen[Any], results: Path) -> None:
    """Until a pre-training has a checkpoint."""
    give_up = time.monotonic() + 240
    while time.monotonic() < give_up:
        assert driver.poll() is None, "the study ended before it could be killed"
        if any(results.glob("units/*/checkpoint.pt")):
            return
        time.sleep(0.02)
    raise AssertionError("no checkpoint was written")


def _listening(group: int) -> set[str]:
    """Local addresses, in /proc's hexadecimal, on which the processes of a session listen."""
    inodes = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(process.name)) != group:
                continue
            links = [str(fd.readlink()) for fd in (process / "fd").iterdir()]
        except (OSError, ProcessLookupError):
            continue  # it has just ended
        inodes |= {link[8:-1] for link in links if link.startswith("socket:[")}
    found = set()
    for table in (TCP, TCP.with_name("tcp6")):
        for line in table.read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == "0A" and rest[5] in inodes:
                found.add(local.split(":")[0])
    return found


def test_ray_opens_no_port_beyond_loopback_and_is_started_again_if_it_dies(
    utd: Path, study_file: Path, tmp_path: Path
) -> None:
    words = ("run", study_file, "--data", utd, "--only", "crop+jitter", "--results", tmp_path)
    once = ("--retries", 0, *ONE, "--json")
    with in_session(
        command(*words, "--set", "pretrain.epochs=100", *once),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "RAY_ADDRESS": "127.0.0.1:1"},  # without --address it means nothing
    ) as driver:
        _wait_for_checkpoint(driver, tmp_path)  # Ray is up, and so are its workers
        addresses = _listening(driver.pid) if TCP.exists() else set()
        started = [p for p in psutil.Process(driver.pid).children() if p.status() != "zombie"]
        # Each Python program of Ray's would take a CPU for a second.
        assert {each.name() for each in started} == {"gcs_server", "raylet"}
        (raylet,) = (pid for pid, name in processes(driver.pid).items() if name == "raylet")
        os.kill(raylet, signal.SIGKILL)
        out, err = driver.communicate(timeout=240)
    assert driver.returncode == 0, err
    assert len(units(tmp_path)) == 4
    assert addresses or not TCP.exists()
    loopback = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    assert addresses <= loopback
    # Standard output holds one document, standard error a line of JSON for each event.
    assert json.loads(out)["study"] == "tiny"
    events = [json.loads(line) for line in err.splitlines()]
    reasons = [event["reason"] for event in events if event["event"] == "waiting"]
    assert "Ray has died and is started again" in reasons
    names = [event["event"] for event in events]
    assert (names[0], names[-1], names.count("done")) == ("plan", "finished", 4)
    assert (events[0]["to_run"], events[-1]["state"]) == (4, "done")
    assert {e["unit"] for e in events if e["event"] == "done"} == set(units(tmp_path))
    assert [e["units_done"] for e in events if e["event"] == "done"] == [1, 2, 3, 4]
