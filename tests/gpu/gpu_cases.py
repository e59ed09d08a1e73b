"""What the parts of the check have in common: rows, sizes, clips, states."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from gpu_page import Row
from torch import Tensor

from skelcon.data import (
    KINECT_V2,
    ClipBank,
    ClipInfo,
    DatasetWriter,
    Normalisation,
    SkeletonDataset,
)
from skelcon.precision import AMPERE, Precision
from skelcon.pretrain import PretrainConfig
from skelcon.settings import resolve

CASES = {
    "img": ("img",),
    "stg": ("stg",),
    "seq": ("seq",),
    "seq+stg": ("seq", "stg"),
    "img+seq+stg": ("img", "seq", "stg"),
}
"""What is pre-trained together."""
CLASSES = 4
TWO_BODIES = 0.18
"""The share of clips with a second body, as in NTU RGB+D 60."""

_TINY = {
    "batch": 8,
    "contrast": {"queue": 32, "dim": 16, "head_hidden": 16, "momentum": 0.9},
    "encoders": {
        "frames": 16,
        "img": {"channels": 8, "cooccurrence": 16},
        "stg": {"channels": [8, 16], "strides": [1, 2]},
        "seq": {"hidden": 16, "layers": 2},
    },
}


class SkippedPartError(Exception):
    """This part cannot run here; its text is the reason."""


@dataclass(frozen=True)
class Task:
    """What a part gets.

    Attributes:
        device: what is checked.
        size: ``paper`` (the sizes of the paper), or ``tiny`` to try the check itself.
        until: by `time.monotonic`, when the part has to end.
        scratch: a directory for files.
        reference: a checkout of the authors' code.
        emit: takes a row as soon as it is known: those of a part that is stopped are kept.
    """

    device: torch.device
    size: str
    until: float
    scratch: Path
    reference: Path | None
    emit: Callable[[Row], None]

    @property
    def tiny(self) -> bool:
        """Whether this is a try."""
        return self.size == "tiny"

    def left(self) -> float:
        """Seconds until the part has to end."""
        return self.until - time.monotonic()


def pretrain_config(task: Task, representations: Sequence[str], **changes: Any) -> PretrainConfig:
    """The paper's configuration, or a tiny one, with ``changes`` (dotted keys have ``__``)."""
    trees: list[dict[str, Any]] = [{"pretrain": {"representations": list(representations)}}]
    if task.tiny:
        trees.append({"pretrain": _TINY})
    trees.append({f"pretrain.{key.replace('__', '.')}": value for key, value in changes.items()})
    return resolve(trees, "check").pretrain


def precisions(task: Task) -> tuple[Precision, ...]:
    """Those that the device has."""
    on_gpu = task.device.type == "cuda"
    has_tf32 = on_gpu and torch.cuda.get_device_capability(task.device)[0] >= AMPERE
    return tuple(each for each in get_args(Precision) if each != "tf32" or has_tf32)


def dataset(task: Task, clips: int) -> SkeletonDataset:
    """Random walks of NTU's lengths, a part of them with a second body."""
    path = task.scratch / f"clips-{clips}"
    if path.exists():
        return SkeletonDataset.open(path)
    random = np.random.default_rng(0)
    lengths = np.exp(random.normal(np.log(75), 0.4, clips)).clip(32, 300).astype(int)
    as_it_is = Normalisation(centre=False, spine_to_z=False, shoulders_to_x=False)
    with DatasetWriter(
        path,
        name="walks",
        layout=KINECT_V2,
        class_names=[str(label) for label in range(CLASSES)],
        family="check",
        normalisation=as_it_is,
        synthetic=True,
    ) as writer:
        for number, length in enumerate(lengths):
            steps = random.normal(0, 0.02, (2, length, KINECT_V2.num_joints, 3)).cumsum(1)
            clip = (steps + random.normal(0, 0.3, (2, 1, KINECT_V2.num_joints, 3))).astype("f4")
            if number % 100 >= 100 * TWO_BODIES:
                clip[1] = 0
            writer.add(ClipInfo(f"{number}", label=number % CLASSES, subject=number % 8), clip)
        return writer.close({"xsub": np.arange(clips) % 4 == 3})


def bank_of(task: Task, clips: int, device: torch.device | str | None = None) -> ClipBank:
    """The clips of :func:`dataset` on a device, by default on the one that is checked."""
    return ClipBank(dataset(task, clips), task.device if device is None else device)


def wait(device: torch.device) -> None:
    """Until the device has done what it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(work: Callable[[], object], device: torch.device, least: float = 0.2) -> float:
    """Seconds that ``work`` takes, repeated for at least so many seconds after a first time."""
    work()
    wait(device)
    times, began = 0, time.perf_counter()
    while not times or time.perf_counter() - began < least:
        work()
        wait(device)
        times += 1
    return (time.perf_counter() - began) / times


def digest(state: Any) -> str:
    """A hash of all tensors and values in nested mappings and sequences, bit by bit."""
    found = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, Tensor):
            flat = value.detach().cpu().contiguous().flatten().view(torch.uint8)
            found.update(flat.numpy().tobytes())
        elif isinstance(value, Mapping):
            for key, each in value.items():
                found.update(str(key).encode())
                add(each)
        elif isinstance(value, list | tuple):
            for each in value:
                add(each)
        else:
            found.update(repr(value).encode())

    add(state)
    return found.hexdigest()


def difference(found: Tensor, expected: Tensor) -> float:
    """The largest difference, next to the largest value that is expected."""
    found, expected = found.detach().cpu().double(), expected.detach().cpu().double()
    largest = expected.abs().max().clamp(min=1e-30)
    return float((found - expected).abs().max() / largest)
