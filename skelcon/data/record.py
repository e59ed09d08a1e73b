"""`Record`: what an export says of the data set that it was made of, so that nothing is lost.

Other trainers' layouts have no place for what was done to the coordinates, for subjects, for the
order of the clips. The record is JSON: a key of a pickle, a member of an archive, a file beside
arrays. An import that finds one gives the same data set again, with the same fingerprint.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from skelcon.config import Config, Json
from skelcon.data.dataset import ClipInfo, SkeletonDataset
from skelcon.data.layouts import SkeletonLayout
from skelcon.data.normalise import Normalisation
from skelcon.data.splits import TEST, TRAIN
from skelcon.errors import UserError
from skelcon.printable import printable

KEY = "skelcon"
"""The key of a pickle, and the member of an archive."""
FILE = "skelcon.json"
"""Its name beside arrays."""
LARGEST = 1 << 28
"""Bytes; a larger member is not a record."""
DAMAGED = "what skelcon's export wrote of the data is damaged"
UNUSED = "the file is read as any other of its layout"


Number = Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]


class Record(Config):
    """A data set without its frames; a clip is one entry of each column.

    ``bodies`` is the number of bodies of the data set, those that are absent included. ``protocol``
    is the one of which the files beside it are the sides, where there is a record for each.
    """

    format: Literal[1] = 1
    protocol: str = ""
    name: str
    family: str
    synthetic: bool
    layout: Json
    class_names: tuple[str, ...]
    normalisation: Normalisation
    bodies: Annotated[int, Field(ge=1, le=100)]
    clip_names: tuple[str, ...]
    label: tuple[Number, ...]
    subject: tuple[Number, ...]
    camera: tuple[Number, ...]
    setup: tuple[Number, ...]
    length: tuple[Annotated[int, Field(ge=1, lt=1 << 31)], ...]
    splits: dict[str, tuple[Literal[-1, 0, 1], ...]]

    @staticmethod
    def of(dataset: SkeletonDataset, clips: NDArray[np.int64], protocols: Sequence[str]) -> Record:
        """The record of some clips and protocols of a data set.

        Raises:
            UserError: if a name is not a text that UTF-8 can hold.
        """
        names = [*dataset.clip_names, *dataset.class_names, *protocols, dataset.name]
        for name in names:
            if name != name.encode(errors="replace").decode():
                raise UserError(
                    f"'{printable(name)}' is not UTF-8 and cannot be exported: rename it"
                )
        return Record(
            name=dataset.name,
            family=dataset.family,
            synthetic=dataset.synthetic,
            layout=dataset.layout.to_dict(),
            class_names=dataset.class_names,
            normalisation=dataset.normalisation,
            bodies=dataset.max_bodies,
            clip_names=tuple(dataset.clip_names[at] for at in clips),
            **{name: tuple(column[clips].tolist()) for name, column in dataset.columns.items()},
            splits={name: tuple(dataset.splits[name][clips].tolist()) for name in protocols},
        )

    @staticmethod
    def read(text: str | bytes) -> Record:
        """The record that is ``text``; ``ValueError`` if it is damaged, in one line."""
        try:
            record = Record.model_validate_json(text)
            record.skeleton  # noqa: B018  (an error now)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise ValueError(f"{DAMAGED} ({place}: {first['msg']})") from None
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ValueError(f"{DAMAGED} (layout: {' '.join(str(error).split())})") from None
        count = len(record.clip_names)
        columns = (record.label, record.subject, record.camera, record.setup, record.length)
        if any(len(column) != count for column in (*columns, *record.splits.values())):
            raise ValueError(f"{DAMAGED} (its columns differ in length)")
        return record

    @property
    def skeleton(self) -> SkeletonLayout:
        """The layout."""
        return SkeletonLayout.from_dict(self.layout)

    def info(self, at: int, label: int) -> ClipInfo:
        """What is known of a clip; ``ValueError`` if its label is now another one."""
        if self.label[at] != label:
            raise ValueError(f"label {label}, and it was exported with {self.label[at]}")
        known = self.subject[at], self.camera[at], self.setup[at]
        return ClipInfo(self.clip_names[at], label, *known)

    def of_protocol(self, protocol: str) -> Record:
        """The same record beside the files of one protocol."""
        return self.model_copy(update={"protocol": protocol})

    def side(self, protocol: str, part: int) -> NDArray[np.int64]:
        """The clips of one side of a protocol; none if there is no such protocol."""
        return np.flatnonzero(np.array(self.splits.get(protocol, ())) == part)

    def named_sides(self) -> dict[str, list[str]]:
        """The names of all sides' clips, as ``split`` of a pickle has them."""
        return {
            f"{'xset' if protocol == 'xsetup' else protocol}_{part}": [
                self.clip_names[at] for at in self.side(protocol, value)
            ]
            for protocol in self.splits
            for part, value in (("train", TRAIN), ("val", TEST))
        }

    def splits_of(self, infos: Sequence[ClipInfo]) -> dict[str, NDArray[np.int8]]:
        """The splits of the clips ``infos``; clips with equal infos keep their order."""
        places: dict[ClipInfo, list[int]] = defaultdict(list)
        for at in reversed(range(len(self.clip_names))):
            places[self.info(at, self.label[at])].append(at)
        clips = [places[info].pop() for info in infos]
        return {name: np.array(row, np.int8)[clips] for name, row in self.splits.items()}
