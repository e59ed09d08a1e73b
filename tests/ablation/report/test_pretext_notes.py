"""Notes on the pre-trainings behind a column, rule by rule."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ablation.plan import Plan, make_plan
from ablation.report import cells_frame, make_table
from ablation.report.diagnosis import Curve, describe, pretext_notes
from ablation.store import Store, write_json
from ablation.study import load_study
from ablation.study_parts import Column
from skelcon.data import SkeletonDataset

HEALTHY = {"top1": 0.5, "chance": 1 / 129, "alignment": 0.4, "uniformity": -2.0}
HEALTHY |= {"effective_rank": 20.0}


def lines(
    losses: list[float] | None = None, monitored: list[float] | None = None, **last: Any
) -> list[dict[str, Any]]:
    """metrics.jsonl of 30 epochs; ``monitored`` begins with random weights."""
    losses = [2.0] * 30 if losses is None else losses
    found: list[dict[str, Any]] = [
        {"epoch": n, "loss": loss, **HEALTHY} for n, loss in enumerate(losses)
    ]
    found[-1] |= last
    if monitored:
        found[0]["nn_top1_start"] = monitored[0]
        for line, value in zip(found[-len(monitored[1:]) :], monitored[1:], strict=True):
            line["nn_top1"] = value
    return found


def curve(row: str = "none", steps: int = 180, **changes: Any) -> Curve:
    found = Curve.of(row, steps, lines(**changes))
    assert found is not None
    return found


def verdict(**changes: Any) -> str:
    """The verdicts, which follow the metrics in a note."""
    return describe([curve(**changes)]).partition(". ")[2]


def test_the_metrics_are_always_in_the_note() -> None:
    assert describe([curve()]) == (
        "contrast top-1 50.0 %, chance 0.8 %, after 180 steps; effective rank 20.0."
    )
    assert describe([]) == ""


def test_metrics_are_medians_over_rows_and_seeds_with_the_range_of_the_rows() -> None:
    tops = {"a": (0.3, 0.4, 0.8), "b": (0.5,), "c": (0.6, 0.9)}
    curves = [curve(row, top1=top1) for row, values in tops.items() for top1 in values]
    assert "top-1 50.0 % (rows 40.0 to 75.0), chance" in describe(curves)
    mixed = [curve("a"), replace(curve("b", steps=900), last={**HEALTHY, "chance": 1 / 11})]
    assert "chance 0.8 % or 9.1 %, after 180 to 900 steps" in describe(mixed)


def test_hardly_learned_below_a_fifth() -> None:
    expected = "The pretext was hardly learned: weaker augmentation or more steps."
    assert verdict(top1=0.199) == expected
    assert verdict(top1=0.201) == ""


def test_nearly_solved_above_95_percent() -> None:
    expected = "The pretext is nearly solved: stronger augmentation or a longer queue."
    assert verdict(top1=0.951) == expected
    assert verdict(top1=0.949) == ""


def test_still_improving_if_the_last_tenth_is_3_percent_below_the_one_before() -> None:
    expected = "Still improving at the last epoch: more epochs."
    assert verdict(losses=[9.0] * 24 + [2.0] * 3 + [1.93] * 3) == expected
    assert verdict(losses=[9.0] * 24 + [2.0] * 3 + [1.95] * 3) == ""
    assert verdict(losses=[9.0] * 17 + [2.0, 1.8]) == ""  # too few epochs
    assert "improving" not in verdict(losses=[9.0] * 27 + [1.0] * 3, top1=0.96)  # solved


@pytest.mark.parametrize(
    ("last", "collapsed"),
    [
        ({"effective_rank": 1.9}, True),
        ({"effective_rank": 2.1}, False),
        ({"alignment": 0.009, "uniformity": -0.04}, True),
        ({"alignment": 0.011, "uniformity": -0.04}, False),
        ({"alignment": 0.009, "uniformity": -0.06}, False),
        ({"alignment": None, "uniformity": -0.04}, False),
    ],
    ids=str,
)
def test_collapsed(last: dict[str, float], collapsed: bool) -> None:
    """A collapsed pre-training is not called hardly learned, too."""
    expected = "The features have collapsed: a lower learning rate, or a norm in the encoder."
    assert verdict(**last, top1=0.01).startswith(
        expected if collapsed else "The pretext was hardly"
    )
    assert verdict(**last) == (expected if collapsed else "")


def test_a_monitored_accuracy_that_does_not_rise_or_that_falls() -> None:
    no_better = "The nearest neighbour ends no better than it began"
    fell = "The nearest neighbour fell from its best epoch."
    text = describe([curve(monitored=[0.4, 0.5, 0.6])])
    assert text.endswith("neighbour across groups of the training side 60.0 %, initially 40.0 %.")
    assert verdict(monitored=[0.4, 0.6, 0.58]) == ""
    assert verdict(monitored=[0.4, 0.6, 0.56]) == fell
    assert verdict(monitored=[0.4, 0.41, 0.4]).startswith(f"{no_better}: ")
    both = verdict(monitored=[0.4, 0.6, 0.3])
    assert no_better in both
    assert fell in both


def test_a_verdict_names_its_rows_unless_it_is_on_all() -> None:
    rows = {"none": 0.97, "crop": 0.5, "pose": 0.1, "jitter": 0.11, "all": 0.12}
    text = describe([curve(row, top1=top1) for row, top1 in rows.items()])
    assert "The pretext was hardly learned in pose, jitter and all: weaker" in text
    assert "The pretext is nearly solved in none: stronger" in text
    same = describe([curve(row, top1=0.1) for row in rows])
    assert "The pretext was hardly learned: weaker" in same
    # One bad seed of three is no bad row.
    assert "hardly" not in describe([curve("none", top1=top1) for top1 in (0.1, 0.5, 0.6)])


def test_curves_of_earlier_versions_are_left_out() -> None:
    for missing in ("chance", "top1", "loss"):
        old = [{k: v for k, v in line.items() if k != missing} for line in lines()]
        assert Curve.of("none", 180, old) is None
    assert Curve.of("none", 180, []) is None
    bare = [{"loss": 2.0, "top1": 0.5, "chance": 0.01}]
    found = Curve.of("none", 0, bare)
    assert found is not None
    assert describe([found]) == "contrast top-1 50.0 %, chance 1.0 %."


def test_an_objective_without_a_ranking_is_judged_without_top1() -> None:
    last = {"loss": 2.0, "effective_rank": 20.0}
    silent = Curve.of("byol", 180, [last])
    assert silent is not None
    assert describe([silent]) == "no contrast top-1, after 180 steps; effective rank 20.0."
    assert describe([silent, curve()]).startswith("contrast top-1 50.0 %, chance 0.8 %, after")
    gone = Curve.of("byol", 180, [{**last, "effective_rank": 1.1}])
    assert gone is not None
    assert "collapsed" in describe([gone])


@pytest.fixture
def plan(dataset: SkeletonDataset, study_file: Path) -> Plan:
    return make_plan(load_study(study_file), dataset, preset="small", seeds=(0, 1))


def finish(store: Store, plan: Plan, row: str, column: str, metrics: list[dict[str, Any]]) -> None:
    for cell in plan.cells:
        if (cell.row, cell.column) == (row, column):
            assert cell.unit is not None
            (key,) = cell.unit.needs
            directory = store.begin(key, plan.units[key].to_json())
            (directory / "metrics.jsonl").write_text("".join(f"{json.dumps(m)}\n" for m in metrics))
            write_json(directory / "result.json", {"top1": metrics[-1]["top1"], "steps": 60})
            store.finish(key)


def test_a_table_has_a_line_for_each_column_with_finished_pretrainings(
    plan: Plan, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    assert pretext_notes(plan, store) == []
    finish(store, plan, "none", "seq", lines(top1=0.9))
    finish(store, plan, "crop+jitter", "seq", lines(top1=0.1))
    finish(store, plan, "none", "img", [{"loss": 1.0, "top1": 0.1}])  # of an earlier version
    (note,) = pretext_notes(plan, store)
    assert note == (
        "SEQ: contrast top-1 50.0 % (rows 10.0 to 90.0), chance 0.8 %, after 60 steps; "
        "effective rank 20.0. The pretext was hardly learned in crop+jitter: "
        "weaker augmentation or more steps."
    )
    frame = cells_frame(plan, store)
    assert note in make_table(plan, frame, store).notes
    assert note not in make_table(plan, frame).notes


def test_columns_of_the_same_pretrainings_share_a_line(plan: Plan, tmp_path: Path) -> None:
    """A column of parameters has no line."""
    seq = plan.study.columns["seq"]
    columns = {
        "low": seq.model_copy(update={"label": "10 %", "set": seq.set | {"linear.lr": 0.1}}),
        "high": seq.model_copy(update={"label": "20 %", "set": seq.set | {"linear.lr": 0.2}}),
        "size": Column(of="low", metric="parameters", unit="millions"),
    }
    study = plan.study.model_copy(update={"columns": columns, "paper": ()})
    plan = make_plan(study, plan.dataset, preset="small", seeds=(0,))
    store = Store(tmp_path)
    finish(store, plan, "none", "low", lines())
    (note,) = pretext_notes(plan, store)
    assert note.startswith("10 %, 20 %: contrast top-1 50.0 %, chance")
