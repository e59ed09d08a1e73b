"""Policies of single views in studies: cost, names, notes; and what nothing reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from study_helpers import TINY_STUDY
from unit_helpers import pretraining

from ablation.costs.history import History, Rate
from ablation.costs.traits import Hardware
from ablation.monitor.status import label_of
from ablation.plan import Plan, make_plan
from ablation.report import cells_frame, make_table
from ablation.store import Store
from ablation.study import load_study
from ablation.unused import check_unused
from skelcon.data import SkeletonDataset
from skelcon.errors import UserError
from skelcon.settings import merge

NONE = "none: {set: {pretrain.augment.use: []}}"
WEAK_AND_STRONG = """weak-key:
    set:
      pretrain.augment: {use: [crop], crop.l_min: 0.4}
      pretrain.views.query: {use: [crop, jitter], jitter.joints: 10}"""
EXTRA = """strong-extra:
    set: {pretrain.views.extra: [{use: [crop, jitter, flip]}]}"""


def planned(
    folder: Path, dataset: SkeletonDataset, *rows: str, base: str = "", **options: Any
) -> Plan:
    path = folder / "tiny.yaml"
    text = TINY_STUDY.replace(NONE, "\n  ".join([NONE, *rows]))
    path.write_text(text.replace("base:\n", f"base:\n  {base}\n") if base else text)
    settings: dict[str, Any] = {}
    merge(settings, options.pop("settings", {}))
    choices = {"preset": "small", "seeds": (0,), "overrides": settings}
    return make_plan(load_study(path), dataset, **{**choices, **options})


# -- units -------------------------------------------------------------------------------------


def test_a_further_view_is_half_as_much_again() -> None:
    two, same = pretraining(batch=10), pretraining(batch=10, views={"query": {"use": ["flip"]}})
    three = pretraining(batch=10, views={"extra": [{}]})
    assert two.clips_seen(45, 9) == same.clips_seen(45, 9) == 400
    assert three.clips_seen(45, 9) == 600
    # A measurement of the one is evidence for the other.
    hardware, history = Hardware("cpu", "a CPU", 1), History([], [])
    history.add_measurement(two, hardware, Rate(0.5, "measured"))
    assert history.rate(three, hardware) == Rate(0.5, "measured")


def test_a_unit_is_called_by_the_augmentations_of_all_its_views() -> None:
    views = {"query": {"use": ["crop", "flip"]}, "extra": [{"use": ["speed"]}]}
    unit = pretraining(augment={"use": ["crop"]}, views=views)
    assert unit.augmentations == ("crop", "flip", "speed")
    assert label_of(unit) == "pretrain crop+flip+speed / seq / seed 0"


# -- tables ------------------------------------------------------------------------------------


def test_what_j_means_is_said_of_every_view(dataset: SkeletonDataset, tmp_path: Path) -> None:
    plan = planned(tmp_path, dataset, WEAK_AND_STRONG, EXTRA, settings={"pretrain.epochs": 1})
    table = make_table(plan, cells_frame(plan, Store(tmp_path / "r")))
    (note,) = [str(each) for each in table.notes if "|j|" in each]
    assert note.endswith("|j| = 5 jitters 4, |j| = 10 jitters 8.")


# -- what nothing reads ------------------------------------------------------------------------


def test_a_setting_that_one_row_reads_is_no_mistake(
    dataset: SkeletonDataset, tmp_path: Path
) -> None:
    byol = "byol: {set: {pretrain.objective.name: byol}}"
    settings = {"pretrain.contrast.temperature": 0.2}
    check_unused(planned(tmp_path, dataset, byol, settings=settings))
    check_unused(planned(tmp_path, dataset, EXTRA, settings={"pretrain.contrast.extra": "infonce"}))


@pytest.mark.parametrize(
    ("row", "base", "settings", "message"),
    [
        (
            "byol: {set: {pretrain.objective.name: byol, pretrain.contrast.momentum: 0.9}}",
            "",
            {},
            "study 'tiny', row 'byol': 'pretrain.contrast.momentum' decides nothing: it is an "
            "option of moco, not of byol, which has pretrain.objective.options: did you mean "
            "'momentum'?",
        ),
        (
            "",
            "pretrain.objective.name: simclr",
            {"pretrain": {"contrast": {"temperature": 0.2}}},
            "--set: 'pretrain.contrast.temperature' decides nothing: it is an option of moco, not "
            "of simclr, which has pretrain.objective.options: did you mean 'temperature'?",
        ),
        (
            "",
            "pretrain.objective.name: simclr",
            {},
            "study 'tiny', base: 'pretrain.contrast.queue' decides nothing: it is an option of",
        ),
        (
            "late: {set: {pretrain.contrast.extra: distribution}}",
            "",
            {},
            "study 'tiny', row 'late': 'pretrain.contrast.extra' decides nothing: it is of the "
            "views in pretrain.views.extra, and there are none",
        ),
    ],
)
def test_a_setting_of_the_contrast_that_nothing_reads_is_a_mistake(
    dataset: SkeletonDataset,
    tmp_path: Path,
    row: str,
    base: str,
    settings: dict[str, Any],
    message: str,
) -> None:
    rows = [row] if row else []
    plan = planned(tmp_path, dataset, *rows, base=base, settings=settings)
    with pytest.raises(UserError) as caught:
        check_unused(plan)
    assert str(caught.value).startswith(message)
