"""What W&B and MLflow get, and what is done about a tracker that fails or hangs."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any

import pytest
from tracking_helpers import tracked

from ablation.interrupts import Interrupt
from ablation.plan import Plan
from ablation.store import Store
from ablation.tracking import background, wandb_tracker
from ablation.tracking.trackers import parse_trackers
from skelcon.errors import UserError


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
    tracking.drop(Interrupt(requested=True))
    with tracking:
        pass
    assert wandb.runs == []


def test_an_interrupted_command_abandons_a_tracker_that_is_sending(
    plan: Plan, done: Store, wandb: FakeWandb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ablation.interrupts.EXIT_SECONDS", 0.1)
    monkeypatch.setattr(background, "exit_at_once", exit_at_once := threading.Event())
    sending, hangs = threading.Event(), threading.Event()
    monkeypatch.setattr(wandb, "init", lambda **values: (sending.set(), hangs.wait()))
    tracking, out = tracked(plan, done, "wandb")
    with tracking:
        assert sending.wait(10)
        tracking.drop(Interrupt(requested=True))
        start_time = time.monotonic()
    assert time.monotonic() - start_time < 20
    text = "wandb has not finished in time and is abandoned: the next command sends the rest"
    assert text in out.getvalue()
    assert exit_at_once.is_set()
    hangs.set()


def test_a_tracker_that_hangs_holds_up_neither_tensorboard_nor_the_end(
    plan: Plan, done: Store, wandb: FakeWandb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "NOTICE_AFTER", 1.0)
    monkeypatch.setattr(background, "TIMEOUT", 0.3)
    monkeypatch.setattr(background, "exit_at_once", exit_at_once := threading.Event())
    hangs = threading.Event()
    monkeypatch.setattr(wandb, "init", lambda **values: hangs.wait())
    tracking, out = tracked(plan, done, "wandb")
    with tracking:
        start_time = time.monotonic()
        while len(list((done.results / "tiny").rglob("*tfevents*"))) < 2 or not out.getvalue():
            assert time.monotonic() - start_time < 60
            time.sleep(0.02)
        start_time = time.monotonic()
    assert time.monotonic() - start_time < 20
    lines = out.getvalue().splitlines()
    assert lines[1] == "waiting for wandb; Ctrl-C leaves the rest to the next command"
    assert re.fullmatch(
        r"warning: wandb made no progress for \d s and is abandoned: the.*", lines[2]
    )
    assert len(lines) == 3
    assert exit_at_once.is_set()
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
    console.exit_at_once.set()
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
