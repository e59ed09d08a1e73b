"""What a command says: to people, and as events to a script."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import cast

import pytest
import typer
from rich.console import Console
from unit_helpers import pretraining, progressed

from ablation.costs import CostModel
from ablation.events import Failed, Finished, Pruned, Started, Waiting
from ablation.interrupts import graceful
from ablation.job import Job
from ablation.monitor.events import EventStream, EventWriter
from ablation.monitor.output import Output, output
from ablation.monitor.run_state import RunState
from ablation.plan import Plan
from ablation.scheduler.resources import Resources
from ablation.store import Store
from skelcon.errors import MachineError, UserError


def lines_of(out: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_events_are_lines_of_json(tmp_path: Path) -> None:
    out, unit = io.StringIO(), pretraining(0)
    stream, state = EventStream(out, study="tiny"), RunState("tiny", [unit], 4, 1)
    writer = EventWriter(stream, state, every=3600)
    for event in (
        *[Waiting("a trial asks 2 GPUs")] * 3,  # written once
        Started(unit),
        *(progressed(unit, epoch) for epoch in (1, 2, 3)),  # throttled: the first alone
        Failed(unit, "failed: out of memory", tmp_path, "retry alone"),
        Started(unit),
        Finished(unit),
        Pruned(pretraining(1)),  # a search writes what becomes of its trials
    ):
        state.report(event)
        writer.report(event)
    stream.write("a warning\nhalf a ")
    stream.write("line\n")
    lines = lines_of(out)
    names = "waiting started progress failed started done message message"
    assert [line["event"] for line in lines] == names.split()
    assert {line["study"] for line in lines} == {"tiny"}
    progress = lines[2]
    assert (progress["unit"], progress["label"]) == (unit.key, "training 0")
    assert (progress["epoch"], progress["epochs"], progress["loss"]) == (1, 10, 1.25)
    assert (progress["samples_per_s"], progress["units"]) == (321.0, 5)
    assert lines[3]["again"] is True
    assert lines[5]["units_done"] == 5
    assert [line["text"] for line in lines[-2:]] == ["a warning", "half a line"]


def test_a_reader_of_events_that_closes_its_end_stops_nothing() -> None:
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
        (MachineError("Ray has died, 5 times"), "error", 1),
        (PermissionError(13, "denied", "x"), "error", 2),
        (OSError(errno.ENOSPC, "No space left on device"), "error", 2),
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
    has_reason = state == "error" and not isinstance(error, typer.Exit)  # (that has none)
    assert ("reason" in last) == has_reason


def test_a_study_says_what_it_is_about_to_do(plan: Plan, tmp_path: Path) -> None:
    store, text, events = Store(tmp_path), io.StringIO(), io.StringIO()
    people = Output(Console(file=text, width=200))
    script = Output(Console(file=io.StringIO()), EventStream(events, study="tiny"))
    missing, job = list(plan.units.values()), Job.of_plan(plan, tmp_path)
    cost = CostModel.of(store, plan.datasets, Resources()).cost(missing)
    part = Job.of_plan(plan, tmp_path, dict(list(plan.units.items())[:2]))
    for seen in (people, script):
        seen.announce(job, missing, cost)
        seen.announce(job, [], None)
        seen.announce(part, missing[:2], cost)
    line, nothing = text.getvalue().splitlines()
    assert nothing == "All 20 units are done: nothing to run."
    assert "3 rows, 12 cells, 20 distinct units" in line
    assert line.endswith("0 done, 20 to run.")
    study, done, some = lines_of(events)
    assert (study["rows"], study["units"], study["to_run"], study["seconds"]) == (3, 20, 20, None)
    assert (done["done"], done["to_run"], done["seconds"]) == (20, 0, 0)
    assert (some["rows"], some["units"], some["to_run"]) == (3, 2, 2)


def test_a_run_is_watched_and_seen_by_the_reporter(plan: Plan, tmp_path: Path) -> None:
    store, out, units = Store(tmp_path), io.StringIO(), list(plan.units.values())
    cost = CostModel.of(store, plan.datasets, Resources()).cost(units)
    shown = Output(Console(file=out, width=200))
    job = Job.of_plan(plan, tmp_path)
    with shown.watching(job, units, store, cost, "Ray and its workers start") as (reporter, _):
        reporter.report(Started(units[0]))
        reporter.report(Finished(units[0]))
    assert f"{units[0].key[:8]}  {units[0].label}  0 s  1/20 units" in out.getvalue()


def test_an_interrupt_is_acknowledged_at_once() -> None:
    out = io.StringIO()
    shown = Output(Console(file=out, width=200))
    with graceful(shown.acknowledge) as interrupt:
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupt.wait(5)
        deadline = time.monotonic() + 5
        while not out.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    assert out.getvalue() == (
        "Interrupted: saving what has been trained. Interrupt again to leave at once.\n"
    )


def test_an_interrupt_is_acknowledged_on_no_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    failed: list[object] = []
    monkeypatch.setattr(threading, "excepthook", failed.append)
    threads = threading.active_count()
    Output(Console(file=Full())).acknowledge()
    deadline = time.monotonic() + 30
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.01)
    assert failed == []


def test_text_becomes_messages_for_a_script(capsys: pytest.CaptureFixture[str]) -> None:
    with output(as_json=True, study="tiny") as shown:
        shown.say("a long line " * 30)
    message, finished = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert message["text"] == ("a long line " * 30).rstrip()
    assert (message["study"], finished["state"]) == ("tiny", "done")


def test_a_prompt_leaves_standard_output_to_the_document(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ablation.cli.studies import confirm_cpu
    from skelcon.presets import Preset

    small, paper = Preset.of("small"), Preset.of("paper")
    stdin = io.StringIO("y\nn\n")
    monkeypatch.setattr(stdin, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", stdin)
    confirm_cpu(small, Resources(), yes=False)
    confirm_cpu(paper, Resources(), yes=True)
    assert capsys.readouterr() == ("", "")
    confirm_cpu(paper, Resources(), yes=False)
    with pytest.raises(typer.Abort):
        confirm_cpu(paper, Resources(), yes=False)
    out, err = capsys.readouterr()
    assert out.strip() == ""
    assert err.count("trains on the CPU. Continue?") == 2
