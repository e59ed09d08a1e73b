"""Pickles that skelcon exported: what they say of the data, and clips as they were."""

from __future__ import annotations

from typing import Any

import numpy as np

from skelcon.data.importers.source import RawClip, SkippedFile
from skelcon.data.record import DAMAGED, KEY, UNUSED, Record


def record_in(content: dict[Any, Any]) -> tuple[Record | None, str | None]:
    """What an export wrote of this file, or why it is not used."""
    text = content.get(KEY)
    if text is None:
        return None, None
    try:
        if not isinstance(text, str):
            raise ValueError(DAMAGED)
        record = Record.read(text)
    except ValueError as error:
        return None, f"{error}: {UNUSED}"
    if content.get("split") != record.named_sides():
        return None, f"'split' was changed since the export: {UNUSED}"
    return record, None


def as_it_was(found: RawClip, record: Record, at: int | None) -> RawClip | SkippedFile:
    """A clip with all that the record knows of it, and with all of its bodies."""
    name = found.info.name
    if at is None:
        return SkippedFile(name, "is not a clip of the export")
    try:
        info = record.info(at, found.info.label)
    except ValueError as error:
        return SkippedFile(name, str(error))
    bodies, *rest = found.coordinates.shape
    clip = np.zeros((max(bodies, record.bodies), *rest), np.float32)
    clip[:bodies] = found.coordinates
    return RawClip(info, clip)
