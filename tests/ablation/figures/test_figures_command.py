"""``skelcon-ablate figures`` on the golden results: trained units, without training any."""

from __future__ import annotations

import json
import shutil
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from ablation.cli import main
from ablation.figures import FIGURES, Asked, DoesNotApplyError
from ablation.figures.pairs import pairs_of
from ablation.figures.predictions import curves_of, predictions_of
from ablation.figures.ranks import blocks_of
from ablation.figures.tradeoff import against_time
from ablation.plan import make_plan
from ablation.report.from_results import load_plan, save_plan
from ablation.store import Store
from ablation.study import load_study
from skelcon.data import SkeletonDataset
from skelcon.errors import UserError

GOLDEN = Path(__file__).parents[1] / "golden"
NEED_DATA = ("tsne", "retrieval")


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    with tarfile.open(GOLDEN / "results.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    dataset = SkeletonDataset.open(folder / "data")
    for name in ("study", "nearest"):
        study = load_study(GOLDEN / f"{name}.yaml")
        plan = make_plan(study, dataset, preset="quick", seeds=(0, 1))
        save_plan(plan, folder / "results", folder / "results" / name)
    return folder


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["skelcon-ablate", "figures", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0), *capsys.readouterr()


def asked_of(golden: Path, name: str = "study", **more: str) -> Asked:
    store = Store(golden / "results")
    return Asked(load_plan(store.results, name), store, **more)


def test_figures_that_apply_are_written_and_the_others_have_a_reason(
    golden: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = golden / "results"
    code, out, err = run(monkeypatch, capsys, "study", "--results", results, "--format", "png,svg")
    assert code == 0, err
    lines = dict(line.split(": ", 1) for line in out.splitlines())
    assert list(lines) == list(FIGURES)
    not_drawn = {name for name, text in lines.items() if text.startswith("not drawn, ")}
    assert not_drawn == {"setting", "effects", "pairs", *NEED_DATA}
    for name in NEED_DATA:
        assert "give --data PATH" in lines[name]
    written = {path.name for path in (results / "study/figures").iterdir()}
    expected = {
        f"{name}.{kind}" for name in lines if name not in not_drawn for kind in ("png", "svg")
    }
    assert written == expected


def test_figures_that_need_encoders_are_drawn_with_the_data(
    golden: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    words = ("study", "--results", golden / "results", "--data", golden / "data", "--out", out)
    code, printed, err = run(monkeypatch, capsys, *words, "--only", "tsne,retrieval")
    assert code == 0, err
    assert "not drawn" not in printed
    assert sorted(path.name for path in out.iterdir()) == sorted(
        f"{name}.{kind}" for name in NEED_DATA for kind in ("png", "svg", "pdf")
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "interval"], "--only interval: did you mean 'intervals'"),
        (["--row", "crop+jiter"], "--row crop+jiter: did you mean 'crop+jitter'"),
        (["--column", "size"], "--column size: "),
        (["--against", "non"], "--against non: did you mean 'none'"),
        (["--format", "pgn"], "unknown format 'pgn': did you mean 'png'"),
    ],
)
def test_a_mistake_is_an_error_of_one_line(
    golden: Path,
    words: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, _, err = run(monkeypatch, capsys, "study", "--results", golden / "results", *words)
    assert code == 2
    (line,) = err.strip().splitlines()
    assert message in line


def test_other_data_is_refused(
    golden: Path,
    dataset: SkeletonDataset,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ("study", "--results", golden / "results", "--data", dataset.path)
    code, _, err = run(monkeypatch, capsys, *words)
    assert code == 2
    assert f"its fingerprint is {dataset.fingerprint}, but the table was made from" in err


def test_a_figure_that_alone_was_asked_for_and_does_not_apply_is_a_failure(
    golden: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("study", "--results", golden / "results", "--only", "pairs")
    code, out, _ = run(monkeypatch, capsys, *words)
    assert (code, out.startswith("pairs: not drawn, its rows do not set")) == (1, True)


def test_rows_and_columns_have_sensible_defaults(golden: Path) -> None:
    asked = asked_of(golden)
    here = asked.entries.query("column == 'img' and not reference")
    best = here.loc[here["mean"].idxmax()]  # of equal ones the first
    assert (asked.chosen_column, asked.chosen_row) == ("img", best["row"])
    assert asked.row_against == ("none" if best["row"] != "none" else "crop+jitter")
    chosen = asked_of(golden, row="random", column="seq", against="crop+jitter")
    assert (chosen.chosen_row, chosen.row_against) == ("random", "crop+jitter")
    assert chosen.entries["column"].unique().tolist() == ["seq"]


def test_predictions_and_curves_are_those_of_the_store(golden: Path) -> None:
    asked = asked_of(golden)
    lines = predictions_of(asked, "none", "img")
    right = (lines["prediction"] == lines["label"]).groupby(lines["seed"]).mean()
    cells = [c for c in asked.plan.cells if (c.row, c.column) == ("none", "img")]
    known = {c.seed: asked.store.result(c.unit.key)["top1"] for c in cells if c.unit is not None}
    assert right.to_dict() == pytest.approx(known)
    curves = curves_of(asked)
    assert set(curves["panel"]) == {"IMG", "SEQ", "SEQ of both"}
    assert set(curves["row"]) == {"none", "crop+jitter"}
    assert curves.groupby(["panel", "row"])["run"].nunique().eq(2).all()
    assert sorted(curves["epoch"].unique()) == [1, 2]


def test_blocks_are_seeds_and_groups_and_hold_main_rows(golden: Path) -> None:
    asked = asked_of(golden)
    blocks = blocks_of(asked, "img")
    assert list(blocks.columns) == ["none", "crop+jitter"]
    groups = predictions_of(asked, "none", "img")["group"].nunique()
    assert len(blocks) == 2 * groups
    mean = blocks["none"].groupby("seed").mean().mean()
    assert 0 <= mean <= 1


def test_unfinished_results_have_figures_or_reasons(
    golden: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With half of the units, then with none, each figure is drawn or has a reason."""
    results = tmp_path / "results"
    shutil.copytree(golden / "results", results)
    units = sorted((results / "units").iterdir())
    for number, path in enumerate(units):
        if number % 2:
            shutil.rmtree(path)
    words = ("study", "--results", results, "--format", "png")
    code, out, err = run(monkeypatch, capsys, *words)
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == len(FIGURES)
    shutil.rmtree(results / "units")
    code, out, err = run(monkeypatch, capsys, *words)
    assert (code, err) == (1, "")
    assert out.count("not drawn") == len(FIGURES)


def test_damaged_predictions_are_a_reason(golden: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    shutil.copytree(golden / "results", results)
    for path in results.glob("units/*/predictions.npz"):
        path.write_bytes(b"no archive")
    for path in results.glob("units/*/provenance.json"):
        path.write_text("{")
    store = Store(results)
    asked = Asked(load_plan(results, "study"), store)
    with pytest.raises(DoesNotApplyError, match="holds no predictions"):
        FIGURES["confusion"](asked)
    with pytest.raises(DoesNotApplyError, match="no two rows"):
        FIGURES["ranks"](asked)
    with pytest.raises(DoesNotApplyError, match="fewer than two cells"):
        against_time(asked)


def test_a_row_of_the_coordinates_has_no_encoders_to_show(golden: Path) -> None:
    plan = load_plan(golden / "results", "study")
    data = SkeletonDataset.open(golden / "data")
    asked = Asked(plan, Store(golden / "results"), row="random", data=data)
    with pytest.raises(DoesNotApplyError, match="were not pre-trained"):
        FIGURES["tsne"](asked)


STUDY = """
title: pairs
protocols: [xsub]
rows:
  img: {label: alone, set: {pretrain.representations: [img]}}
  img+seq: {label: $pair_1$, set: {pretrain.representations: [img, seq]}}
  all: {set: {pretrain.representations: [img, stg, seq]}}
columns:
  img: {label: IMG, downstream: [img]}
  seq: {label: SEQ, downstream: [seq]}
"""
ALONG = """
title: along
protocols: [xsub]
base: {pretrain.representations: [seq], pretrain.augment.use: [crop]}
rows:
  a: {set: {pretrain.augment.crop.l_min: 0.5}}
  b: {set: {pretrain: {augment: {crop: {l_min: 0.1}}}}}
references:
  random: {pretrain: false}
columns:
  seq: {label: "$SEQ_1$", downstream: [seq]}
"""


def fabricated(text: str, name: str, dataset: SkeletonDataset, results: Path) -> Asked:
    """A study whose evaluations are finished with numbers in the order of its cells."""
    path = results.with_name(f"{name}.yaml")
    path.write_text(text)
    plan = make_plan(load_study(path), dataset, preset="small", seeds=(0,))
    store = Store(results)
    for number, cell in enumerate(plan.cells):
        if cell.unit is not None:
            directory = store.begin(cell.unit.key, cell.unit.to_json())
            (directory / "result.json").write_text(json.dumps({"top1": number / 100}))
            store.finish(cell.unit.key)
    return Asked(plan, store)


def test_pairs_are_arranged_by_encoder_and_partner(
    dataset: SkeletonDataset, tmp_path: Path
) -> None:
    asked = fabricated(STUDY, "mypairs", dataset, tmp_path / "results")
    matrix = pairs_of(asked)
    assert matrix.index.tolist() == ["IMG", "SEQ"]
    assert matrix.columns.tolist() == ["alone", "IMG", "SEQ", "both others"]
    np.testing.assert_array_equal(matrix.to_numpy(), [[0, np.nan, 2, 4], [np.nan, 3, np.nan, 5]])
    FIGURES["pairs"](asked)
    FIGURES["intervals"](asked)


def test_a_setting_of_the_rows_is_the_axis_whether_written_short_or_nested(
    dataset: SkeletonDataset, tmp_path: Path
) -> None:
    asked = fabricated(ALONG, "myline", dataset, tmp_path / "results")
    (axes,) = FIGURES["setting"](asked).axes
    assert np.asarray(axes.lines[0].get_xydata()).tolist() == [[0.1, 1.0], [0.5, 0.0]]
    assert axes.lines[1].get_ydata()[0] == 2.0
    figure = axes.figure
    assert figure is not None
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == [r"\$SEQ_1\$", "random"]


def test_rows_with_the_same_label_are_distinguished_and_an_empty_column_is_a_reason(
    dataset: SkeletonDataset, tmp_path: Path
) -> None:
    text = STUDY.replace("$pair_1$", "alone")
    asked = fabricated(text, "alike", dataset, tmp_path / "results")
    assert list(asked.rows.values()) == ["alone (img)", "alone (img+seq)", "all"]
    for cell in asked.plan.cells:
        if cell.column == "seq" and cell.unit is not None:
            shutil.rmtree(asked.store.directory(cell.unit.key))
    empty = Asked(asked.plan, asked.store, column="seq")
    for name in FIGURES.keys() - {"pairs"}:  # which is of all columns
        with pytest.raises(DoesNotApplyError):
            FIGURES[name](empty)


def test_names_of_rows_and_columns_are_checked_at_once(golden: Path) -> None:
    with pytest.raises(UserError, match="--column sek: did you mean 'seq'"):
        asked_of(golden, column="sek")
