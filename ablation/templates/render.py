"""Fills in a template of ``files/``."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2


def render(file: str, /, **values: object) -> str:
    """The text of the template ``file`` with ``values``, which have to be all of its fields."""
    return _environment().get_template(file).render(values)


def _environment() -> jinja2.Environment:
    import jinja2  # here: only this command needs it

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ablation.templates", "files"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # shell and YAML: each value is quoted by a filter
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["sh"] = _shell_words
    environment.filters["yaml"] = _yaml_value
    return environment


def _shell_words(value: str | Sequence[str]) -> str:
    """One word of shell, or several words of a command."""
    return shlex.quote(value) if isinstance(value, str) else shlex.join(value)


def _yaml_value(value: object) -> str:
    """``value`` as JSON, which is YAML on one line. (jinja's ``tojson`` would escape for HTML.)"""
    return json.dumps(value, ensure_ascii=False)
