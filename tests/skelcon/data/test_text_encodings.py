"""Text is UTF-8, whatever the locale; a mark before it is no damage."""

import ast
import codecs
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from skelcon.data import ClipInfo, DatasetWriter, Normalisation, detect, import_dataset
from skelcon.data.export import export_dataset
from skelcon.data.layouts import KINECT_V2
from skelcon.yamlfile import read_yaml

ROOT = Path(__file__).parents[3]
ODD = "Zoë – 人"
RAW = Normalisation(centre=False, spine_to_z=False, shoulders_to_x=False)


def text_without_encoding(path: Path) -> Iterator[str]:
    """Calls that read or write text in the locale's encoding."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        named = {keyword.arg for keyword in node.keywords}
        call = ast.unparse(node.func)
        name = call.rpartition(".")[2]
        modes = [value.value for value in node.args if isinstance(value, ast.Constant)]
        text_mode = [mode for mode in modes if isinstance(mode, str) and set(mode) <= set("rwax+t")]
        given = len(node.args) - (name == "write_text")  # encoding is the next one
        reads = name in ("read_text", "write_text") and given < 1
        reads |= name == "open" and bool(text_mode)
        runs = name in ("run", "Popen", "check_output") and "text" in named
        if (reads or runs) and "encoding" not in named and "force_zip64" not in named:
            yield f"{path}, line {node.lineno}: {call}"


def test_no_text_is_read_or_written_in_the_encoding_of_the_locale():
    sources = [path for place in ("skelcon", "ablation") for path in (ROOT / place).rglob("*.py")]
    assert len(sources) > 200
    assert [found for path in sources for found in text_without_encoding(path)] == []


@pytest.mark.parametrize("bad", ["p.read_text()", "p.write_text(x)", "p.open('w')", "open(p, 'r')"])
def test_the_scan_finds_what_it_looks_for(tmp_path: Path, bad: str):
    (tmp_path / "x.py").write_text(bad)
    assert len(list(text_without_encoding(tmp_path / "x.py"))) == 1


# A byte-order mark.


def write_ntu(folder: Path) -> Path:
    folder.mkdir()
    lines = ["1", "1", "7 0 0 0 0 0 0 0 0 2", "25"] + ["0.1 0.2 3.1" + " 0" * 9] * 25
    (folder / "S001C001P001R001A001.skeleton").write_text("\n".join(lines) + "\n")
    return folder


def write_pku(folder: Path) -> Path:
    for place in ("skeleton", "label"):
        (folder / place).mkdir(parents=True)
    rows = np.random.default_rng(0).normal(3, 0.1, (20, 150))
    np.savetxt(folder / "skeleton" / "A01N02-L.txt", rows, "%.3f")
    (folder / "label" / "A01N02-L.txt").write_text("3,0,10,1\n4,10,20,1\n")
    lists = "Training videos:\nA01N03-L\nValidation videos:\nA01N02-L"
    (folder / "cross_subject_v2.txt").write_text(lists)
    return folder


@pytest.mark.parametrize("write", [write_ntu, write_pku])
def test_a_mark_before_the_text_is_no_damage(tmp_path: Path, write):
    source = write(tmp_path / "data")
    plain, _ = import_dataset(source, tmp_path / "plain", RAW)
    for file in source.rglob("*.*"):
        file.write_bytes(codecs.BOM_UTF8 + file.read_bytes())
    marked, skipped = import_dataset(source, tmp_path / "marked", RAW)
    assert skipped == []
    assert marked.fingerprint == plain.fingerprint


def test_a_mark_before_yaml_is_no_part_of_its_first_key(tmp_path: Path):
    (tmp_path / "x.yaml").write_bytes(codecs.BOM_UTF8 + f"title: {ODD}".encode())
    assert read_yaml(tmp_path / "x.yaml").values == {"title": ODD}


# A poor terminal.


@pytest.fixture
def odd_set(tmp_path: Path) -> Path:
    """A packed data set, and all its names, that ASCII lacks."""
    place = tmp_path / ODD / "set"
    clips = np.random.default_rng(0).normal(0, 0.5, (4, 1, 8, 25, 3))
    with DatasetWriter(
        place,
        name=ODD,
        layout=KINECT_V2,
        class_names=[f"{ODD} {n}" for n in range(2)],
        family="made",
        normalisation=RAW,
    ) as writer:
        for at, clip in enumerate(clips):
            writer.add(ClipInfo(f"{ODD} {at}", at % 2, at), clip)
        writer.close({"xsub": np.array([0, 1, 0, 1], np.int8)})
    return place


@pytest.mark.parametrize(
    "command",
    [
        "data check '{set}' --write-exclude '{here}/é.txt'",
        "data export '{set}' '{here}/é.npz' --format ctrgcn-npz --protocol xsub",
        "data info '{set}'",
    ],
)
def test_commands_survive_a_terminal_and_a_locale_of_ascii(
    odd_set: Path, tmp_path: Path, command: str
):
    poor = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    program = "from skelcon.cli.program import main; main()"
    words = command.format(set=odd_set, here=tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", program, *shlex.split(words)],
        env={**os.environ, **poor, "PYTHONIOENCODING": "ascii", "SKELCON_CACHE": str(tmp_path)},
        capture_output=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert done.stdout.isascii()


# An export that is called anything.


@pytest.mark.parametrize(("family", "suffix"), [("ctrgcn-npz", ".npz"), ("pyskl-pkl", ".pkl")])
@pytest.mark.parametrize("name", ["export", "export.bin", "xsub.data"])
def test_an_export_without_its_suffix_is_known_by_its_content(
    odd_set: Path, tmp_path: Path, family: str, suffix: str, name: str
):
    from skelcon.data import SkeletonDataset

    dataset = SkeletonDataset.open(odd_set)
    written = tmp_path / f"out{suffix}"
    export_dataset(dataset, written, family, "xsub")
    plain, _ = import_dataset(written, tmp_path / "plain", RAW)
    found = detect(written.rename(tmp_path / name))
    assert found.family == family
    again, skipped = import_dataset(found, tmp_path / "again", RAW)
    assert skipped == []
    assert again.fingerprint == plain.fingerprint


@pytest.mark.parametrize("content", [b"", b"\x80", b"\x80\x09abc", b"PK\3\4", b"MATLAB 5.0"])
def test_other_content_is_no_data_of_ours(tmp_path: Path, content: bytes, user_error):
    (tmp_path / "thing").write_bytes(content)
    user_error(lambda: detect(tmp_path / "thing"), "known layout")
