"""The examples in docstrings, and those of the package's README."""

import doctest
import importlib
import pkgutil
import re
import sys
from pathlib import Path

import pytest
import torch

import skelcon
from skelcon.data import LAYOUTS, ClipBank, layout_from
from skelcon.encoders import Encoder
from skelcon.plugins import load_plugins
from skelcon.settings import resolve

MODULES = [each.name for each in pkgutil.walk_packages(skelcon.__path__, "skelcon.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples():
    names = ("skelcon.settings", "skelcon.errors", "skelcon.data.layouts.layout")
    for name in names:
        assert doctest.testmod(importlib.import_module(name)).attempted > 0


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_mirrors_onto_itself(name: str):
    layout = layout_from(name)
    other = layout.mirrored
    assert [other[joint] for joint in other] == list(range(layout.num_joints))
    assert sum(joint == other[joint] for joint in other) < layout.num_joints / 3
    assert {(other[a], other[b]) for a, b in layout.bones} == set(layout.bones)
    assert tuple(other[joint] for joint in layout.shoulders) == layout.shoulders[::-1]


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The README's plug-in, loaded as its reader would."""
    for registry in (skelcon.augment.AUGMENTATIONS, *registries()):
        monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    monkeypatch.setattr(sys, "path", [*sys.path])
    text = (Path(skelcon.__file__).parent / "README.md").read_text()
    (code,) = re.findall(r"<!-- plugin -->\n```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "my_plugin.py").write_text(code)
    load_plugins(["my_plugin"], tmp_path)
    del sys.modules["my_plugin"]


def registries():
    return skelcon.encoders.ENCODERS, skelcon.encoders.REPRESENTATION_PLUGINS


def test_the_plugin_of_the_readme(plugin: None, small_bank: ClipBank):
    augment = {"use": ["hold"], "custom.hold": {"p": 0.5}}
    custom = {"motion": {}, "seq": {"encoder": "mean-net", "options": {"width": 8}}}
    tree = {"augment": augment, "encoders.custom": custom, "encoders.frames": 16}
    settings = resolve([{"pretrain": tree, "pretrain.encoders.seq.hidden": 4}], "test").pretrain
    clips = torch.arange(6)
    plain = settings.augment.model_copy(update={"use": ()})
    draws = torch.Generator().manual_seed(0)
    views = [
        skelcon.augment.augmented_view(small_bank, clips, config, 16, draws)
        for config in (plain, settings.augment)
    ]
    before = views[1][:, :, :-1]
    held = (views[1][:, :, 1:] == before).flatten(3).all(-1).all(1).all(0)
    assert 0 < held.sum() < 15
    torch.testing.assert_close(views[1][:, :, 1:][:, :, ~held], views[0][:, :, 1:][:, :, ~held])
    for name, size in (("motion", 8), ("seq", 8)):
        encoder = Encoder(name, settings.encoders, small_bank.layout, small_bank.num_bodies)
        assert encoder(views[0]).shape == (6, size)
