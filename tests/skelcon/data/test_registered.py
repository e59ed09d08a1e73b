"""Importers and protocols of a plug-in: found, used by every import, and refused if they clash."""

import linecache
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from own_recordings import imported, made_clips, write_layout, write_npz

import skelcon
from skelcon.data import ClipInfo, import_dataset, open_or_import, protocols
from skelcon.data.importers import FAMILIES, detect
from skelcon.data.importers import registered as importers
from skelcon.data.importers.preview import preview
from skelcon.plugins import load_plugins

README = (Path(skelcon.__file__).parent / "README.md").read_text(encoding="utf-8")
(PLUGIN,) = re.findall(
    r"```python\n(import numpy as np\n.*?register_importer.*?)```", README, re.DOTALL
)


@pytest.fixture
def registries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(protocols.PROTOCOL_PLUGINS, "_registered", {})
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
    assert detect(lab, "lab").title == "recordings of our lab"
    dataset, _ = open_or_import(lab)
    assert (dataset.name, dataset.family, len(dataset)) == ("lab", "lab", 8)
    assert dataset.splits["first-two"].tolist() == [0, 0, 1, 1] * 2
    assert dataset.meta["origin"]["protocols"] == {"first-two": "1"}
    source = detect(lab)
    source.batch = 4  # type: ignore[misc]  (two pieces of work)
    in_others, _ = import_dataset(source, tmp_path / "other", workers=2)
    assert in_others.fingerprint == dataset.fingerprint


def test_a_protocol_is_computed_for_every_source(tmp_path: Path, lab: Path):
    own = {"layout": write_layout(tmp_path / "layouts"), "split": "subject:odd"}
    npz = write_npz(tmp_path / "own.npz", made_clips())
    dataset, _ = imported(npz, tmp_path / "out", own)
    assert dataset.splits["first-two"].tolist() == [0, 0, 1, 1] * 3
    assert skelcon.data.split(dataset, "first-two", "test").tolist() == [2, 3, 6, 7, 10, 11]


def test_a_protocol_need_not_apply(tmp_path: Path, registries: None):
    @skelcon.register_protocol("by-camera", version=1)
    def by_camera(infos: Sequence[ClipInfo]) -> list[int] | None:
        cameras = [info.camera for info in infos]
        return None if -1 in cameras else [camera % 2 for camera in cameras]

    own = {"layout": write_layout(tmp_path / "layouts"), "split": "random"}
    dataset, _ = imported(write_npz(tmp_path / "own.npz", made_clips()), tmp_path / "out", own)
    assert sorted(dataset.splits) == ["random"]
    cameras = np.arange(12) % 3
    npz = write_npz(tmp_path / "own.npz", made_clips(), camera=cameras)
    dataset, _ = imported(npz, tmp_path / "out", own)
    assert dataset.splits["by-camera"].tolist() == (cameras % 2).tolist()


def test_another_version_imports_the_cached_data_again(lab: Path):
    first, _ = open_or_import(lab)
    plugin = sys.modules["lab_plugin"]
    skelcon.register_protocol("first-two", version=2)(plugin.first_two)
    again, _ = open_or_import(lab)
    assert again.path != first.path


def test_a_change_beside_the_plugin_imports_the_cached_data_again(tmp_path: Path, lab: Path):
    (tmp_path / "lab_plugin.py").write_text(f"import lab_units\n{PLUGIN}")
    (tmp_path / "lab_units.py").write_text("from lab_scale import SCALE\n")
    (tmp_path / "lab_scale.py").write_text("SCALE = 1\n")
    (tmp_path / "no_part_of_it.py").write_text("SCALE = 1\n")
    first, _ = open_or_import(lab)
    (tmp_path / "no_part_of_it.py").write_text("SCALE = 2\n")
    assert open_or_import(lab)[0].path == first.path
    (tmp_path / "lab_scale.py").write_text("SCALE = 2\n")
    assert open_or_import(lab)[0].path != first.path


def test_another_importer_in_a_notebook_imports_the_cached_data_again(
    lab: Path, monkeypatch: pytest.MonkeyPatch
):
    notebook = ModuleType("notebook")
    monkeypatch.setitem(sys.modules, "notebook", notebook)
    paths = []
    for number, text in enumerate((PLUGIN, PLUGIN, PLUGIN.replace("1 - info", "info"))):
        cell = f"<cell {number}>"
        monkeypatch.setitem(linecache.cache, cell, (len(text), None, text.splitlines(True), cell))
        del FAMILIES["lab"]
        monkeypatch.setattr(protocols.PROTOCOL_PLUGINS, "_registered", {})
        exec(compile(text, cell, "exec"), vars(notebook))
        paths.append(open_or_import(lab)[0].path)
    assert paths[0] == paths[1] != paths[2]


def test_faults_of_a_plugin_are_reported(
    tmp_path: Path, lab: Path, monkeypatch: pytest.MonkeyPatch, user_error: Callable[..., str]
):
    plugin = sys.modules["lab_plugin"]
    read = plugin.Lab.coordinates

    def one_fails(self: object, path: Path, info: object) -> np.ndarray:
        return {}["left"] if path.name == "sit-2.lab" else read(self, path, info)

    monkeypatch.setattr(plugin.Lab, "coordinates", one_fails)
    dataset, (bad,) = import_dataset(lab, tmp_path / "out", max_bad=0.5)
    assert (len(dataset), bad.name, bad.reason) == (7, "sit-2.lab", "KeyError: 'left'")
    fault = "1 bad clip among those that were read, such as sit-2.lab: KeyError: 'left'"
    assert ("odd", fault) in preview(detect(lab)).facts

    monkeypatch.setattr(
        plugin.Lab, "coordinates", lambda self, path, info: read(self, path, info)[0]
    )
    user_error(lambda: import_dataset(lab, tmp_path / "out"), "coordinates() must give (M, T, 20")
    monkeypatch.setattr(plugin.Lab, "coordinates", read)
    monkeypatch.setattr(plugin.Lab, "splits", lambda self, infos: infos[99])
    where = "importer 'lab' of 'lab_plugin'"
    user_error(lambda: import_dataset(lab, tmp_path / "out", max_bad=0.5), where, "IndexError")
    monkeypatch.setattr(plugin.Lab, "find", classmethod(lambda cls, path: path.nothing))
    user_error(lambda: detect(lab), where, "AttributeError")


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        ({"xsub": [0, 1]}, ("splits()['xsub']", "(8,)", "(2,)")),
        ({"xsub": [2] * 8}, ("splits()['xsub']", "(8,)")),
        ({"xsub": [[0], [1, 1]]}, ("splits()['xsub']", "(8,)")),
        ([0] * 8, ("splits()", "protocol -> sides")),
    ],
)
def test_splits_of_a_plugin_are_checked(
    tmp_path: Path,
    lab: Path,
    monkeypatch: pytest.MonkeyPatch,
    user_error: Callable[..., str],
    answer: object,
    named: tuple[str, ...],
):
    out = tmp_path / "sets" / "out"
    monkeypatch.setattr(sys.modules["lab_plugin"].Lab, "splits", lambda self, infos: answer)
    user_error(lambda: import_dataset(lab, out), "importer 'lab' of 'lab_plugin'", *named)
    assert list(out.parent.iterdir()) == []


def test_splits_may_be_lists(tmp_path: Path, lab: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        sys.modules["lab_plugin"].Lab, "splits", lambda self, infos: {"xsub": [0, 1] * 4}
    )
    assert import_dataset(lab, tmp_path / "out")[0].splits["xsub"].tolist() == [0, 1] * 4


def test_a_fault_of_a_plugin_names_its_line(
    tmp_path: Path, lab: Path, user_error: Callable[..., str]
):
    (lab / "sit-5.lab").write_text("1 2 3")
    _, (bad,) = import_dataset(lab, tmp_path / "out", max_bad=0.5)
    number = PLUGIN.splitlines().index(next(x for x in PLUGIN.splitlines() if "loadtxt" in x)) + 1
    assert f"({tmp_path / 'lab_plugin.py'}, line {number})" in bad.reason


def test_parts_that_other_code_of_a_plugin_has_read_are_not_used(tmp_path: Path, lab: Path):
    def stop(done: int, _: int) -> None:
        if done >= 5:
            raise KeyboardInterrupt

    def restarted() -> int:
        """How many clips the parts that are there spare the next import."""
        source = detect(lab)
        source.batch = 4  # type: ignore[misc]
        calls: list[int] = []

        def progress(done: int, of: int) -> None:
            calls.append(done)
            stop(done, of)

        with pytest.raises(KeyboardInterrupt):
            import_dataset(source, tmp_path / "out", progress=progress, workers=1)
        return calls[0]

    assert [restarted(), restarted()] == [0, 4]
    plugin = tmp_path / "lab_plugin.py"
    plugin.write_text(plugin.read_text().replace("np.loadtxt(path)", "2 * np.loadtxt(path)"))
    assert restarted() == 0


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        ([0, 1], ("(12,)", "(2,)")),
        ([0.5] * 12, ("float",)),
        ([2] * 12, ("12",)),
        ("boom", ("12",)),
    ],
)
def test_a_protocol_that_does_not_answer_is_reported(
    tmp_path: Path, registries: None, user_error: Callable[..., str], answer: object, named: tuple
):
    skelcon.register_protocol("mine", version=1)(lambda infos: answer)
    own = {"layout": write_layout(tmp_path / "layouts"), "split": "subject:odd"}
    npz = write_npz(tmp_path / "own.npz", made_clips())
    user_error(lambda: imported(npz, tmp_path / "out", own), "protocol 'mine'", *named)


def test_a_protocol_that_fails_or_clashes_is_reported(
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
