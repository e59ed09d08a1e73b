"""TensorBoard's event files."""

from __future__ import annotations

import errno
import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from tensorboardX.proto import event_pb2
from tracking_helpers import finish, start, tracked

from ablation.events import Failed, Progressed, Started
from ablation.plan import Plan
from ablation.store import Store
from ablation.tracking import tracking as tracking_module
from ablation.tracking.runs import read_curve, runs_of
from ablation.tracking.tensorboard import TensorBoard


def scalars(directory: Path) -> dict[str, list[tuple[int, float]]]:
    """Tag -> (step, value) of a run's event files, as TensorBoard reads them."""
    found: dict[str, list[tuple[int, float]]] = {}
    for file in sorted(directory.glob("*tfevents*")):
        data, at = file.read_bytes(), 0
        while at < len(data):
            (size,) = struct.unpack_from("<Q", data, at)
            event = event_pb2.Event.FromString(data[at + 12 : at + 12 + size])
            at += 16 + size
            for value in event.summary.value:
                if value.WhichOneof("value") == "simple_value":
                    found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_a_resumed_unit_has_no_epoch_twice_in_its_curve(plan: Plan, tmp_path: Path) -> None:
    store = Store(tmp_path)
    training, evaluation = plan.units.values()
    board = TensorBoard(tmp_path / "tiny", store)
    tracked_run = runs_of(plan)[training.key]
    directory = tmp_path / "tiny" / "tensorboard" / "none" / "seq" / "seed0" / "pretrain-seq"
    assert board.directory(tracked_run) == directory
    run = start(plan, training, store)
    run.step(budget=0)
    board.write(tracked_run)
    run.step(budget=0)
    board.write(tracked_run)
    assert [step for step, _ in scalars(directory)["pretrain/loss"]] == [1, 2]
    run._stack.close()  # killed: its second epoch was not in the checkpoint ...
    metrics = store.directory(training.key) / "metrics.jsonl"
    first = metrics.read_text().splitlines()[0]
    metrics.write_text(f"{first}\n")  # ... and is lost when the unit is resumed
    board.write(tracked_run)
    assert [step for step, _ in scalars(directory)["pretrain/loss"]] == [1]
    metrics.unlink()
    (store.directory(training.key) / "checkpoint.pt").unlink()
    finish(plan, store)
    board.write(tracked_run)
    board.write(runs_of(plan)[evaluation.key])
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    written = scalars(directory)
    assert len(list(directory.iterdir())) == 1
    assert [step for step, _ in written["pretrain/loss"]] == [1, 2, 3]
    tags = {"loss": "loss", "contrast_top1": "top1", "lr": "lr", "samples_per_s": "samples_per_s"}
    for tag, name in tags.items():
        values = [value for _, value in written[f"pretrain/{tag}"]]
        assert values == pytest.approx([line[name] for line in lines])
    top1 = store.result(evaluation.key)["top1"]
    shown = scalars(directory.parent / "linear")
    assert "pretrain/top1" not in written
    assert shown["linear/top1"] == [(1, pytest.approx(top1))]
    # The units' own files do not change.
    assert not list(store.units.rglob("*tfevents*"))
    assert store.damage(training.key, thorough=True) is None


def test_rows_with_similar_names_have_different_directories(plan: Plan, tmp_path: Path) -> None:
    board, first = TensorBoard(tmp_path, Store(tmp_path)), next(iter(runs_of(plan).values()))
    rows = ("a-b", "a b", "a/b", "a  b", "..", ".", "crop+pose")
    runs = [board.directory(replace(first, row=row)) for row in rows]
    assert len(set(runs)) == len(rows)
    assert {run.parents[3] for run in runs} == {tmp_path / "tensorboard"}
    assert [run.parents[2].name for run in (runs[0], runs[-1])] == ["a-b", "crop+pose"]


def test_what_is_done_already_is_written_once(plan: Plan, done: Store) -> None:

    def written() -> dict[Path, int]:
        files = (done.results / "tiny" / "tensorboard").rglob("*tfevents*")
        return {file: file.stat().st_mtime_ns for file in files}

    with tracked(plan, done)[0]:
        pass
    first = written()
    assert len(first) == 2
    with tracked(plan, done)[0]:
        pass
    assert written() == first
    # A unit that ran again is written again, in place of its older file.
    training = next(iter(plan.units.values()))
    done.finish(training.key)
    with tracked(plan, done)[0]:
        pass
    assert len(written()) == 2
    assert len(written().keys() & first.keys()) == 1


def test_a_running_unit_is_followed_until_it_fails(plan: Plan, tmp_path: Path) -> None:
    store = Store(tmp_path)
    training = next(iter(plan.units.values()))
    run = start(plan, training, store)
    with tracked(plan, store)[0] as tracking:
        tracking.report(Started(training))
        for _ in range(2):
            tracking.report(Progressed(training, run.step(budget=0).epoch))
        tracking.report(Failed(training, "failed: x", tmp_path / "log.txt", "failed"))
    run.close()
    directory = tracking._board.directory(runs_of(plan)[training.key])
    steps = [step for step, _ in scalars(directory)["pretrain/loss"]]
    assert steps[0] == 1
    assert len(steps) in (1, 2)  # it updates every few seconds


def test_a_driver_that_is_killed_when_a_unit_is_done_loses_nothing(plan: Plan, done: Store) -> None:
    evaluation = list(runs_of(plan).values())[-1]
    metrics = done.directory(evaluation.key) / "metrics.jsonl"  # as of one that trains
    metrics.write_text('{"epoch": 0, "loss": 1.5, "seconds": 2}\n')
    (marker,) = done.directory(evaluation.key).glob("DONE")
    marker.rename(marker.with_name("not yet"))
    killed = TensorBoard(done.results / "tiny", done)
    killed.write(evaluation)  # ... and never finishes it, although it is the later file
    assert set(scalars(killed.directory(evaluation))) == {"train/loss"}
    marker.with_name("not yet").rename(marker)
    with tracked(plan, done)[0]:
        pass
    assert set(scalars(killed.directory(evaluation))) >= {"train/loss", "linear/top1"}


def test_a_tensorboard_that_cannot_be_written_is_one_warning(plan: Plan, done: Store) -> None:
    (done.results / "tiny").write_text("in the way")
    tracking, out = tracked(plan, done)
    with tracking:
        pass
    (line,) = out.getvalue().splitlines()
    assert line.startswith("warning: TensorBoard is skipped from now on: NotADirectoryError")


def test_half_an_event_file_is_never_read(
    plan: Plan, done: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    board, run = TensorBoard(done.results / "tiny", done), next(iter(runs_of(plan).values()))
    names: list[str] = []

    def fails(path: Path, target: Path) -> None:
        names.append(path.name)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(OSError, match="No space"):
        board.write(run)
    assert names
    assert "tfevents" not in names[0]  # what TensorBoard recognises a file by, hidden or not
    assert list(board.directory(run).iterdir()) == []


def test_a_curve_ends_before_a_line_that_is_still_being_written(plan: Plan, tmp_path: Path) -> None:
    store, training = Store(tmp_path), next(iter(plan.units.values()))
    directory = store.begin(training.key, training.to_json())
    run = runs_of(plan)[training.key]
    assert read_curve(store, run) == []
    (directory / "metrics.jsonl").write_text('{"epoch": 0, "loss": 1.5, "seconds": 2}\n{"epoc')
    (epoch,) = read_curve(store, run)
    assert (epoch.number, epoch.seconds, dict(epoch.values)) == (1, 2.0, {"pretrain/loss": 1.5})


def test_updates_of_a_unit_do_not_pile_up(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, followed = Store(tmp_path), []
    monkeypatch.setattr(tracking_module, "FOLLOW_EVERY", 0.0)
    tracking, _ = tracked(plan, store)
    monkeypatch.setattr(tracking._board, "write", lambda *asked: followed.append(asked))
    training = next(iter(plan.units.values()))
    for _ in range(100):  # before its thread has started, as if it hung
        tracking.report(Started(training))
        tracking.report(Progressed(training, 1))
    with tracking:
        pass
    assert len(followed) == 1
