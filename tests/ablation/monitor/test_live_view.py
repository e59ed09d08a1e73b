"""What people see of a run: plain lines, the live view, the table so far."""

from __future__ import annotations

import errno
import io
import os
import re
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from live_helpers import finish, running
from rich.console import Console
from unit_helpers import pretraining, progressed

from ablation.events import Failed, Finished, Pruned, Started, Waiting
from ablation.monitor import table as table_module
from ablation.monitor.live_view import LiveView
from ablation.monitor.run_state import RunState, Snapshot
from ablation.monitor.screen import screen
from ablation.monitor.table import TableSoFar
from ablation.plan import Plan
from ablation.store import Store
from ablation.units import Unit
from skelcon.cli.terminal import PipeSafeConsole


def clockless(text: str) -> list[str]:
    """Lines without the time of day, which is their second word, and with single spaces."""
    words = [line.split() for line in text.splitlines()]
    return [" ".join([each[0], *each[2:]]) for each in words]


def test_without_a_terminal_there_are_plain_lines(tmp_path: Path) -> None:
    out, unit, other = io.StringIO(), pretraining(0), pretraining(1)
    state = RunState("tiny", [unit, other], cached=3, slots=1)
    log = tmp_path / "log.txt"
    log.write_text("first\nthe last words\n")
    with LiveView(Console(file=out), state, state.snapshot, quiet=0.5) as view:
        for event in (Started(unit), *(progressed(unit, epoch) for epoch in range(1, 10))):
            state.report(event)
            view.report(event)
        deadline = time.monotonic() + 30
        while "running" not in out.getvalue() and time.monotonic() < deadline:
            time.sleep(0.02)
        state.report(Finished(unit))
        for event in (
            Finished(unit),
            Finished(other),  # by another driver
            Failed(other, "failed: out of memory", log, "retry alone"),
            Failed(other, "failed: out of memory", log, "failed"),
            Pruned(other),
            Waiting("a trial asks 9 CPUs"),
            Waiting("a trial asks 9 CPUs"),
        ):
            view.report(event)
    lines = clockless(out.getvalue())
    key, other_key = unit.key[:8], other.key[:8]
    assert lines[0] == f"started {key} training 0"
    assert lines[1].startswith("running 1 running, 1 to come, 3 cached 3/5 units ETA")
    for line in (
        rf"done {key} training 0 \d s 4/5 units ETA \d s",
        rf"done {other_key} training 1 by another driver 4/5 units ETA \d s",
        rf"pruned {other_key} training 1 4/5 units ETA \d s",
    ):
        assert any(re.fullmatch(line, each) for each in lines), lines
    text = out.getvalue()
    assert "training 1  failed: out of memory; it is retried alone on its device\n" in text
    assert f"  log: {log}\n  | first\n  | the last words\n" in text
    assert text.count("the last words") == 1
    assert text.count("a trial asks 9 CPUs") == 1
    assert not any("_print_state" in each.name for each in threading.enumerate())


def shown(now: Snapshot, width: int, height: int) -> list[str]:
    """The live view, line by line."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=width, height=height, color_system=None)
    console.print(screen(now, width, height))
    return out.getvalue().splitlines()


def test_the_live_view_shows_the_units_that_run_and_the_table_so_far(
    plan: Plan, store: Store
) -> None:
    lines = shown(running(plan, store, 2), 80, 24)
    text = "\n".join(lines)
    assert len(lines) < 24
    assert max(map(len, lines)) <= 80
    assert "0/20 units" in lines[0]
    assert "2 running, 18 to come" in lines[1]
    unit = next(iter(plan.units.values()))
    assert f"{unit.key[:8]}  pretrain none / img / seed 0" in text
    assert "1.250" in text
    assert "321" in "\n".join(shown(running(plan, store, 2), 100, 24))
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


def test_a_search_shows_its_summary() -> None:
    now = replace(RunState("lr", []).snapshot(), summary=(("trials", "3/20"), ("best", "71.3 %")))
    assert "trials 3/20, best 71.3 %" in shown(now, 80, 24)


def test_the_table_so_far_reads_what_is_done_once_and_not_all_the_time(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    read: list[str] = []
    result = Store.result
    monkeypatch.setattr(Store, "result", lambda self, key: read.append(key) or result(self, key))
    evaluations = [unit for unit in plan.units.values() if unit.kind == "evaluate"]
    state, table, clock = RunState("tiny", evaluations), TableSoFar(plan, store), [0.0]
    monkeypatch.setattr(table_module, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    def end(unit: Unit) -> None:
        finish(store, unit, 0.5)
        state.report(Finished(unit))

    end(evaluations[0])
    table.sheet(state.snapshot())
    end(evaluations[1])
    table.sheet(state.snapshot())  # too early
    assert read == [evaluations[0].key]
    clock[0] = table_module.EVERY
    table.sheet(state.snapshot())
    clock[0] *= 3
    table.sheet(state.snapshot())  # nothing has changed
    assert read == [evaluations[0].key, evaluations[1].key]


def test_a_reader_that_closes_its_end_does_not_end_the_run() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as out:
        console = PipeSafeConsole(file=out)
        console.print("nobody reads this")  # rich itself would end the process here
        assert console.quiet
        console.print("nor this")


def test_a_terminal_that_is_closed_does_not_end_the_run() -> None:
    """As with ``trap '' HUP``, or after ``disown``."""
    terminal, ours = os.openpty()
    state, unit = RunState("tiny", [pretraining(0)]), pretraining(0)
    with os.fdopen(ours, "w") as out:
        console = PipeSafeConsole(file=out)
        assert console.is_terminal
        with LiveView(console, state, state.snapshot, verbose=True) as view:
            os.close(terminal)
            view.report(Started(unit))
        assert console.quiet
        console.print("a table")


def test_a_full_disk_under_the_printed_lines_does_not_end_the_run() -> None:
    state, unit = RunState("tiny", [pretraining(0)]), pretraining(0)

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    console = PipeSafeConsole(file=Full())
    with LiveView(console, state, state.snapshot) as view:
        view.report(Started(unit))
    with pytest.raises(OSError, match="No space"):  # what is not repeated is not lost silently
        console.print("a table")
