"""The base of every configuration: typed, frozen, and without unknown keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

    @classmethod
    def paths(cls) -> Sequence[str]:
        """Key paths that a hint may name for an unknown key, beside those next to it."""
        return ()

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Called by pydantic: what differs from the defaults."""
        for name, value in super().__repr_args__():
            field = type(self).model_fields.get(name or "")
            if field is None or value != field.get_default(call_default_factory=True):
                yield name, value
