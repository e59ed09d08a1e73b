from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from ablation.cli.commands import parse_seeds, same_question
from ablation_helpers import ablate

from ablation.cli import main
from ablation.tables.display import duration
from skelcon.errors import UserError


def test_seeds_are_a_number_or_a_list() -> None:
    assert parse_seeds("3") == (0, 1, 2)
    assert parse_seeds("0,5,7") == (0, 5, 7)
    for wrong in ("0", "-1", "x", "", "1,1", "1.5", "2,x"):
        with pytest.raises(UserError, match="--seeds"):
            parse_seeds(wrong)


def test_durations_read_well() -> None:
    assert [duration(s) for s in (5, 200, 7500)] == ["5 s", "3 min 20 s", "2 h 5 min"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["augmentations", "--data", "{empty}"], "no clip of a known layout"),
        (["augmentations", "--data", "/nowhere"], "'/nowhere' does not exist"),
        (["augmentations", "--data", "{damaged}"], "1 of 1 clips"),
        (["augmentations", "--data", "{utd}", "--protocol", "xveiw"], "did you mean 'xview'"),
        (["augmentations", "--data", "{utd}", "--protocol", "xview"], "it has: xsub"),
        (["augmentations", "--data", "{utd}", "--seeds", "0"], "at least one seed"),
        (["augmentations", "--data", "{utd}", "--set", "pretrain.epoch=3"], "'epochs'"),
        (["augmentations", "--data", "{utd}", "--set", "pretrain.epochs=x"], "pretrain.epochs"),
        (["augmentations", "--data", "{utd}", "--set", "pretrain.batch=999"], "pretrain.batch"),
        (["augmentations", "--data", "{utd}", "--set", "novalue"], "key.path=value"),
        (["augmentations", "--data", "{utd}", "--set", "finetune.epochs=3"], "not used here"),
        (["augmentations", "--data", "{utd}", "--set", "pretrain.epochs=2024-99-99"], "valid"),
        (["augmentations", "--data", "{utd}", "--source", "{utd}"], "transfers nothing"),
        (["augmentations", "--data", "{utd}", "--preset", "smal"], "did you mean 'small'"),
        (["augmentations", "--data", "{utd}", "--only", "crops"], "did you mean 'crop'"),
        (["augmentations", "--data", "{utd}", "--format", "pdf"], "unknown format 'pdf'"),
        (["augmentations", "--data", "{utd}", "--evaluate-on", "train"], "test or validation"),
        (["augmentations", "--data", "{utd}", "--cpus-per-trial", "0"], "--cpus-per-trial"),
        (["augmentations", "--data", "{utd}", "--results", "{file}/r"], "--results"),
        (["augmentation"], "did you mean 'augmentations'"),
        (["augmentations", "--sed", "3"], "--sed"),
        (["run", "{empty}/no.yaml"], "no.yaml"),
    ],
)
def test_a_mistake_is_one_clear_line_and_leaves_nothing(
    arguments: list[str],
    told: str,
    utd: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {name: tmp_path / name for name in ("empty", "damaged", "file", "cwd")}
    for name in ("empty", "damaged"):
        places[name].mkdir()
    places["file"].touch()
    (places["damaged"] / "a1_s1_t1_skeleton.mat").write_bytes(b"MATLAB 5.0 no more")
    words = [word.format(utd=utd, **places) for word in arguments]
    results = tmp_path / "results"
    if "--results" not in words and words[0] == "augmentations":
        words += ["--results", str(results)]
    if "--set" not in words and words[0] == "augmentations":
        words += ["--set", "pretrain.batch=8"]
    monkeypatch.setattr(sys, "argv", ["skelcon-ablate", *words])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    assert told in lines[0]
    assert not results.exists()


def test_plan_counts_and_runs_nothing(utd: Path, tmp_path: Path) -> None:
    results = tmp_path / "r"
    options = ("--data", utd, "--results", results, "--set", "pretrain.batch=8")
    done = ablate("augmentations", *options, "--seeds", 2, "--plan")
    assert done.returncode == 0
    assert "48 cells, 90 distinct units (42 pre-trainings, 48 evaluations), 0 done" in done.stdout
    assert not results.exists()
    done = ablate("plan", "augmentations", *options, "--json")
    (document,) = json.loads(done.stdout)
    assert (document["cells"], document["units"], document["done"]) == (24, 45, 0)
    assert len({unit["key"] for unit in document["to_run"]}) == 45


def test_a_table_is_replaced_without_a_word_only_by_the_same_question() -> None:
    caption = "Title: linear top-1, UTD-MHAD, xsub, small preset{}, {}."
    first = caption.format("", "no result yet")
    assert same_question(first, caption.format("", "n = 3 seeds, mean ± ..."))
    assert not same_question(first, caption.format(", changed by --set", "n = 1 seed"))


def test_list_names_the_papers_tables() -> None:
    done = ablate("list")
    assert done.returncode == 0
    assert any(
        line.startswith("augmentations") and "Table 5" in line for line in done.stdout.splitlines()
    )


def test_help_and_version() -> None:
    for words in (["--help"], ["augmentations", "--help"]):
        done = ablate(*words)
        assert done.returncode == 0
        assert "augmentation" in done.stdout
    assert ablate("--version").stdout.startswith("skelcon ")
    assert ablate().returncode == 2
