"""Importers and protocols of a plug-in: found, used by every import, and refused if they clash."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from own_recordings import imported, made_clips, write_layout, write_npz

import skelcon
from skelcon.data import import_dataset, open_or_import, protocols
from skelcon.data.importers import FAMILIES, detect
from skelcon.data.importers import registered as importers
from skelcon.plugins import load_plugins

PLUGIN = '''
import numpy as np
from skelcon import register_importer, register_protocol
from skelcon.data import KINECT_V1, ClipFiles, ClipInfo


@register_importer
class Lab(ClipFiles):
    """Clips of the lab: LABEL-SUBJECT.lab, numbers one after the other."""

    family, title, name = "lab", "recordings of the lab", "our lab"
    layout, class_names, batch = KINECT_V1, ("sit", "stand"), 4

    @classmethod
    def find(cls, path):
        files = sorted(path.glob("*.lab")) if path.is_dir() else []
        return cls(path, files) if files else None

    def info(self, name):
        label, subject = name.removesuffix(".lab").split("-")
        return ClipInfo(name, self.class_names.index(label), int(subject))

    def coordinates(self, path, info):
        return np.loadtxt(path).reshape(1, -1, 20, 3)

    def splits(self, infos):
        return {"xsub": np.array([info.subject % 2 for info in infos])}


@register_protocol("first-two", version=1)
def first_two(infos):
    if all(info.subject < 0 for info in infos):
        return None
    return [0 if info.subject <= 2 else 1 for info in infos]
'''


@pytest.fixture
def registries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(protocols.REGISTERED, "_registered", {})
    before = dict(FAMILIES)
    yield
    FAMILIES.clear()
    FAMILIES.update(before)


@pytest.fixture
def lab(tmp_path: Path, registries: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "lab_plugin.py").write_text(PLUGIN)
    load_plugins([str(tmp_path / "lab_plugin.py")])
    folder = tmp_path / "clips"
    folder.mkdir()
    draws = np.random.default_rng(0)
    for label in ("sit", "stand"):
        for subject in range(1, 5):
            np.savetxt(folder / f"{label}-{subject}.lab", draws.uniform(1, 2, (3, 60)))
    yield folder
    del sys.modules["lab_plugin"]


def test_files_of_a_plugin_are_found_and_imported(tmp_path: Path, lab: Path):
    assert detect(lab).family == "lab"
    assert detect(lab, "lab").title == "recordings of the lab"
    dataset, _ = open_or_import(lab)
    assert (dataset.name, dataset.family, len(dataset)) == ("our lab", "lab", 8)
    assert dataset.splits["first-two"].tolist() == [0, 0, 1, 1] * 2
    assert dataset.meta["origin"]["protocols"] == {"first-two": "1"}
    in_others, _ = import_dataset(lab, tmp_path / "other", workers=2)
    assert in_others.fingerprint == dataset.fingerprint


def test_a_protocol_is_computed_for_every_source(tmp_path: Path, lab: Path):
    own = {"layout": write_layout(tmp_path / "layouts"), "split": "subject:odd"}
    npz = write_npz(tmp_path / "own.npz", made_clips())
    dataset, _ = imported(npz, tmp_path / "out", own)
    assert dataset.splits["first-two"].tolist() == [0, 0, 1, 1] * 3
    assert skelcon.data.split(dataset, "first-two", "test").tolist() == [2, 3, 6, 7, 10, 11]
    nobody = write_npz(tmp_path / "own.npz", made_clips(), subject=np.full(12, -1))
    dataset, _ = imported(nobody, tmp_path / "out", {**own, "split": "random"})
    assert "first-two" not in dataset.splits


def test_another_version_imports_the_cached_data_again(lab: Path):
    first, _ = open_or_import(lab)
    plugin = sys.modules["lab_plugin"]
    skelcon.register_protocol("first-two", version=2)(plugin.first_two)
    again, _ = open_or_import(lab)
    assert again.path != first.path


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        ([0, 1], ("(12,)", "(2,)")),
        ([0.5] * 12, ("float",)),
        ([2] * 12, ("12",)),
        ("boom", ("12",)),
    ],
)
def test_a_protocol_that_does_not_answer_is_told(
    tmp_path: Path, registries: None, user_error: Callable[..., str], answer: object, named: tuple
):
    skelcon.register_protocol("mine", version=1)(lambda infos: answer)
    own = {"layout": write_layout(tmp_path / "layouts"), "split": "subject:odd"}
    npz = write_npz(tmp_path / "own.npz", made_clips())
    user_error(lambda: imported(npz, tmp_path / "out", own), "protocol 'mine'", *named)


def test_a_protocol_that_fails_or_clashes_is_told(
    tmp_path: Path, registries: None, user_error: Callable[..., str]
):
    own = {"layout": write_layout(tmp_path / "layouts"), "split": "mine=subject:odd"}
    npz = write_npz(tmp_path / "own.npz", made_clips())

    @skelcon.register_protocol("mine", version=1)
    def mine(infos: object) -> object:
        return [0, 1] * 6

    user_error(lambda: imported(npz, tmp_path / "out", own), "protocol 'mine'", "another name")
    user_error(lambda: skelcon.register_protocol("xsub", version=1)(mine), "'xsub'")
    user_error(lambda: skelcon.register_protocol("cs", version=1)(mine), "'cs'")

    @skelcon.register_protocol("other", version=1)
    def other(infos: object) -> object:
        raise KeyError("subject")

    own["split"] = "subject:odd"
    user_error(lambda: imported(npz, tmp_path / "out", own), "protocol 'other'", "KeyError")


def test_what_is_no_importer_is_refused(
    registries: None, user_error: Callable[..., str], lab: Path
):
    plugin = sys.modules["lab_plugin"]
    user_error(lambda: importers.register(int), "int", "Source")  # type: ignore[arg-type]
    nameless = type("Nameless", (plugin.Lab,), {"family": "My Lab"})
    user_error(lambda: skelcon.register_importer(nameless), "Nameless", "My Lab")
    taken = type("Taken", (plugin.Lab,), {"family": "ntu"})
    user_error(lambda: skelcon.register_importer(taken), "Taken", "'ntu'")
    unfinished = type("Unfinished", (skelcon.data.Source,), {"family": "x", "title": "x"})
    user_error(lambda: skelcon.register_importer(unfinished), "Unfinished", "splits")
    assert skelcon.register_importer(plugin.Lab) is plugin.Lab
