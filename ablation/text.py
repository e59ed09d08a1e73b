"""Numbers, times, sizes and names as text for people."""

from __future__ import annotations

import math
from collections.abc import Sequence

KEY_DIGITS = 8
"""How many digits of a unit's key are shown; commands accept them in place of the key."""


def short_key(key: str) -> str:
    """The digits of a unit's key that are shown; files and JSON have the whole key."""
    return key[:KEY_DIGITS]


def plural(number: int, noun: str) -> str:
    """``1 unit``, ``2 units``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def duration(seconds: float) -> str:
    """``48 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def fine_duration(seconds: float) -> str:
    """As :func:`duration`, with tenths of a second below ten seconds."""
    return f"{seconds:.1f} s" if seconds < 10 else duration(seconds)


def readable(size: float) -> str:
    """``850 B``, ``12.3 MB``, ``1.2 GB``: powers of 1000, as disks are sold."""
    if size < 1000:
        return f"{round(size)} B"
    power = min(4, int(math.log10(size)) // 3)
    return f"{size / 1000**power:.1f} {['', 'kB', 'MB', 'GB', 'TB'][power]}"


METRICS = {
    "top1": "top-1",
    "nn_top1": "nearest-neighbour top-1",
    "top1_noise": "top-1 with noise",
    "top1_missing": "top-1 with missing joints",
    "top1_camera": "top-1 from other cameras",
    "top1_speed": "top-1 at other speeds",
    "nmi": "normalised mutual information",
    "ari": "adjusted Rand index",
}


def metric_in_words(name: str) -> str:
    """The name of a metric in tables and sentences.

    >>> metric_in_words("top1"), metric_in_words("top1_train")
    ('top-1', 'top-1_train')
    """
    return METRICS.get(name, name.replace("top1", "top-1"))


def and_joined(names: Sequence[str]) -> str:
    """A list in a sentence.

    >>> and_joined(["a"]), and_joined(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
