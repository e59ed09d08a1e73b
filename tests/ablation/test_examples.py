"""The examples in the engine's docstrings."""

import doctest
import importlib
import pkgutil

import pytest

import ablation

PACKAGES = ("ablation.report.", "ablation.statistics.", "ablation.api")
MODULES = [
    each.name
    for each in pkgutil.walk_packages(ablation.__path__, "ablation.")
    if each.name.startswith(PACKAGES)
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
