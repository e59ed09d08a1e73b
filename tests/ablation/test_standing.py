"""What a running study says of itself: counts, ETA, lines, the live view, events."""

from __future__ import annotations

import io
import json
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from ablation import standing as standing_module
from ablation.display import Progress
from ablation.events import Events, EventStream
from ablation.live_table import TableSoFar
from ablation.plan import Plan, Unit, make_plan
from ablation.standing import Standing
from ablation.store import Store, write_json
from ablation.study import load_study
from skelcon.data import SkeletonDataset


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(standing_module, "time", SimpleNamespace(monotonic=clock))
    monkeypatch.setattr(standing_module, "ETA_EVERY", 0.0)
    return clock


@pytest.fixture
def plan(study_file: Path, dataset: SkeletonDataset) -> Plan:
    return make_plan(
        load_study(study_file), dataset, preset="quick", preset_tree={}, seeds=(0, 1)
    )  # fmt: skip


def training(seed: int, epochs: int = 10) -> Unit:
    config = {"unit": "pretrain", "seed": seed,
              "config": {"epochs": epochs, "representations": ["seq"]}}  # fmt: skip
    return Unit(config, (), f"training {seed}")


def evaluation(of: Unit) -> Unit:
    config = {"unit": "evaluate", "task": "linear", "seed": of.config["seed"], "config": {},
              "encoders": [{"representation": "seq"}]}  # fmt: skip
    return Unit(config, (of.key,), f"evaluation {of.config['seed']}")


def report(epoch: int) -> dict[str, Any]:
    return {"epoch": epoch, "epochs": 10, "loss": 1.25, "samples_per_s": 321.0}


def test_the_eta_comes_of_the_speed_between_two_reports(clock: Clock) -> None:
    units = [training(0), training(1), training(2)]
    standing = Standing(units, cached=1, slots=2)
    assert standing.eta() is None
    standing.started(units[0])
    clock.now += 60  # a slow start, and epochs of an earlier run, tell no speed
    standing.progressed(units[0], report(4))
    assert standing.eta() is None
    clock.now += 6
    standing.progressed(units[0], report(6))
    assert standing.left_of(standing.running[units[0].key]) == pytest.approx(12)
    assert standing.eta() == pytest.approx((12 + 30 + 30) / 2)
    clock.now += 12
    standing.finished(units[0])
    assert (standing.done, standing.total, standing.to_come) == (2, 4, 2)
    assert standing.eta() == pytest.approx(30)  # 30 s of 10 epochs, not the 78 s that passed


def test_earlier_results_tell_the_eta_before_anything_has_run(clock: Clock) -> None:
    units = [training(0), training(1)]
    believed = {units[0].key: 40.0, units[1].key: 100.0}
    assert Standing(units, 0, 1, believed).eta() == pytest.approx(140)
    standing = Standing(units, 0, 2, believed)
    assert standing.eta() == pytest.approx(100)  # the longest has nobody to share with
    standing.started(units[1])
    clock.now += 30
    assert standing.eta() == pytest.approx(70)


def test_what_needs_a_failed_unit_is_not_to_come(clock: Clock) -> None:
    first, second = training(0), training(1)
    standing = Standing([first, evaluation(first), second], 0, 1)
    standing.started(first)
    standing.failed(first, "failed: x", Path("log"), "again")
    assert (standing.failures, standing.lost, standing.to_come) == (0, 0, 3)
    standing.failed(first, "failed: x", Path("log"), "failed")
    assert (standing.failures, standing.lost, standing.to_come) == (1, 1, 1)


def test_the_eta_of_thousands_of_units_is_quick() -> None:
    units = [training(seed) for seed in range(5000)]
    standing = Standing(units, 0, 64)
    for unit in units[:64]:
        standing.started(unit)
        for epoch in (1, 2):
            standing.progressed(unit, report(epoch))
    began = time.perf_counter()
    assert standing.eta() is not None
    assert time.perf_counter() - began < 0.5


def test_without_a_terminal_there_are_plain_lines(tmp_path: Path) -> None:
    out, unit, other = io.StringIO(), training(0), training(1)
    standing = Standing([unit, other], cached=3, slots=1)
    log = tmp_path / "log.txt"
    log.write_text("first\nthe last words\n")
    with Progress(Console(file=out), standing, "tiny", every=0.05) as progress:
        for listener in (standing, progress):
            listener.started(unit)
        time.sleep(0.2)
        for listener in (standing, progress):
            listener.finished(unit)
        progress.failed(other, "failed: out of memory", log, "alone")
        progress.waiting("a trial asks 9 CPUs")
        progress.waiting("a trial asks 9 CPUs")
    lines = out.getvalue().splitlines()
    assert lines[0] == f"started  {unit.key}  training 0"
    assert lines[1] == "3/5 units done, 1 running, 1 to come, 3 cached, 0 s gone, ETA ..."
    assert f"done     {unit.key}  training 0" in lines
    at = lines.index("training 1: failed: out of memory; it is tried again alone on its device")
    assert lines[at + 1 : at + 4] == [f"  log: {log}", "  | first", "  | the last words"]
    assert lines.count("waiting: a trial asks 9 CPUs") == 1
    assert threading.active_count() == 1


def screen(plan: Plan, store: Store, width: int, height: int, running: int) -> list[str]:
    """What the live view shows of a plan of which so many units run."""
    units = list(plan.units.values())
    standing = Standing(units, 0, running)
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=width, height=height, color_system=None)
    progress = Progress(console, standing, "tiny", TableSoFar(plan, store))
    for unit in units[:running]:
        standing.started(unit)
        standing.progressed(unit, report(1))
    console.print(progress._render())
    return out.getvalue().splitlines()


def test_the_live_view_shows_the_units_that_run_and_the_table_so_far(
    plan: Plan, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    cells = {(cell.row, cell.column, cell.seed): cell for cell in plan.cells}
    cell = cells["random", "img", 1]
    assert cell.unit is not None
    store.begin(cell.unit.key, cell.unit.config)
    write_json(store.directory(cell.unit.key) / "result.json", {"top1": 0.625})
    store.finish(cell.unit.key)
    failed = cells["random", "seq", 0]
    assert failed.unit is not None
    store.fail(failed.unit.key, "failed: out of memory")
    lines = screen(plan, store, 80, 24, running=2)
    text = "\n".join(lines)
    assert len(lines) < 24
    assert max(map(len, lines)) <= 80
    assert "0/20 units" in lines[0]
    assert "2 running, 18 to come" in lines[1]
    assert "pretrain none / img / seed 0" in text
    assert "1.250" in text
    assert "321" in text
    table = {line.split("  ")[0]: line for line in lines[lines.index("") + 1 :]}
    assert table["random weights"].split()[2:] == ["62.5", "(1/2)", "failed"]
    assert table["none"].split()[1:] == ["running", "·"]
    assert table["crop+jitter"].split()[1:] == ["·", "·"]


@pytest.mark.parametrize(("width", "height", "running"), [
    (80, 24, 20), (80, 9, 5), (40, 24, 3), (200, 50, 12), (60, 12, 2)
])  # fmt: skip
def test_the_live_view_fits_its_terminal(
    plan: Plan, tmp_path: Path, width: int, height: int, running: int
) -> None:
    lines = screen(plan, Store(tmp_path), width, height, running)
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    shown = any("table so far" in line for line in lines)
    assert shown == (height >= 12)
    if running == 20:
        assert any("more" in line for line in lines)


def test_the_table_so_far_reads_what_is_done_once_and_not_all_the_time(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    read: list[str] = []
    result = Store.result
    monkeypatch.setattr(Store, "result", lambda self, key: read.append(key) or result(self, key))
    evaluations = [unit for unit in plan.units.values() if unit.kind == "evaluate"]

    def finish(unit: Unit) -> None:
        store.begin(unit.key, unit.config)
        write_json(store.directory(unit.key) / "result.json", {"top1": 0.5})
        store.finish(unit.key)

    table = TableSoFar(plan, store, every=0.1)
    finish(evaluations[0])
    table.look()
    finish(evaluations[1])
    table.changed()
    table.look()  # too early
    assert read == [evaluations[0].key]
    time.sleep(0.3)
    table.look()
    table.look()  # nothing has changed
    assert read == [evaluations[0].key, evaluations[1].key]


def test_events_are_lines_of_json(clock: Clock, tmp_path: Path) -> None:
    out, unit = io.StringIO(), training(0)
    stream, standing = EventStream(out, "tiny"), Standing([unit], 4, 1)
    events = Events(stream, standing, every=3600)
    for listener in (standing, events):
        listener.waiting("a trial asks 2 GPUs")
        listener.started(unit)
        for epoch in (1, 2, 3):  # throttled: the first alone
            listener.progressed(unit, report(epoch))
        listener.failed(unit, "failed: out of memory", tmp_path, "alone")
        listener.started(unit)
        listener.finished(unit)
    stream.write("a warning\nhalf a ")
    stream.write("line\n")
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    names = [line["event"] for line in lines]
    assert names == ["waiting", "started", "progress", "failed", "started", "done",
                     "message", "message"]  # fmt: skip
    assert {line["study"] for line in lines} == {"tiny"}
    progress = lines[2]
    assert (progress["unit"], progress["label"]) == (unit.key, "training 0")
    assert (progress["epoch"], progress["epochs"], progress["loss"]) == (1, 10, 1.25)
    assert (progress["samples_per_s"], progress["units"]) == (321.0, 5)
    assert lines[3]["again"] is True
    assert lines[5]["units_done"] == 5
    assert [line["text"] for line in lines[-2:]] == ["a warning", "half a line"]


def test_a_reader_of_events_that_goes_away_stops_nothing() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    stream = EventStream(Gone(), "tiny")
    stream.emit("plan", units=1)
    with stream.finishing():
        stream.emit("done")
