"""Options in groups, and what is parsed when the command line is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from ablation.cli import program, single
from ablation.cli.options import StudyOptions
from ablation.cli.parsing import parse_names, parse_seeds, parse_settings
from ablation.cli.request import StudyRequest, read_request
from skelcon.cli.flatten import group, option, with_options
from skelcon.errors import UserError


def test_seeds_are_a_number_or_a_list() -> None:
    assert parse_seeds("3") == (0, 1, 2)
    assert parse_seeds("0,5,7") == (0, 5, 7)
    assert parse_seeds("5,") == (5,)
    for wrong in ("0", "-1", "x", "", "1.5", "2,x"):
        with pytest.raises(UserError, match="--seeds"):
            parse_seeds(wrong)
    with pytest.raises(UserError, match="--seeds 2,1,2: duplicate seed 2"):
        parse_seeds("2,1,2")


def test_settings_are_a_tree_and_names_a_tuple() -> None:
    texts = ["pretrain.epochs=3", "pretrain.contrast={queue: 16}", "linear.lr=1e-3"]
    assert parse_settings(texts) == {
        "pretrain": {"epochs": 3, "contrast": {"queue": 16}},
        "linear": {"lr": "1e-3"},  # as YAML reads it; the settings make a number of it
    }
    assert parse_names(" crop, pose,") == ("crop", "pose")


@group("Numbers")
class Inner:
    numbers: tuple[int, ...] = option((0,), "Some.", show_default="1", parse=parse_seeds)


@dataclass(frozen=True)
class Outer:
    inner: Inner


def test_a_dataclass_is_a_group_of_options() -> None:
    seen: list[tuple[str, Outer]] = []
    app = typer.Typer(rich_markup_mode="rich")

    @app.command()
    @with_options
    def command(name: str, options: Outer) -> None:
        seen.append((name, options))

    runner = CliRunner()
    assert runner.invoke(app, ["a"]).exit_code == 0
    assert runner.invoke(app, ["b", "--numbers", "2"]).exit_code == 0
    assert seen == [("a", Outer(Inner((0,)))), ("b", Outer(Inner((0, 1))))]
    help_text = runner.invoke(app, ["--help"]).output
    assert "─ Numbers ─" in help_text
    assert "--numbers" in help_text
    with pytest.raises(FrozenInstanceError):
        seen[0][1].inner.numbers = (1,)  # type: ignore[misc]


def test_a_study_command_is_read_and_not_run(study_file: Path, tmp_path: Path) -> None:
    words = [str(study_file), "--seeds", "0,2", "--set", "pretrain.epochs=4", "--keep", "last"]
    request = read_request([*words, "--results", str(tmp_path / "r"), "--cpus-per-trial", "2"])
    assert isinstance(request, StudyRequest)
    assert request.study.name == "tiny"
    assert request.options == StudyOptions(seeds=(0, 2), settings={"pretrain": {"epochs": 4}})
    assert request.resources.checkpoints.keep == "last"
    assert request.resources.cpus_per_trial == 2
    assert request.output.results == tmp_path / "r"
    assert not (tmp_path / "r").exists()
    assert read_request(["augmentations"]).study.name == "augmentations"


def test_plugins_of_the_command_and_of_the_study_are_loaded_by_each_worker(
    study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("of_command_x", "of_study_x"):
        (tmp_path / f"{name}.py").write_text("")
    study = tmp_path / "own.yaml"
    study.write_text(f"plugins: [of_study_x.py]\n{study_file.read_text()}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    request = read_request([str(study), "--plugin", "of_command_x"])
    assert request.resources.plugins == ("of_command_x", str(tmp_path / "of_study_x.py"))


DIFFERING = {"--results", "--json", "--format", "--only", "--out"}
"""Options whose help differs between commands, as what they accept does."""


def test_an_option_is_the_same_in_every_command() -> None:
    """Each option is defined once."""
    texts: dict[str, set[str]] = {}

    def collect(command: Any, context: Any) -> None:
        for parameter in command.params:
            if parameter.param_type_name == "option":
                texts.setdefault(parameter.opts[0], set()).add(parameter.help)
        for name in getattr(command, "commands", {}):
            collect(command.get_command(context, name), context)

    for app in (program.app, single.app):
        command: Any = typer.main.get_command(app)
        if app is single.app:
            command.commands = {name: command.commands[name] for name in ("pretrain", "evaluate")}
        collect(command, None)
    collect(typer.main.get_command(program.app).get_command(None, "augmentations"), None)
    assert {name for name, each in texts.items() if len(each) > 1} == DIFFERING
    assert all(text.endswith(".") for each in texts.values() for text in each)
    assert len(texts) > 50


@pytest.mark.parametrize(
    ("words", "panels"),
    [
        (("augmentations",), ("Data", "Study", "Resources", "Plan", "Output", "Table")),
        (("search",), ("Data", "Settings", "Search", "Resources", "Plan", "Output")),
        (("cluster", "slurm"), ("Nodes", "SLURM")),
        (("figures",), ("Figures", "Output")),
    ],
)
def test_help_shows_groups_and_choices(
    ablate: Callable[..., Any],
    words: tuple[str, ...],
    panels: tuple[str, ...],
) -> None:
    ended = ablate(*words, "--help")
    assert ended.code == 0
    shown = [line.split()[1] for line in ended.out.splitlines() if line.startswith("╭")]
    assert [name for name in shown if name not in ("Arguments", "Options")] == list(panels)
    assert ("quick (minutes on" in " ".join(ended.out.replace("│", " ").split())) == (
        "Data" in panels
    )
