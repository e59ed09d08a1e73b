"""TensorBoard's event files, and what W&B and MLflow get."""

from __future__ import annotations

import io
import json
import re
import shutil
import struct
import subprocess
import sys
import threading
import time
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tensorboardX.proto import event_pb2

from ablation.events import Failed, Progressed, Started
from ablation.job import Job
from ablation.plan import Plan, make_plan
from ablation.store import Store
from ablation.study import load_study
from ablation.tracking import Tracking, background, wandb_tracker
from ablation.tracking import tracking as tracking_module
from ablation.tracking.runs import read_curve, runs_of
from ablation.tracking.tensorboard import TensorBoard
from ablation.tracking.trackers import parse_trackers
from ablation.units import Unit
from ablation.work import Context, UnitRun
from ablation.work.checkpoints import CheckpointPolicy
from skelcon.data import SkeletonDataset
from skelcon.errors import UserError


@pytest.fixture(scope="module")
def plan(study_file: Path, dataset: SkeletonDataset) -> Plan:
    """A pre-training of SEQ and its evaluation."""
    study = load_study(study_file).only(("none",))
    study = study.model_copy(update={"columns": {"seq": study.columns["seq"]}})
    return make_plan(study, dataset, preset="paper", seeds=(0,))


def start(plan: Plan, unit: Unit, store: Store) -> UnitRun:
    data = {plan.dataset.fingerprint: plan.dataset.path}
    return UnitRun(unit, store, Context(data, checkpoints=CheckpointPolicy(1e-6)))


@pytest.fixture(scope="module")
def finished(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results directory in which all units are done."""
    results = tmp_path_factory.mktemp("finished")
    finish(plan, Store(results))
    return results


@pytest.fixture
def done(finished: Path, tmp_path: Path) -> Store:
    """A copy of it."""
    shutil.copytree(finished, tmp_path / "results")
    return Store(tmp_path / "results")


def finish(plan: Plan, store: Store) -> None:
    for unit in plan.units.values():
        run = start(plan, unit, store)
        while not run.step().done:
            pass
        run.close()


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


def tracked(plan: Plan, store: Store, *names: str) -> tuple[Tracking, io.StringIO]:
    out = io.StringIO()
    job = Job.of_plan(plan, store.results / plan.study.name)
    return Tracking(job, store, names, Console(file=out)), out


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


def test_a_curve_ends_before_a_line_that_is_still_being_written(plan: Plan, tmp_path: Path) -> None:
    store, training = Store(tmp_path), next(iter(plan.units.values()))
    directory = store.begin(training.key, training.to_json())
    run = runs_of(plan)[training.key]
    assert read_curve(store, run) == []
    (directory / "metrics.jsonl").write_text('{"epoch": 0, "loss": 1.5, "seconds": 2}\n{"epoc')
    (epoch,) = read_curve(store, run)
    assert (epoch.number, epoch.seconds, dict(epoch.values)) == (1, 2.0, {"pretrain/loss": 1.5})


class FakeWandb(types.ModuleType):
    """Takes what the real one takes."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.runs: list[Any] = []
        self.torn_down = False
        self.broken = False

    def Settings(self, **values: Any) -> Any:  # noqa: N802
        return types.SimpleNamespace(base_url="https://api.wandb.ai", **values)

    def init(self, **values: Any) -> Any:
        if self.broken:
            raise ConnectionError("no network\nand more")
        run = types.SimpleNamespace(
            **values,
            summary={},
            logged=[],
            finished=False,
        )
        run.log = lambda numbers, step: run.logged.append((step, numbers))
        run.finish = lambda: setattr(run, "finished", True)
        self.runs.append(run)
        return run

    def teardown(self) -> None:
        self.torn_down = True


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeWandb:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT", "WANDB_BASE_URL", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    return fake


def test_wandb_gets_each_unit_once_its_row_as_group_and_its_seed_as_tag(
    plan: Plan, done: Store, wandb: FakeWandb
) -> None:
    for _ in range(2):
        tracking, out = tracked(plan, done, "wandb")
        with tracking:
            pass
        assert out.getvalue().startswith("W&B: offline (no key), 'wandb sync")
    training, evaluation = wandb.runs
    assert wandb.torn_down
    assert (training.group, training.job_type) == ("none", "pretrain-seq")
    assert training.tags == ["seed 0", "seq"]
    assert (training.project, training.mode, training.resume) == ("skelcon-tiny", "offline", None)
    assert training.dir == str(done.results / "tiny")
    assert [step for step, _ in training.logged] == [1, 2, 3]
    assert training.config["config"]["epochs"] == 3
    assert evaluation.job_type == "linear"
    top1 = done.result(evaluation.config["unit_key"])["top1"]
    assert evaluation.summary["linear/top1"] == top1
    assert training.finished
    assert evaluation.finished


def test_wandb_is_online_only_with_a_key_and_a_server_that_answers(
    tmp_path: Path, wandb: FakeWandb, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def mode(answers: bool) -> str:
        monkeypatch.setattr(
            wandb_tracker, "_answers", lambda host, port: asked.append(f"{host}:{port}") or answers
        )
        return wandb_tracker.WandbTracker(tmp_path).destination

    (tmp_path / ".netrc").write_text("machine elsewhere login user password x\n")
    assert "offline (no key)" in mode(True)
    assert asked == []
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password x\n")
    assert mode(True) == "W&B: online"
    assert "offline ('api.wandb.ai' does not answer)" in mode(False)
    assert asked == ["api.wandb.ai:443"] * 2
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert "offline, " in mode(True)


def test_a_tracker_that_fails_is_one_warning_and_the_next_command_sends_the_rest(
    plan: Plan, done: Store, wandb: FakeWandb
) -> None:
    wandb.broken = True
    tracking, out = tracked(plan, done, "wandb")
    with tracking:
        pass
    lines = out.getvalue().splitlines()
    assert lines[1:] == ["warning: wandb is skipped from now on: ConnectionError: no network"]
    assert len(list((done.results / "tiny").rglob("*tfevents*"))) == 2
    wandb.broken = False
    with tracked(plan, done, "wandb")[0]:
        pass
    assert len(wandb.runs) == 2


def test_an_interrupted_command_does_not_wait_for_a_tracker(
    plan: Plan, done: Store, wandb: FakeWandb
) -> None:
    tracking, _ = tracked(plan, done, "wandb")
    tracking.drop()
    with tracking:
        pass
    assert wandb.runs == []


def test_a_tracker_that_hangs_holds_up_neither_tensorboard_nor_the_end(
    plan: Plan, done: Store, wandb: FakeWandb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "NOTICE_AFTER", 0.05)
    monkeypatch.setattr(background, "TIMEOUT", 0.3)
    monkeypatch.setattr(background, "hung", hung := threading.Event())
    hangs = threading.Event()
    monkeypatch.setattr(wandb, "init", lambda **values: hangs.wait())
    tracking, out = tracked(plan, done, "wandb")
    start_time = time.monotonic()
    with tracking:
        pass
    assert time.monotonic() - start_time < 20
    assert len(list((done.results / "tiny").rglob("*tfevents*"))) == 2
    lines = out.getvalue().splitlines()
    assert lines[1] == "waiting for wandb; Ctrl-C leaves the rest to the next command"
    assert re.fullmatch(
        r"warning: wandb made no progress for \d s and is abandoned: the.*", lines[2]
    )
    assert len(lines) == 3
    assert hung.is_set()
    hangs.set()


@pytest.mark.parametrize("code", [0, 1])
def test_what_hangs_does_not_hold_up_the_end_of_a_command(code: int) -> None:
    program = f"""
import atexit, time, typer
from skelcon.cli import console
app = typer.Typer()
@app.command()
def work():
    atexit.register(time.sleep, 300)  # as W&B does
    print("the table")
    console.hung.set()
    raise typer.Exit({code})
console.run_app(app)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, "the table\n", "")


def test_of_two_drivers_one_sends_a_unit(
    plan: Plan, done: Store, wandb: FakeWandb, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tracked(plan, done, "wandb")[0], tracked(plan, done, "wandb")[0]
    # (Two processes write event files of different names.)
    monkeypatch.setattr(second._board, "write", lambda *asked: None)
    with first, second:
        pass
    assert len(wandb.runs) == 2
    assert len((done.results / "tiny" / "tracked-wandb.txt").read_text().split()) == 2


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


class FakeClient:
    """MLflow's client, as far as it is used."""

    runs: dict[str, dict[str, Any]]
    made = 0
    experiments: dict[str, str | None]
    uri = ""

    def __init__(self, tracking_uri: str) -> None:
        type(self).uri = tracking_uri

    def get_experiment_by_name(self, name: str) -> Any:
        return types.SimpleNamespace(experiment_id=name) if name in self.experiments else None

    def create_experiment(self, name: str, artifacts: str | None) -> str:
        self.experiments[name] = artifacts
        return name

    def search_runs(self, experiments: list[str], filter_string: str) -> list[Any]:
        key = filter_string.split("'")[1]
        found = [i for i, run in self.runs.items() if run["tags"]["unit"] == key]
        return [types.SimpleNamespace(info=types.SimpleNamespace(run_id=i)) for i in found]

    def delete_run(self, run: str) -> None:
        del self.runs[run]

    def create_run(self, experiment: str, **values: Any) -> Any:
        type(self).made += 1
        name = f"run {self.made}"
        self.runs[name] = {**values, "metrics": [], "params": {}, "over": False}
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id=name))

    def log_batch(self, run: str, metrics: Any = (), params: Any = ()) -> None:
        assert len(metrics) <= 1000
        assert len(params) <= 100
        self.runs[run]["metrics"] += metrics
        self.runs[run]["params"] |= dict(params)

    def set_terminated(self, run: str) -> None:
        self.runs[run]["over"] = True


def test_mlflow_gets_each_unit_once_and_replaces_an_earlier_attempt(
    plan: Plan, done: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeClient, "runs", {}, raising=False)
    monkeypatch.setattr(FakeClient, "experiments", {}, raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    names = {
        "mlflow": {},
        "mlflow.tracking": {"MlflowClient": FakeClient},
        "mlflow.entities": {"Metric": lambda *v: v, "Param": lambda *v: v},
    }
    for name, members in names.items():
        module = types.ModuleType(name)
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, module)
    for _ in range(2):
        tracking, out = tracked(plan, done, "mlflow")
        with tracking:
            pass
        assert "warning" not in out.getvalue()
        (done.results / "tiny" / "tracked-mlflow.txt").unlink()
    assert FakeClient.uri == f"sqlite:///{done.results}/mlflow.db"
    assert FakeClient.experiments == {"skelcon-tiny": f"file://{done.results}/mlflow-artifacts"}
    training, evaluation = FakeClient.runs.values()
    assert (training["tags"]["group"], training["tags"]["seed"]) == ("none", "0")
    losses = [step for name, _, _, step in training["metrics"] if name == "pretrain/loss"]
    assert losses == [1, 2, 3]
    assert training["params"]["config.epochs"] == "3"
    top1 = done.result(evaluation["tags"]["unit"])["top1"]
    assert [v for name, v, *_ in evaluation["metrics"] if name == "linear/top1"] == [top1]
    assert training["over"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wandbb", "--track wandbb: did you mean 'wandb'"),
        ("mlflow", "--track mlflow: not installed; run: pip install mlflow"),
    ],
)
def test_an_unknown_or_missing_tracker_is_an_error_before_anything_runs(
    text: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "mlflow").mkdir()  # a directory of that name is not the package
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(UserError, match=message.replace("[", r"\[")):
        parse_trackers(text)
    assert parse_trackers("") == ()
