"""What another shell sees of a results directory, while units run and after."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from ablation_helpers import command
from live_helpers import running

from ablation.cli import main
from ablation.monitor.status import Status, UnitStatus, find_unit, follow, status_of
from ablation.plan import Plan, make_plan
from ablation.store import Store
from ablation.store.heartbeat import Heartbeat, live_drivers
from ablation.study import load_study
from ablation.units import Unit
from ablation.work import Context, UnitRun
from ablation.work.failures import log
from skelcon.data import SkeletonDataset
from skelcon.errors import UserError


@pytest.fixture
def units(dataset: SkeletonDataset, study_file: Path) -> list[Unit]:
    """A pre-training of IMG, its evaluation, one of SEQ, its evaluation, and so on."""
    plan = make_plan(load_study(study_file), dataset, preset="paper", seeds=(0,))
    return list(plan.units.values())


def test_every_state_is_shown_while_a_unit_runs(
    tmp_path: Path, dataset: SkeletonDataset, units: list[Unit]
) -> None:
    store = Store(tmp_path)
    pretrain = [unit for unit in units if unit.kind == "pretrain"]
    context = Context({dataset.fingerprint: dataset.path})
    run = UnitRun(pretrain[0], store, context)
    while not run.step().done:
        pass
    run.close()
    store.begin(pretrain[1].key, pretrain[1].to_json(), "pretrain mine / seq / seed 0")
    store.begin(pretrain[2].key, pretrain[2].to_json())
    store.fail(pretrain[2].key, "failed: out of memory")
    (store.units / ("0" * 16)).mkdir()  # nothing was started in it
    run = UnitRun(pretrain[3], store, context)
    try:
        run.step(budget=0)
        with (store.directory(pretrain[3].key) / "metrics.jsonl").open("a") as file:
            file.write('{"epoch": 1, "lo')  # just being written
        now = status_of(store)
    finally:
        run.close()
    assert now.done == 1
    assert now.oldest == now.newest is not None
    assert [(u.key, u.doing) for u in now.units] == [
        (pretrain[3].key, "running"),
        (pretrain[2].key, "failed"),
        (pretrain[1].key, "abandoned"),
    ]
    running, failed, left = now.units
    assert running.label == pretrain[3].label
    assert failed.label == "pretrain crop+jitter / img / seed 0"  # started without a label
    assert left.label == "pretrain mine / seq / seed 0"
    assert not (store.directory(pretrain[0].key) / "label.txt").exists()  # it is done
    assert (running.epoch, running.epochs) == (1, 3)
    assert running.loss is not None
    assert running.loss > 0
    assert running.samples_per_s is not None
    line = store.directory(pretrain[3].key) / "metrics.jsonl"
    seconds = json.loads(line.read_text().splitlines()[0])["seconds"]
    assert running.seconds_left == pytest.approx(2 * seconds)
    assert failed.reason == "failed: out of memory"
    assert (left.epoch, left.seconds_left) == (0, None)
    assert status_of(store).units[0].doing == "failed"  # nothing runs now


def _main(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["skelcon-ablate", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    assert isinstance(end.value.code, int)
    return end.value.code


def test_the_commands_print_plain_lines(
    tmp_path: Path,
    units: list[Unit],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = Store(tmp_path)
    done, failed, held = units[0], units[1], units[2]
    for unit in (done, failed, held):
        log(store.begin(unit.key, unit.to_json()), f"started {unit.label}")
    store.finish(done.key)
    store.fail(failed.key, "failed: it broke")
    with store.locked(held.key):
        assert _main(monkeypatch, "status", "--results", tmp_path) == 0
        head, first, second = capsys.readouterr().out.splitlines()
        assert "1 done, 1 running, 1 failed" in head
        assert first.startswith(f"running  {held.key[:8]}  ")
        assert second == f"failed  {failed.key[:8]}  linear no augmentation / img / seed 0  " + (
            "epoch 0/1  failed: it broke"
        )
        assert _main(monkeypatch, "status", "--results", tmp_path, "--json") == 0
        document = json.loads(capsys.readouterr().out)
        assert (document["done"], document["running"], document["failed"]) == (1, 1, 1)
        assert document["units"][0]["key"] == held.key
    assert _main(monkeypatch, "status", "--results", tmp_path) == 0
    *_, left, hint = capsys.readouterr().out.splitlines()
    assert left.startswith(f"abandoned  {held.key[:8]}  ")
    assert hint == "To resume abandoned units, run the command that started them again."
    assert _main(monkeypatch, "logs", done.key, "--results", tmp_path) == 0
    assert f"started {done.label}" in capsys.readouterr().out
    assert _main(monkeypatch, "logs", failed.key[:6], "--results", tmp_path) == 1
    assert f"started {failed.label}" in capsys.readouterr().out
    assert _main(monkeypatch, "status", "--results", tmp_path / "nowhere") == 2
    assert "holds no units" in capsys.readouterr().err
    assert _main(monkeypatch, "status", "--results", tmp_path, "--json", "--watch") == 2


def test_a_unit_is_found_by_the_first_digits_of_its_key(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(UserError, match="holds no units"):
        find_unit(store, "abc")
    for key in ("abc0123456789abc", "abc9876543210abc", "f00d123456789abc"):
        store.begin(key, {})
    assert find_unit(store, "f0") == "f00d123456789abc"
    assert find_unit(store, "abc0123456789abc") == "abc0123456789abc"
    with pytest.raises(UserError, match="2 keys start with that"):
        find_unit(store, "abc")
    with pytest.raises(UserError, match="did you mean 'f00d123456789abc'"):
        find_unit(store, "f00d123456789abd")
    with pytest.raises(UserError, match="none of its 3 keys starts with that"):
        find_unit(store, "9")


def test_following_ends_with_the_unit_and_misses_nothing(tmp_path: Path) -> None:
    store, key = Store(tmp_path), "0" * 16
    directory = store.begin(key, {})

    def work() -> None:
        with store.locked(key):
            for number in range(20):
                log(directory, f"line {number} ü")
                time.sleep(0.005)
            store.finish(key)

    worker = threading.Thread(target=work)
    worker.start()
    lines = "".join(follow(store, key, pause=0.01)).splitlines()
    worker.join()
    assert [line.split(" ", 1)[1] for line in lines] == [f"line {n} ü" for n in range(20)]


def test_following_a_failure_waits_for_the_next_try(tmp_path: Path) -> None:
    store, key = Store(tmp_path), "0" * 16
    log(store.begin(key, {}), "first try")
    store.fail(key, "failed: once")
    seen = "".join(follow(store, key, pause=0.01))
    assert "first try" in seen  # and it ended
    seen_later: list[str] = []
    with store.locked(key):  # retried
        waiting = threading.Thread(target=lambda: seen_later.extend(follow(store, key, pause=0.01)))
        waiting.start()
        time.sleep(0.2)
        assert waiting.is_alive()
        log(store.directory(key), "second try")
        store.finish(key)
    waiting.join(10)
    assert "second try" in "".join(seen_later)


def test_ctrl_c_ends_following(tmp_path: Path) -> None:
    store, key = Store(tmp_path), "0" * 16
    log(store.begin(key, {}), "a line")
    words = command("logs", key, "--follow", "--results", tmp_path)
    process = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    assert "a line" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    process.communicate()


# -- what drivers show ----------------------------------------------------------------------------


def test_another_shell_sees_what_the_driver_shows(plan: Plan, store: Store) -> None:
    now = running(plan, store, 2)
    assert now.table is not None
    with Heartbeat(store, lambda: asdict(now)):
        deadline = time.monotonic() + 30
        while not (found := status_of(store).studies) and time.monotonic() < deadline:
            time.sleep(0.02)
    assert found == (now,)
    assert status_of(store).studies == ()
    with Heartbeat(store, lambda: {"of": "another version"}) as other:
        while dict(live_drivers(store.results))[other.driver] is None:
            time.sleep(0.02)
        assert status_of(store).studies == ()


def test_a_driver_that_was_killed_runs_nothing(plan: Plan, store: Store) -> None:
    now = running(plan, store, 1)
    unit = plan.units[now.running[0].unit]
    store.begin(unit.key, unit.to_json())
    with Heartbeat(store, lambda: asdict(now)) as heartbeat:
        while dict(live_drivers(store.results))[heartbeat.driver] is None:
            time.sleep(0.02)
        (file,) = (store.results / "drivers").glob("*.json")
        values = json.loads(file.read_text())
        assert status_of(store).count("running") == 1
    process = {**values["process"], "started": values["process"]["started"] - 3600}
    file.write_text(json.dumps({**values, "process": process}))  # of one that is not there any more
    assert (status_of(store).count("running"), status_of(store).count("abandoned")) == (0, 1)


def test_a_unit_is_shown_as_by_its_driver_or_from_its_directory(plan: Plan, store: Store) -> None:
    now = running(plan, store, 1)
    (known,) = now.running
    units = tuple(
        UnitStatus(key, "running", "of the directory", epoch=3, epochs=9, seconds_left=4.0)
        for key in (known.unit, "another driver's")
    )
    first, second = Status(store.results, 0, None, None, units, (now,)).running
    assert first == known
    assert (second.label, second.epoch, second.epochs) == ("of the directory", 3, 9)
    assert second.eta_s == 4.0


def test_a_unit_whose_lock_is_not_seen_here_runs_if_its_driver_shows_it(
    plan: Plan, store: Store
) -> None:
    now = running(plan, store, 2)
    for each in now.running:
        store.begin(each.unit, plan.units[each.unit].to_json())
    failed = now.running[1].unit
    store.fail(failed, "failed: x")
    heartbeat = {"machine": "elsewhere", "process": {}, "snapshot": asdict(now)}
    (store.results / "drivers").mkdir()
    (store.results / "drivers" / "elsewhere-1-00000000.json").write_text(json.dumps(heartbeat))
    found = status_of(store)
    assert {each.key: each.doing for each in found.units}[failed] == "failed"
    assert found.running == (now.running[0],)
    labels = {each.key: each.label for each in found.units}
    assert labels[now.running[0].unit] == now.running[0].label


def test_a_unit_that_a_driver_is_about_to_run_is_not_abandoned(plan: Plan, store: Store) -> None:
    unit = next(iter(plan.units.values()))
    claim = store.begin(unit.key, unit.to_json()) / "claim"
    claim.write_text("a driver")

    def doing() -> str:
        return {each.key: each.doing for each in status_of(store).units}[unit.key]

    with Heartbeat(store) as heartbeat:
        assert doing() == "abandoned"
        claim.write_text(heartbeat.driver)
        assert doing() == "waiting"
    assert doing() == "abandoned"


def test_status_and_costs_are_imported_without_torch() -> None:
    program = (
        "import sys, ablation.costs.view, ablation.monitor.output, ablation.monitor.status; "
        "print([name for name in ('torch', 'pandas', 'scipy', 'ray') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr
