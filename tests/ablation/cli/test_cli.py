"""``skelcon-ablate``: mistakes, plans, lists, help."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ablation.catalogue import known_spaces, known_studies
from ablation.cli.studies import check_machine
from ablation.costs import AutoGpus
from ablation.scheduler.resources import Resources
from skelcon.errors import UserError

HEAVY = ("torch", "ray", "numpy", "pandas", "scipy", "matplotlib")
Ablate = Callable[..., Any]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "{empty}"], "no clip of a known layout"),
        (["--data", "/nowhere"], "'/nowhere' does not exist"),
        (["--data", "{damaged}"], "1 of 1 clips"),
        (["--protocol", "xveiw"], "did you mean 'xview'"),
        (["--protocol", "xview"], "it has: xsub"),
        (["--seeds", "0"], "at least one seed"),
        (["--seeds", "1,1"], "duplicate seed 1"),
        (["--set", "pretrain.epoch=3"], "did you mean 'pretrain.epochs'?"),
        (["--set", "epochs=3"], "did you mean 'pretrain.epochs'?"),
        (["--set", "pretrain.epochs=x"], "pretrain.epochs"),
        (["--set", "pretrain.batch=999"], "pretrain.batch"),
        (["--set", "novalue"], "key.path=value"),
        (["--set", "finetune.epochs=3"], "nothing here uses it"),
        (["--set", "pretrain.epochs=2024-99-99"], "valid"),
        (["--epochs", "3"], "no option --epochs: give --set pretrain.epochs=3 (or linear.epochs"),
        (["--lr=0.1"], "--set pretrain.optimiser.lr=0.1"),
        (["--sed", "3"], "--sed"),
        (["--source", "{utd}"], "is no study of transfer"),
        (["--source", "/nowhere"], "does not exist"),
        (["--preset", "smal"], "unknown preset 'smal': did you mean 'small'?"),
        (["--only", "crops"], "did you mean 'crop'"),
        (["--format", "pdf"], "unknown format 'pdf'"),
        (["--track", "wanbd"], "did you mean 'wandb'"),
        (["--evaluate-on", "train"], "'--evaluate-on': 'train' is not one of 'test', 'validation'"),
        (["--folds", "3"], "--folds 3: only with --evaluate-on validation"),
        (["--evaluate-on", "validation", "--folds", "1"], "--folds"),
        (["--keep", "some"], "'some' is not one of 'none', 'last', 'all'"),
        (["--keep", "all"], "--checkpoint-every"),
        (["--retries", "-1"], "--retries"),
        (["--max-concurrent", "0"], "--max-concurrent"),
        (["--cpus-per-trial", "0"], "--cpus-per-trial"),
        (["--cpus-per-trial", "1e6"], "so no trial could ever start: give at most"),
        (["--gpus-per-trial", "x"], "--gpus-per-trial x: give a number"),
        (["--probe", "3"], "--probe 3: only with --plan"),
        (["--results", "{file}/r"], "cannot write to the results directory"),
        (["--results", "{file}"], "is a file"),
    ],
)
def test_a_mistake_is_one_clear_line_and_leaves_nothing(
    ablate: Ablate, arguments: list[str], message: str, utd: Path, tmp_path: Path
) -> None:
    places = {name: tmp_path / name for name in ("empty", "damaged", "file", "cwd")}
    for name in ("empty", "damaged"):
        places[name].mkdir()
    places["file"].touch()
    (places["damaged"] / "a1_s1_t1_skeleton.mat").write_bytes(b"MATLAB 5.0 no more")
    words = [word.format(utd=utd, **places) for word in arguments]
    results = tmp_path / "results"
    if "--data" not in words:
        words += ["--data", str(utd)]
    if "--results" not in words:
        words += ["--results", str(results)]
    if "--set" not in words:
        words += ["--set", "pretrain.batch=8"]
    ended = ablate("augmentations", *words)
    assert ended.code == 2
    (line,) = ended.err.strip().splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not results.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["augmentation"], "did you mean 'augmentations'"),
        (["run", "no.yaml"], "'no.yaml' does not exist: skelcon-ablate list names the built-in"),
        (["run", "augmentations"], "is a built-in study: run skelcon-ablate augmentations"),
        (["plan", "augmentation"], "'augmentation' is no study: did you mean 'augmentations'"),
        (["list", "no.yaml"], "cannot read 'no.yaml'"),
        (["table", "augmentations"], "has no tables: run a study to make one"),
        (["status"], "holds no units"),
        (["merge", "one"], "two results directories"),
        (["search", "optimizer"], "did you mean 'optimiser'"),
        (["search", "--scheduler", "ahsa"], "'ahsa' is not one of 'asha', 'pbt', 'fifo'"),
    ],
)
def test_a_mistake_in_a_command_is_one_line(
    ablate: Ablate, words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = ablate(*words)
    assert ended.code == 2
    (line,) = ended.err.strip().splitlines()
    assert message in line


def test_what_this_machine_cannot_give_is_refused_before_ray_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ray decides where it may know more: in a cluster, or with a GPU device in the machine."""
    for name in ("CUDA_VISIBLE_DEVICES", "RAY_OVERRIDE_RESOURCES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("ablation.cli.studies.DEVICES", ("no-such-device",))
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(
        UserError, match=r"--gpus-per-trial 1: the cluster has 0 GPUs.*leave it out"
    ):
        check_machine(Resources(gpus_per_trial=1))
    with pytest.raises(UserError, match=r"--cpus-per-trial 100000: the cluster has"):
        check_machine(Resources(cpus_per_trial=100_000))
    check_machine(Resources(gpus_per_trial=AutoGpus(1)))
    check_machine(Resources(gpus_per_trial=1, address="auto"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    check_machine(Resources(gpus_per_trial=2))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr("ablation.cli.studies.DEVICES", ("null",))
    check_machine(Resources(gpus_per_trial=1))


def test_plan_counts_and_runs_nothing(ablate: Ablate, utd: Path, tmp_path: Path) -> None:
    results = tmp_path / "r"
    options = ("--data", utd, "--results", results, "--set", "pretrain.batch=8")
    ended = ablate("augmentations", *options, "--seeds", 2, "--plan")
    assert ended.code == 0
    counts = "60 cells, 93 distinct units (42 pre-trainings, 51 evaluations), 0 done"
    assert counts in ended.out.replace("\n", " ")
    ended = ablate("plan", "augmentations", "rep-pairs", *options, "--json")
    document, other = json.loads(ended.out)
    assert (document["cells"], document["units"], document["done"]) == (30, 47, 0)
    assert len({unit["key"] for unit in document["to_run"]}) == 47
    assert other["together"]["units"] < document["units"] + other["units"]
    assert not results.exists()


def test_list_shows_studies_and_searches(ablate: Ablate, study_file: Path) -> None:
    lines = ablate("list", study_file).out.splitlines()
    for name, start in (("augmentations", "Table 5"), ("tiny", "Table 5"), ("optimiser", "-")):
        assert any(line.split()[:1] == [name] and start in line for line in lines)
    document = json.loads(ablate("list", study_file, "--json").out)
    by_name = {study["name"]: study for study in document["studies"]}
    assert set(by_name) == {*known_studies(), "tiny"}
    assert {search["name"] for search in document["searches"]} == set(known_spaces())
    assert by_name["augmentations"]["units"] == 47
    assert by_name["augmentations"]["columns"] == ["img", "stg", "seq"]
    assert by_name["tiny"]["rows"] == ["none", "crop+jitter", "random"]


def test_list_shows_all_files_of_one_name(ablate: Ablate, study_file: Path, tmp_path: Path) -> None:
    other = tmp_path / study_file.name
    other.write_text(study_file.read_text().replace("title: ", "title: Another ", 1))
    lines = ablate("list", study_file, other).out.splitlines()
    assert len({line for line in lines if line.split()[:1] == ["tiny"]}) == 2


def test_help_version_and_no_words(ablate: Ablate) -> None:
    shown = ablate("--help")
    assert shown.code == 0
    text = " ".join(shown.out.replace("│", " ").split())
    assert "Table 5" in text
    # Summaries are whole.
    assert "Make a table and its files again from the results; needs no data" in text
    assert ablate("--version").out.startswith("skelcon ")
    assert ablate().code == 2


def test_studies_and_keys_are_completed(tmp_path: Path) -> None:
    (tmp_path / "results" / "units" / "3f2a9c01d2e4b5a6").mkdir(parents=True)

    def completed(text: str) -> list[str]:
        program = "import sys; sys.argv[0] = 'skelcon-ablate'; "
        program += "from ablation.cli import main; main()"
        asks = {"_SKELCON_ABLATE_COMPLETE": "complete_bash", "COMP_WORDS": f"skelcon-ablate {text}"}
        asks["COMP_CWORD"] = str(len(text.split(" ")))
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, **asks},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.split()

    assert completed("aug") == ["augmentations"]
    assert "crop-length" in completed("plan cr")
    assert completed("logs 3f") == ["3f2a9c01"]


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("list",),
        ("status",),
        ("logs", "3f"),
        ("clean",),
        ("table", "--help"),
        ("figures", "--help"),
    ],
)
def test_small_commands_import_nothing_that_takes_long(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    """The guard of their time is loose: other processes may be at work."""
    unit = tmp_path / "results" / "units" / "3f2a9c01d2e4b5a6"
    unit.mkdir(parents=True)
    (unit / "log.txt").write_text("started\n")
    program = f"""
import sys, time
sys.argv = ["skelcon-ablate", *{words!r}]
from ablation.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
heavy = [name for name in {HEAVY!r} if name in sys.modules]
seconds = time.process_time()
import psutil
print([heavy, seconds, psutil.Process().memory_info().rss], file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    heavy, seconds, memory = json.loads(done.stderr.splitlines()[-1].replace("'", '"'))
    assert heavy == []
    assert seconds < 1.5
    assert memory < 100e6
