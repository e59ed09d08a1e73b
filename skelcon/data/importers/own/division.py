"""Training and test sides, where the files follow no protocol of the field.

A *division* is what ``--split`` takes: a rule, or ``NAME=`` and a rule, NAME being the protocol's
name (by default xsub for subjects, xview for cameras, xsetup for setups, else the rule's first
word)::

    subject=1,3,5-8    clips of these subjects train (or camera=, setup=, group=)
    subject:odd        by number; or subject:even
    group:subject      of the subjects in order the first, the third and so on train
    random             of each class half of the clips train; random:0.7 takes 70 %
    list:FILE          clips that the file names, one a line, train
    column:NAME        the column says train or test
    column:NAME=1,2    clips with these values in the column train
    none               no protocol
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skelcon.data.importers.own.facts import ClipFacts, plain, sort_key, whole_number
from skelcon.data.splits import ALIASES, NAME, TEST, TRAIN
from skelcon.errors import UserError, nearest

Row = NDArray[np.int8]
FIELDS = {"subject": "xsub", "camera": "xview", "setup": "xsetup", "group": "xsetup"}
"""What clips are divided by -> the protocol that crosses it."""
RULES = (*FIELDS, "random", "list", "column", "none")
SEED = 0
"""Of a random division, which is always the same."""
_WORDS = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("test", "testing", "val", "valid", "validation", "eval"), TEST),
    **dict.fromkeys(("", "none", "neither"), -1),
}
"""What a column may say."""


@dataclass(frozen=True)
class Division:
    """One protocol: its ``name``, and the ``rule`` of who trains in it."""

    name: str
    rule: str

    @staticmethod
    def parse(text: str) -> Division:
        """The division that an option or a description states; see this module's docstring.

        Raises:
            UserError: if there is no such rule.
        """
        first, equals, rest = text.strip().partition("=")
        named = bool(equals) and first not in FIELDS and not first.startswith("column:")
        name, rule = (first.strip().lower(), rest.strip()) if named else ("", text.strip())
        word = re.split("[:=]", rule, maxsplit=1)[0]
        if word not in RULES:
            meant = first if named and not word.isalpha() else word  # subjct=1
            raise UserError(f"--split '{text}': unknown rule '{meant}': {nearest(meant, RULES)}")
        if not named:
            crossed = rule.removeprefix("group:") if rule.startswith("group:") else word
            name = FIELDS.get(crossed, FIELDS.get(word, word))
        name = ALIASES.get(name, name)
        if not re.fullmatch(NAME, name):
            raise UserError(
                f"--split '{text}': a protocol's name is lower-case letters, digits, - and _"
            )
        return Division(name, rule)

    def row(self, facts: Sequence[ClipFacts], base: Path) -> Row:
        """(N,) who trains (0), tests (1) and takes no part (-1) of clips with these ``facts``.

        Args:
            facts: of the clips.
            base: the directory to which a list's path is relative.

        Raises:
            UserError: if the rule fits no clip, or a side has none.
        """
        word, sign, argument = re.match(r"(\w+)([:=]?)(.*)", self.rule, re.DOTALL).groups()  # type: ignore[union-attr]
        if word == "random":
            row = self._random(facts, argument)
        elif word == "list":
            row = self._listed(facts, base / argument)
        elif word == "column":
            row = self._column(facts, argument)
        elif sign == "=":
            row = self._chosen(facts, word, argument)
        elif word == "group" and argument in FIELDS:
            row = self._alternating(facts, argument)
        else:
            row = self._by_number(facts, word, argument)
        for side, part in (("training", TRAIN), ("test", TEST)):
            if not (row == part).any():
                raise UserError(f"--split '{self.rule}': no {side} clip is left")
        return row

    def _values(self, facts: Sequence[ClipFacts], field: str) -> list[str]:
        key = "setup" if field == "group" else field
        values = [fact.get(key) for fact in facts]
        if not any(values):
            known = [each for each in FIELDS if any(fact.get(each) for fact in facts)]
            has = f"known: {', '.join(known)}" if known else "and no other group is"
            raise UserError(f"--split '{self.rule}': the clips' {field} is not known ({has})")
        return values

    def _by_number(self, facts: Sequence[ClipFacts], field: str, which: str) -> Row:
        if which not in ("odd", "even"):
            hint = nearest(which, ("odd", "even", *(FIELDS if field == "group" else ())))
            raise UserError(f"--split '{self.rule}': unknown '{which}': {hint}")
        values = self._values(facts, field)
        numbers = [whole_number(value) for value in values]
        odd_ones = (value for value, n in zip(values, numbers, strict=True) if value and n is None)
        if wrong := next(odd_ones, None):
            raise UserError(
                f"--split '{self.rule}': {field} '{wrong}' is not a number: take group:{field}"
            )
        wanted = 1 if which == "odd" else 0
        return _sides([None if number is None else number % 2 == wanted for number in numbers])

    def _alternating(self, facts: Sequence[ClipFacts], field: str) -> Row:
        values = self._values(facts, field)
        trains = set(sorted(set(values) - {""}, key=sort_key)[::2])
        return _sides([value in trains if value else None for value in values])

    def _chosen(self, facts: Sequence[ClipFacts], field: str, argument: str) -> Row:
        return self._of(self._values(facts, field), _values_of(argument), field)

    def _of(self, values: Sequence[str], chosen: Sequence[str], what: str) -> Row:
        known = set(values)
        if unknown := next((value for value in chosen if value not in known), None):
            hint = nearest(unknown, known - {""})
            raise UserError(f"--split '{self.rule}': no clip has {what} '{unknown}': {hint}")
        return _sides([value in chosen if value else None for value in values])

    def _column(self, facts: Sequence[ClipFacts], argument: str) -> Row:
        name, equals, chosen = argument.partition("=")
        columns = sorted(set().union(*(fact.values for fact in facts)) - {"label"})
        if name not in columns:
            hint = nearest(name, columns) if columns else "there are no columns"
            raise UserError(f"--split '{self.rule}': there is no column '{name}': {hint}")
        values = [fact.get(name) for fact in facts]
        if equals:
            return self._of(values, _values_of(chosen), name)
        if wrong := next((value for value in values if value.lower() not in _WORDS), None):
            raise UserError(
                f"--split '{self.rule}': '{wrong}' is neither train nor test; name the values "
                f"that train: column:{name}={wrong},..."
            )
        return np.array([_WORDS[value.lower()] for value in values], np.int8)

    def _random(self, facts: Sequence[ClipFacts], argument: str) -> Row:
        try:
            share = float(argument) if argument else 0.5
        except ValueError:
            share = 0.0
        if not 0 < share < 1:
            raise UserError(f"--split '{self.rule}': '{argument}' is not a share between 0 and 1")
        draws = np.random.default_rng(SEED)
        labels = np.array([fact.get("label") for fact in facts])
        row = np.full(len(facts), TEST, np.int8)
        for label in sorted(set(labels.tolist()), key=sort_key):
            of_class = draws.permutation(np.flatnonzero(labels == label))
            row[of_class[: round(share * len(of_class))]] = TRAIN
        return row

    def _listed(self, facts: Sequence[ClipFacts], path: Path) -> Row:
        try:
            lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        except OSError as error:
            raise UserError(f"--split '{self.rule}': '{path}': {error.strerror}") from None
        names = {Path(line.strip()).name for line in lines if line.strip()}
        names |= {line.strip() for line in lines} | {Path(name).stem for name in names}
        row = _sides([fact.name in names or Path(fact.get("path")).name in names for fact in facts])
        if not (row == TRAIN).any():
            raise UserError(
                f"--split '{self.rule}': '{path}' names no clip, such as '{facts[0].name}'"
                if facts
                else f"'{path}' names no clip"
            )
        return row


def _sides(trains: Sequence[bool | None]) -> Row:
    return np.array([-1 if who is None else TRAIN if who else TEST for who in trains], np.int8)


def _values_of(argument: str) -> list[str]:
    """The values of ``1,3,5-8``."""
    out: list[str] = []
    for part in argument.split(","):
        ends = re.fullmatch(r"\s*(\d{1,6})-(\d{1,6})\s*", part)
        if ends and int(ends[1]) <= int(ends[2]):
            out += [str(number) for number in range(int(ends[1]), int(ends[2]) + 1)]
        else:
            out.append(plain(part))
    return out


def proposals(facts: Sequence[ClipFacts]) -> Mapping[str, str]:
    """What ``--split`` could be -> what it would give, in words."""
    usable = [fact for fact in facts if fact.get("label") and not fact.bad]
    columns = sorted(set().union(*(fact.values for fact in usable))) if usable else []
    words = [
        f"column:{name}"
        for name in columns
        if (found := {fact.get(name).lower() for fact in usable} - {""}) and found <= set(_WORDS)
    ]
    groups = [f"group:{field}" for field in FIELDS if field != "group"]
    out = {}
    for rule in (*groups, *words, "random"):
        try:
            row = Division.parse(rule).row(usable, Path())
        except UserError:
            continue
        out[rule] = described(row, usable, rule.partition(":")[2])
    return out


def described(row: Row, facts: Sequence[ClipFacts], group: str) -> str:
    """What a division gives: clips, classes and groups on both sides."""
    sides = [
        [fact for fact, part in zip(facts, row.tolist(), strict=True) if part == side]
        for side in (TRAIN, TEST)
    ]
    all_classes = len({fact.get("label") for fact in facts} - {""})
    clips, classes = (
        " / ".join(str(len(part)) for part in parts)
        for parts in (sides, [{fact.get("label") for fact in side} - {""} for side in sides])
    )
    text = f"{clips} clips train / test, {classes} of {all_classes} classes"
    if group in FIELDS:
        counts = " / ".join(str(len({fact.get(group) for fact in side})) for side in sides)
        text += f", {counts} {group}s"
    return text
