"""``skelcon-ablate report``: the contents of the page, read by an HTML parser."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from page_helpers import CLAIM, FAILURE, ODD, SCRIPT, TITLE, Reader, write_results

from ablation.cli import main
from ablation.figures import FIGURES
from ablation.pages import make_page, read_results, to_html, to_markdown
from ablation.pages.drawn import CAPTIONS
from ablation.report import cells_frame, make_table, number
from ablation.report.from_results import load_plan
from ablation.store import Store
from skelcon.data import SkeletonDataset
from skelcon.errors import UserError


@pytest.fixture(scope="module")
def results(eight: SkeletonDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faked") / "results"
    write_results(folder, eight)
    return folder


def page_of(results: Path, *, figures: bool = False) -> str:
    return to_html(make_page(read_results(results), figures=figures))


@pytest.fixture(scope="module")
def read(results: Path) -> Reader:
    return Reader(page_of(results))


def test_every_number_is_in_its_row_and_is_explained(results: Path, read: Reader) -> None:
    store, plan = Store(results), load_plan(results, "tiny")
    table = make_table(plan, cells_frame(plan, store), store)
    shown = [" ".join(cell.split()) for cell in read.cells]
    for row in plan.study.all_rows:
        place = shown.index(table.label(row))
        for column, cell in zip(plan.study.columns, shown[place + 1 :], strict=False):
            entry = table.entries[row, column]
            assert entry.mean is not None
            assert re.match(rf"{re.escape(number(entry.mean, entry.unit))}\b", cell)
            assert entry.interval is not None
            low, high = entry.interval
            assert f"95 % interval {low:.1f} to {high:.1f}, over " in read.text
    for cell in plan.cells:  # each seed's value, with the key of its unit
        assert cell.unit is not None
        assert cell.unit.key[:8] in shown


def test_texts_of_the_user_are_shown_and_escaped(read: Reader) -> None:
    for text in (
        SCRIPT,
        ODD,
        TITLE,
        CLAIM,
        FAILURE,
        "<b>SEQ</b>",
        "<i>Section</i>",
        "A <fast> CPU",
    ):
        assert text in read.text
    tags = [tag for tag, _ in read.elements]
    assert tags.count("script") == tags.count("style") == tags.count("title") == 1
    assert not {"b", "i", "fast"} & {*tags}
    assert not [name for _, own in read.elements for name in own if name.startswith("on")]


def test_the_page_has_claims_failures_and_costs(read: Reader) -> None:
    shown = " ".join(read.text.split())
    assert "Of 2 claims 1 holds, 0 not shown, 1 contradicted." in shown
    assert "✓ holds" in shown
    assert "✗ contradicted" in shown
    assert f"failed 1: {SCRIPT} (IMG) ({FAILURE})" in shown
    assert "not run 1:" in shown
    assert "pre-training" in shown
    assert "A <fast> CPU, 2 cores, Linux" in shown
    assert "--preset small --seeds 5 --only crop+jitter" in shown


def test_links_have_targets_and_nothing_is_loaded(read: Reader) -> None:
    ids = read.values("id")
    assert len(ids) == len({*ids})
    for attribute in ("popovertarget", "aria-labelledby"):
        assert read.values(attribute)
        assert {*read.values(attribute)} <= {*ids}
    links = read.values("href")
    assert {link.removeprefix("#") for link in links if link != "data:,"} <= {*ids}
    sources = read.values("src")
    assert all(source.startswith("data:image/") for source in sources)
    policy = next(own["content"] for _, own in read.elements if "http-equiv" in own)
    assert policy.startswith("default-src 'none'; style-src 'sha256-")


def test_headings_descend_one_by_one(read: Reader) -> None:
    levels = [int(tag[1]) for tag, _ in read.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))


def test_the_same_results_give_the_same_bytes_wherever_they_are(
    results: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    moved.symlink_to(results)
    page = page_of(results)
    assert page_of(moved) == page
    assert "2031" not in page


@pytest.mark.slow
def test_the_page_has_figures_and_ten_such_tables_are_not_too_large(results: Path) -> None:
    page = page_of(results, figures=True)
    read = Reader(page)
    images = [own for tag, own in read.elements if tag == "img"]
    assert len(images) >= 4
    assert all(own["alt"] and own["width"] and own["height"] for own in images)
    assert len(page) < 500_000
    assert "give --data PATH" in read.text
    assert page_of(results, figures=True) == page


def test_every_figure_has_a_caption() -> None:
    assert CAPTIONS.keys() == FIGURES.keys()


def test_tables_with_the_same_title_have_their_names_in_the_headings(
    results: Path, tmp_path: Path
) -> None:
    both = shutil.copytree(results, tmp_path / "both")
    shutil.copytree(both / "tiny", both / "tiny-small")
    shown = list[str]()
    page = make_page(read_results(both), figures=False, show=shown.append)
    assert [section.title for section in page.sections] == [
        f"{TITLE} (tiny)",
        f"{TITLE} (tiny-small)",
    ]
    assert shown == ["tiny: reading results", "tiny-small: reading results"]


def test_markdown_has_tables_and_claims(results: Path) -> None:
    text = to_markdown(make_page(read_results(results), figures=False))
    assert "- ✗ **contradicted**: It harms." in text
    assert r"\<script>alert(1)\</script>" in text
    (head,) = [line for line in text.splitlines() if line.startswith("| row |")]
    body = [line for line in text.splitlines() if "**" in line and line.startswith("|")]
    assert all(line.count(" | ") == head.count(" | ") for line in body)


# -- the command ------------------------------------------------------------------------------


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["skelcon-ablate", "report", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_the_command_writes_the_file_that_it_names(
    results: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "deep" / "page.html"
    assert run(monkeypatch, "tiny", "--results", results, "--out", out, "--no-figures") == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert out.read_text().startswith("<!DOCTYPE html>")
    assert run(monkeypatch, "--results", results, "--format", "markdown") == 0
    assert (results / "report.md").read_text().startswith("# Ablations on ")


def test_a_table_that_cannot_be_read_is_named_and_the_others_are_shown(
    eight: SkeletonDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    results = tmp_path / "results"
    write_results(results, eight)
    for name, content in (("broken", '{"study": {}}'), ("cut", '{"study": ')):
        (results / name).mkdir()
        (results / name / "study.json").write_text(content)
    assert run(monkeypatch, "--results", results, "--no-figures") == 0
    printed = capsys.readouterr().err
    assert "left out 'broken': " in printed
    assert "left out 'cut': " in printed
    assert "Left out" in Reader((results / "report.html").read_text()).text
    assert run(monkeypatch, "broken", "--results", results) == 2
    assert run(monkeypatch, "tinny", "--results", results) == 2
    assert "did you mean 'tiny'" in capsys.readouterr().err


def test_no_tables_are_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no tables: run a study"):
        read_results(tmp_path)


def test_reading_results_imports_neither_ray_nor_torch(results: Path, tmp_path: Path) -> None:
    commands = [
        ("table", "tiny", "--results", results),
        ("claims", "tiny", "--results", results),
        ("explain", "tiny", "none", "seq", "--results", results),
        ("compare", results, results),
        ("figures", "tiny", "--results", results, "--only", "intervals", "--out", tmp_path),
        ("report", "--results", results, "--no-figures", "--out", tmp_path / "report.html"),
    ]
    program = f"""
import contextlib, io, sys
from ablation.cli import main
for words in {[[*map(str, words)] for words in commands]!r}:
    sys.argv = ["skelcon-ablate", *words]
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            main()
        except SystemExit as end:
            assert end.code in (None, 0, 1), words  # 1: a unit has failed, a claim does not hold
    print([name for name in ("ray", "torch") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["[]"] * len(commands), done.stderr
    assert (tmp_path / "report.html").exists()
    assert (tmp_path / "intervals.png").exists()


def test_exported_tables_alone_are_an_error_that_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "cells.csv").touch()
    with pytest.raises(UserError, match=r"only exported tables \(tiny\): copy units/, data/ and"):
        read_results(tmp_path)
