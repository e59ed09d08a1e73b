"""``table`` makes a study's files and prints it, whatever its labels are, as it was asked for."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ablation.plan import Plan, make_plan
from ablation.report import cells_frame, display
from ablation.report.frame import COLUMNS
from ablation.report.from_results import save_plan
from ablation.report.numbers import ABOUT_ROW, IN_JSON, OF_CELL
from ablation.report.style import TableStyle
from ablation.store import Store, write_json
from ablation.study import load_study, named_study
from ablation.study_parts import Reported, Row
from skelcon.data import SkeletonDataset
from skelcon.errors import UserError

ODD = {"none": "[x] 50 % & λ ≤ 1", "crop+jitter": "[/x] | --set \\\\[9em] 中 é"}
NUMBERS = {("none", "img"): 0.5, ("none", "seq"): 0.4, ("crop+jitter", "img"): 0.7123}
Ablate = Callable[..., Any]


@pytest.fixture
def plan(dataset: SkeletonDataset, study_file: Path, tmp_path: Path) -> Plan:
    """Of two seeds; SEQ of one row failed, and of a reference it has no such metric."""
    study = load_study(study_file)
    rows = {name: row.model_copy(update={"label": ODD[name]}) for name, row in study.rows.items()}
    nearest = Row(label="nearest", coordinates=True, task="retrieval")
    others = {"su": Reported(label="Su [1]", values={"seq": 59.3})}
    report = study.paper[0].model_copy(update={"others": others})
    changes: dict[str, Any] = {"rows": rows, "title": "On [b]x[/b]\x1b", "ticks": {}}
    changes |= {"rows": {n: r.model_copy(update={"ticks": ()}) for n, r in rows.items()}}
    changes |= {"references": {"nearest": nearest}, "paper": (report,), "metric": "top1_train"}
    study = study.model_copy(update=changes)
    plan = make_plan(study, dataset, preset="small", seeds=(0, 1))
    store = Store(tmp_path)
    for cell in plan.cells:
        assert cell.unit is not None
        if (cell.row, cell.column) in NUMBERS:
            directory = store.begin(cell.unit.key, cell.unit.to_json())
            value = NUMBERS[cell.row, cell.column] + 0.01 * cell.seed
            write_json(directory / "result.json", {"top1": value, "top1_train": value})
            write_json(directory / "provenance.json", provenance(cell.unit.key))
            store.finish(cell.unit.key)
        elif cell.row == "crop+jitter":
            store.begin(cell.unit.key, cell.unit.to_json())
            store.fail(cell.unit.key, "failed: [/red] out of\nluck")
    save_plan(plan, tmp_path, tmp_path / study.name)
    return plan


def provenance(key: str) -> dict[str, Any]:
    about: dict[str, Any] = dict.fromkeys(("data", "versions", "revision", "hardware", "threads"))
    return {**about, "unit": key, "seconds": 1.0, "peak_memory": {"process_mib": 1.0}}


def lines_of(path: Path) -> io.StringIO:
    return io.StringIO(path.read_text())


@pytest.fixture
def table(ablate: Ablate, plan: Plan, tmp_path: Path) -> Callable[..., Any]:
    return lambda *words: ablate("table", plan.study.name, "--results", tmp_path, *words)


@pytest.fixture
def folder(plan: Plan, tmp_path: Path) -> Path:
    return tmp_path / plan.study.name


def test_a_table_whose_files_cannot_be_written_is_printed(
    table: Callable[..., Any], folder: Path
) -> None:
    printed, _, _ = table().out.partition("Written to")
    (folder / "table.csv").unlink()
    (folder / "table.csv").mkdir()
    ended = table()
    assert ended.code == 2
    assert "cannot write" in ended.err
    assert ended.out == printed != ""


def test_odd_labels_are_printed_and_written_as_they_are(
    table: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    ended = table()
    assert ended.code == 1, ended.err  # a unit has failed
    for text in (*ODD.values(), "On [b]x[/b][U+001B]", "[/red] out of luck"):
        assert text in ended.out
    assert r"| \[x] 50 % & λ ≤ 1 |" in (folder / "table.md").read_text()
    latex = (folder / "table.tex").read_text()
    assert r"{[}x{]} 50 \% \& $\lambda$ $\leq$ 1 &" in latex
    assert "{[}/x{]} \\textbar{} -\\/-set \\textbackslash{}" in latex
    labels = [line["label"] for line in csv.DictReader(lines_of(folder / "table.csv"))]
    assert labels == [*ODD.values(), "nearest", "Su [1]"]


def test_files_are_written_before_anything_is_printed(
    table: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        assert (folder / "table.tex").exists()
        raise OSError(28, "no space", "terminal")

    monkeypatch.setattr(display, "print_table", fail)
    assert table().code == 2
    assert {"cells.csv", "table.csv", "table.tex", "table.md", "table.json"} <= {
        path.name for path in folder.iterdir()
    }


def test_files_follow_the_schema_that_is_documented(
    table: Callable[..., Any], folder: Path, plan: Plan, tmp_path: Path
) -> None:
    table()
    text = (Path(__file__).parents[3] / "results/README.md").read_text()
    section = text.split("## The files of a table")[1].split("\n## ")[0]
    documented: dict[str, set[str]] = {}
    for names, files in re.findall(r"^\| (`.*?) \| (.*?) \|", section, re.M):
        for file in ("cells.csv", "table.csv", "table.json"):
            if file in files or files == "all":
                documented.setdefault(file, set()).update(re.findall(r"`(\w+)`", names))
    assert documented["cells.csv"] | {"paper"} == set(COLUMNS)
    assert documented["table.csv"] == {*ABOUT_ROW, *OF_CELL}
    assert documented["table.json"] | {"row", "column"} == set(IN_JSON)

    header, *lines = csv.reader(lines_of(folder / "table.csv"))
    columns = [f"{column}.{name}" for column in plan.study.columns for name in OF_CELL]
    assert header == [*ABOUT_ROW, *columns]
    assert [line[2] for line in lines] == ["row", "row", "reference", "reported"]
    document = json.loads((folder / "table.json").read_text())
    frame = pd.read_csv(folder / "cells.csv")
    own = frame[frame["metric"] == "top1_train"]
    assert {each["scale"] for each in document["columns"]} == {"percent"}
    records = {line[0]: dict(zip(header, line, strict=True)) for line in lines}
    for cell in document["cells"]:
        assert set(cell) == set(IN_JSON)
        line = records[cell["row"]]
        for name in OF_CELL:
            written = line[f"{cell['column']}.{name}"]
            expected = cell[name]
            assert written == ("" if expected is None else str(expected))
        seeds = own[(own["row"] == cell["row"]) & (own["column"] == cell["column"])]
        if cell["state"] == "done":
            assert cell["values"] == pytest.approx(list(100 * seeds["value"]))
            assert cell["mean"] == pytest.approx(100 * seeds["value"].mean())
            assert cell["spread"] == pytest.approx(100 * seeds["value"].std(ddof=1))
            assert cell["low"] <= cell["mean"] <= cell["high"]
            assert cell["n"] == 2
        elif cell["state"] != "reported":
            assert cell["values"] == [None, None]
        assert cell["state"] in set(seeds["state"]) | {"reported"}
    states = {(cell["row"], cell["column"]): cell["state"] for cell in document["cells"]}
    assert states["crop+jitter", "seq"] == "failed"
    assert states["nearest", "img"] == "not applicable"
    assert states["su", "seq"] == "reported"


def test_what_does_not_apply_is_a_dash_with_one_footnote(
    table: Callable[..., Any], folder: Path
) -> None:
    out = table("--notes", "none").out
    note = "not applicable: retrieval has no top1_train"
    markdown, latex = (folder / "table.md").read_text(), (folder / "table.tex").read_text()
    assert "| *nearest* | –¹ | –¹ |" in markdown
    assert markdown.endswith(f"\n\n- ¹ {note}.\n")
    assert latex.count(r"--\textsuperscript{1}") == 2
    assert latex.count("retrieval has no") == 1
    assert out.count("–¹") == 2
    assert out.count(note) == 1


def test_a_style_changes_what_is_printed_and_no_numbers(
    table: Callable[..., Any], folder: Path
) -> None:
    table()
    before = {name: (folder / name).read_bytes() for name in ("table.csv", "table.json")}
    assert r"\label{tab:tiny}" in (folder / "table.tex").read_text()
    words = ("--caption", "Mine: [a]", "--label", "tab:mine", "--digits", 2, "--delta", "none")
    table(*words, "--reference", "own-column", "--notes", "short")
    markdown, latex = (folder / "table.md").read_text(), (folder / "table.tex").read_text()
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert markdown.startswith("Mine: \\[a]\n")
    assert "| row | IMG | paper | SEQ | paper |" in markdown
    assert "71.73 ± 0.71** (+21.23 [21.23, 21.23]) | 77.0 |" in markdown
    assert "| *Su \\[1] (reported)* | –² | – | 59.3 | – |" in markdown
    assert "n = 2 seeds" in markdown.split("\n- ", 1)[1]  # the caption that was made is a note
    assert "Data " not in markdown
    assert "Claims" not in markdown
    assert r"\label{tab:mine}" in latex
    assert "% Data " in latex
    assert "Data " not in latex.split(r"\begin{table", 1)[1]
    assert r"(+21.23 [21.23, 21.23])" in latex


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--delta", "crap"), "error: --delta crap: study 'tiny' has no such row: valid: crop"),
        (("--label", "a{b"), "error: --label a{b: LaTeX takes letters, digits and :._+/- here"),
    ],
)
def test_a_mistake_is_one_line(
    table: Callable[..., Any], words: tuple[str, ...], message: str, folder: Path
) -> None:
    ended = table(*words)
    assert ended.code == 2
    assert ended.err.startswith(message)
    assert ended.err.count("\n") == 1
    assert not (folder / "table.csv").exists()


def test_a_row_of_the_study_that_the_table_lacks_is_named_with_the_cure() -> None:
    whole = named_study("augmentations")
    cure = r"'random' is not in this table: run the study with it \(--only none,crop,random\)"
    with pytest.raises(UserError, match=cure):
        TableStyle(delta="random").check(whole.only(("none", "crop")), whole)


@pytest.mark.parametrize("options", ["", "twocolumn"])
@pytest.mark.parametrize("reference", ["own-column", "hide"])
def test_a_table_fits_where_it_is_put(
    table: Callable[..., Any], folder: Path, options: str, reference: str
) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed")
    table("--reference", reference, "--delta", "none", "--digits", 4)
    latex = (folder / "table.tex").read_text()
    assert ("% table*" in latex) == (r"\begin{table*}" in latex)
    (folder / "main.tex").write_text(
        rf"\documentclass[{options}]{{article}}\usepackage{{booktabs}}\usepackage{{amssymb}}"
        r"\begin{document}\input{table.tex}\end{document}"
    )
    log = compiled("pdflatex", folder / "main.tex")
    assert "Overfull" not in log


@pytest.mark.parametrize("engine", ["pdflatex", "lualatex", "xelatex"])
def test_a_standalone_table_compiles_by_itself(
    table: Callable[..., Any], folder: Path, engine: str
) -> None:
    if shutil.which(engine) is None:
        pytest.skip(f"{engine} is not installed")
    table("--standalone", "--reference", "show")
    assert "Missing character" not in compiled(engine, folder / "table.tex")


def compiled(engine: str, file: Path) -> str:
    """The log of a run that succeeds."""
    words = [engine, "-interaction=nonstopmode", "-halt-on-error", file.name]
    subprocess.run(words, cwd=file.parent, capture_output=True, timeout=240, check=False)
    log = file.with_suffix(".log").read_text(errors="replace")
    assert file.with_suffix(".pdf").exists(), log[-2000:]
    return log


def test_a_column_of_a_name_with_a_comma_is_one_field(plan: Plan, tmp_path: Path) -> None:
    from ablation.report import make_table
    from ablation.report.numbers import to_csv

    frame = cells_frame(plan, Store(tmp_path))
    rows = list(csv.reader(io.StringIO(to_csv(make_table(plan, frame), frame))))
    assert len({len(row) for row in rows}) == 1
