"""Axes: what the axes of a user's array mean, and the same array as (M, T, V, C).

N clips, M bodies, T frames, V joints, C numbers a joint. Axes in parentheses are one axis of the
array, the last of them fastest: ``NT(MVC)`` has all numbers of a frame in a row.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from skelcon.data.layouts import LAYOUTS

_ORDER = "MTVC"
_TEXT = re.compile(r"(?:[NMTVC]|\([NMTVC]{2,}\))+")
OF_CLIPS = ("NTVC", "NMTVC", "NCTVM", "NT(MVC)")
"""What an array of clips is tried for where nothing states its axes."""
OF_ONE_CLIP = ("TVC", "T(MVC)", "(TMV)C", "MTVC", "TMVC")
"""What the array of a single clip is tried for."""


@dataclass(frozen=True)
class Axes:
    """The meaning of an array's axes: ``groups`` has for each of them one letter, or several.

    >>> Axes.parse("NT(MVC)").groups
    ('N', 'T', 'MVC')
    """

    groups: tuple[str, ...]

    @staticmethod
    def parse(text: str) -> Axes:
        """The axes that ``text`` names; ``ValueError`` if it names none."""
        if not _TEXT.fullmatch(text):
            raise ValueError(f"axes '{text}' must be letters of N, M, T, V, C, such as 'NTVC'")
        groups = tuple(found.strip("()") for found in re.findall(r"\([A-Z]+\)|[A-Z]", text))
        letters = "".join(groups)
        if len(set(letters)) != len(letters):
            raise ValueError(f"axes '{text}' name one twice")
        if missing := [letter for letter in "TVC" if letter not in letters]:
            raise ValueError(f"axes '{text}' have no {missing[0]} (T frames, V joints, C numbers)")
        if "N" in letters and groups[0] != "N":
            raise ValueError(f"axes '{text}': N, the clips, must be the first axis")
        return Axes(groups)

    def __str__(self) -> str:
        return "".join(group if len(group) == 1 else f"({group})" for group in self.groups)

    @property
    def of_each(self) -> Axes:
        """The axes of one of the N clips."""
        return Axes(tuple(group for group in self.groups if group != "N"))

    def sizes(self, shape: Sequence[int], known: Mapping[str, int]) -> dict[str, int]:
        """The size of each letter in an array of this ``shape``.

        Args:
            shape: of the array.
            known: sizes that are given: V, and C and M if stated.

        Raises:
            ValueError: if the shape does not fit.
        """
        shown = "x".join(map(str, shape))
        if len(shape) != len(self.groups):
            raise ValueError(f"an array {shown} does not have the axes {self}")
        sizes = dict(known)
        for group, size in zip(self.groups, shape, strict=True):
            unknown = [letter for letter in group if letter not in sizes]
            if len(unknown) > 1 and "M" in unknown:
                unknown.remove("M")
                sizes["M"] = 1
            given = math.prod(sizes[letter] for letter in group if letter not in unknown)
            if len(unknown) > 1 or not given or size % given or (not unknown and size != given):
                parts = " x ".join(f"{sizes[x]} {x}" if x in sizes else x for x in group)
                raise ValueError(
                    f"an array {shown} does not have the axes {self}: {size} is not {parts}"
                )
            if unknown:
                sizes[unknown[0]] = size // given
        return {"M": 1, **sizes}

    def arranged(self, values: NDArray[Any], known: Mapping[str, int]) -> NDArray[Any]:
        """``values`` as (M, T, V, C); ``ValueError`` as :meth:`sizes`."""
        sizes = self.sizes(values.shape, known)
        letters = "".join(self.groups)
        out = values.reshape([sizes[letter] for letter in letters])
        if "M" not in letters:
            letters, out = f"M{letters}", out[None]
        return out.transpose([letters.index(letter) for letter in _ORDER])


def fitting(
    candidates: Sequence[str], shape: Sequence[int], joints: int, numbers: Sequence[int]
) -> Axes:
    """The only axes among ``candidates`` that an array of this ``shape`` can have.

    Args:
        candidates: axes.
        shape: of the array.
        joints: V.
        numbers: possible sizes of C.

    Raises:
        ValueError: if none fits, or several do.
    """
    found = []
    for text, size in ((text, size) for text in candidates for size in numbers):
        axes = Axes.parse(text)
        try:
            sizes = axes.sizes(shape, {"V": joints, "C": size})
        except ValueError:
            continue
        if sizes["M"] <= MOST_BODIES and text not in found:
            found.append(text)
    shown = "x".join(map(str, shape))
    if len(found) == 1:
        return Axes.parse(found[0])
    if found:
        raise ValueError(f"an array {shown} may have the axes {' or '.join(found)}: say --axes")
    sizes_of_one = shape[1:] if candidates[0].startswith("N") else shape
    alike = [layout.name for layout in LAYOUTS.values() if layout.num_joints in sizes_of_one]
    other = f" ({', '.join(alike)})" if alike else ""
    reason = f"an array {shown} has none of the axes {', '.join(candidates)} with {joints} joints: "
    more = max(numbers) + 1
    if tuple(shape[-2:]) == (joints, more) and more == len(_MORE_COLUMNS[0].split(",")):
        columns = _MORE_COLUMNS[min(numbers) == 2]
        raise ValueError(f"{reason}a joint has {more} numbers: say --columns {columns}")
    raise ValueError(f"{reason}say --axes, or another --layout{other}")


_MORE_COLUMNS = ("x,y,z,confidence", "x,y,_,confidence")
"""What four numbers a joint most likely are, in 3D and in 2D."""
MOST_BODIES = 10
"""That a guess at axes may find."""
