"""Damage of every kind to own recordings: no traceback, and no clip lost that is not damaged."""

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.io
from own_recordings import (
    LONG,
    imported,
    long_rows,
    made_clips,
    padded,
    write_files,
    write_layout,
    write_long,
    write_manifest,
    write_npz,
)
from test_bvh import motion
from test_bvh import text as bvh_text

from skelcon.data import SkeletonDataset
from skelcon.errors import UserError

CLIPS = made_clips()
FILES = "{label}_p{subject}"
Damaged = Callable[[bytes, bytes], set[str]]
"""From a file's content before and after to the clips that are no longer whole; None: all."""


@dataclass(frozen=True)
class Way:
    """Files on a disk, how they are imported, and which clips a damage of one touches."""

    path: Path
    options: dict
    files: list[Path]
    touched: Callable[[Path, bytes, int], set[str] | None]


def of_file(path: Path, before: bytes, at: int) -> set[str] | None:
    return {path.stem}


def all_of_them(path: Path, before: bytes, at: int) -> set[str] | None:
    return None


def of_line(column: Callable[[str], str]) -> Callable[[Path, bytes, int], set[str] | None]:
    """Of a table the clip of the line at ``at``, and of its neighbours, which it may join."""

    def touched(path: Path, before: bytes, at: int) -> set[str] | None:
        line = before[:at].count(b"\n")
        if line == 0:
            return None
        lines = before.decode().split("\n")[max(1, line - 1) : line + 2]
        return {column(text) for text in lines if text}

    return touched


def ways(folder: Path) -> list[Way]:
    own = {"layout": write_layout(folder / "layouts"), "split": "random"}
    texts = {**own, "files": f"{FILES}.txt", "rows": "joint"}
    plain = write_files(folder / "plain", CLIPS)
    manifest = write_manifest(folder / "all.csv", CLIPS, "plain")
    long = write_long(folder / "long.csv", CLIPS)
    parquet = folder / "long.parquet"
    pd.DataFrame(long_rows(CLIPS), columns=LONG).to_parquet(parquet)
    npz = write_npz(folder / "own.npz", CLIPS)
    packed = folder / "packed.npz"
    np.savez_compressed(packed, x=padded(CLIPS), y=np.eye(3)[[0] * 4 + [1] * 4 + [2] * 4])
    described = write_npz(folder / "described.npz", CLIPS)
    description = folder / "described.yaml"
    description.write_text(
        "kind: arrays\nlayout: layouts/tiny.yaml\nunit: m\ncolumns: [x, y, z]\naxes: NTVC\n"
        "keys: {label: y, subject: subject}\nsplit: {xsub: subject:odd, half: random:0.5}\n"
        "classes: {sit: sitting, stand: standing, wave: waving}\nmissing: interpolate\n"
    )
    found = [
        Way(described, {}, [description], all_of_them),
        Way(plain, texts, sorted(plain.iterdir()), of_file),
        Way(
            manifest,
            {**own, "rows": "joint"},
            [manifest],
            of_line(lambda line: Path(line.split(",")[0]).stem),
        ),
        Way(long, own, [long], of_line(lambda line: line.split(",")[0])),
        Way(parquet, own, [parquet], all_of_them),
        Way(npz, own, [npz], all_of_them),
        Way(packed, own, [packed], all_of_them),
    ]
    writers: dict[str, Callable[[Path, np.ndarray], object]] = {
        ".npy": np.save,
        ".json": lambda path, x: path.write_text(json.dumps(x.tolist())),
        ".mat": lambda path, x: scipy.io.savemat(path, {"x": x, "who": "me", "s": {"a": 1}}),
        ".bvh": lambda path, x: path.write_text(bvh_text(motion(seed=len(path.stem)))),
    }
    for suffix, write in writers.items():
        inside = folder / suffix[1:]
        inside.mkdir()
        for clip in CLIPS:
            write(inside / f"{clip.name}{suffix}", clip.values)
        options = {**own, "files": FILES + suffix}
        if suffix == ".bvh":
            options = {**options, "unit": "cm", "layout": None}
        if suffix == ".mat":
            options["variable"] = "x"
        found.append(Way(inside, options, sorted(inside.iterdir()), of_file))
    return found


def damaged(content: bytes, draws: np.random.Generator) -> tuple[bytes, int]:
    """The content with one thing done to it, and where; most often to one byte."""
    at = int(draws.integers(len(content)))
    kind = draws.integers(6)
    if kind == 0:
        return content[:at], -1
    if kind == 1:
        return content[:at] + content[at + 1 :], at
    chosen = draws.integers(256) if kind < 4 else draws.choice(list(b'0,-.\n 9e"'))
    new = bytes([int(chosen)])
    return (content[:at] + new + content[at + (kind != 5) :]), at


def of_names(dataset: SkeletonDataset) -> dict[str, tuple[str, bytes]]:
    return {
        name: (dataset.class_names[dataset.labels[at]], dataset.clip(at)[:1].tobytes())
        for at, name in enumerate(dataset.clip_names)
    }


def mutate(folder: Path, rounds: int, seed: int) -> Counter[str]:
    draws = np.random.default_rng(seed)
    outcomes: Counter[str] = Counter()
    made = ways(folder)
    wholes = [of_names(imported(way.path, folder / "out", way.options)[0]) for way in made]
    for number in range(rounds):
        way, whole = made[number % len(made)], wholes[number % len(made)]
        file = way.files[int(draws.integers(len(way.files)))]
        before = file.read_bytes()
        after, at = damaged(before, draws)
        file.write_bytes(after)
        try:
            dataset, skipped = imported(way.path, folder / "out", way.options, max_bad=1)
            outcomes["skipped" if skipped else "imported"] += 1
        except UserError:
            outcomes["refused"] += 1
            dataset = None
        finally:
            file.write_bytes(before)
        touched = way.touched(file, before, at) if at >= 0 or len(way.files) > 1 else None
        if touched is None:
            continue
        where = f"round {number}: {file.name}, byte {at}"
        assert dataset is not None, where
        left = of_names(dataset)
        for name, content in whole.items():
            assert name in touched or left.get(name) == content, f"{where}: {name} is lost"
    return outcomes


def test_damage_is_reported_and_costs_no_other_clip(tmp_path: Path):
    """SKELCON_FUZZ=10000 asks for so many damages (a quarter of an hour)."""
    rounds = int(os.environ.get("SKELCON_FUZZ", "100"))
    outcomes = mutate(tmp_path, rounds, seed=rounds)
    assert sum(outcomes.values()) == rounds
    assert min(outcomes[kind] for kind in ("imported", "skipped", "refused")) > 2
