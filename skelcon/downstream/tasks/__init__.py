"""The downstream tasks: what is asked of trained encoders, one module a task.

To add a task, write a module like the ones here and add an instance to :data:`ALL`. Its settings
are then a field of :class:`skelcon.settings.Settings`, under its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skelcon.downstream.tasks.base import EncoderSize, Evaluation, Inputs, OneGo, Task, completed
from skelcon.downstream.tasks.finetune import FinetuneTask
from skelcon.downstream.tasks.linear import LinearTask
from skelcon.downstream.tasks.retrieval import RetrievalTask
from skelcon.errors import UserError, nearest

__all__ = [
    "TASKS",
    "EncoderSize",
    "Evaluation",
    "FinetuneTask",
    "Inputs",
    "LinearTask",
    "OneGo",
    "RetrievalTask",
    "Task",
    "completed",
    "task",
]

ALL: tuple[Task[Any], ...] = (
    LinearTask(),
    RetrievalTask(),
    FinetuneTask(),
)

TASKS: Mapping[str, Task[Any]] = {each.name: each for each in ALL}
"""Every task by its name."""


def task(name: str) -> Task[Any]:
    """The task ``name``; :class:`UserError` for an unknown one."""
    if name not in TASKS:
        raise UserError(f"unknown task '{name}': {nearest(name, TASKS)}")
    return TASKS[name]
