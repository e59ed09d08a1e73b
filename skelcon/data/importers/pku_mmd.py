"""PKU-MMD I and II: untrimmed videos, one clip a row of their labels.

A skeleton file has a row a frame: 150 numbers, 2 bodies x 25 joints x (x, y, z) in metres, in the
joints' order of NTU RGB+D, an absent body zeros. A label file has rows ``class,start,end,
confidence``. No official source says whether frames count from 0 or 1. Here a clip is the frames
``start`` to ``end`` - 1, counted from 0, as most public code cuts it, since some actions of phase
II start at 0; AimCLR and its descendants count from 1 and take one frame more at the beginning.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skelcon.data.dataset import ClipInfo
from skelcon.data.importers.files import check_file, read_class_names, text_of
from skelcon.data.importers.pku_mmd_files import (
    CAMERAS,
    NUMBERS,
    Video,
    VideoFiles,
    find_videos,
)
from skelcon.data.importers.source import BadLineError, Note, RawClip, SkippedFile, Source
from skelcon.data.layouts import KINECT_V2
from skelcon.data.splits import sides_of
from skelcon.printable import counted

CLASS_NAMES = read_class_names("pku_mmd")
"""The same 51 classes in both phases, of which phase II has 41."""

TEST_SUBJECTS = (2, 3, 7)
"""Of phase II, by its list."""
_LONGEST_ROW = 64 << 10


def read_video(path: Path) -> NDArray[np.float64]:
    """(2, T, 25, 3) metres: all frames of a skeleton file; an absent body is zeros.

    Raises:
        ValueError: if the file is empty (:class:`BadLineError` if a row is not 150 numbers).
        OSError: if it cannot be read.
    """
    check_file(path)
    content = text_of(path).rstrip()
    if not content:
        raise ValueError("is empty")
    rows = content.count(b"\n") + 1
    for number, line in enumerate(io.BytesIO(content), 1):
        if len(line) > _LONGEST_ROW:  # before its numbers fill the memory
            raise BadLineError(f"a row of {len(line)} characters, not {NUMBERS} numbers", number)
    try:
        values = np.loadtxt(io.BytesIO(content), comments=None, ndmin=2, encoding="latin1")
    except ValueError:
        raise _bad_line(content) from None
    if values.shape != (rows, NUMBERS):
        raise _bad_line(content)
    bodies: NDArray[np.float64] = values.reshape(rows, 2, KINECT_V2.num_joints, 3)
    return bodies.transpose(1, 0, 2, 3)


def _bad_line(content: bytes) -> ValueError:
    """What is wrong with the first bad row."""
    for number, line in enumerate(io.BytesIO(content), 1):
        fields = line.split()
        if len(fields) != NUMBERS:
            return BadLineError(f"a row of {len(fields)} numbers, not {NUMBERS}", number)
        for text in fields:
            try:
                float(text)
            except ValueError:
                return BadLineError(f"{text.decode('latin1')[:40]!a} is not a number", number)
    return ValueError(f"not rows of {NUMBERS} numbers")


class PkuMmd(Source):
    """PKU-MMD, phase I (66 subjects, not named) or phase II (13 subjects), three cameras.

    A clip is called by its video and the number of its row of labels: ``0005-L-003``. Its setup
    is the recording, 5, so that a validation side can be made of recordings where subjects are
    unknown; cameras L, M and R are 1, 2 and 3.
    """

    family = "pku-mmd"
    title = "PKU-MMD"
    batch = 4
    layout = KINECT_V2
    class_names = CLASS_NAMES

    def __init__(self, path: Path, videos: VideoFiles) -> None:
        labels = [
            videos.labels[file.name] for file in videos.skeletons if file.name in videos.labels
        ]
        super().__init__(path, (*videos.skeletons, *labels, *videos.lists))
        self._videos = videos

    @classmethod
    def find(cls, path: Path) -> Source | None:
        """The videos of one phase, with their labels and the lists of training videos."""
        videos = find_videos(path)
        return None if videos is None else cls(path, videos)

    @property
    def name(self) -> str:
        """``pkummd1`` or ``pkummd2``."""
        return f"pkummd{self._videos.phase}"

    @property
    def items(self) -> Sequence[Path]:
        """The skeleton files, by name."""
        return self._videos.skeletons

    def clips_in(self, item: Path) -> int:
        """The rows of the video's labels; 1 where these cannot be read."""
        return max(1, _count_rows(self._videos.labels.get(item.name)))

    def read(self, item: Path) -> Iterator[RawClip | SkippedFile]:
        """The clips of a video; ``ValueError`` if it has no labels, or a row is damaged."""
        labels = self._videos.labels.get(item.name)
        if labels is None:
            raise ValueError(f"has no label file '{item.name}' in any folder of labels")
        rows = _rows(labels)
        name = f"{labels.parent.name}/{labels.name}"
        if not rows:
            raise ValueError(f"its label file '{name}' is empty")
        video = Video.named(item.name)
        bodies = read_video(item)
        for number, (line, row) in enumerate(rows, 1):
            clip = f"{item.stem}-{number:03d}"
            try:
                label, start, end = _cut(row, bodies.shape[1])
            except ValueError as error:
                yield SkippedFile(clip, f"label file '{name}': {error}", line)
                continue
            info = ClipInfo(clip, label, video.subject, video.camera, video.recording)
            yield RawClip(info, bodies[:, start:end])

    def splits(self, infos: Sequence[ClipInfo]) -> dict[str, NDArray[np.int8]]:
        """Who trains by the lists; a video that is in none takes no part.

        Without a list: cross-view of phase I by its rule (the middle camera tests), cross-subject
        of phase II by its subjects (2, 3 and 7 test), and nothing else.
        """
        rules: dict[tuple[str, int], Callable[[ClipInfo], bool]] = {
            ("xview", 1): lambda info: info.camera != CAMERAS["M"],
            ("xsub", 2): lambda info: info.subject not in TEST_SUBJECTS,
        }
        out: dict[str, NDArray[np.int8]] = {}
        for protocol in ("xsub", "xview"):
            trains = rules.get((protocol, self._videos.phase))
            if protocol in self._videos.sides:
                sides = self._videos.sides[protocol]
                videos = [info.name.rpartition("-")[0] for info in infos]
                out[protocol] = np.array([sides.get(video, -1) for video in videos], np.int8)
            elif trains is not None:
                out[protocol] = sides_of(np.array([trains(info) for info in infos]))
        return out

    def notes(self, infos: Sequence[ClipInfo]) -> Iterator[Note]:
        """Also labels and lists of videos that are not there, and videos of no list."""
        yield from self.unused_files(self._videos.labels.values())
        videos = {file.stem for file in self._videos.skeletons}
        alone = [
            file for name, file in self._videos.labels.items() if Path(name).stem not in videos
        ]
        if alone:
            clips = sum(map(_count_rows, alone))
            files = counted(len(alone), "label file")
            text = f"{files} without skeletons, {counted(clips, 'clip')} lost"
            yield Note("labels", text, tuple(file.name for file in alone))
        for protocol, sides in self._videos.sides.items():
            if lost := sorted(sides.keys() - videos):
                text = f"{counted(len(lost), 'video')} of the list of {protocol} without skeletons"
                yield Note("splits", text, tuple(lost))
            if rest := sorted(videos - sides.keys()):
                text = f"{counted(len(rest), 'video')} on no side of {protocol}"
                yield Note("splits", text, tuple(rest))


def _count_rows(labels: Path | None) -> int:
    try:
        return len(_rows(labels)) if labels else 0
    except (ValueError, OSError):
        return 0


def _rows(labels: Path) -> list[tuple[int, str]]:
    """(line, text) of each row of a label file that is not blank."""
    if not labels.is_file():
        raise ValueError(f"its label file '{labels.parent.name}/{labels.name}' is not a file")
    lines = labels.read_bytes().decode("utf-8-sig", "replace").split("\n")
    return [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]


def _cut(row: str, frames: int) -> tuple[int, int, int]:
    """(label, start, end) of a row of labels; ``ValueError`` if it is not of this video."""
    shown = ascii(row[:40])
    fields = row.split(",")
    try:
        values = [float(text) for text in fields]
    except ValueError:
        values = []
    if len(values) != 4 or "_" in row or not all(map(math.isfinite, values)):
        raise ValueError(f"{shown} is not class,start,end,confidence")
    if not all(value.is_integer() for value in values[:3]):
        raise ValueError(f"{shown} has a class or a frame that is not a whole number")
    number, start, end = (int(value) for value in values[:3])
    if not 1 <= number <= len(CLASS_NAMES):
        raise ValueError(f"class {values[0]:g} is not one of 1 to {len(CLASS_NAMES)}")
    if not 0 <= start < end <= frames:
        raise ValueError(
            f"frames {values[1]:g} to {values[2]:g} are not in a video of {frames} frames"
        )
    return number - 1, start, end
