from __future__ import annotations

import errno
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ablation.plan import make_plan
from ablation.store import Store
from ablation.store.housekeeping import find
from ablation.study import load_study
from ablation.study_parts import Row
from ablation.units import EvaluateUnit, Unit
from ablation.work import Context, UnitRun
from ablation.work.checkpoints import CheckpointPolicy, EpochLog, Keep
from skelcon import load_encoder
from skelcon.augment import evaluation_view
from skelcon.data import ClipBank, SkeletonDataset, split
from skelcon.data.synthetic import synthesize
from skelcon.downstream.linear import LinearEvaluation


def units_of(dataset: SkeletonDataset, study_file: Path, epochs: int = 6) -> list[Unit]:
    study = load_study(study_file).only(("crop+jitter", "random"))
    plan = make_plan(
        study,
        dataset,
        preset="paper",
        seeds=(0,),
        overrides={"pretrain.epochs": epochs},
    )
    return list(plan.units.values())


def run(unit: Unit, store: Store, dataset: SkeletonDataset, steps: int | None = None) -> None:
    """``steps`` steps of one epoch each and then no more, as after a crash; None: to the end."""
    unit_run = UnitRun(unit, store, Context({dataset.fingerprint: dataset.path}))
    try:
        taken = 0
        while not unit_run.step(budget=0).done:
            taken += 1
            if steps is not None and taken >= steps:
                return
    finally:
        unit_run.close()


@pytest.fixture(autouse=True)
def _checkpoint_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ablation.work.checkpoints.LEAST", 0)
    monkeypatch.setattr("ablation.work.checkpoints.SHARE", 0)


def test_an_interrupted_unit_gives_the_bits_of_one_that_never_was(
    tmp_path: Path, dataset: SkeletonDataset, study_file: Path
) -> None:
    straight, broken = Store(tmp_path / "a"), Store(tmp_path / "b")
    for unit in units_of(dataset, study_file):
        run(unit, straight, dataset)
        for _ in range(3):
            run(unit, broken, dataset, steps=2)
        run(unit, broken, dataset)
        for name in ("weights.safetensors", "result.json", "predictions.npz"):
            first, second = (s.directory(unit.key) / name for s in (straight, broken))
            assert first.exists() == second.exists()
            if first.exists():
                assert first.read_bytes() == second.read_bytes(), (unit.label, name)
        if unit.kind == "pretrain":
            text = (broken.directory(unit.key) / "log.txt").read_text()
            assert text.count("resumed at epoch") == 2
            assert "resumed at epoch 2; 0 epochs are trained again" in text
            lines = [
                json.loads(line)
                for line in (broken.directory(unit.key) / "metrics.jsonl").read_text().splitlines()
            ]
            assert [line["epoch"] for line in lines] == list(range(6))
            assert {"loss", "top1", "lr", "samples_per_s"} <= set(lines[0])


def test_a_pretraining_leaves_its_diagnosis_and_an_evaluation_none(
    tmp_path: Path, dataset: SkeletonDataset, study_file: Path
) -> None:
    """Monitored across subjects; the weights are those of an unmonitored unit."""
    store, weights = Store(tmp_path), []
    study = load_study(study_file).only(("crop+jitter",)).model_copy(update={"task": "finetune"})
    for monitor in (2, None):
        changes = {"pretrain.monitor": monitor, "finetune.epochs": 1}
        plan = make_plan(study, dataset, preset="paper", seeds=(0,), overrides=changes)
        for unit in list(plan.units.values())[:2]:
            run(unit, store, dataset)
            lines, result = store.files(unit.key).metrics(), store.result(unit.key)
            found = {"chance", "alignment", "uniformity", "effective_rank"}
            assert None not in [value for line in lines for value in line.values()]
            if unit.kind == "evaluate":
                assert not [name for line in lines for name in line if name in found]
                continue
            assert all(found <= set(line) for line in lines)
            last = {name: value for name, value in lines[-1].items() if name in result}
            assert result == last | {"epochs": 3, "steps": 6}
            assert found <= set(result)
            watched = ["nn_top1" in line for line in lines]
            assert watched == ([False, True, True] if monitor else [False] * 3)
            assert ("nn_top1_start" in lines[0]) == ("nn_top1" in result) == (monitor == 2)
            weights.append((store.directory(unit.key) / "weights.safetensors").read_bytes())
    assert len(weights) == 2
    assert weights[0] == weights[1]


def test_a_finetuning_in_pieces_gives_the_bits_of_one_in_a_piece(
    tmp_path: Path, dataset: SkeletonDataset, study_file: Path
) -> None:
    study = load_study(study_file).only(("crop+jitter", "random"))
    study = study.model_copy(update={"task": "finetune"})
    change = {"finetune": {"epochs": 3, "labels": 0.5, "subsets": 2}}
    plan = make_plan(study, dataset, preset="paper", seeds=(0,), overrides=change)
    straight, broken = Store(tmp_path / "a"), Store(tmp_path / "b")
    for unit in plan.units.values():
        run(unit, straight, dataset)
        run(unit, broken, dataset, steps=2)
        run(unit, broken, dataset, steps=2)
        run(unit, broken, dataset)
        if unit.kind == "evaluate":
            assert unit.epochs == 6
            for name in ("result.json", "predictions.npz"):
                first, second = (s.directory(unit.key) / name for s in (straight, broken))
                assert first.read_bytes() == second.read_bytes(), (unit.label, name)
            log = (broken.directory(unit.key) / "log.txt").read_text()
            assert log.count("; 0 epochs are trained again") == 2
            result = straight.result(unit.key)
            assert result["labelled"] == 9  # half of six clips of each of three classes
            assert {"top1", "top1_std", "top1_train"} <= set(result)


@pytest.mark.parametrize("decay", [0.0, "auto"])
def test_a_linear_evaluation_in_pieces_gives_the_bits_of_one_in_a_piece(
    tmp_path: Path,
    dataset: SkeletonDataset,
    study_file: Path,
    decay: float | str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("skelcon.downstream.regularised.ITERATIONS", 3)
    study = load_study(study_file).only(("random",))
    change = {"linear": {"epochs": 55, "crops": 2, "weight_decay": decay}}
    change["pretrain"] = {"encoders": {"img": {"batch_norm": True}}}
    plan = make_plan(study, dataset, preset="paper", seeds=(0,), overrides=change)
    straight, broken = Store(tmp_path / "a"), Store(tmp_path / "b")
    for unit in plan.units.values():
        assert unit.epochs == 6
        run(unit, straight, dataset)
        run(unit, broken, dataset, steps=2)
        run(unit, broken, dataset, steps=3)
        run(unit, broken, dataset)
        for name in ("result.json", "predictions.npz"):
            first, second = (s.directory(unit.key) / name for s in (straight, broken))
            assert first.read_bytes() == second.read_bytes(), (unit.label, name)
        log = (broken.directory(unit.key) / "log.txt").read_text()
        assert log.count("; 0 epochs are trained again") == 2
        result = straight.result(unit.key)
        assert ("weight_decay" in result) == (decay == "auto")
        assert {"top1", "nn_top1", "top1_train"} <= set(result)


def test_coordinates_are_evaluated_without_parameters(
    tmp_path: Path, dataset: SkeletonDataset, study_file: Path
) -> None:
    study = load_study(study_file)
    nearest = Row(coordinates=True, task="retrieval")
    study = study.model_copy(update={"references": {"nearest": nearest}}).only(("nearest",))
    plan = make_plan(study, dataset, preset="paper", seeds=(0, 1))
    (unit,) = plan.units.values()
    store = Store(tmp_path)
    run(unit, store, dataset)
    result = store.result(unit.key)
    assert result["parameters"] == 0
    clips = {part: split(dataset, "xsub", part) for part in ("train", "test")}
    bank = ClipBank(dataset).oriented("first_frame")  # as the encoders of this preset see it
    seen = {
        part: evaluation_view(bank, torch.from_numpy(each), 0.95, 16).flatten(1).double().numpy()
        for part, each in clips.items()
    }
    unit_length = {n: f / np.linalg.norm(f, axis=1, keepdims=True) for n, f in seen.items()}
    nearest_clip = (unit_length["test"] @ unit_length["train"].T).argmax(axis=1)
    hits = dataset.labels[clips["train"]][nearest_clip] == dataset.labels[clips["test"]]
    assert result["top1"] == hits.mean()


def test_random_weights_are_calibrated_where_they_stay_frozen(
    tmp_path: Path, dataset: SkeletonDataset, study_file: Path
) -> None:
    """Without calibration the same settings give another unit, with other features."""
    study = load_study(study_file).only(("random",))
    study = study.model_copy(update={"columns": {"img": study.columns["img"]}})
    change = {"pretrain.encoders.img": {"batch_norm": True, "input_norm": True}}
    (unit,) = make_plan(study, dataset, preset="paper", seeds=(0,), overrides=change).units.values()
    assert isinstance(unit, EvaluateUnit)
    (source,) = unit.encoders
    plain = replace(unit, encoders=(replace(source, calibrated=False),))
    assert plain.key != unit.key
    store = Store(tmp_path)
    encoders = []
    for each in (unit, plain):
        unit_run = UnitRun(each, store, Context({dataset.fingerprint: dataset.path}))
        assert isinstance(unit_run.training, LinearEvaluation)
        encoders.append(unit_run.training.inputs.encoders[0].state_dict())
        unit_run.close()
    means = [name for name in encoders[0] if name.endswith("running_mean")]
    assert means
    for name, value in encoders[1].items():
        same = torch.equal(value, encoders[0][name])
        assert same != name.endswith(("running_mean", "running_var")), name


def test_a_transfer_runs_on_the_joints_that_both_data_sets_have(
    tmp_path: Path, dataset: SkeletonDataset, study_file: Path
) -> None:
    source = synthesize(tmp_path / "source", subjects=2, repetitions=1, cameras=1)
    study = load_study(study_file).only(("crop+jitter", "random"))
    study = study.model_copy(update={"task": "finetune", "transfer": True})
    plan = make_plan(
        study,
        dataset,
        preset="paper",
        seeds=(0,),
        source=source,
        overrides={"pretrain.epochs": 1, "finetune.epochs": 1},
    )
    store = Store(tmp_path / "r")
    where = {each.fingerprint: each.path for each in (dataset, source)}
    for unit in plan.units.values():
        unit_run = UnitRun(unit, store, Context(where))
        while not unit_run.step().done:
            pass
        unit_run.close()
        family = store.provenance(unit.key)["data"]["family"]
        assert family == ("synthetic" if unit.kind == "pretrain" else "utd-mhad")
        if unit.kind == "pretrain":
            encoder = load_encoder(store.directory(unit.key))
            assert (encoder.layout.num_joints, encoder.bodies) == (20, 2)


def _flipped(content: bytes) -> bytes:
    """One bit of a tensor is another; the archive is whole."""
    damaged = bytearray(content)
    damaged[len(content) // 2] ^= 16
    return bytes(damaged)


@pytest.mark.parametrize(
    "damage",
    [lambda _: b"", lambda _: b"not a checkpoint", lambda content: content[:-200], _flipped],
)
def test_a_damaged_checkpoint_costs_its_epochs_and_no_number(
    tmp_path: Path,
    dataset: SkeletonDataset,
    study_file: Path,
    damage: Callable[[bytes], bytes],
) -> None:
    unit = units_of(dataset, study_file)[0]
    straight, broken = Store(tmp_path / "a"), Store(tmp_path / "b")
    run(unit, straight, dataset)
    run(unit, broken, dataset, steps=3)
    path = broken.directory(unit.key) / "checkpoint.pt"
    path.write_bytes(damage(path.read_bytes()))
    run(unit, broken, dataset)
    assert broken.result(unit.key) == straight.result(unit.key)
    assert broken.provenance(unit.key)["epochs_trained_again"] == 3
    assert "3 epochs are trained again" in (broken.directory(unit.key) / "log.txt").read_text()


def test_epochs_that_were_trained_twice_or_cut_short_are_counted(
    tmp_path: Path,
    dataset: SkeletonDataset,
    study_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two epochs lost with their checkpoint, one cut in its middle by a full disk."""
    unit = units_of(dataset, study_file)[0]
    straight, broken = Store(tmp_path / "a"), Store(tmp_path / "b")
    run(unit, straight, dataset)
    directory = broken.directory(unit.key)
    run(unit, broken, dataset, steps=1)
    early = (directory / "checkpoint.pt").read_bytes()
    run(unit, broken, dataset, steps=2)
    (directory / "checkpoint.pt").write_bytes(early)
    metrics = directory / "metrics.jsonl"

    def half_a_line(log: EpochLog, values: object) -> None:
        with metrics.open("a") as file:
            file.write('{"epoch": 1, "lo')
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(EpochLog, "end", half_a_line)
        with pytest.raises(OSError, match="No space"):
            run(unit, broken, dataset)
    assert '"lo' in metrics.read_text()
    run(unit, broken, dataset)
    # Epoch 1 was begun three times and epoch 2 twice.
    assert broken.provenance(unit.key)["resumed"] == 3
    assert broken.provenance(unit.key)["epochs_trained_again"] == 3
    assert broken.result(unit.key) == straight.result(unit.key)
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(6))


@pytest.mark.parametrize(("keep", "kept"), [("last", {6}), ("all", {1, 2, 3, 4, 5, 6})])
def test_checkpoints_stay_as_asked(
    tmp_path: Path,
    dataset: SkeletonDataset,
    study_file: Path,
    keep: Keep,
    kept: set[int],
) -> None:
    """Kept checkpoints have the training's state after their epochs; ``clean`` keeps them."""
    unit = units_of(dataset, study_file)[0]
    store = Store(tmp_path)
    for steps in (2, 9):
        unit_run = UnitRun(
            unit,
            store,
            Context({dataset.fingerprint: dataset.path}, checkpoints=CheckpointPolicy(keep=keep)),
        )
        for _ in range(steps):
            if unit_run.step(budget=0).done:
                break
        unit_run.close()
    directory = store.directory(unit.key) / "checkpoints"
    assert {path.name for path in directory.iterdir()} == {f"epoch-{n:04}.pt" for n in kept}
    for number in kept:
        state = torch.load(directory / f"epoch-{number:04}.pt", weights_only=True)
        assert state["training"]["epoch"] == number
    assert find(store) == ([], [])


def test_a_unit_whose_log_of_epochs_is_no_text_begins_again(
    tmp_path: Path, dataset: SkeletonDataset, study_file: Path
) -> None:
    """After a power cut a file has zeros where it was not synced."""
    unit = units_of(dataset, study_file)[0]
    straight, broken = Store(tmp_path / "a"), Store(tmp_path / "b")
    run(unit, straight, dataset)
    run(unit, broken, dataset, steps=3)
    for name in ("metrics.jsonl", "begun.jsonl"):
        path = broken.directory(unit.key) / name
        first, *rest = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(first + bytes(50) + b"\xff\n" + b"".join(rest))
    run(unit, broken, dataset)
    assert broken.result(unit.key) == straight.result(unit.key)


def test_a_done_unit_is_not_touched(
    tmp_path: Path, dataset: SkeletonDataset, study_file: Path
) -> None:
    store = Store(tmp_path)
    unit = units_of(dataset, study_file)[0]
    run(unit, store, dataset)
    before = {p.name: p.stat().st_mtime_ns for p in store.directory(unit.key).iterdir()}
    run(unit, store, dataset)
    assert before == {p.name: p.stat().st_mtime_ns for p in store.directory(unit.key).iterdir()}


def test_a_unit_leaves_what_the_design_lists_and_its_accuracy_is_that_of_its_predictions(
    tmp_path: Path, dataset: SkeletonDataset, study_file: Path
) -> None:
    store = Store(tmp_path)
    for unit in units_of(dataset, study_file, epochs=1):
        run(unit, store, dataset)
        names = {path.name for path in store.directory(unit.key).iterdir()}
        common = {"config.json", "result.json", "provenance.json", "log.txt", "DONE", "lock"}
        own = "weights.safetensors" if unit.kind == "pretrain" else "predictions.npz"
        assert names == common | {"metrics.jsonl", own}
        assert json.loads((store.directory(unit.key) / "config.json").read_text()) == unit.to_json()
        provenance = store.provenance(unit.key)
        assert provenance["data"]["fingerprint"] == dataset.fingerprint
        assert provenance["data"]["family"] == "utd-mhad"
        assert provenance["seed"] == 0
        assert provenance["versions"]["torch"].startswith(torch.__version__.split("+")[0])
        assert provenance["hardware"]["cores"] >= 1
        assert provenance["seconds"] > 0
        assert provenance["peak_memory"]["process_mib"] > 10
        if unit.kind == "evaluate":
            with np.load(store.directory(unit.key) / "predictions.npz") as saved:
                top1 = float((saved["prediction"] == saved["label"]).mean())
                assert list(saved["name"]) == [dataset.clip_names[i] for i in saved["clip"]]
            assert top1 == pytest.approx(store.result(unit.key)["top1"])


def test_other_data_than_the_units_is_refused(
    tmp_path: Path, dataset: SkeletonDataset, study_file: Path
) -> None:
    unit = units_of(dataset, study_file)[0]
    other = replace(unit, side=replace(unit.side, data="0" * 16))
    with pytest.raises(RuntimeError, match="is not the data set"):
        UnitRun(other, Store(tmp_path), Context({"0" * 16: dataset.path}))
