"""A study of one's own components: planned, keyed with their version, and run."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ablation_helpers import in_process

from ablation.plan import Plan, make_plan
from ablation.store import Store
from ablation.study import load_study
from ablation.units import EvaluateUnit, read_unit
from ablation.work import Context, UnitRun
from skelcon.augment import AUGMENTATIONS
from skelcon.data import SkeletonDataset
from skelcon.encoders import ENCODERS, REPRESENTATION_PLUGINS
from skelcon.errors import UserError
from skelcon.plugins import load_plugins

PLUGIN = """
import torch
from torch import nn

from skelcon import register_augmentation, register_encoder, register_representation


@register_augmentation("mirror", version="VERSION")
def mirror(view, generator, p: float = 0.5):
    sign = torch.where(torch.rand(len(view), generator=generator) < p, -1.0, 1.0)
    return view * torch.stack([sign, sign.abs(), sign.abs()], dim=1)[:, None, None, None].to(view)


@register_encoder("mean-net", version="1")
class MeanNet(nn.Module):
    def __init__(self, layout, bodies, frames, width=4):
        super().__init__()
        self.linear = nn.Linear(bodies * layout.num_joints * 3, width)
        self.feature_size = width

    def forward(self, x):
        return self.linear(x).mean(dim=1)


@register_representation("motion", version="1", encoder="mean-net")
def motion(view):
    return view.diff(dim=2).permute(0, 2, 3, 4, 1).flatten(2)
"""

STUDY = """
title: My components
protocols: [xsub]
base:
  pretrain.epochs: 2
  pretrain.batch: 8
  pretrain.contrast: {queue: 16, dim: 8, head_hidden: 8, momentum: 0.9}
  pretrain.encoders.frames: 16
  pretrain.encoders.seq: {hidden: 4, layers: 1}
  linear: {epochs: 2, milestones: [1], crops: 1}
rows:
  crop: {set: {pretrain.augment.use: [crop]}}
  crop+mirror:
    set: {pretrain.augment.use: [crop, mirror], pretrain.augment.custom.mirror.p: 0.25}
references:
  random: {label: random weights, pretrain: false}
columns:
  seq: {downstream: [seq], set: {pretrain.representations: [seq]}}
  motion: {downstream: [motion], set: {pretrain.representations: [motion]}}
  pair: {downstream: [motion], set: {pretrain.representations: [seq, motion]}}
  mean:
    downstream: [seq]
    set:
      pretrain.representations: [seq]
      pretrain.encoders.custom.seq: {encoder: mean-net, options: {width: 5}}
"""


@pytest.fixture(autouse=True)
def _registries_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for registry in (AUGMENTATIONS, ENCODERS, REPRESENTATION_PLUGINS):
        monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("my_plugin", None)


@pytest.fixture
def study_with_plugin(tmp_path: Path) -> Path:
    (tmp_path / "my_plugin.py").write_text(PLUGIN.replace("VERSION", "1"))
    path = tmp_path / "mine.yaml"
    path.write_text(STUDY)
    return path


def planned(dataset: SkeletonDataset, file: Path) -> Plan:
    return make_plan(load_study(file), dataset, preset="paper", seeds=(0,))


def test_a_study_of_custom_components_is_planned_with_their_versions(
    dataset: SkeletonDataset, study_with_plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"columns\.motion\.downstream\.0: unknown .* 'motion'"):
        load_study(study_with_plugin)
    load_plugins(["my_plugin"], study_with_plugin.parent)
    plan = planned(dataset, study_with_plugin)
    assert (plan.count("pretrain"), plan.count("evaluate")) == (8, 8 + 3)
    by_cell = {(cell.row, cell.column): cell.unit for cell in plan.cells}

    # Another version asks for other units of what uses it, and of nothing else.
    mirror = AUGMENTATIONS["mirror"]
    monkeypatch.setitem(AUGMENTATIONS._registered, "mirror", replace(mirror, version="2"))
    for cell in planned(dataset, study_with_plugin).cells:
        before = by_cell[cell.row, cell.column]
        assert before is not None
        assert cell.unit is not None
        assert (cell.unit.key == before.key) == (cell.row != "crop+mirror")

    random = by_cell["random", "motion"]
    assert isinstance(random, EvaluateUnit)
    assert random.encoders[0].random == {
        "frames": 16,
        "orientation": "first_frame",
        "custom": {
            "motion": {
                "encoder": "mean-net",
                "options": {"width": 4},
                "version": "1",
                "representation_version": "1",
            }
        },
    }


def test_the_units_of_custom_components_run(
    dataset: SkeletonDataset, study_with_plugin: Path, tmp_path: Path
) -> None:
    load_plugins(["my_plugin"], study_with_plugin.parent)
    store = Store(tmp_path / "results")
    for unit in planned(dataset, study_with_plugin).units.values():
        again = read_unit(json.loads(json.dumps(unit.to_json())))
        run = UnitRun(again, store, Context({dataset.fingerprint: dataset.path}))
        while not run.step(0).done:
            pass
        run.close()
        assert store.is_done(unit.key)
        if unit.kind == "evaluate":
            assert 0 <= store.result(unit.key)["top1"] <= 1


def test_the_command_line_loads_a_plugin(
    utd: Path, study_with_plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = (study_with_plugin, "--data", utd, "--results", tmp_path / "results")
    done = in_process("plan", *options, "--plugin", "my_plugin")
    assert done.returncode == 0, done.stderr
    assert "19 distinct units (8 pre-trainings, 11 evaluations)" in done.stdout
    failed = in_process("plan", *options, "--plugin", "my_plugni")
    assert failed.returncode == 2
    assert "did you mean 'my_plugin'" in failed.stderr
    assert "Traceback" not in failed.stderr
