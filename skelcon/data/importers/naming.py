"""What the names of files and directories say about the data in them."""

from __future__ import annotations

import re
from pathlib import Path

from skelcon.data.importers.ntu_facts import NTU60, NTU120
from skelcon.data.layouts import KINECT_V1, KINECT_V2, LAYOUTS, SkeletonLayout
from skelcon.data.splits import ALIASES, PROTOCOLS, canonical_protocol

NTU = "ntu"
"""NTU RGB+D, either of the two."""
PKUMMD1, PKUMMD2 = "pkummd1", "pkummd2"

_PROTOCOL = re.compile(
    "(?<![a-z])(?:"
    + "|".join(sorted({*ALIASES, *PROTOCOLS}, key=len, reverse=True)).replace("_", "-")
    + ")(?![a-z])"
)
_NTU = re.compile(r"(?<![a-z])ntu[-_ ]*(?:rgb[-_+ ]*d)?[-_ ]*(60|120)?(?![a-z0-9])")
_PKU = re.compile(r"(?<![a-z])pku[-_ ]*(?:mmd)?[-_ ]*(?:part|phase|v)?[-_ ]*(1|2|ii|i)(?![a-z0-9])")
BY_JOINTS = {layout.num_joints: layout for layout in (KINECT_V2, KINECT_V1)}
"""The layout of arrays with so many joints, where nothing states it."""
_LEVELS = 4
"""How many of the last parts of a path may name the data."""


def layout_of(joints: int, stated: object = None) -> SkeletonLayout | None:
    """The layout with so many ``joints``: the one with the ``stated`` name, if it has as many."""
    named = LAYOUTS.get(stated) if isinstance(stated, str) else None
    return named if named and named.num_joints == joints else BY_JOINTS.get(joints)


def protocol_in(name: str) -> str | None:
    """The protocol in a name (``NTU60_CS``, ``ntu60_xview``, ``cross-subject``)."""
    found = _PROTOCOL.findall(name.lower().replace("_", "-"))
    protocols = {canonical_protocol(spelling) for spelling in found}
    return protocols.pop() if len(protocols) == 1 else None


def dataset_in(path: Path) -> str | None:
    """The data set in a path, by the last part of it that names one.

    ``ntu60``, ``ntu120``, ``ntu`` (either), ``pkummd1`` or ``pkummd2``; None if there is none.
    """
    absolute = path.absolute()
    for part in (absolute, *absolute.parents)[:_LEVELS]:
        name = part.name.lower()
        if found := _PKU.search(name):
            return PKUMMD1 if found[1] in ("1", "i") else PKUMMD2
        if found := _NTU.search(name):
            return {"60": NTU60, "120": NTU120}.get(found[1], NTU)
    return None


def own_name(path: Path) -> str:
    """The name of data whose path names no known data set: the name of its directory or file."""
    absolute = path.absolute()
    name = absolute.stem if absolute.suffix == ".npz" else absolute.name
    if protocol_in(name) == name.lower() and absolute.parent.name:
        name = absolute.parent.name
    return name or "data"
