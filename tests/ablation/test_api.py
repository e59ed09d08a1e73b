"""What `import ablation` offers: runs, tables and cells from Python."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

import ablation
import skelcon
from ablation.report import Table
from ablation.report.frame import COLUMNS
from ablation.study import load_study
from skelcon.data import SkeletonDataset
from skelcon.errors import UserError
from skelcon.pretrain.weights import load_encoders

ROW = 'none: {label: "<b>&", set: {pretrain.augment.use: []}}'


@pytest.fixture(scope="module")
def study(study_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small study; a column has two encoders, each pre-trained alone, and a label is markup."""
    path = tmp_path_factory.mktemp("api") / "tiny.yaml"
    text = study_file.read_text().replace("none: {set: {pretrain.augment.use: []}}", ROW)
    both = "  both: {label: IMG + SEQ, downstream: [img, seq], separate: true}\npaper:"
    path.write_text(text.replace("paper:", both))
    return path


@pytest.fixture(scope="module")
def results(
    study: Path, dataset: SkeletonDataset, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    place = tmp_path_factory.mktemp("results")
    table = run(study, dataset, place, only=["none", "random"])
    assert {entry.n for entry in table.entries.values()} == {1}
    return place


def run(study: object, data: object, results: Path, **how: object) -> Table:
    return ablation.run(study, data, results=results, in_process=True, progress=False, **how)


@pytest.fixture
def cells(results: Path) -> pd.DataFrame:
    return ablation.load_cells(results, "tiny")


def test_a_run_grows_its_table_and_writes_its_files(
    results: Path, study: Path, dataset: SkeletonDataset, tmp_path: Path
) -> None:
    shutil.copytree(results, tmp_path / "r")
    before = {path.name for path in (tmp_path / "r" / "units").iterdir()}
    table = run(load_study(study), dataset.path, tmp_path / "r", only=["random"], seeds=[0, 3])
    assert [*table.study.all_rows] == ["none", "random"]
    assert table.plan.seeds == (0, 3)
    assert (table.entries["none", "seq"].n, table.entries["random", "seq"].n) == (1, 2)
    new = {path.name for path in (tmp_path / "r" / "units").iterdir()} - before
    assert len(new) == 3  # random weights need no training
    again = ablation.load_table(tmp_path / "r", "tiny")
    assert again.entries == table.entries
    written = pd.read_csv(tmp_path / "r" / "tiny" / "cells.csv")
    assert len(written) == len(ablation.load_cells(tmp_path / "r", "tiny"))


def test_a_line_has_what_is_behind_its_value(cells: pd.DataFrame, results: Path) -> None:
    assert tuple(cells.columns)[: len(COLUMNS)] == COLUMNS
    top1 = cells[cells["metric"] == "top1"].set_index(["row", "column"])
    line = top1.loc[("none", "seq")]
    assert line["pretrain.augment.use"] == ()
    assert line["pretrain.representations"] == ("seq",)
    assert line["seconds"] > 0
    assert line["pretraining_seconds"] > 0
    assert line["parameters"] > 0
    path = results / "units" / line["pretraining"] / "weights.safetensors"
    assert line["weights"] == {"seq": str(path)}
    both = top1.loc[("none", "both")]
    assert both["representation"] == "img+seq"
    alone = [top1.loc[("none", name)] for name in ("img", "seq")]
    assert both["pretraining"] == "+".join(each["pretraining"] for each in alone)
    assert both["pretraining_seconds"] == sum(each["pretraining_seconds"] for each in alone)
    assert both["parameters"] == sum(each["parameters"] for each in alone)
    random = top1.loc[("random", "seq")]
    assert random["weights"] == {}
    assert pd.isna(random["pretraining_seconds"])
    assert pd.isna(random["pretrain.augment.use"])


def test_from_a_line_to_its_encoder_in_one_step(cells: pd.DataFrame) -> None:
    lines = cells[cells["metric"] == "top1"].set_index(["row", "column"], drop=False)
    line = lines.loc[("none", "seq")]
    encoder = skelcon.load_encoder(line)
    (expected,) = load_encoders(Path(line["weights"]["seq"]))[0].values()
    for name, value in expected.state_dict().items():
        assert torch.equal(encoder.state_dict()[name], value)
    both = lines.loc[("none", "both")].to_dict()
    assert skelcon.load_encoder(both, "img").representation == "img"
    with pytest.raises(UserError, match="several encoders: choose one of img, seq"):
        skelcon.load_encoder(both)
    with pytest.raises(UserError, match="has no encoder 'stg'"):
        skelcon.load_encoder(both, "stg")
    with pytest.raises(UserError, match="row 'random', column 'seq': nothing was pre-trained"):
        skelcon.load_encoder(lines.loc[("random", "seq")])


def test_a_notebook_shows_the_table_and_no_label_is_markup(results: Path) -> None:
    table = ablation.load_table(results, "tiny")
    html = table._repr_html_()
    assert "&lt;b&gt;&amp;" in html
    assert "<b>&" not in html
    assert f"{table.entries['none', 'seq'].mean:.1f}" in html
    assert table.caption in html
    assert table.caption.split(":")[0] in str(table)
    other = ablation.load_table(results, "tiny", metric="top1_train")
    assert other.plan.metric("seq") == "top1_train"


def test_a_comparison_is_a_frame_and_says_what_else_differs(
    results: Path, study: Path, dataset: SkeletonDataset, tmp_path: Path
) -> None:
    run(study, dataset, tmp_path, only=["random"], settings={"linear.epochs": 2})
    frame = ablation.compare(results, tmp_path)
    assert frame["row"].tolist() == ["random"] * 3
    assert set(frame["paired"]) == {"seeds and clips"}
    differs = {each["what"] for each in frame.attrs["differs"]["tiny"]}
    assert {"--set", "rows"} <= differs


def test_a_figure_is_matplotlibs_or_says_why_there_is_none(
    results: Path, dataset: SkeletonDataset, eight: SkeletonDataset
) -> None:
    drawn = ablation.figure(results, "tiny", "intervals", column="seq")
    assert {text.get_text() for text in drawn.axes[0].get_yticklabels()} >= {"<b>&"}
    assert ablation.figure(results, "tiny", "retrieval", data=dataset).axes
    for kind, how, message in (
        ("interval", {}, "unknown figure 'interval': did you mean 'intervals'"),
        ("tsne", {}, "tsne does not apply to 'tiny': it needs the data set itself"),
        ("confusion", {"row": "nome"}, "did you mean 'none'"),
        ("tsne", {"data": eight}, "the table was made from"),
    ):
        with pytest.raises(UserError, match=message):
            ablation.figure(results, "tiny", kind, **how)


def test_no_value_prints_a_page(results: Path, dataset: SkeletonDataset) -> None:
    table = ablation.load_table(results, "tiny")
    plan = table.plan
    unit = next(iter(plan.units.values()))
    for value in (table, plan, plan.study, plan.dataset, dataset.layout, plan.preset, unit):
        assert len(repr(value)) < 200, type(value)
    assert repr(table).startswith("Table('tiny': 2 rows, 3 columns, n = 1 seed")
    assert "36 clips of 27 classes" in repr(dataset)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"data": "nowhere"}, "'nowhere' does not exist"),
        ({"seeds": 0}, "at least one seed"),
        ({"seeds": [1, 1]}, "duplicate seed 1"),
        ({"only": ["nome"]}, "did you mean 'none'"),
        ({"name": "a/b"}, "--name a/b"),
        ({"settings": {"pretrain.epoch": 1}}, "pretrain.epochs"),
    ],
)
def test_a_mistake_is_one_line(
    how: dict[str, object], message: str, study: Path, dataset: SkeletonDataset, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        run(study, how.pop("data", dataset), tmp_path, **how)
    assert not list(tmp_path.iterdir())


def test_the_package_offers_these_names_alone() -> None:
    assert ablation.__all__ == ["compare", "figure", "load_cells", "load_table", "run"]
    with pytest.raises(AttributeError, match="'ablation' has no attribute 'load_tables'"):
        _ = ablation.load_tables
