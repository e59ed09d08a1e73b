"""What people and scripts see of a study that runs: lines, the live view, events, other shells."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import cast

import pytest
import typer
from ablation.cli.commands import confirm_cpu
from ablation.live.progress import Progress
from ablation.live.standing import Standing
from ablation.live.view import screen
from ablation.search.view import View
from rich.console import Console
from unit_helpers import report, training

from ablation.live import beacon
from ablation.live.beacon import Beacon, running_studies
from ablation.live.events import Events, EventStream
from ablation.live.snapshot import Snapshot
from ablation.live.status import Status, UnitStatus, status_of
from ablation.live.table import TableSoFar
from ablation.plan import Plan, Unit, make_plan
from ablation.runner.resources import Resources
from ablation.search.events import TrialEvents
from ablation.search.record import Report, Trial
from ablation.store import Store, write_json
from ablation.study import load_study
from skelcon.cli.console import LastingConsole
from skelcon.data import SkeletonDataset
from skelcon.errors import UserError


@pytest.fixture
def plan(study_file: Path, dataset: SkeletonDataset) -> Plan:
    return make_plan(load_study(study_file), dataset, preset="quick", preset_tree={}, seeds=(0, 1))


def clockless(text: str) -> list[str]:
    """Lines without the time of day, which is their second word."""
    return ["  ".join([w[0], *w[2:]]) for w in (line.split() for line in text.splitlines())]


def test_without_a_terminal_there_are_plain_lines(tmp_path: Path) -> None:
    out, unit, other = io.StringIO(), training(0), training(1)
    standing = Standing("tiny", [unit, other], cached=3, slots=1)
    log = tmp_path / "log.txt"
    log.write_text("first\nthe last words\n")
    console = Console(file=out)
    with Progress(console, standing, standing.snapshot, quiet=0.1) as progress:
        for listener in (standing, progress):
            listener.started(unit)
            for epoch in range(1, 10):
                listener.progressed(unit, report(epoch))
        time.sleep(0.3)
        for listener in (standing, progress):
            listener.finished(unit)
        progress.finished(other)  # by another driver
        progress.failed(other, "failed: out of memory", log, "alone")
        progress.waiting("a trial asks 9 CPUs")
        progress.waiting("a trial asks 9 CPUs")
    lines = [" ".join(line.split()) for line in clockless(out.getvalue())]
    assert lines[0] == f"started {unit.key} training 0"
    assert lines[1].startswith("running 1 running, 1 to come, 3 cached 3/5 units ETA")
    assert f"done {unit.key} training 0 0 s 4/5 units ETA 0 s" in lines
    assert f"done {other.key} training 1 by another driver 4/5 units ETA 0 s" in lines
    text = out.getvalue()
    assert "training 1  failed: out of memory; it is tried again alone on its device\n" in text
    assert f"  log: {log}\n  | first\n  | the last words\n" in text
    assert text.count("a trial asks 9 CPUs") == 1
    assert not any(each.name.endswith("(_report)") for each in threading.enumerate())


def shown(now: Snapshot, width: int, height: int) -> list[str]:
    """The live view, line by line."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=width, height=height, color_system=None)
    console.print(screen(now, width, height))
    return out.getvalue().splitlines()


def running(plan: Plan, store: Store, number: int) -> Snapshot:
    """How ``plan`` stands when so many of its units run."""
    units = list(plan.units.values())
    standing = Standing("tiny", units, 0, number)
    for unit in units[:number]:
        standing.started(unit)
        standing.progressed(unit, report(1))
    now = standing.snapshot()
    return replace(now, table=TableSoFar(plan, store).sheet(now))


@pytest.fixture
def store(plan: Plan, tmp_path: Path) -> Store:
    """One cell is done, another has failed."""
    store = Store(tmp_path)
    cells = {(cell.row, cell.column, cell.seed): cell for cell in plan.cells}
    cell = cells["random", "img", 1]
    assert cell.unit is not None
    finish(store, cell.unit, 0.625)
    failed = cells["random", "seq", 0]
    assert failed.unit is not None
    store.fail(failed.unit.key, "failed: out of memory")
    return store


def finish(store: Store, unit: Unit, top1: float) -> None:
    store.begin(unit.key, unit.config)
    write_json(store.directory(unit.key) / "result.json", {"top1": top1})
    store.finish(unit.key)


def test_the_live_view_shows_the_units_that_run_and_the_table_so_far(
    plan: Plan, store: Store
) -> None:
    lines = shown(running(plan, store, 2), 80, 24)
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


@pytest.mark.parametrize(
    ("width", "height", "number"),
    [(80, 24, 20), (80, 9, 5), (40, 24, 3), (200, 50, 12), (60, 12, 2)],
)
def test_the_live_view_fits_its_terminal(
    plan: Plan, tmp_path: Path, width: int, height: int, number: int
) -> None:
    lines = shown(running(plan, Store(tmp_path), number), width, height)
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    assert any("table so far" in line for line in lines) == (height >= 12)
    assert any("seed 0" in line for line in lines) == (width >= 60)
    if number == 20:
        assert any("more" in line for line in lines)


def test_the_table_so_far_reads_what_is_done_once_and_not_all_the_time(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    read: list[str] = []
    result = Store.result
    monkeypatch.setattr(Store, "result", lambda self, key: read.append(key) or result(self, key))
    evaluations = [unit for unit in plan.units.values() if unit.kind == "evaluate"]
    standing = Standing("tiny", evaluations, 0)
    table = TableSoFar(plan, store, every=0.1)

    def end(unit: Unit) -> None:
        finish(store, unit, 0.5)
        standing.finished(unit)

    end(evaluations[0])
    part = TableSoFar(replace(plan, units={evaluations[0].key: evaluations[0]}), store)
    assert part.sheet(standing.snapshot()) is None  # some units alone make no table
    assert not read
    table.sheet(standing.snapshot())
    end(evaluations[1])
    table.sheet(standing.snapshot())  # too early
    assert read == [evaluations[0].key]
    time.sleep(0.3)
    table.sheet(standing.snapshot())
    table.sheet(standing.snapshot())  # nothing has changed
    assert read == [evaluations[0].key, evaluations[1].key]


def test_another_shell_sees_what_the_driver_shows(
    plan: Plan, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    now = running(plan, store, 2)
    with Beacon(store.results, lambda: now, every=0.05):
        deadline = time.monotonic() + 5
        while not (found := status_of(store).studies) and time.monotonic() < deadline:
            time.sleep(0.02)
        (file,) = (store.results / "running").glob("*.json")
        text = file.read_bytes()
    assert found == (now,)
    assert now.table is not None
    assert not (store.results / "running").exists()
    # That of a driver that was killed is not believed for long, and swept away by the next.
    file.parent.mkdir()
    file.write_bytes(text)
    os.utime(file, (time.time() - 3600,) * 2)
    assert running_studies(store.results) == ()
    with Beacon(store.results, lambda: now):
        assert running_studies(store.results) in ((), (now,))
    assert not file.exists()
    file.parent.mkdir()
    table = file.parent / "table.json"  # of a study that was called so
    table.touch()
    os.utime(table, (0, 0))
    with Beacon(store.results, lambda: now):
        assert table.exists()
    (store.results / "running" / "other.json").write_text('{"of": "another version"}')
    assert running_studies(store.results) == ()


def test_a_driver_is_seen_though_the_clocks_of_machines_differ(
    plan: Plan, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = running(plan, store, 1)
    ours = time.time
    with Beacon(store.results, lambda: now, every=0.05):
        deadline = time.monotonic() + 5
        while not running_studies(store.results) and time.monotonic() < deadline:
            time.sleep(0.02)
        monkeypatch.setattr(time, "time", lambda: ours() + 3600)
        assert running_studies(store.results) == (now,)
        # What stands still for other reasons than a clock is still told apart.
        monkeypatch.setattr(beacon, "STALE", -1.0)
        assert running_studies(store.results) == ()


def test_status_shows_a_unit_as_its_driver_does_or_as_its_directory_tells(
    plan: Plan, store: Store
) -> None:
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
        store.begin(each.unit, plan.units[each.unit].config)
    failed = now.running[1].unit
    store.fail(failed, "failed: x")
    (store.results / "running").mkdir()
    (store.results / "running" / "elsewhere-1.json").write_text(json.dumps(asdict(now)))
    states = {each.key: each.doing for each in status_of(store).units}
    assert (states[now.running[0].unit], states[failed]) == ("running", "failed")
    assert status_of(store).running == (now.running[0],)


def test_a_unit_that_a_driver_is_about_to_run_is_not_left(plan: Plan, store: Store) -> None:
    unit = next(iter(plan.units.values()))
    (store.begin(unit.key, unit.config) / "claim").write_text("a driver")
    states = {each.key: each.doing for each in status_of(store).units}
    assert states[unit.key] == "abandoned"
    now = running(plan, store, 0)
    with Beacon(store.results, lambda: now):
        deadline = time.monotonic() + 5
        while states[unit.key] == "abandoned" and time.monotonic() < deadline:
            states = {each.key: each.doing for each in status_of(store).units}
    assert states[unit.key] == "waiting"


def test_events_are_lines_of_json(tmp_path: Path) -> None:
    out, unit = io.StringIO(), training(0)
    stream, standing = EventStream(out, study="tiny"), Standing("tiny", [unit], 4, 1)
    events = Events(stream, standing, every=3600)
    for listener in (standing, events):
        for _ in range(3):  # said once
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
    assert names == [
        "waiting",
        "started",
        "progress",
        "failed",
        "started",
        "done",
        "message",
        "message",
    ]
    assert {line["study"] for line in lines} == {"tiny"}
    progress = lines[2]
    assert (progress["unit"], progress["label"]) == (unit.key, "training 0")
    assert (progress["epoch"], progress["epochs"], progress["loss"]) == (1, 10, 1.25)
    assert (progress["samples_per_s"], progress["units"]) == (321.0, 5)
    assert lines[3]["again"] is True
    assert lines[5]["units_done"] == 5
    assert [line["text"] for line in lines[-2:]] == ["a warning", "half a line"]


def test_a_reader_of_events_that_goes_away_stops_nothing() -> None:
    tried = []

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            tried.append(json.loads(text)["event"])
            raise BrokenPipeError

    stream = EventStream(Gone(), study="tiny")
    stream.emit("plan", units=1)
    with stream.finishing():
        stream.emit("done")
    assert tried == ["plan", "done", "finished"]


@pytest.mark.parametrize(
    ("error", "state", "code"),
    [
        (None, "done", 0),
        (typer.Exit(1), "failed", 1),
        (typer.Exit(130), "interrupted", 130),
        (KeyboardInterrupt(), "interrupted", 130),
        (UserError("--results x: no"), "error", 2),
        (PermissionError(13, "denied", "x"), "error", 2),
        (typer.Exit(2), "error", 2),
        (SystemExit(2), "error", 2),
        (SystemExit("a library's own words"), "error", "a library's own words"),
        (SystemExit(1), "failed", 1),
        (SystemExit(), "done", None),
        (RuntimeError("Ray has died 5 times"), "error", "Ray has died 5 times"),
    ],
)
def test_the_last_event_says_how_a_command_ended(
    error: BaseException | None, state: str, code: int | str | None
) -> None:
    out, ended = io.StringIO(), cast(int | str | None, 0)
    try:
        with EventStream(out, study="tiny").finishing():
            if error is not None:
                raise error
    except typer.Exit as end:
        ended = end.exit_code
    except SystemExit as end:
        ended = end.code
    except RuntimeError as end:
        ended = str(end)
    last = json.loads(out.getvalue())
    assert (last["event"], last["state"], ended) == ("finished", state, code)
    said = state == "error" and not isinstance(error, typer.Exit)  # (that has none)
    assert ("reason" in last) == said


def test_a_search_tells_the_same_in_lines_and_in_events() -> None:
    first = Trial(0, {"lr": 0.1}, {"lr": 0.1})
    second = Trial(1, {"lr": 0.2}, {"lr": 0.2})
    events, lines = io.StringIO(), io.StringIO()
    view = View(Console(file=lines), [], 2, 8, verbose=False)
    for listener in (TrialEvents(EventStream(events, search="lr"), 8), view):
        listener.started(first)
        listener.reported(0, Report(4, 0.5, 1.0))
        done = replace(first, state="completed", reports=[Report(8, 0.75, 1.0)])
        listener.ended(done)
        listener.started(second)
        listener.ended(replace(second, state="failed", reason="the worker process died"))
    told = [json.loads(line) for line in events.getvalue().splitlines()]
    assert [each["event"] for each in told] == ["started", "progress", "ended", "started", "ended"]
    assert (told[1]["trial"], told[1]["epoch"], told[1]["value"]) == (0, 4, 0.5)
    assert (told[2]["state"], told[2]["value"], told[4]["state"]) == ("completed", 0.75, "failed")
    assert {each["search"] for each in told} == {"lr"}
    text = [" ".join(line.split()) for line in clockless(lines.getvalue())]
    assert text == [
        "started trial 0 lr=0.1",
        "done trial 0 epoch 8 75.0 % 1/2 trials ETA 0 s",
        "started trial 1 lr=0.2",
        "failed trial 1 the worker process died",
    ]


def test_a_reader_who_goes_away_does_not_end_what_runs() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as out:
        console = LastingConsole(file=out)
        console.print("nobody reads this")  # rich itself would end the process here
        assert console.quiet
        console.print("nor this")


def test_a_question_leaves_standard_output_to_the_document(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stdin = io.StringIO("y\nn\n")
    monkeypatch.setattr(stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", stdin)
    confirm_cpu("small", Resources(), yes=False)
    confirm_cpu("paper", Resources(), yes=True)
    assert capsys.readouterr() == ("", "")
    confirm_cpu("paper", Resources(), yes=False)
    with pytest.raises(typer.Abort):
        confirm_cpu("paper", Resources(), yes=False)
    out, err = capsys.readouterr()
    assert out.strip() == ""
    assert err.count("trains on the CPU. Go on?") == 2
