"""Northwestern-UCLA: ``a##_s##_e##_v##.json``, T x 20 joints x 3 in metres, as CTR-GCN has it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from skelcon.data.dataset import ClipInfo
from skelcon.data.importers.files import (
    check_file,
    files_named,
    folders_in,
    numbers_in,
    read_class_names,
    read_json,
)
from skelcon.data.importers.source import ClipFiles, Source
from skelcon.data.layouts import KINECT_V1_SDK
from skelcon.data.splits import sides_of
from skelcon.errors import UserError

CLASS_NAMES = read_class_names("nucla")
ACTIONS = (1, 2, 3, 4, 5, 6, 8, 9, 11, 12)
"""The action in a file's name, of each class in turn; the label in the file counts from 1."""
VIEWS = (1, 2, 3)
LARGEST = 16 << 20
"""Bytes; some ten thousand frames, where a clip has at most some hundred."""
_JOINTS = KINECT_V1_SDK.num_joints
_NAME = re.compile(r"a([0-9]{1,4})_s([0-9]{1,4})_e([0-9]{1,4})_v([0-9]{1,4})\.json")


class NuclaJson(ClipFiles):
    """Northwestern-UCLA: 10 actions, 10 subjects, three views, one body, a file a clip.

    Clips of a single frame and clips that repeat others are kept as they are. The repetition
    (``e``) is in a clip's name only: it is not a setup.
    """

    family = "nucla-json"
    title = "N-UCLA"
    name = "nucla"
    layout = KINECT_V1_SDK
    class_names = CLASS_NAMES

    @classmethod
    def find(cls, path: Path) -> Source | None:
        """The clips' files in a directory, or in the one below it that has some."""
        found = files_named(path, _NAME)
        if not found:
            folders = [
                files for folder in folders_in(path) if (files := files_named(folder, _NAME))
            ]
            if len(folders) > 1:
                one, other = folders[0][0].parent, folders[1][0].parent
                raise UserError(
                    f"'{one}' and '{other}' both have clips of N-UCLA: give the path of one of them"
                )
            found = folders[0] if folders else []
        found.sort(key=lambda file: (numbers_in(file.name, _NAME), file.name))
        return cls(path, found) if found else None

    def info(self, name: str) -> ClipInfo:
        """Action, subject and view of a file's name."""
        action, subject, _, view = numbers_in(name, _NAME)
        if action not in ACTIONS:
            raise ValueError(f"action {action} is not one of {', '.join(map(str, ACTIONS))}")
        if view not in VIEWS:
            raise ValueError(f"view {view} is not one of 1 to {len(VIEWS)}")
        return ClipInfo(name.removesuffix(".json"), ACTIONS.index(action), subject, view)

    def coordinates(self, path: Path, info: ClipInfo) -> NDArray[np.float64]:
        """(1, T, 20, 3) metres; ``ValueError`` also if the file contradicts its name."""
        content = _content(path)
        stated = content.get("file_name", path.stem)
        if stated not in (path.stem, path.name):
            raise ValueError(f"its file_name is {_shown(stated)}, not '{path.stem}'")
        label = content["label"]
        if isinstance(label, bool) or label != info.label + 1:
            action = ACTIONS[info.label]
            raise ValueError(
                f"its label is {_shown(label)}, not the {info.label + 1} of action {action}"
            )
        return _coordinates(content["skeletons"])

    def splits(self, infos: Sequence[ClipInfo]) -> dict[str, NDArray[np.int8]]:
        """Cross-view: views 1 and 2 train, view 3 tests."""
        return {"xview": sides_of(np.array([info.camera for info in infos]) != 3)}


def _shown(value: object) -> str:
    """A value as a reason has it: short, on one line."""
    if isinstance(value, str):
        return ascii(value[:40])
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "an object"
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)


def _content(path: Path) -> dict[str, Any]:
    """The object in a file, all its numbers floats; ``ValueError`` if it is damaged."""
    check_file(path, LARGEST)
    content = read_json(path, parse_constant=_not_a_number, object_pairs_hook=_without_duplicates)
    if not isinstance(content, dict):
        raise ValueError("is not a JSON object")
    for key in ("skeletons", "label"):
        if key not in content:
            raise ValueError(f"has no '{key}'")
    return content


def _not_a_number(text: str) -> NoReturn:
    raise ValueError(f"holds {text}, not a number")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("has a duplicate key")
    return out


def _coordinates(frames: object) -> NDArray[np.float64]:
    """(1, T, 20, 3) metres; ``ValueError`` if it is another shape, or not numbers."""
    if not isinstance(frames, list) or not frames:
        raise ValueError("its skeletons are not a list of frames")
    for number, frame in enumerate(frames, 1):
        if not isinstance(frame, list) or len(frame) != _JOINTS:
            raise ValueError(f"frame {number} is not {_JOINTS} joints")
        if any(not isinstance(joint, list) or len(joint) != 3 for joint in frame):
            raise ValueError(f"frame {number} has a joint that is not 3 numbers")
    values = list(chain.from_iterable(chain.from_iterable(frames)))
    if set(map(type, values)) != {float}:
        raise ValueError("a coordinate is not a number")
    return np.array(values, np.float64).reshape(1, len(frames), _JOINTS, 3)
