"""`OwnSource`: what the three kinds of described files have in common."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from skelcon.data.dataset import ClipInfo
from skelcon.data.importers.naming import own_name
from skelcon.data.importers.own.columns import Columns, Treated, Treatment
from skelcon.data.importers.own.description import UNITS, Description
from skelcon.data.importers.own.division import Division, proposals
from skelcon.data.importers.own.facts import Catalogue, ClipFacts
from skelcon.data.importers.source import RawClip, Source
from skelcon.data.layouts import SkeletonLayout, layout_from
from skelcon.data.normalise import Normalisation
from skelcon.errors import UserError

NONE = "none"
DescriptionT = TypeVar("DescriptionT", bound=Description)


class OwnSource(Source, Generic[DescriptionT]):
    """The user's own files, as a description says what they are.

    A subclass finds the files and the facts of the clips, and reads their coordinates.

    Attributes:
        description: what the files are.
        base: the directory to which paths in the description are relative.
    """

    def __init__(
        self, path: Path, files: Sequence[Path], description: DescriptionT, base: Path
    ) -> None:
        super().__init__(path, files)
        self.description = description
        self.base = base

    @classmethod
    def find(cls, path: Path) -> Source | None:
        """None: only a description finds them (`skelcon.data.importers.own.finding`)."""
        return None

    @classmethod
    @abstractmethod
    def of(cls, description: Any, path: Path, base: Path) -> OwnSource[DescriptionT]:
        """The source at ``path`` that a description is of.

        Raises:
            UserError: if there are no such files.
        """

    @abstractmethod
    def _facts(self) -> Sequence[ClipFacts]:
        """The facts of all clips, in the order of the data set; ``UserError`` if there are none."""

    @cached_property
    def layout(self) -> SkeletonLayout:
        """The stated layout; a path is relative to the description, or to where we are."""
        stated = self.description.layout
        if stated is None:
            raise UserError(f"'{self.path}': say which joints the files have: --layout NAME")
        beside = self.base / stated
        return layout_from(str(beside) if beside.is_file() else stated)

    @property
    def name(self) -> str:
        """What the description calls the data, else the name of its file or directory."""
        if self.description.name:
            return self.description.name
        return self.path.absolute().stem if self.path.is_file() else own_name(self.path)

    @property
    def normalised(self) -> Normalisation:
        """The steps that the description states."""
        return self.description.normalised

    @property
    def settings(self) -> str:
        """All of the description and of the layout, for the cache."""
        stated = self.description.model_dump(mode="json")
        return json.dumps([stated, self.layout.to_dict()], sort_keys=True)

    @property
    def origin(self) -> dict[str, object]:
        """The texts of subjects, cameras and setups that are not numbers."""
        texts = self.catalogue.texts_of_groups()
        return {"groups": texts} if texts else {}

    @cached_property
    def catalogue(self) -> Catalogue:
        """The facts of the clips; their names differ."""
        return Catalogue(self._facts(), self.description.classes, f"'{self.path}'")

    @cached_property
    def class_names(self) -> Sequence[str]:
        """The classes that the labels are, or the description names."""
        return self.catalogue.class_names

    @cached_property
    def treatment(self) -> Treatment:
        """What is done to the coordinates."""
        stated = self.description
        layout = self.layout
        unit = stated.unit or layout.unit
        if (unit == "px") != (layout.unit == "px"):
            raise UserError(
                f"unit '{unit}': layout '{layout.name}' is in {layout.unit}, which cannot be "
                "converted"
            )
        return Treatment(layout.dimensions, UNITS[unit], stated.missing, stated.min_confidence)

    @cached_property
    def possible_columns(self) -> tuple[Columns, ...]:
        """The stated columns, or all usual ones."""
        stated, dimensions = self.description.columns, self.layout.dimensions
        if stated is None:
            return Columns.usual(dimensions)
        try:
            return (Columns.parse(stated, dimensions),)
        except ValueError as error:
            raise UserError(f"'{self.path}': {error}") from None

    def columns_with(self, numbers: int) -> Columns:
        """The columns where a joint has so many numbers; ``ValueError`` if that is not known."""
        for columns in self.possible_columns:
            if len(columns.names) == numbers:
                return columns
        stated = " or ".join(",".join(columns.names) for columns in self.possible_columns)
        raise ValueError(f"a joint has {numbers} numbers, not {stated}: say --columns")

    @cached_property
    def divisions(self) -> tuple[Division, ...]:
        """Who trains: as the description says, or as the files do."""
        stated = self.description.split
        if not stated and any(fact.get("split") for fact in self.catalogue.facts):
            return (Division("split", "column:split"),)
        parsed = [Division.parse(text) for text in stated]
        names = [division.name for division in parsed]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise UserError(f"--split: two are called '{twice}': write NAME=RULE")
        return tuple(division for division in parsed if division.rule != NONE)

    def check(self) -> None:
        """Refuse, before anything is read, what cannot become a data set.

        Raises:
            UserError: names what is wrong or missing; without a split, what could be chosen.
        """
        assert self.layout
        assert self.treatment
        assert self.catalogue.labels
        if not self.divisions and NONE not in self.description.split:
            choices = proposals(self.catalogue.facts)
            wide = max(len(rule) for rule in (*choices, NONE)) if choices else len(NONE)
            lines = [f"  --split {rule:<{wide}}  {text}" for rule, text in choices.items()]
            raise UserError(
                "\n".join(
                    (
                        f"'{self.path}': nothing says who trains and who tests; choose one of",
                        *lines,
                        f"  --split {NONE:<{wide}}  no protocol: nothing can be evaluated",
                        "(or subject=1,3,5, list:FILE, column:NAME; 'split:' in a description)",
                    )
                )
            )
        for division in self.divisions:
            division.row(self.catalogue.facts, self.base)

    def splits(self, infos: Sequence[ClipInfo]) -> dict[str, NDArray[np.int8]]:
        """Each division of all clips, of those that were read."""
        place = {fact.name: at for at, fact in enumerate(self.catalogue.facts)}
        chosen = [place[info.name] for info in infos]
        return {
            division.name: division.row(self.catalogue.facts, self.base)[chosen]
            for division in self.divisions
        }

    def clip(
        self, fact: ClipFacts, values: NDArray[np.floating], columns: Columns, file: str = ""
    ) -> RawClip:
        """The clip whose numbers are ``values`` (M, T, V, C); ``ValueError`` if it is bad."""
        info = self.catalogue.info(fact)
        treated: Treated = self.treatment(columns.coordinates(values), columns.confidence(values))
        return RawClip(info, treated.clip, file, counts=treated.counts)
