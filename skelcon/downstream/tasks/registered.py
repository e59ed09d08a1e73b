"""Tasks that plugins register, in addition to the built-in ones."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from skelcon.config import Config
from skelcon.downstream.tasks.base import Task
from skelcon.errors import UserError


def checked(what: str, kind: object) -> Task[Any]:
    """An instance of the class that a plugin registers as ``what``.

    Raises:
        UserError: if it is not a task, or its attributes are not as `Task` describes.
    """
    if not (isinstance(kind, type) and issubclass(kind, Task)):
        raise UserError(f"{what}: register a subclass of skelcon.downstream.Task")
    try:
        made: Task[Any] = kind()
    except TypeError as error:  # a method is missing
        raise UserError(f"{what}: {error}") from None
    settings = getattr(kind, "settings", None)
    if not (isinstance(settings, type) and issubclass(settings, Config)):
        raise UserError(f"{what}: settings: give a subclass of skelcon.config.Config")
    try:
        settings()
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"])) or "settings"
        raise UserError(f"{what}: {where}: every setting needs a valid default") from None
    if "version" in settings.model_fields:
        raise UserError(f"{what}: version: no setting may have this name")
    metrics = getattr(kind, "metrics", ())
    if not metrics or isinstance(metrics, str) or "parameters" in metrics:
        raise UserError(f"{what}: metrics: name the numbers of its result, such as ('top1',)")
    for attribute, known in (("values", metrics), ("scales", settings.model_fields)):
        for name in getattr(kind, attribute):
            if name not in known:
                raise UserError(f"{what}: {attribute}: there is no '{name}'")
    return made
