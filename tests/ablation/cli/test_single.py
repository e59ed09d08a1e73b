"""``skelcon pretrain`` and ``evaluate``: one unit each, in the store of the studies."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ablation.cli.options import StudyDataOptions, StudyOptions
from ablation.cli.parsing import parse_settings
from ablation.cli.request import plan_study
from ablation.store import Store
from ablation.study import load_study
from ablation.work import Context, UnitRun
from skelcon.data import open_or_import
from skelcon.data.synthetic import synthesize

TINY = [
    "pretrain.epochs=3",
    "pretrain.batch=8",
    "pretrain.contrast={queue: 16, dim: 8, head_hidden: 8}",
    "pretrain.encoders.frames=16",
    "pretrain.encoders.seq={hidden: 4, layers: 1}",
    "pretrain.encoders.img={channels: 4, cooccurrence: 16}",
]
SHORT = {
    "linear": ["--set", "linear={epochs: 3, crops: 1}"],
    "retrieval": [],
    "finetune": ["--set", "finetune={epochs: 2, labels: 0.5}"],
    "knn": ["--set", "knn.k=3"],
    "mlp": ["--set", "mlp={epochs: 2, hidden: 4}"],
    "clustering": [],
    "robustness": ["--set", "robustness={weight_decay: 0, epochs: 2, noise: [0.1]}"],
}


@pytest.fixture
def trainer(skelcon: Callable[..., Any], utd: Path, tmp_path: Path) -> Callable[..., Any]:
    """Run ``skelcon pretrain`` or ``evaluate`` on the tiny data."""

    def call(command: str, *words: object) -> tuple[int, str, str]:
        fixed = ["--data", str(utd), "--results", str(tmp_path / "r"), "--device", "cpu"]
        tiny = TINY if command == "pretrain" else []
        settings = [word for setting in tiny for word in ("--set", setting)]
        ended = skelcon(command, *fixed, *settings, *words)
        return ended.code, ended.out, ended.err

    return call


def test_a_model_is_trained_once_and_evaluated_by_every_task(trainer: Any, utd: Path) -> None:
    pair = ("--set", "pretrain.representations=[seq,img]")
    code, out, err = trainer("pretrain", "--json", *pair)
    assert code == 0, err
    trained = json.loads(out)
    assert trained["result"]["epochs"] == 3
    assert "contrast_top1" in trained["result"]  # of the pretext, and top1 in the file
    assert "top1" in json.loads((Path(trained["directory"]) / "result.json").read_text())
    again = trainer("pretrain", *pair)[1]
    assert "done before" in again
    assert "chance         5.9 %" in again  # a share, as contrast_top1
    tops = {}
    for task, short in SHORT.items():
        words = ("evaluate", trained["directory"], "--task", task, "--representation", "seq")
        code, out, err = trainer(*words, *short, "--json")
        assert code == 0, err
        tops[task] = json.loads(out)
        assert 0 <= tops[task]["result"]["top1"] <= 1
    words = ("evaluate", trained["directory"], *SHORT["linear"], "--json")
    both = json.loads(trainer(*words, "--representation", "seq,img")[1])
    assert both["result"]["parameters"] > tops["linear"]["result"]["parameters"]
    code, _, err = trainer(*words)
    assert code == 2
    assert "--representation (img, seq, or img,seq to concatenate their features)" in err
    # A file without its unit's directory is named by its content.
    loose = utd.parent / "loose.safetensors"
    loose.write_bytes((Path(trained["directory"]) / "weights.safetensors").read_bytes())
    code, out, err = trainer(
        "evaluate", loose, "--representation", "seq", *SHORT["linear"], "--json"
    )
    assert code == 0, err
    same = json.loads(out)
    assert same["unit"] != tops["linear"]["unit"]
    assert same["result"]["top1"] == tops["linear"]["result"]["top1"]


def test_a_study_finds_what_the_trainer_did(trainer: Any, utd: Path, study_file: Path) -> None:
    words = ("--set", "pretrain.representations=[seq]", "--set", "pretrain.augment.use=[]")
    code, out, err = trainer("pretrain", "--preset", "small", "--json", *words, "--seed", 1)
    assert code == 0, err
    trained = json.loads(out)
    code, out, err = trainer("evaluate", trained["directory"], *SHORT["linear"], "--json")
    assert code == 0, err
    dataset, _ = open_or_import(utd)
    study = load_study(study_file).model_copy(update={"base": {}})
    settings = parse_settings([*TINY, SHORT["linear"][1]])
    options = StudyOptions(preset="small", seeds=(1,), settings=settings)
    plan = plan_study(study, dataset, StudyDataOptions(), options, Console(stderr=True))
    assert trained["unit"] in plan.units
    assert json.loads(out)["unit"] in plan.units


def test_encoders_of_a_fold_are_evaluated_on_what_it_holds_out(
    trainer: Any, utd: Path, study_file: Path, tmp_path: Path
) -> None:
    dataset, _ = open_or_import(utd)
    study = load_study(study_file).only(("none",))
    settings = parse_settings([*TINY, SHORT["linear"][1]])
    study = study.model_copy(update={"base": {}})
    options = StudyOptions(preset="small", settings=settings)
    data = StudyDataOptions(evaluate_on="validation", folds=2)
    plan = plan_study(study, dataset, data, options, Console(stderr=True))
    (cell,) = [cell for cell in plan.cells if (cell.column, cell.fold) == ("seq", 1)]
    assert cell.unit is not None
    store = Store(tmp_path / "r")
    (key,) = cell.unit.needs
    run = UnitRun(plan.units[key], store, Context({dataset.fingerprint: dataset.path}))
    while not run.step().done:
        pass
    run.close()
    code, out, err = trainer("evaluate", store.directory(key), *SHORT["linear"], "--json")
    assert code == 0, err
    assert json.loads(out)["unit"] == cell.unit.key


def test_weights_that_are_not_their_directorys_unit_are_named_by_their_content(
    trainer: Any, utd: Path
) -> None:
    words = ("--set", "pretrain.representations=[seq]")
    trained = json.loads(trainer("pretrain", "--json", *words)[1])
    directory = Path(trained["directory"])
    foreign = directory / "other.safetensors"
    foreign.write_bytes((directory / "weights.safetensors").read_bytes())
    units = [
        json.loads(trainer("evaluate", path, *SHORT["linear"], "--json")[1])["unit"]
        for path in (directory, directory / "weights.safetensors", foreign)
    ]
    assert units[0] == units[1] != units[2]


def test_clips_that_were_pretrained_on_are_not_tested_on(trainer: Any, tmp_path: Path) -> None:
    data = synthesize(tmp_path / "views", subjects=2, repetitions=1).path
    words = ("--set", "pretrain.representations=[seq]", "--protocol", "xview", "--data", data)
    code, out, err = trainer("pretrain", "--json", *words)
    assert code == 0, err
    words = ("evaluate", json.loads(out)["directory"], "--task", "retrieval", "--data", data)
    code, _, err = trainer(*words, "--protocol", "xsub")
    assert code == 2
    assert "pre-trained on the training side of xview" in err
    assert trainer(*words)[0] == 0  # by the pre-training's own protocol


def test_a_failure_is_reported_with_its_log(trainer: Any) -> None:
    words = ("pretrain", "--set", "pretrain.representations=[seq]", "--json")
    weights = json.loads(trainer(*words)[1])["directory"]
    diverges = "linear={epochs: 3, crops: 1, weight_decay: 0, lr: 1e+38}"
    code, out, err = trainer("evaluate", weights, "--set", diverges)
    assert (code, out) == (1, "")
    assert "failed: FloatingPointError: the linear classifier's weights became infinite" in err
    assert "log.txt" in err


def test_ctrl_c_keeps_what_has_been_trained(
    trainer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command prints how to resume; the result has the bits of an uninterrupted training."""
    monkeypatch.setattr("ablation.scheduler.in_process.STEP_SECONDS", 0.0)
    words = ("pretrain", "--set", "pretrain.representations=[seq]", "--json")
    whole = json.loads(trainer(*words, "--results", tmp_path / "whole")[1])

    class Pressed(UnitRun):
        def step(self, budget: float = 1.0) -> Any:
            os.kill(os.getpid(), signal.SIGINT)
            return super().step(budget)

    with monkeypatch.context() as patched:
        patched.setattr("ablation.scheduler.in_process.UnitRun", Pressed)
        code, out, err = trainer(*words)
    assert (code, out) == (130, "")
    assert "Run the same command to resume." in err
    again = json.loads(trainer(*words)[1])
    files = [Path(each["directory"]) / "weights.safetensors" for each in (whole, again)]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert json.loads((files[1].parent / "provenance.json").read_text())["resumed"] == 1


def test_a_damaged_unit_is_moved_away_and_done_again(trainer: Any) -> None:
    words = ("pretrain", "--set", "pretrain.representations=[seq]", "--json")
    weights = Path(json.loads(trainer(*words)[1])["directory"]) / "weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:100])
    code, _, err = trainer(*words)
    assert code == 0
    assert "is damaged" in err
    assert weights.read_bytes() == whole


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate", "/nowhere"], "no weights at '/nowhere'"),
        (["evaluate", "/nowhere", "--task", "linaer"], "did you mean 'linear'"),
        (["pretrain", "--device", "tpu"], "'tpu' is not one of 'auto', 'cpu', 'cuda'"),
        (["pretrain", "--set", "pretrain.epoch=3"], "did you mean 'pretrain.epochs'"),
        (["pretrain", "--set", "pretrain.batch=999"], "pretrain.batch 999"),
        (["pretrain", "--protocol", "xview"], "it has: xsub"),
        (["pretrain", "--set", "linear.epochs=3"], "nothing here uses it; set keys of pretrain"),
        (["pretrain", "--epochs", "3"], "give --set pretrain.epochs=3"),
    ],
)
def test_a_mistake_is_one_line(trainer: Any, words: list[str], message: str) -> None:
    code, out, err = trainer(*words)
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1
    assert message in err
