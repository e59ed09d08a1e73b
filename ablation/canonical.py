"""The hash by which units and searches are named."""

from __future__ import annotations

import hashlib
import json

from skelcon.config import Json


def digest(values: Json) -> str:
    """16 hex digits of the SHA-256 of ``values`` as canonical JSON (sorted keys, no spaces).

    >>> digest({"seed": 0, "unit": "pretrain"}) == digest({"unit": "pretrain", "seed": 0})
    True

    Raises:
        ValueError: for a number that JSON does not have (NaN, infinity).
    """
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
