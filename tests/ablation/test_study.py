from __future__ import annotations

from pathlib import Path

import pytest

from ablation.study import known_studies, load_study, named_study
from skelcon.errors import UserError
from skelcon.settings import PRESETS, preset_tree


@pytest.mark.parametrize("name", sorted(known_studies()))
@pytest.mark.parametrize("preset", PRESETS)
def test_every_shipped_study_has_valid_settings_in_every_preset(name: str, preset: str) -> None:
    study = named_study(name)
    for row in study.all_rows:
        for column in study.columns:
            settings = study.settings(row, column, preset_tree(preset), {})
            assert settings.pretrain.epochs >= 1


def test_augmentations_is_the_papers_table_5() -> None:
    study = named_study("augmentations")
    assert list(study.rows) == [
        "none", "crop", "pose", "jitter", "crop+pose", "crop+jitter", "crop+pose+jitter"
    ]  # fmt: skip
    assert list(study.columns) == ["img", "stg", "seq"]
    assert study.paper_value("crop+jitter", "seq") == 80.0
    for name in study.rows:
        use = study.settings(name, "seq", {}, {}).pretrain.augment.use
        assert set(use) == (set(name.split("+")) - {"none"})


def test_paper_preset_holds_the_papers_hyper_parameters() -> None:
    settings = named_study("augmentations").settings("jitter", "seq", preset_tree("paper"), {})
    pretrain = settings.pretrain
    assert (pretrain.epochs, pretrain.batch) == (451, 64)
    assert pretrain.optimiser.name == "sgd"
    assert (pretrain.optimiser.lr, pretrain.optimiser.weight_decay) == (0.01, 1e-4)
    assert pretrain.optimiser.milestones == (351,)
    assert (pretrain.contrast.temperature, pretrain.contrast.queue) == (0.07, 16384)
    assert (pretrain.contrast.momentum, pretrain.contrast.dim) == (0.999, 128)
    assert (pretrain.encoders.seq.hidden, pretrain.encoders.seq.layers) == (1024, 3)
    assert (pretrain.augment.jitter.joints, pretrain.augment.crop.l_min) == (15, 0.1)
    assert (settings.linear.epochs, settings.linear.lr) == (80, 0.1)
    assert (settings.linear.momentum, settings.linear.milestones) == (0.9, (50, 70))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("title: x\nrows:", "rows"),
        ("title: x\nrows: {a: {}}\ncolumns: {c: {representation: sqe}}", "columns.c"),
        ("titel: x\nrows: {a: {}}\ncolumns: {c: {representation: seq}}", "did you mean 'title'"),
        ("title: x\nrows: {a: {ticks: [b]}}\ncolumns: {c: {representation: seq}}", "tick 'b'"),
        ("title: [", "line 1"),
        ("- 1", "no mapping"),
    ],
)
def test_a_wrong_study_is_told_in_one_line(tmp_path: Path, change: str, told: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(change)
    with pytest.raises(UserError) as error:
        load_study(path)
    assert "mine.yaml" in str(error.value)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_wrong_setting_in_a_row_names_the_row_and_the_nearest_key(
    tmp_path: Path, study_file: Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(study_file.read_text().replace("pretrain.augment.use: []", "pretrain.epoch: 1"))
    with pytest.raises(UserError, match=r"row 'none'.*'pretrain.epoch'.*did you mean 'epochs'"):
        load_study(path).settings("none", "seq", {}, {})


def test_a_preset_can_depend_on_the_representations() -> None:
    preset = {"by_representations": {"img": {"pretrain.epochs": 7}}, "pretrain": {"epochs": 9}}
    study = named_study("augmentations")
    assert study.settings("crop", "img", preset, {}).pretrain.epochs == 7
    assert study.settings("crop", "seq", preset, {}).pretrain.epochs == 9
    overridden = study.settings("crop", "img", preset, {"pretrain.epochs": 3})
    assert overridden.pretrain.epochs == 3
