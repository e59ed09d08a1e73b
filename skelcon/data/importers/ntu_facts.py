"""What is known of NTU RGB+D beside its files: names, actions, and the training sides.

Of the data set's own page (names, actions) and of the papers of NTU RGB+D (2016) and NTU RGB+D
120 (2019). Whatever layout the clips come in, these are the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from skelcon.data.dataset import UNKNOWN, ClipInfo
from skelcon.data.importers.files import read_class_names
from skelcon.data.importers.source import Note
from skelcon.data.splits import sides_of
from skelcon.printable import counted

CLASS_NAMES = read_class_names("ntu")
"""The 120 actions, A1 first; the first data set has 60 of them."""

NTU60, NTU120 = "ntu60", "ntu120"
NTU60_CLASSES, NTU60_SETUPS = 60, 17
"""The first data set has the actions and the setups up to these; 120 has all."""

_XSUB_60 = (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)
_XSUB_120 = (
    *_XSUB_60,
    *(45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86),
    *(89, 91, 92, 93, 94, 95, 97, 98, 100, 103),
)
_TRAINING_SUBJECTS = {NTU60: _XSUB_60, NTU120: _XSUB_120}
_TRAINING_CAMERAS = (2, 3)
_FEW = 0.01
"""The share of clips that may be misnamed: half of NTU RGB+D 120 is beyond the first data set."""

_NAME = re.compile(r"S([0-9]{3})C([0-9]{3})P([0-9]{3})R([0-9]{3})A([0-9]{3})(?:\.skeleton)?")
_LARGEST = {"setup": 32, "camera": 3, "performer": 106, "replication": 2, "action": 120}


def ntu_info(name: str) -> ClipInfo:
    """What ``S###C###P###R###A###``, with or without ``.skeleton``, says of its clip.

    Setup, camera, performer (the subject), replication and action, all counted from 1. The
    clip's name is without the suffix, its label is the action's counted from 0.

    Raises:
        ValueError: if it is not such a name, or one of the numbers is not in use.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"'{name}' is not named S###C###P###R###A###")
    numbers = dict(zip(_LARGEST, map(int, match.groups()), strict=True))
    for what, number in numbers.items():
        if not 1 <= number <= _LARGEST[what]:
            raise ValueError(f"{what} {number} of '{name}' is not one of 1 to {_LARGEST[what]}")
    return ClipInfo(
        name=name.removesuffix(".skeleton"),
        label=numbers["action"] - 1,
        subject=numbers["performer"],
        camera=numbers["camera"],
        setup=numbers["setup"],
    )


def ntu_info_or_none(name: str) -> ClipInfo | None:
    """What a name says, if it is one of NTU's."""
    try:
        return ntu_info(name)
    except ValueError:
        return None


def dataset_name(clips: Iterable[ClipInfo]) -> str:
    """``ntu120`` if a clip is beyond NTU-60, else ``ntu60``."""
    for clip in clips:
        if clip.label >= NTU60_CLASSES or clip.setup > NTU60_SETUPS:
            return NTU120
    return NTU60


def beyond_note(infos: Iterable[ClipInfo]) -> Iterator[Note]:
    """If few clips alone make a data set NTU-120: which, as they may be misnamed."""
    known = list(infos)
    beyond = [info.name for info in known if dataset_name([info]) == NTU120]
    if beyond and len(beyond) <= max(1, _FEW * len(known)):
        text = (
            f"{counted(len(beyond), 'clip')} of {len(known):,} beyond NTU RGB+D 60: all are taken "
            "for NTU RGB+D 120, its 120 classes and its protocols; --exclude what is misnamed"
        )
        yield Note("names", text, tuple(beyond))


def class_names(name: str) -> tuple[str, ...]:
    """The actions of ``name`` (``ntu60`` or ``ntu120``)."""
    return CLASS_NAMES[:NTU60_CLASSES] if name == NTU60 else CLASS_NAMES


def protocols(infos: Sequence[ClipInfo], name: str) -> dict[str, NDArray[np.int8]]:
    """The protocols of ``name`` (``ntu60`` or ``ntu120``): 0 trains, 1 tests, -1 neither.

    NTU-60 is crossed by subject and by view (cameras 2 and 3 train), NTU-120 by subject and by
    setup (even setups train). A clip of which the subject, camera or setup is not known takes no
    part in the protocol that crosses it; a protocol in which no clip takes part is left out.
    """

    def sides(numbers: list[int], training: Iterable[int]) -> NDArray[np.int8]:
        out = sides_of(np.isin(numbers, list(training)))
        out[np.array(numbers, np.int64) == UNKNOWN] = -1
        return out

    rows = {"xsub": sides([info.subject for info in infos], _TRAINING_SUBJECTS[name])}
    if name == NTU60:
        rows["xview"] = sides([info.camera for info in infos], _TRAINING_CAMERAS)
    else:
        even = range(2, _LARGEST["setup"] + 1, 2)
        rows["xsetup"] = sides([info.setup for info in infos], even)
    return {protocol: row for protocol, row in rows.items() if (row >= 0).any()}


NOVEL = tuple(range(1, 121, 6))
"""The actions, counted from 1, that are novel in one-shot recognition: every sixth (Liu et al.
2019)."""

EXEMPLARS = tuple(f"S{1 if action <= 60 else 18:03}C003P008R001A{action:03}" for action in NOVEL)
"""The official exemplar of each, by the name of its clip."""
