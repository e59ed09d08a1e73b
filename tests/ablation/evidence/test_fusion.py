"""Late fusion: cells that add up class scores, and their tables, files and explanations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import ablation
from ablation.evidence.evidence import evidence_of
from ablation.evidence.predictions import fused_result
from ablation.figures.asked import Asked
from ablation.figures.predictions import predictions_of
from ablation.figures.tradeoff import against_parameters
from ablation.fusion import Fusion
from ablation.monitor.table import is_whole
from ablation.plan import Plan, make_plan
from ablation.provenance.explanation import Explainer
from ablation.report import cells_frame, make_table, printed
from ablation.report.export import export
from ablation.report.from_results import load_plan, save_plan
from ablation.store import Store, write_json
from ablation.study import Study, load_study
from ablation.units import EvaluateUnit
from skelcon.data import SkeletonDataset
from skelcon.errors import UserError

CLASSES = 3
COLUMNS = """
  both: {label: Both, fuse: [img, seq]}
  weighted: {label: Weighted, fuse: [seq, img], weights: [3, 1]}
"""
WEIGHTS = {"both": {"img": 1, "seq": 1}, "weighted": {"img": 1, "seq": 3}}
NEAREST = "  nearest: {coordinates: true, task: retrieval}\n"


@pytest.fixture
def study(study_file: Path, tmp_path: Path) -> Study:
    """The tiny study with two fusions; the first comes before the columns that it fuses."""
    head, columns = study_file.read_text().split("columns:\n")
    columns, paper = columns.split("paper:")
    first, second = COLUMNS.strip("\n").split("\n")
    file = tmp_path / "fused.yaml"
    file.write_text(f"{head}{NEAREST}columns:\n{first}\n{columns}{second}\npaper:{paper}")
    return load_study(file)


def plan_of(study: Study, data: SkeletonDataset, **changes: Any) -> Plan:
    return make_plan(study, data, **{"preset": "paper", "seeds": (0, 1), **changes})


def logits_of(unit: EvaluateUnit, clips: int, subsets: int) -> NDArray[np.float64]:
    """(subsets, clips, classes) probabilities of a unit, the same in each call."""
    return np.random.default_rng(int(unit.key[:8], 16)).normal(size=(subsets, clips, CLASSES))


def finish(
    plan: Plan, store: Store, *, subsets: int = 1, skip: Sequence[str] = (), old: str = ""
) -> dict[str, NDArray[np.float64]]:
    """Write the files of all evaluations but ``skip``, and return their probabilities."""
    found = {}
    for unit in plan.units.values():
        if not isinstance(unit, EvaluateUnit) or unit.key in skip:
            continue
        clips = unit.side.clips(plan.dataset, unit.test)
        labels = plan.dataset.labels[clips]
        logits = logits_of(unit, len(clips), subsets)
        probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        found[unit.key] = probabilities
        predicted = probabilities.argmax(-1)
        scores = {"scores": np.log(probabilities).astype(np.float32)}
        if unit.key == old or not unit.task.scores:
            scores = {}
        elif subsets == 1:
            scores, predicted = {"scores": scores["scores"][0]}, predicted[0]
        directory = store.begin(unit.key, unit.to_json())
        top1 = float((predicted == labels).mean())
        write_json(directory / "result.json", {"top1": top1, "nn_top1": 0.5, "parameters": 10})
        groups = plan.dataset.columns["subject"][clips]
        saved = {"clip": clips, "label": labels, "prediction": predicted, "group": groups}
        np.savez(directory / "predictions.npz", **saved, **scores)
        store.finish(unit.key)
    return found


def expected(
    plan: Plan, found: dict[str, NDArray[np.float64]], row: str, column: str, seed: int
) -> NDArray[np.int64]:
    """(subsets, N) the fused classes of the tested clips of a seed, fold after fold."""
    parts = []
    for fold in sorted({cell.fold or 0 for cell in plan.cells}):
        total: Any = 0
        for name, weight in WEIGHTS[column].items():
            (cell,) = (
                c
                for c in plan.cells
                if (c.row, c.column, c.seed, c.fold or 0) == (row, name, seed, fold)
            )
            assert cell.unit is not None
            total = total + weight * found[cell.unit.key]
        parts.append(total.argmax(-1))
    return np.concatenate(parts, axis=1)


@pytest.mark.parametrize("column", WEIGHTS)
@pytest.mark.parametrize("evaluate_on", ["test", "validation"])
def test_a_fusion_is_the_class_of_the_highest_sum_of_probabilities(
    study: Study, eight: SkeletonDataset, tmp_path: Path, evaluate_on: Any, column: str
) -> None:
    store = Store(tmp_path / "results")
    plan = plan_of(study, eight, evaluate_on=evaluate_on)
    found = finish(plan, store)
    frame = cells_frame(plan, store)
    evidence = evidence_of(plan, printed(plan, frame[frame["state"] != "reported"]), store)
    table = make_table(plan, frame, store)
    for row in ("none", "crop+jitter", "random"):
        hits = evidence.hits[row, column]
        for seed in (0, 1):
            classes = expected(plan, found, row, column, seed)[0]
            clips = np.concatenate(
                [
                    c.unit.side.clips(eight, c.unit.test)
                    for c in plan.cells
                    if (c.row, c.column, c.seed) == (row, column, seed) and c.unit is not None
                ]
            )
            right = (classes == eight.labels[clips])[np.argsort(clips)]
            np.testing.assert_array_equal(hits.hits[seed], right)
            assert evidence.values[row, column][seed] == pytest.approx(right.mean())
        entry = table.entries[row, column]
        assert entry.mean == pytest.approx(100 * hits.mean)
        assert entry.interval is not None
    difference = evidence.difference(("none", column), ("none", "img"))
    assert difference is not None
    assert difference.p is not None


def test_subsets_of_labels_are_fused_one_by_one(
    study: Study, dataset: SkeletonDataset, tmp_path: Path
) -> None:
    tuned = study.model_copy(update={"task": "finetune", "base": {**study.base, "linear": {}}})
    store, plan = Store(tmp_path / "results"), plan_of(tuned, dataset)
    found = finish(plan, store, subsets=3)
    frame = cells_frame(plan, store)
    lines = frame[(frame["row"] == "none") & (frame["column"] == "both") & (frame["seed"] == 0)]
    numbers = lines.set_index("metric")["value"]
    clips = next(iter(plan.units.values())).side.clips(dataset, "test")
    top1 = (expected(plan, found, "none", "both", 0) == dataset.labels[clips]).mean(1)
    assert len(set(top1)) > 1
    assert numbers["top1"] == pytest.approx(top1.mean())
    assert numbers["top1_std"] == pytest.approx(top1.std(ddof=1))


def test_a_fusion_with_a_missing_part_has_the_reason_of_that_part(
    study: Study, dataset: SkeletonDataset, tmp_path: Path
) -> None:
    store, plan = Store(tmp_path / "results"), plan_of(study, dataset, seeds=(0,))
    of = {(c.row, c.column): c for c in plan.cells}
    keys = {where: cell.unit.key for where, cell in of.items() if cell.unit is not None}
    late, lost, old = keys["none", "img"], keys["random", "seq"], keys["crop+jitter", "seq"]
    finish(plan, store, skip=(late, lost), old=old)
    store.begin(lost, plan.units[lost].to_json())
    store.fail(lost, "failed: out of memory")
    frame = cells_frame(plan, store).set_index(["row", "column", "metric"])
    found = frame.xs("top1", level="metric").loc[:, ["state", "reason"]]
    assert tuple(found.loc["none", "both"]) == ("not run", "not run yet")
    assert tuple(found.loc["random", "both"]) == ("failed", "failed: out of memory")
    state, reason = found.loc["crop+jitter", "both"]
    assert state == "not run"
    assert reason.startswith(f"{old} was evaluated by an older version, without scores of classes")
    state, reason = found.loc["nearest", "both"]
    assert state == "not applicable"
    assert reason == "not applicable: retrieval has no scores of classes to fuse"
    assert "both" not in make_table(plan, cells_frame(plan, store), store).evidence.hits
    shown = cells_frame(plan.showing("nn_top1"), store)
    reasons = shown[(shown["column"] == "both") & (shown["row"] == "none")]["reason"]
    assert reasons.tolist() == ["not applicable: a fusion of linear has no nn_top1"]


def test_evaluations_of_different_clips_are_not_fused(
    study: Study, dataset: SkeletonDataset, tmp_path: Path
) -> None:
    store, plan = Store(tmp_path / "results"), plan_of(study, dataset, seeds=(0,))
    finish(plan, store)
    cell = next(c for c in plan.cells if (c.row, c.column) == ("none", "img"))
    assert cell.unit is not None
    path = store.directory(cell.unit.key) / "predictions.npz"
    with np.load(path) as saved:
        values = dict(saved)
    np.savez(path, **{**values, "clip": values["clip"] + 1})
    frame = cells_frame(plan, store)
    reason = frame[(frame["row"] == "none") & (frame["column"] == "both")]["reason"].iloc[0]
    assert "tested different clips" in reason


def test_a_fusion_is_in_pages_figures_and_explanations(
    study: Study, dataset: SkeletonDataset, tmp_path: Path
) -> None:
    """Table, cells, explanation and figures are made from the results alone."""
    results = tmp_path / "results"
    store, plan = Store(results), plan_of(study, dataset)
    plain = study.with_columns({n: c for n, c in study.columns.items() if not c.fuse})
    assert set(plan.units) == set(plan_of(plain, dataset).units)
    assert is_whole(plan)
    assert not is_whole(replace(plan, units={}))
    finish(plan, store)
    save_plan(plan, results, results / study.name)
    again = load_plan(results, study.name)
    assert [cell.unit for cell in again.cells] == [cell.unit for cell in plan.cells]
    table = ablation.load_table(results, study.name)
    assert (
        table.entries["none", "both"].mean
        == make_table(plan, cells_frame(plan, store), store).entries["none", "both"].mean
    )
    cells = ablation.load_cells(results, study.name)
    line = cells[(cells["row"] == "none") & (cells["column"] == "weighted")].iloc[0]
    fusion = next(c.unit for c in plan.cells if (c.row, c.column) == ("none", "weighted"))
    assert isinstance(fusion, Fusion)
    seq, img = (unit.key for unit in fusion.units)
    assert (line["unit"], line["pretraining"]) == (f"{seq}*3+{img}*1", "+".join(fusion.needs))
    assert (line["representation"], line["parameters"]) == ("seq+img", 20)
    export(table, cells, [], tmp_path / "files", ("csv", "json", "latex"))
    explanation = Explainer.of(results, study.name).explain(("none", "weighted"))
    assert explanation.values[0].unit == line["unit"]
    assert {each.key: each.value for each in explanation.settings} == {
        "fuse": ["seq", "img"],
        "weights": [3.0, 1.0],
    }
    asked = Asked(plan, store)
    lines = predictions_of(asked, "none", "both")
    assert 100 * (lines["prediction"] == lines["label"]).mean() == pytest.approx(
        table.entries["none", "both"].mean
    )
    assert against_parameters(asked).axes[0].get_xlabel().startswith("parameters")


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("{fuse: [img]}", "name two columns or more, each once"),
        ("{fuse: [img, img]}", "name two columns or more, each once"),
        ("{weights: [1, 2]}", "name two columns or more"),
        ("{fuse: [img, sq]}", "no column 'sq' with evaluations of its own: did you mean 'seq'"),
        ("{fuse: [img, both]}", "no column 'both' with evaluations of its own"),
        ("{fuse: [img, seq], weights: [1]}", "weights: give one for each of 2 columns"),
        ("{fuse: [img, seq], weights: [1, 0]}", "greater than 0"),
        ("{fuse: [img, seq], set: {linear.epochs: 2}}", "it cannot set 'set'"),
        ("{of: both, metric: parameters}", "of: no column 'both' with evaluations"),
    ],
)
def test_mistakes_are_errors_of_one_line(
    study: Study, tmp_path: Path, column: str, message: str
) -> None:
    text = (tmp_path / "fused.yaml").read_text().replace("paper:", f"  extra: {column}\npaper:")
    (tmp_path / "wrong.yaml").write_text(text)
    with pytest.raises(UserError, match=message.replace("(", r"\(")) as error:
        load_study(tmp_path / "wrong.yaml")
    assert "\n" not in str(error.value)


def changed(tmp_path: Path, **of: str) -> Study:
    """The study with further settings of columns, and further columns."""
    text = (tmp_path / "fused.yaml").read_text()
    for name, settings in of.items():
        own = f"pretrain.representations: [{name}]"
        if own in text:
            text = text.replace(own, f"{own}, {settings}")
        else:
            text = text.replace("paper:", f"  {name}: {settings}\npaper:")
    (tmp_path / "changed.yaml").write_text(text)
    return load_study(tmp_path / "changed.yaml")


def test_columns_with_different_subsets_of_the_labels_are_not_fused(
    study: Study, dataset: SkeletonDataset, tmp_path: Path
) -> None:
    some = "linear.labels: 0.4, linear.subsets: 3"
    message = "column 'both': fuse: 'img' and 'seq' have 1 and 3 subsets of the labels"
    with pytest.raises(UserError, match=message):
        changed(tmp_path, seq=some)
    assert changed(tmp_path, img=some, seq="linear: {labels: 0.5, subsets: 3}")
    # With all labels there are none; what --set makes of it is known when it is planned.
    plan = plan_of(changed(tmp_path, seq="linear.subsets: 3"), dataset)
    assert all(cell.unit for cell in plan.cells if (cell.row, cell.column) == ("none", "both"))
    plan = plan_of(plan.study, dataset, overrides={"linear": {"labels": 0.4}})
    reasons = {cell.reason for cell in plan.cells if (cell.row, cell.column) == ("none", "both")}
    assert reasons == {"not applicable: it would fuse 1 and 3 subsets of the labels"}


@pytest.mark.parametrize(
    ("task", "parts", "parameters"),
    [
        ("linear", "seq, again", 10),
        ("linear", "img, seq, pair", 10),
        ("finetune", "seq, again", 20),
    ],
)
def test_a_frozen_encoder_that_several_columns_evaluate_counts_once(
    study: Study, dataset: SkeletonDataset, tmp_path: Path, task: str, parts: str, parameters: int
) -> None:
    both = "separate: true, downstream: [img, seq]"
    file = changed(
        tmp_path,
        again=f"{{downstream: [seq], set: {{pretrain.representations: [seq], {task}.epochs: 2}}}}",
        pair=f"{{{both}, set: {{pretrain.representations: [img, seq]}}}}",
        fused=f"{{fuse: [{parts}]}}",
    ).model_copy(update={"task": task})
    store, plan = Store(tmp_path / "results"), plan_of(file, dataset, seeds=(0,))
    finish(plan, store)
    fusion = next(c.unit for c in plan.cells if (c.row, c.column) == ("none", "fused"))
    assert isinstance(fusion, Fusion)
    assert fused_result(store, fusion)["parameters"] == parameters
