"""Columns of different tasks: one pre-training, a unit for each task, a table that labels them."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from study_helpers import TINY_STUDY

from ablation.plan import Plan, make_plan
from ablation.report import Table, cells_frame, make_table, printed
from ablation.report.display import print_table
from ablation.report.from_results import load_plan, save_plan
from ablation.store import Store, write_json
from ablation.study import Study, load_study
from ablation.units import EvaluateUnit
from ablation.work import Context, UnitRun
from skelcon.data import SkeletonDataset
from skelcon.errors import UserError

COLUMNS = """
references:
  random: {label: random weights, pretrain: false}
  own: {label: coordinates, coordinates: true}
  nearest: {label: nearest neighbour, coordinates: true, task: retrieval}
columns:
  linear: {label: LINEAR}
  some: {label: LINEAR 40 %, set: {linear.labels: 0.4, linear.subsets: 2}}
  knn: {label: KNN, task: knn, set: {knn.k: 3}}
  tuned: {label: TUNED, task: finetune}
  nmi: {label: NMI, task: clustering, metric: nmi}
  ari: {label: ARI, of: nmi, metric: ari}
  size: {label: size, of: knn, metric: parameters, unit: millions}
"""
REST = {
    "rows": "rows:\n  crop: {set: {pretrain.augment.use: [crop]}}\n",
    "base": "  finetune: {epochs: 1, batch: 16}\n  pretrain.representations: [seq]\n",
}


def written(folder: Path, columns: str = COLUMNS, head: str = "") -> Path:
    path = folder / "mixed.yaml"
    base = TINY_STUDY.split("ticks:")[0].replace("reproduces: Table 5\n", "downstream: [seq]\n")
    path.write_text(head + base + REST["base"] + REST["rows"] + columns)
    return path


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return load_study(written(tmp_path_factory.mktemp("study")))


@pytest.fixture(scope="module")
def plan(study: Study, dataset: SkeletonDataset) -> Plan:
    return make_plan(study, dataset, preset="paper", seeds=(0, 1))


@pytest.fixture(scope="module")
def store(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """All units, done."""
    store = Store(tmp_path_factory.mktemp("results"))
    where = {plan.dataset.fingerprint: plan.dataset.path}
    for unit in plan.units.values():
        run = UnitRun(unit, store, Context(where))
        while not run.step(0).done:
            pass
        run.close()
    return store


def table_of(plan: Plan, store: Store) -> Table:
    return make_table(plan, cells_frame(plan, store), store)


def unit_of(plan: Plan, row: str, column: str) -> EvaluateUnit | None:
    unit = next(cell.unit for cell in plan.cells if (cell.row, cell.column) == (row, column))
    assert unit is None or isinstance(unit, EvaluateUnit)
    return unit


def test_all_columns_share_a_pre_training_and_each_has_its_task(plan: Plan) -> None:
    assert plan.count("pretrain") == 2  # a seed each
    tasks = {"linear": "linear", "some": "linear", "knn": "knn", "tuned": "finetune"}
    tasks |= {"nmi": "clustering", "ari": "clustering", "size": "knn"}
    for column, task in tasks.items():
        unit = unit_of(plan, "crop", column)
        assert unit is not None
        assert unit.task_name == task
        assert unit.needs == unit_of(plan, "crop", "linear").needs
        assert plan.study.task_of("crop", column) == task
    assert unit_of(plan, "crop", "ari") == unit_of(plan, "crop", "nmi")
    assert unit_of(plan, "crop", "some") != unit_of(plan, "crop", "linear")
    assert set(plan.study.tasks) == {"linear", "knn", "finetune", "clustering", "retrieval"}


def test_a_row_s_task_comes_before_a_column_s(plan: Plan) -> None:
    for column in ("linear", "knn", "tuned"):
        assert unit_of(plan, "nearest", column).task_name == "retrieval"
    assert unit_of(plan, "own", "knn").task_name == "knn"
    tuned = [cell for cell in plan.cells if (cell.row, cell.column) == ("own", "tuned")]
    assert {cell.reason for cell in tuned} == {"not applicable: the coordinates cannot be trained"}


def test_random_weights_are_calibrated_where_they_stay_frozen(plan: Plan) -> None:
    assert unit_of(plan, "random", "knn").encoders[0].calibrated
    assert not unit_of(plan, "random", "tuned").encoders[0].calibrated


def test_an_evaluation_s_key_is_that_of_a_study_of_its_task_alone(
    plan: Plan, dataset: SkeletonDataset, tmp_path: Path
) -> None:
    columns = "columns:\n  only: {set: {knn.k: 3}}\n"
    alone = load_study(written(tmp_path, columns, head="task: knn\n"))
    other = make_plan(alone, dataset, preset="paper", seeds=(0, 1))
    assert unit_of(other, "crop", "only") == unit_of(plan, "crop", "knn")
    knn = unit_of(plan, "crop", "knn")
    assert knn.options == {"k": 3, "temperature": 0.07, "test_ratio": 0.95}


def test_the_table_says_which_number_is_of_which_task(plan: Plan, store: Store) -> None:
    table = table_of(plan, store)
    assert (
        "linear, knn and finetune top-1, clustering normalised mutual information, clustering "
        "adjusted Rand index, in percent" in table.caption
    )
    assert "n = 2 seeds, mean ± sample standard deviation (ddof = 1), in LINEAR 40 % mean ± sa" in (
        table.caption
    )
    note = next(note for note in table.notes if note.startswith("Columns are of different tasks"))
    assert "linear (LINEAR and LINEAR 40 %), knn (KNN), finetune (TUNED), clustering (NMI" in note
    entries = table.entries
    assert entries["nearest", "nmi"].reason == "not applicable: retrieval has no nmi"
    assert entries["own", "tuned"].mean is None
    for row in ("crop", "random", "own"):
        for column in ("linear", "some", "knn", "nmi", "ari"):
            assert entries[row, column].mean is not None, (row, column)
    one = entries["crop", "some"]
    stds = [
        store.result(c.unit.key)["top1_std"]
        for c in plan.cells
        if c.unit and (c.row, c.column) == ("crop", "some")
    ]
    assert one.spread == pytest.approx(100 * (sum(std**2 for std in stds) / 2) ** 0.5)


def test_cells_have_a_line_for_each_number_once(plan: Plan, store: Store) -> None:
    frame = cells_frame(plan, store)
    assert not frame.duplicated(["row", "column", "seed", "metric"]).any()
    of_nmi = frame[(frame["row"] == "crop") & (frame["column"] == "nmi") & (frame["seed"] == 0)]
    assert of_nmi["metric"].tolist() == ["nmi", "top1", "ari"]
    of_ari = frame[(frame["row"] == "crop") & (frame["column"] == "ari") & (frame["seed"] == 0)]
    assert of_ari["metric"].tolist() == ["ari"]
    assert len(printed(plan, frame)) == 4 * 7 * 2


def test_another_number_is_shown_where_a_task_has_it(plan: Plan, store: Store) -> None:
    table = table_of(plan.showing("nn_top1"), store)
    assert table.entries["crop", "knn"].mean is not None
    assert table.entries["crop", "tuned"].reason == "not applicable: finetune has no nn_top1"
    assert plan.showing("ari").shown == "ari"
    with pytest.raises(UserError, match="--metric nm: did you mean 'nmi'"):
        plan.showing("nm")
    with pytest.raises(UserError, match="--metric labelled"):
        plan.showing("labelled")


def test_a_spread_is_said_to_be_over_subsets_where_it_is(plan: Plan, store: Store) -> None:
    """Of the subsets of the labels the deviation of top-1 alone is known."""
    over = "LINEAR 40 % mean ± sample standard deviation over 2 random subsets"
    assert over in table_of(plan, store).caption
    caption = table_of(plan.showing("nn_top1"), store).caption
    assert "mean ± sample standard deviation (ddof = 1)" in caption
    assert "subsets" not in caption


def test_the_table_is_made_again_from_the_results_alone(plan: Plan, store: Store) -> None:
    save_plan(plan, store.results, store.results / "mixed")
    again = load_plan(store.results, "mixed")
    assert {cell.unit for cell in again.cells} == {cell.unit for cell in plan.cells}
    assert table_of(again, store).entries == table_of(plan, store).entries


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("{task: lineer}", "unknown task 'lineer': did you mean 'linear'"),
        ("{task: knn, metric: nmi}", "unknown metric 'nmi' of task knn: "),
        ("{task: clustering, metric: nmy}", "unknown metric 'nmy' of task clustering: did you m"),
        ("{of: linear, metric: nmi}", "unknown metric 'nmi' of task linear: "),
        ("{of: linear, metric: nn_top1, task: knn}", "it can set nothing else"),
    ],
)
def test_a_wrong_task_or_metric_of_a_column_is_named(
    tmp_path: Path, column: str, message: str
) -> None:
    path = written(tmp_path, f"columns:\n  linear: {{}}\n  x: {column}\n")
    with pytest.raises(UserError, match=message):
        load_study(path)


def test_coordinates_are_an_error_where_the_study_itself_would_train_them(tmp_path: Path) -> None:
    rows = "references:\n  own: {coordinates: true}\n"
    with pytest.raises(UserError, match="row 'own': the coordinates cannot be trained"):
        load_study(written(tmp_path, f"{rows}columns:\n  x: {{}}\n", "task: finetune\n"))
    load_study(written(tmp_path, f"{rows}columns:\n  x: {{task: knn}}\n", "task: finetune\n"))


def test_a_fusion_is_of_the_task_of_what_it_adds_up(
    dataset: SkeletonDataset, tmp_path: Path
) -> None:
    columns = """
references:
  own: {coordinates: true}
columns:
  all: {label: ALL, task: linear, metric: top1}
  some: {label: SOME, task: linear, metric: top1, set: {linear.epochs: 2}}
  both: {label: BOTH, fuse: [all, some], metric: top1}
"""
    path = written(tmp_path, columns)
    path.write_text(f"task: finetune\nmetric: labelled\n{path.read_text()}")
    study = load_study(path)
    assert study.tasks == ("linear",)
    plan = make_plan(study, dataset, preset="paper", seeds=(0,))
    table = table_of(plan, Store(tmp_path / "results"))
    assert ": linear top-1, in percent, " in table.caption
    assert not any(note.startswith("Columns are of different tasks") for note in table.notes)


def test_why_a_number_is_missing_that_its_task_may_have(
    dataset: SkeletonDataset, tmp_path: Path
) -> None:
    columns = """
columns:
  noise: {task: robustness, metric: top1_noise}
  camera: {task: robustness, metric: top1_camera}
  speed: {task: robustness, metric: top1_speed, set: {robustness.speed: []}}
  spread: {metric: top1_std}
"""
    study = load_study(written(tmp_path, columns))
    planar = replace(dataset, layout=replace(dataset.layout, dimensions=2))
    plan, store = make_plan(study, planar, preset="paper", seeds=(0,)), Store(tmp_path / "results")
    for unit in plan.units.values():
        write_json(store.begin(unit.key, unit.to_json()) / "result.json", {"top1_noise": 0.5})
        store.finish(unit.key)
    reasons = printed(plan, cells_frame(plan, store)).set_index("column")["reason"].to_dict()
    assert reasons == {
        "noise": "",
        "camera": "not applicable: clips in 2D cannot be turned",
        "speed": "not applicable: robustness.speed is empty",
        "spread": "not applicable: linear does not measure top1_std with these settings",
    }


def test_a_table_that_is_too_wide_for_the_terminal_continues_below(
    plan: Plan, store: Store
) -> None:
    table = table_of(plan, store)

    def printed_in(width: int) -> str:
        console = Console(width=width, file=io.StringIO(), record=True)
        print_table(console, table)
        return console.export_text()

    narrow, wide = printed_in(70), printed_in(200)
    assert (narrow.count("┏"), wide.count("┏")) == (2, 1)
    assert max(map(len, narrow.splitlines())) <= 70
    assert "…" not in narrow
    for (row, column), entry in table.entries.items():
        if entry.mean is not None and entry.spread is not None:
            number = f" {entry.mean:.1f} ± {entry.spread:.1f} "
            assert number in narrow, (row, column)
    assert narrow.count("│ crop ") == 2
