"""The base of every configuration: typed, frozen, and without unknown keys."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

Json = dict[str, Any]
"""Plain JSON values, keys are text."""


class Config(BaseModel):
    """A frozen set of values; an unknown key or a wrong type is an error.

    Every field carries one line of help (its ``description``), and its default is the paper's
    value unless the description says otherwise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
