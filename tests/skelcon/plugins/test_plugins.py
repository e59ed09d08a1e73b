"""Loading and registering components from a module outside the package."""

import importlib.metadata
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from plugin_helpers import BUILT_IN, PLUGIN, REGISTRIES
from torch import Tensor, nn

import skelcon
from skelcon.augment import AUGMENTATIONS, FURTHER, NAMES
from skelcon.encoders import REPRESENTATIONS
from skelcon.errors import UserError
from skelcon.plugins import GROUP, load_plugins


def names() -> list[tuple[str, ...]]:
    return [registry.names() for registry in REGISTRIES]


# -- loading -------------------------------------------------------------------------------


def test_a_plugin_is_found_by_module_and_by_path_and_loading_again_changes_nothing(
    plugin: Path, tmp_path: Path
):
    before = names()
    assert before == [(*NAMES, *FURTHER), BUILT_IN, REPRESENTATIONS]
    load_plugins(["my_plugin"], tmp_path)
    once = names()
    assert once[0] == (*NAMES, *FURTHER, "mirror", "noise")
    assert once[1] == (*BUILT_IN, "mean-net")
    assert once[2] == (*REPRESENTATIONS, "bone", "motion")
    function = AUGMENTATIONS["mirror"].function
    load_plugins(["my_plugin", str(plugin)], tmp_path)
    load_plugins(["my_plugin.py"], tmp_path)
    assert names() == once
    assert AUGMENTATIONS["mirror"].function is function


def test_a_file_that_has_just_been_edited_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Python's cache of byte code goes by size and second of the file."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    file, stamp = tmp_path / "just_edited.py", 1_700_000_000
    for number in (1, 2):
        file.write_text(f"NUMBER = {number}")
        os.utime(file, (stamp, stamp))
        monkeypatch.delitem(sys.modules, "just_edited", raising=False)
        load_plugins([str(file)])
        assert number == sys.modules["just_edited"].NUMBER
    del sys.modules["just_edited"]


def test_the_current_directory_is_searched_but_shadows_nothing_that_is_installed(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "uuid.py").write_text("raise RuntimeError('the wrong one')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "uuid", raising=False)
    load_plugins(["my_plugin", "uuid"])
    assert "mirror" in AUGMENTATIONS


def test_a_plugin_in_a_package_and_one_that_imports_its_neighbour(tmp_path: Path):
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text(PLUGIN.replace("mirror", "turn"))
    (tmp_path / "neighbour.py").write_text("NAME = 'from-neighbour'")
    (tmp_path / "uses_neighbour.py").write_text(
        "from neighbour import NAME\n"
        "from skelcon import register_augmentation\n"
        "register_augmentation(NAME, version=1)(lambda view, generator: view)\n"
    )
    load_plugins(["my_package.part"], tmp_path)
    load_plugins([str(tmp_path / "uses_neighbour.py")])
    assert "turn" in AUGMENTATIONS
    assert "from-neighbour" in AUGMENTATIONS


def test_installed_plugins_are_loaded_without_being_named(
    plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    info = tmp_path / "site" / "their_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\ntheirs = their_plugin\n")
    code = tmp_path / "site" / "their_plugin.py"
    code.write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert importlib.metadata.version("their-plugin") == "1.0"
    load_plugins()
    assert AUGMENTATIONS["mirror"].module == "their_plugin"
    del sys.modules["their_plugin"]
    code.write_text("import no_such_module_at_all\n")
    with pytest.raises(UserError, match="installed plugin 'their_plugin' cannot be imported"):
        load_plugins()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("my_plugni", "plugin 'my_plugni': no such module.*did you mean 'my_plugin'"),
        ("my_plugni.py", r"plugin 'my_plugni\.py': there is no file '/.*my_plugni\.py'"),
        ("a_directory", "plugin 'a_directory': it is a directory, not a module"),
        ("broken", r"'broken' cannot be imported: ZeroDivisionError: .*broken\.py, line 3\)"),
        ("broken.py", r"'broken\.py' cannot be imported: ZeroDivisionError"),
        ("syntax", r"'syntax' cannot be imported: SyntaxError: .*syntax\.py, line 2\)"),
        ("needs", r"cannot be imported: ModuleNotFoundError: No module named 'not_there'.*line 1"),
        ("leaves", "cannot be imported: SystemExit: 3"),
        ("json.py", "plugin 'json.py': another module has the name 'json': rename"),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_one_line(
    plugin: Path, tmp_path: Path, name: str, expected: str
):
    (tmp_path / "a_directory").mkdir()
    (tmp_path / "broken.py").write_text("\n\n1 / 0\n")
    (tmp_path / "syntax.py").write_text("\ndef f(:\n")
    (tmp_path / "needs.py").write_text("import not_there\n")
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit(3)\n")
    (tmp_path / "json.py").write_text("")
    for _ in range(2):  # a second try says the same
        with pytest.raises(UserError, match=expected) as caught:
            load_plugins([name], tmp_path)
        assert "\n" not in str(caught.value)
    load_plugins(["my_plugin"], tmp_path)


def test_a_name_that_the_package_does_not_have():
    with pytest.raises(AttributeError, match="no attribute 'register'"):
        _ = skelcon.register


# -- registering ---------------------------------------------------------------------------


def unchanged(view: Tensor, generator: torch.Generator) -> Tensor:
    return view


@pytest.mark.parametrize(
    "name", ["crop", "flip", "use", "custom", "Mirror", "a.b", "a+b", "", "1st"]
)
def test_a_name_that_is_taken_or_not_valid(name: str):
    with pytest.raises(UserError, match=f"augmentation '{name.replace('+', '.')}': "):
        skelcon.register_augmentation(name, version=1)(unchanged)
    assert names()[0] == (*NAMES, *FURTHER)


@pytest.mark.parametrize("name", ["seq", "frames", "items", "training"])
def test_reserved_names_of_representations(name: str):
    """``items`` and ``training`` are attributes of the torch module that holds the branches."""
    with pytest.raises(UserError, match="skelcon uses this name"):
        skelcon.register_representation(name, version=1)(lambda view: view)


def test_a_name_belongs_to_one_function_which_may_be_defined_again():
    skelcon.register_augmentation("same", version=1)(unchanged)
    skelcon.register_augmentation("same", version=2)(unchanged)
    assert AUGMENTATIONS["same"].version == "2"
    with pytest.raises(UserError, match="augmentation 'same' is registered by both"):
        skelcon.register_augmentation("same", version=1)(lambda view, generator: view)


@pytest.mark.parametrize("version", ["", None, True, 1.5])
def test_a_version_is_a_text_or_a_number(version: Any):
    with pytest.raises(UserError, match="augmentation 'x': version"):
        skelcon.register_augmentation("x", version=version)(unchanged)


def test_a_function_that_cannot_take_its_arguments():
    with pytest.raises(UserError, match=r"'x': it must accept \(view, generator\)"):
        skelcon.register_augmentation("x", version=1)(lambda view: view)
    with pytest.raises(UserError, match=r"'x': it must accept \(layout, bodies, frames\)"):
        skelcon.register_encoder("x", version=1)(lambda layout, **options: nn.Identity())

    def odd(view: Tensor, generator: torch.Generator, like: Tensor) -> Tensor:
        return view

    with pytest.raises(UserError, match="'x': an option must be a number"):
        skelcon.register_augmentation("x", version=1)(odd)
