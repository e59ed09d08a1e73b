"""What is known of clips besides their coordinates, as the user's files have it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from skelcon.data.dataset import UNKNOWN, ClipInfo
from skelcon.errors import UserError

GROUPS = ("subject", "camera", "setup")
"""What clips are grouped by; ``group`` in a file is the setup, if that is not stated."""
_WHOLE = re.compile(r"([+-]?)0*([0-9]{1,18})(?:\.0*)?")
_LARGEST_GROUP = 10**6
MOST_CLASSES = 1000
"""With more different labels the column of labels is taken for a mistake."""


@dataclass(frozen=True)
class ClipFacts:
    """A clip's name, and texts by what they are: label, subject, camera, setup, and any other.

    ``bad`` is why it cannot be used, where that is known before its coordinates are read.
    """

    name: str
    values: Mapping[str, str] = field(default_factory=dict)
    bad: str = ""

    def get(self, key: str) -> str:
        """The text of ``key``; empty if it is not stated."""
        return self.values.get(key, "")


def text_of(value: object) -> str:
    """A value of a table as text; empty for nothing, and for NaN."""
    nothing = value is None or (isinstance(value, float) and math.isnan(value))
    return "" if nothing else str(value).strip()


def plain(value: object) -> str:
    """A value as text, whole numbers all in one way.

    >>> plain("003"), plain(3.0), plain(" wave "), plain(float("nan"))
    ('3', '3', 'wave', '')
    """
    text = text_of(value)
    if match := _WHOLE.fullmatch(text):
        return f"{'-' if match[1] == '-' and int(match[2]) else ''}{match[2]}"
    return text


def whole_number(text: str) -> int | None:
    """A number from 0, of at most 18 digits; None for anything else."""
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None


def sort_key(text: str) -> tuple[bool, int, str]:
    """Sorts whole numbers by value, and other texts after them."""
    number = _WHOLE.fullmatch(text)
    return (number is None, int(text) if number and "." not in text else 0, text)


class Catalogue:
    """The facts of all clips of a source, and the classes and groups that follow from them.

    Args:
        facts: of the clips, in order; their names differ.
        named: label -> the name of its class; empty if each label is a class.
        where: what messages call the data.
    """

    def __init__(self, facts: Iterable[ClipFacts], named: Mapping[str, str], where: str) -> None:
        self.facts = tuple(facts)
        self._where = where
        self._named = {plain(label): name for label, name in named.items()}

    @cached_property
    def by_name(self) -> dict[str, ClipFacts]:
        """The facts by the clips' names."""
        return {fact.name: fact for fact in self.facts}

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The labels that are classes, in the order of the classes.

        Raises:
            UserError: if no clip has one, or there are too many to be classes.
        """
        if self._named:
            return tuple(self._named)
        found = sorted({fact.get("label") for fact in self.facts} - {""}, key=sort_key)
        if not found:
            raise UserError(
                f"{self._where}: no clip has a label; say what holds it: --key label=NAME"
            )
        if len(found) > MOST_CLASSES:
            raise UserError(
                f"{self._where}: {len(found):,} different labels ('{found[0]}', '{found[1]}', "
                f"...) are more than the {MOST_CLASSES:,} classes a data set can have"
            )
        return tuple(found)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of each class: what the description calls it, the label, or ``class 3``."""
        return tuple(
            self._named.get(label) or (label if whole_number(label) is None else f"class {label}")
            for label in self.labels
        )

    @cached_property
    def codes(self) -> dict[str, dict[str, int]]:
        """For each of :data:`GROUPS` the number of each text: its own, if all are numbers."""
        out = {}
        for group in GROUPS:
            texts = sorted({fact.get(group) for fact in self.facts} - {""}, key=sort_key)
            numbers = {text: whole_number(text) for text in texts}
            coded = any(n is None or n > _LARGEST_GROUP for n in numbers.values())
            out[group] = {
                text: at if number is None or coded else number
                for at, (text, number) in enumerate(numbers.items(), 1)
            }
        return out

    def info(self, fact: ClipFacts) -> ClipInfo:
        """A clip as a data set knows it; ``ValueError`` if it cannot be used."""
        if fact.bad:
            raise ValueError(fact.bad)
        label = fact.get("label")
        if not label:
            raise ValueError("has no label")
        if label not in self.labels:
            raise ValueError(f"label '{label}' is not listed in 'classes'")
        numbers = {group: self.codes[group].get(fact.get(group), UNKNOWN) for group in GROUPS}
        return ClipInfo(fact.name, self.labels.index(label), **numbers)

    def texts_of_groups(self) -> dict[str, dict[str, int]]:
        """The numbers of the groups whose texts are not numbers, for the data set's header."""
        return {
            group: codes
            for group, codes in self.codes.items()
            if any(text != str(code) for text, code in codes.items())
        }


def facts_from(
    name: str, values: Mapping[str, str], called: Mapping[str, str], bad: str = ""
) -> ClipFacts:
    """The facts in a row of a table.

    Args:
        name: of the clip.
        values: column -> text.
        called: what is known (label, subject, ...) -> its column; other columns keep their names.
        bad: why the clip cannot be used.
    """
    own = {key: plain(values.get(column, "")) for key, column in called.items()}
    used = set(called.values())
    others = {column: plain(text) for column, text in values.items() if column not in used}
    facts = {**others, **own}
    if "group" in facts and not facts.get("setup"):
        facts["setup"] = facts["group"]
    for group in GROUPS:
        if re.fullmatch(r"-\d+", facts.get(group, "")):
            facts[group] = ""  # -1 is a usual word for unknown
    return ClipFacts(name, facts, bad)


def unique(names: Sequence[str]) -> list[str]:
    """``names`` without duplicates: a name that repeats, or cannot be printed, gets a number.

    >>> unique(["a", "b", "a", ""])
    ['a', 'b', 'a-2', 'clip-00003']
    """
    taken = set(names)
    seen: Counter[str] = Counter()
    out = []
    for at, name in enumerate(names):
        good = bool(name) and name.isprintable()
        seen[name] += 1
        new = name if good else f"clip-{at:05d}"
        while good and seen[name] > 1 and (new := f"{name}-{seen[name]}") in taken:
            seen[name] += 1
        taken.add(new)
        out.append(new)
    return out
