from __future__ import annotations

import json
import math
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from ablation.plan import Plan, make_plan
from ablation.report import Table, cells_frame, make_table, printed
from ablation.report.entry import Entry
from ablation.report.export import FORMATS, export, parse_formats
from ablation.report.frame import COLUMNS
from ablation.report.latex import to_latex
from ablation.report.markdown import to_markdown
from ablation.report.notes import rank_correlation
from ablation.report.numbers import document
from ablation.report.style import TableStyle
from ablation.store import Store, write_json
from ablation.study import load_study, named_study
from ablation.study_parts import Column, Reported, Row
from skelcon.data import SkeletonDataset
from skelcon.data.synthetic import synthesize
from skelcon.errors import UserError

TOP1 = {("none", "seq"): [0.5, 0.75, 0.25], ("crop+jitter", "seq"): [0.75, 0.75, 0.625]}


@pytest.fixture
def plan(dataset: SkeletonDataset, study_file: Path) -> Plan:
    study = load_study(study_file)
    return make_plan(study, dataset, preset="small", seeds=(0, 1, 2))


@pytest.fixture
def store(tmp_path: Path, plan: Plan) -> Store:
    """SEQ is done, IMG of one row failed, the rest was never run."""
    store = Store(tmp_path)
    for cell in plan.cells:
        assert cell.unit is not None
        if (cell.row, cell.column) in TOP1:
            directory = store.begin(cell.unit.key, cell.unit.to_json())
            value = TOP1[cell.row, cell.column][cell.seed]
            write_json(directory / "result.json", {"top1": value})
            store.finish(cell.unit.key)
        if (cell.row, cell.column) == ("none", "img"):
            store.begin(cell.unit.needs[0], {})
            store.fail(cell.unit.needs[0], "failed: out of memory")
    return store


@pytest.fixture
def frame(plan: Plan, store: Store) -> pd.DataFrame:
    return cells_frame(plan, store)


@pytest.fixture
def table(plan: Plan, frame: pd.DataFrame) -> Table:
    return make_table(plan, frame)


def test_cells_are_long_form_with_a_state_and_a_reason(frame: pd.DataFrame) -> None:
    assert tuple(frame.columns) == COLUMNS
    assert len(frame) == 3 * 2 * 3
    done = frame[frame["state"] == "done"]
    assert sorted(done["value"]) == sorted(v for values in TOP1.values() for v in values)
    assert (done["reason"] == "").all()
    rest = frame[frame["state"] != "done"]
    assert rest["value"].isna().all()
    assert (rest["reason"] != "").all()
    failed = frame[frame["state"] == "failed"]
    assert set(failed["reason"]) == {"pre-training failed: out of memory"}
    assert set(frame[frame["row"] == "crop+jitter"]["paper"]) == {77.0, 80.0}


def test_mean_and_sample_deviation_in_percent(table: Table) -> None:
    for (row, column), values in TOP1.items():
        entry = table.entries[row, column]
        percent = [100 * value for value in values]
        assert entry.mean == pytest.approx(statistics.fmean(percent))
        assert entry.spread == pytest.approx(statistics.stdev(percent))
        assert entry.n == 3
    assert table.entries["crop+jitter", "seq"].best
    assert table.entries["none", "seq"].best  # three seeds so far apart do not tell them apart
    assert "n = 3 seeds" in table.caption
    assert "ddof = 1" in table.caption


def test_one_seed_has_no_spread(dataset: SkeletonDataset, study_file: Path, store: Store) -> None:
    study = load_study(study_file)
    plan = make_plan(study, dataset, preset="small", seeds=(1,))
    table = make_table(plan, cells_frame(plan, store))
    entry = table.entries["none", "seq"]
    assert (entry.mean, entry.spread, entry.n) == (75.0, None, 1)
    assert "±" not in "".join(str(table).splitlines()[1:])
    assert "n = 1 seed" in table.caption
    assert "deviation" not in table.caption
    # One seed, and no predictions: nothing is significant, and nothing is called the best.
    assert not entry.best
    assert not table.entries["crop+jitter", "seq"].best


def test_every_missing_cell_says_why(table: Table) -> None:
    rows = [line.split(" | ") for line in str(table).splitlines() if line[:1] == "|"]
    assert rows[0] == ["| row", "IMG", "SEQ |"]
    assert all(all(cell.strip("| ") for cell in row) for row in rows)
    assert rows[2][1].startswith("pre-training failed")
    assert any("out of memory" in note for note in table.notes)
    assert any("not run yet" in note for note in table.notes)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=12))
def test_rank_correlation_is_spearmans(pairs: list[tuple[int, int]]) -> None:
    line = [Entry(mean=float(a), spread=None, n=1, paper=float(b)) for a, b in pairs]
    ours, paper = zip(*pairs, strict=True)
    value = rank_correlation(line)
    if len(set(ours)) > 1 and len(set(paper)) > 1:
        assert value == pytest.approx(scipy.stats.spearmanr(ours, paper).statistic)
    else:
        assert value is None
    assert rank_correlation(line[:2]) is None  # two rows rank nothing


def test_synthetic_data_is_named_and_has_no_paper_values_beside_it(
    plan: Plan, frame: pd.DataFrame, dataset: SkeletonDataset
) -> None:
    made_up = make_table(replace(plan, dataset=replace(dataset, synthetic=True)), frame)
    for text in (made_up.caption, str(made_up), to_latex(made_up.layout(), "tab:made-up")):
        assert "ynthetic" in text
    shown = TableStyle(reference="show")
    assert "(80.0)" not in to_markdown(made_up.layout(shown))
    assert "(80.0)" in to_markdown(make_table(plan, frame).layout(shown))


def test_rows_of_others_are_marked_as_reported_and_never_as_ours(plan: Plan, store: Store) -> None:
    others = {"su": Reported(label="Su & al.", values={"seq": 59.3})}
    report = plan.study.paper[0].model_copy(update={"others": others})
    plan = replace(plan, study=plan.study.model_copy(update={"paper": (report,)}))
    frame = cells_frame(plan, store)
    (line,) = frame[frame["state"] == "reported"].to_dict("records")
    assert (line["row"], line["column"], line["paper"]) == ("su", "seq", 59.3)
    assert math.isnan(line["value"])
    assert line["unit"] == ""
    table = make_table(plan, frame)
    assert ("su", "seq") not in table.entries
    layout = table.layout(TableStyle(reference="show"))
    text = to_markdown(layout)
    assert "| *Su & al. (reported)* | –¹ | 59.3 |" in text
    assert "- ¹ not reported." in text
    assert "none of them was run here" in text
    assert r"\textit{Su \& al. (reported)}" in to_latex(layout, "tab:tiny")
    assert "Su &" not in str(table)  # of another data set than ours
    assert any(cell["row"] == "su" for cell in document(table, frame, [])["cells"])
    synthetic = replace(plan, dataset=replace(plan.dataset, synthetic=True))
    assert "reported" not in set(cells_frame(synthetic, store)["state"])


def test_a_single_row_is_not_marked_as_best(
    dataset: SkeletonDataset, study_file: Path, store: Store
) -> None:
    study = load_study(study_file).only(("crop+jitter", "random"))
    plan = make_plan(study, dataset, preset="small", seeds=(0, 1, 2))
    entry = make_table(plan, cells_frame(plan, store)).entries["crop+jitter", "seq"]
    assert entry.mean is not None
    assert not entry.best


def test_notes_say_what_was_set_and_whether_the_papers_values_are_comparable(
    dataset: SkeletonDataset, study_file: Path
) -> None:
    study = load_study(study_file)
    report = study.paper[0].model_copy(update={"data": dataset.name, "protocol": "xsub"})
    study = study.model_copy(update={"paper": (report,)})

    def table_of(preset: str, overrides: dict[str, Any]) -> Table:
        plan = make_plan(study, dataset, preset=preset, seeds=(0,), overrides=overrides)
        return make_table(plan, cells_frame(plan, Store(Path("nowhere"))))

    as_in_the_paper = table_of("paper", {})
    beside = "In the columns headed paper: the paper's value (Table 5)."
    assert beside in as_in_the_paper.layout().notes
    assert "--set" not in as_in_the_paper.caption
    for table in (table_of("small", {}), table_of("paper", {"linear": {"epochs": 2}})):
        for style, words in (
            (TableStyle(reference="show"), "so compare the order and not the numbers"),
            (TableStyle(), "they are in table.csv only"),
        ):
            assert any(words in note for note in table.layout(style).notes)
        hidden = table.layout(TableStyle(reference="hide"))
        assert not any("paper's value" in note for note in hidden.notes)
    assert "changed by --set" in table.caption
    assert "Changed by --set: linear.epochs=2." in table.notes
    frame = cells_frame(table.plan, Store(Path("nowhere")))
    assert document(table, frame, [])["settings"]["set"] == {"linear": {"epochs": 2}}


def test_a_transfer_from_synthetic_data_says_so(
    dataset: SkeletonDataset, study_file: Path, tmp_path: Path
) -> None:
    source = synthesize(tmp_path / "source", subjects=2, repetitions=1, cameras=1)
    study = load_study(study_file).model_copy(update={"task": "finetune", "transfer": True})
    plan = make_plan(study, dataset, preset="small", seeds=(0,), source=source, protocol="xsub")
    table = make_table(plan, cells_frame(plan, Store(tmp_path)))
    assert "after synthetic data made by skelcon" in table.caption
    assert not table.show_paper
    assert any("say nothing about real actions" in note for note in table.notes)
    assert any("(xsub, 18 clips" in note for note in table.notes)


def test_a_column_of_parameters_is_in_millions_and_is_not_ranked(
    dataset: SkeletonDataset, study_file: Path, tmp_path: Path
) -> None:
    study = load_study(study_file)
    extra = Column(of="seq", metric="parameters", unit="millions")
    study = study.model_copy(update={"columns": {**study.columns, "size": extra}})
    plan = make_plan(study, dataset, preset="small", seeds=(0, 1))
    store = Store(tmp_path)
    for cell in plan.cells:
        assert cell.unit is not None
        directory = store.begin(cell.unit.key, cell.unit.to_json())
        write_json(directory / "result.json", {"top1": 0.5, "parameters": 519_424})
        store.finish(cell.unit.key)
    sized = [cell for cell in plan.cells if cell.column == "size"]
    assert {c.unit for c in sized} == {c.unit for c in plan.cells if c.column == "seq"}
    table = make_table(plan, cells_frame(plan, store))
    text = to_markdown(table.layout(TableStyle(reference="show")))
    assert "| none | 50.0 ± 0.0 (51.0) | 50.0 ± 0.0 (50.0) | 0.52M |" in text.replace("*", "")
    assert not table.entries["none", "size"].best


def test_markdown_has_the_best_in_bold(table: Table) -> None:
    text = to_markdown(table.layout(TableStyle(reference="show")))
    assert "| crop+jitter |" in text
    assert "**70.8 ± 7.2** (80.0)" in text
    assert text.startswith(table.caption)


def test_all_formats_are_written_and_json_parses(
    table: Table, frame: pd.DataFrame, tmp_path: Path
) -> None:
    written = export(table, frame, [], tmp_path / "out", FORMATS)
    assert [path.name for path in written] == [
        "cells.csv",
        "table.csv",
        "table.tex",
        "table.md",
        "table.json",
    ]
    document = json.loads((tmp_path / "out" / "table.json").read_text())
    assert document["caption"] == table.caption
    again = pd.read_csv(tmp_path / "out" / "cells.csv", keep_default_na=False, na_values=[""])
    assert list(again["value"].dropna()) == list(frame["value"].dropna())
    assert not math.isnan(again["paper"][0])
    with pytest.raises(UserError, match="did you mean 'latex'"):
        parse_formats("csv,latx")


RESULT = {"top1": 0.5, "nn_top1": 0.25, "top1_train": 0.75, "weight_decay": 0.1, "parameters": 7}


@pytest.fixture
def finished(dataset: SkeletonDataset, study_file: Path, tmp_path: Path) -> tuple[Plan, Store]:
    """All units are done, with a reference of coordinates by retrieval."""
    study = load_study(study_file)
    nearest = Row(label="nearest", coordinates=True, task="retrieval")
    references = {**study.references, "nearest": nearest}
    study = study.model_copy(update={"references": references})
    plan = make_plan(study, dataset, preset="small", seeds=(0, 1))
    store = Store(tmp_path / "finished")
    for unit in plan.units.values():
        directory = store.begin(unit.key, unit.to_json())
        of_retrieval = {"top1": 0.625, "nn_top1": 0.625, "parameters": 0}
        values = of_retrieval if unit.task_name == "retrieval" else RESULT
        write_json(directory / "result.json", values)
        store.finish(unit.key)
    return plan, store


def test_cells_have_a_line_for_each_metric_of_their_task(finished: tuple[Plan, Store]) -> None:
    frame = cells_frame(*finished)
    assert (frame["state"] == "done").all()
    for _, lines in frame.groupby(["row", "column", "seed"]):
        row, first = lines.iloc[0]["row"], lines.iloc[0]
        assert first["metric"] == "top1"
        found = dict(zip(lines["metric"], lines["value"], strict=True))
        if row == "nearest":
            assert found == {"top1": 0.625, "nn_top1": 0.625}
        else:
            assert found == {name: RESULT[name] for name in RESULT if name != "parameters"}
        assert lines["unit"].nunique() == 1
        assert lines["paper"].iloc[1:].isna().all()
    shown = printed(finished[0], frame)
    assert set(shown["metric"]) == {"top1"}
    assert len(shown) == 4 * 2 * 2


def test_the_metric_that_is_asked_for_is_printed(finished: tuple[Plan, Store]) -> None:
    plan, store = finished
    own, other = (
        make_table(each, cells_frame(each, store)) for each in (plan, plan.showing("nn_top1"))
    )
    assert "linear top-1" in own.caption
    assert "nearest-neighbour top-1 of the same features" in other.caption
    for table, expected in ((own, 50.0), (other, 25.0)):
        assert table.entries["none", "seq"].mean == expected
        assert table.entries["nearest", "img"].mean == 62.5
        assert table.entries["none", "seq"].n == 2
    assert own.show_paper
    assert not other.show_paper
    assert other.entries["none", "seq"].paper is None
    assert not any("order of the rows" in note for note in other.notes)
    values = document(other, cells_frame(other.plan, store), [])
    assert values["metric"] == "nn_top1"
    cells = {(c["row"], c["column"]): c["mean"] for c in values["cells"]}
    assert cells["none", "seq"] == 25.0


def test_a_reference_without_the_metric_has_a_reason(finished: tuple[Plan, Store]) -> None:
    plan = finished[0].showing("top1_train")
    for store in (finished[1], Store(Path("nowhere"))):
        entry = make_table(plan, cells_frame(plan, store)).entries["nearest", "seq"]
        assert (entry.mean, entry.n) == (None, 0)
        assert entry.reason == "not applicable: retrieval has no top1_train"
    table = make_table(plan, cells_frame(plan, finished[1]))
    assert table.entries["none", "img"].mean == 75.0
    assert not any("missing" in note for note in table.notes)


def test_the_spread_of_table_2_is_over_the_subsets_of_the_labels(
    dataset: SkeletonDataset, tmp_path: Path
) -> None:
    """So it is in the paper; with several seeds the spread is over the subsets, too."""
    study = named_study("semi-supervised").only(("scratch",))
    plan = make_plan(study, dataset, preset="small", seeds=(0, 1))
    store, deviations = Store(tmp_path), (0.03, 0.05)
    for cell in plan.cells:
        assert cell.unit is not None
        directory = store.begin(cell.unit.key, cell.unit.to_json())
        result = {"top1": 0.5 + 0.1 * cell.seed, "top1_std": deviations[cell.seed]}
        write_json(directory / "result.json", result)
        store.finish(cell.unit.key)
    table = make_table(plan, cells_frame(plan, store))
    entry = table.entries["scratch", "5"]
    assert entry.mean == pytest.approx(55)
    assert entry.spread == pytest.approx(math.sqrt((3**2 + 5**2) / 2))
    assert "mean ± sample standard deviation over 5 random subsets (ddof = 1) of each seed" in (
        table.caption
    )
    layout = table.layout(TableStyle(reference="show"))
    assert "55.0 ± 4.1 (47.6 ± 1.0)" in to_markdown(layout)
    assert r"55.0 $\pm$ 4.1 {(47.6 $\pm$ 1.0)}" in to_latex(layout, "tab:2")
