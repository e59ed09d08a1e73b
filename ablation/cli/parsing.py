"""Parsers of options' values, and shell completion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from skelcon.config import Json
from skelcon.errors import UserError


def parse_seeds(text: str) -> tuple[int, ...]:
    """``3`` -> (0, 1, 2); ``0,5,7`` -> (0, 5, 7); ``5,`` -> (5,); else ``UserError``."""
    parts = [part.strip() for part in text.removesuffix(",").split(",")]
    if not all(part.isdecimal() for part in parts):
        raise UserError(f"--seeds {text}: give a number of seeds, or a list such as 0,5,7")
    numbers = [int(part) for part in parts]
    if "," not in text:
        if numbers[0] < 1:
            raise UserError(f"--seeds {text}: at least one seed is needed")
        return tuple(range(numbers[0]))
    for number in numbers:
        if numbers.count(number) > 1:
            raise UserError(f"--seeds {text}: duplicate seed {number}")
    return tuple(numbers)


def parse_settings(texts: Sequence[str]) -> Json:
    """``["a.b=1"]`` -> ``{"a": {"b": 1}}``."""
    from skelcon.settings import merge, parse_assignment

    settings: Json = {}
    merge(settings, dict(parse_assignment(text) for text in texts))
    return settings


def parse_name(text: str) -> str:
    """``text``, if it can be the name of a table's directory; else ``UserError``."""
    from ablation.study import RESERVED

    if not text or text.startswith(".") or text in RESERVED or {"/", "\\"} & {*text}:
        raise UserError(f"--name {text}: give a name for the table, such as mine-1")
    return text


def parse_names(text: str) -> tuple[str, ...]:
    """``a, b`` -> ``("a", "b")``."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def completes(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """Shell completion of ``names``."""
    return lambda incomplete: [name for name in names() if name.startswith(incomplete)]
