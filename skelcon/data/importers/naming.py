"""What the names of files and directories say of the data in them."""

from __future__ import annotations

import re
from pathlib import Path

from skelcon.data.importers.ntu_facts import NTU60, NTU120
from skelcon.data.layouts import KINECT_V1, KINECT_V2, LAYOUTS, SkeletonLayout
from skelcon.data.splits import ALIASES, PROTOCOLS, canonical_protocol

NTU = "ntu"
"""NTU RGB+D, and not said which of the two."""
PKUMMD1, PKUMMD2 = "pkummd1", "pkummd2"

_PROTOCOL = re.compile(
    "(?<![a-z])(?:"
    + "|".join(sorted({*ALIASES, *PROTOCOLS}, key=len, reverse=True)).replace("_", "-")
    + ")(?![a-z])"
)
_NTU = re.compile(r"(?<![a-z])ntu[-_ ]*(?:rgb[-_+ ]*d)?[-_ ]*(60|120)?(?![a-z0-9])")
_PKU = re.compile(r"(?<![a-z])pku[-_ ]*(?:mmd)?[-_ ]*(?:part|phase|v)?[-_ ]*(1|2|ii|i)(?![a-z0-9])")
BY_JOINTS = {layout.num_joints: layout for layout in (KINECT_V2, KINECT_V1)}
"""What arrays of so many joints are of, where nothing tells."""
_LEVELS = 4
"""How far up a path its names still speak of the data."""


def layout_of(joints: int, told: object = None) -> SkeletonLayout | None:
    """The layout of so many ``joints``: the one that is ``told`` by its name, if it has as many."""
    named = LAYOUTS.get(told) if isinstance(told, str) else None
    return named if named and named.num_joints == joints else BY_JOINTS.get(joints)


def protocol_in(name: str) -> str | None:
    """The protocol that a name tells (``NTU60_CS``, ``ntu60_xview``, ``cross-subject``)."""
    found = _PROTOCOL.findall(name.lower().replace("_", "-"))
    protocols = {canonical_protocol(spelling) for spelling in found}
    return protocols.pop() if len(protocols) == 1 else None


def dataset_in(path: Path) -> str | None:
    """The data set that a path tells, the last part of it that tells any.

    ``ntu60``, ``ntu120``, ``ntu`` (not said which), ``pkummd1`` or ``pkummd2``; None if no other.
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
    """What to call data of which the path tells no known data set: by its directory, or file."""
    absolute = path.absolute()
    name = absolute.stem if absolute.suffix == ".npz" else absolute.name
    if protocol_in(name) == name.lower() and absolute.parent.name:
        name = absolute.parent.name
    return name or "data"
