from __future__ import annotations

from pathlib import Path

import pytest

from ablation.catalogue import known_studies
from ablation.study import RESERVED, load_study, named_study
from skelcon.errors import UserError
from skelcon.presets import PRESETS, preset_tree


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
        "none",
        "crop",
        "pose",
        "jitter",
        "crop+pose",
        "crop+jitter",
        "crop+pose+jitter",
    ]
    assert list(study.columns) == ["img", "stg", "seq"]
    assert study.paper[0].values["crop+jitter"]["seq"] == 80.0
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
    ("change", "message"),
    [
        ("title: x\nrows:", "line 2: rows"),
        ("title: x\nrows: {a: {}}\ncolumns:\n  c: {downstream: [sqe]}", "line 4: columns.c"),
        (
            "titel: x\nrows: {a: {}}\ncolumns: {c: {downstream: [seq]}}",
            "line 1: unknown key 'titel': did you mean 'title'",
        ),
        (
            "title: x\nrows:\n  a:\n    lable: b\ncolumns: {c: {downstream: [seq]}}",
            "line 4: unknown key 'rows.a.lable': did you mean 'rows.a.label'",
        ),
        ("title: x\nrows: {a: {ticks: [b]}}\ncolumns: {c: {downstream: [seq]}}", "tick 'b'"),
        ("title: x\nrows: {a: {}}\ncolumns: {c: {}}", "whose encoder"),
        ("title: x\nrows: {a: {}, a: {}}", "line 2: duplicate key 'a'"),
        ("title: [", "line 1"),
        ("title: 2024-99-99", "not valid YAML"),
        ("title: &a [*a]", "contains itself"),
        ("name: x\ntitle: y", "line 1: a study is named after its file"),
        (
            "title: x\nmetric: top\nrows: {a: {}}\ncolumns: {c: {downstream: [seq]}}",
            "unknown metric 'top' of task linear: did you mean 'top1'",
        ),
        (
            "title: x\ndownstream: [seq]\nrows: {a: {}}\n"
            "columns: {c: {}, d: {of: c, metric: top1_train, separate: true}}",
            "column 'd' shows column 'c': it can set nothing else",
        ),
        ("- 1", "must be a mapping"),
    ],
)
def test_an_invalid_study_is_an_error_of_one_line(
    tmp_path: Path, change: str, message: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(change)
    with pytest.raises(UserError) as error:
        load_study(path)
    assert "mine.yaml" in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("pretrain.epoch: 1", r"unknown key 'pretrain.epoch': did you mean 'pretrain.epochs'"),
        (
            "pretrain: {augment: {uses: []}}",
            r"'pretrain.augment.uses': did you mean 'pretrain.augment.use'",
        ),
        ("pretrain.epochs: many", r"pretrain.epochs: .*\(given: 'many'\)"),
    ],
)
def test_a_wrong_setting_names_its_line_its_row_and_the_nearest_key(
    tmp_path: Path, study_file: Path, wrong: str, message: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(study_file.read_text().replace("pretrain.augment.use: []", wrong))
    line = 1 + path.read_text().splitlines().index(f"  none: {{set: {{{wrong}}}}}")
    with pytest.raises(UserError, match=rf"mine.yaml', line {line}: .*row 'none'.*{message}"):
        load_study(path).settings("none", "seq", {}, {})


def test_the_report_that_fits_the_data_is_chosen() -> None:
    study = named_study("semi-supervised")

    def source(*names: str) -> str:
        report = study.report(*names)
        assert report is not None
        return report.source

    assert source("ntu60", "xsub") == "Table 2, NTU RGB+D 60, x-sub"
    assert source("ntu60", "xview") == "Table 2, NTU RGB+D 60, x-view"
    assert source("pkummd1", "xsub") == "Table 2, PKU-MMD I, x-sub"
    assert source("anything", "xsub") == "Table 2, NTU RGB+D 60, x-view"
    transfer = named_study("transfer").report("pkummd2", "xsub", "ntu60")
    assert transfer is not None
    assert transfer.values["inter"]["target"] == 45.9


def test_a_preset_can_depend_on_the_representations() -> None:
    preset = {"by_representations": {"img": {"pretrain.epochs": 7}}, "pretrain": {"epochs": 9}}
    study = named_study("augmentations")
    assert study.settings("crop", "img", preset, {}).pretrain.epochs == 7
    assert study.settings("crop", "seq", preset, {}).pretrain.epochs == 9
    overridden = study.settings("crop", "img", preset, {"pretrain.epochs": 3})
    assert overridden.pretrain.epochs == 3


@pytest.mark.parametrize("name", RESERVED)
def test_a_study_cannot_have_a_name_that_results_directories_use(name: str, tmp_path: Path) -> None:
    file = tmp_path / f"{name}.yaml"
    file.write_text("title: x\n")
    with pytest.raises(UserError, match=f"cannot be named '{name}'.*rename the file"):
        load_study(file)
