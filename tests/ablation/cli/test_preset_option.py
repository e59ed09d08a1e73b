"""``--preset`` takes a name or a file; a wrong one is one line and exit code 2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ablation.cli import options
from skelcon.presets import PRESETS


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text("extends: small\nby_data:\n  UTD-MHAD: {pretrain.batch: 9}\n")
    return path


def test_the_names_on_the_command_line_are_those_that_there_are() -> None:
    assert options.PRESETS == PRESETS


def test_a_study_is_planned_with_a_file(
    ablate: Callable[..., Any], study_file: Path, utd: Path, recipe: Path, tmp_path: Path
) -> None:
    words = ("--data", utd, "--results", tmp_path / "results", "--preset", recipe)
    ended = ablate("plan", study_file, *words)
    assert ended.code == 0, ended.err
    assert "mine.yaml preset" in ended.out


@pytest.mark.parametrize("command", ["plan", "settings"])
def test_a_wrong_preset_is_one_line(
    ablate: Callable[..., Any],
    skelcon: Callable[..., Any],
    study_file: Path,
    utd: Path,
    recipe: Path,
    command: str,
) -> None:
    def run(preset: object) -> Any:
        if command == "plan":
            return ablate("plan", study_file, "--data", utd, "--preset", preset)
        return skelcon("settings", "--preset", preset)

    ended = run("smal")
    assert (ended.code, ended.out) == (2, "")
    assert "unknown preset 'smal': did you mean 'small'?" in " ".join(ended.err.split())
    recipe.write_text("pretrain:\n  epoch: 3\n")
    ended = run(recipe)
    assert (ended.code, ended.out) == (2, "")
    assert "line 2: unknown key 'pretrain.epoch'" in " ".join(ended.err.split())
    assert "Traceback" not in ended.err


def test_settings_shows_the_recipes_and_those_for_a_data_set(
    skelcon: Callable[..., Any], recipe: Path
) -> None:
    shown = skelcon("settings", "--preset", recipe)
    assert "pretrain.batch=64" in shown.out.splitlines()
    assert "# for utdmhad: pretrain.batch=9" in shown.out.splitlines()
    shown = skelcon("settings", "--preset", recipe, "--on", "utd_mhad")
    assert "pretrain.batch=9" in shown.out.splitlines()
    assert "# for utdmhad" not in shown.out
    shown = skelcon("settings", "--on", "PKU-MMD II").out.splitlines()
    assert {"pretrain.contrast.queue=2048", "pretrain.epochs=600"} <= set(shown)
