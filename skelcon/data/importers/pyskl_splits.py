"""The splits of a pyskl pickle: sides of protocols, as names of clips."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from skelcon.data.importers.source import Note
from skelcon.data.splits import ALIASES, NAME, PROTOCOLS, TEST, TRAIN
from skelcon.printable import counted

OWN = "own"
"""The protocol of plain ``train`` and ``val``."""
_SIDE = re.compile(r"(.+)_(train|val|test)")
Sides = dict[str, dict[str, frozenset[str]]]
"""Protocol -> train, val or test -> names of clips."""


def sides_in(split: object) -> tuple[Sides, tuple[str, ...]]:
    """What the entries of ``split`` say that are sides of a protocol, and the names of the others.

    A protocol may have a name of its own; plain ``train``, ``val`` and ``test`` are the sides of
    ``own``.
    """
    sides: Sides = {}
    unknown = [] if isinstance(split, dict | None) else ["split"]
    for key, names in split.items() if isinstance(split, dict) else ():
        text = key if isinstance(key, str) else type(key).__name__
        match = _SIDE.fullmatch(f"{OWN}_{text}" if text in ("train", "val", "test") else text)
        lowered = match[1].strip().lower() if match else ""
        protocol = ALIASES.get(lowered, lowered)
        listed = isinstance(names, list | tuple | set | np.ndarray)
        if match is None or not listed or not re.fullmatch(NAME, protocol):
            unknown.append(text[:100])
            continue
        plain = frozenset(plain_name(name) for name in names if isinstance(name, str))
        sides.setdefault(protocol, {})[match[2]] = plain
    return sides, tuple(unknown)


def plain_name(name: str) -> str:
    """The name of a clip, without the suffix of its file."""
    return str(name).removesuffix(".skeleton")


def _train_and_test(sides: Mapping[str, frozenset[str]]) -> tuple[frozenset[str], frozenset[str]]:
    none: frozenset[str] = frozenset()
    return sides.get("train", none), sides.get("test") or sides.get("val", none)


def row_of(sides: Mapping[str, frozenset[str]], names: Sequence[str]) -> NDArray[np.int8]:
    """(N,) who trains and who tests in a protocol: a clip on both sides tests.

    ``val`` tests where there is no ``test``.
    """
    train, test = _train_and_test(sides)
    row = [TEST if name in test else TRAIN if name in train else -1 for name in names]
    return np.array(row, np.int8)


def notes_on(sides: Sides, unknown: Sequence[str], clips: frozenset[str]) -> Iterator[Note]:
    """What is odd in the splits of a file with such clips; ``unknown`` are not sides."""
    if unknown:
        yield Note("splits", "of the file that are not a side of a protocol", tuple(unknown))
    if own := sorted(sides.keys() - set(PROTOCOLS)):
        yield Note("splits", "of the file under names of its own (--protocol)", tuple(own))
    for protocol, of_one in sides.items():
        yield from _notes_on_one(protocol, of_one, clips)


def _notes_on_one(
    protocol: str, sides: Mapping[str, frozenset[str]], clips: frozenset[str]
) -> Iterator[Note]:
    """What is odd in the sides of a protocol of a file with such clips."""
    train, test = _train_and_test(sides)
    if sides.get("val", test) != test:
        yield Note("splits", f"{protocol}_val is not used: {protocol}_test tests")
    if both := train & test:
        text = f"{counted(len(both), 'name')} on both sides of {protocol}: their clips test"
        yield Note("splits", text, tuple(sorted(both)))
    if lost := (train | test) - clips:
        text = f"{counted(len(lost), 'name')} of {protocol} without a clip"
        yield Note("splits", text, tuple(sorted(lost)))
    if rest := clips - (train | test):
        text = f"{counted(len(rest), 'clip')} on no side of {protocol}"
        yield Note("splits", text, tuple(sorted(rest)))
