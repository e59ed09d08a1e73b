"""The one hash of plain values: what keys and the names of search directories are made of."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def digest(values: Any) -> str:
    """16 hex digits of SHA-256 over the canonical JSON of ``values``: sorted keys, no spaces."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
