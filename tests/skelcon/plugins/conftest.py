"""Each test has registries of its own."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from plugin_helpers import PLUGIN, REGISTRIES

from skelcon.plugins import load_plugins


@pytest.fixture(autouse=True)
def _registries_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """What a test registers, imports and puts on the path is gone after it."""
    for registry in REGISTRIES:
        monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "my_plugin.py"
    path.write_text(PLUGIN)
    return path


@pytest.fixture
def loaded(plugin: Path) -> Path:
    load_plugins([str(plugin)])
    return plugin
