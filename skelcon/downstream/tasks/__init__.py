"""The downstream tasks, one module each.

To add a task, write a module like the ones here and add an instance to :data:`ALL`. Its settings
are then a field of :class:`skelcon.settings.Settings`, under its name. The settings of a plugin's
task are in ``tasks.<name>``.
"""

from __future__ import annotations

from typing import Any

from skelcon.downstream.inputs import Inputs
from skelcon.downstream.tasks.base import EncoderSize, Evaluation, OneGo, Task, completed
from skelcon.downstream.tasks.clustering import ClusteringTask
from skelcon.downstream.tasks.finetune import FinetuneTask
from skelcon.downstream.tasks.knn import KNNTask
from skelcon.downstream.tasks.linear import LinearTask
from skelcon.downstream.tasks.mlp import MLPTask
from skelcon.downstream.tasks.oneshot import OneShotTask
from skelcon.downstream.tasks.registered import checked
from skelcon.downstream.tasks.retrieval import RetrievalTask
from skelcon.downstream.tasks.robustness import RobustnessTask
from skelcon.errors import UserError, nearest
from skelcon.registry import Registry

__all__ = [
    "CUSTOM",
    "TASKS",
    "TASK_PLUGINS",
    "ClusteringTask",
    "EncoderSize",
    "Evaluation",
    "FinetuneTask",
    "Inputs",
    "KNNTask",
    "LinearTask",
    "MLPTask",
    "OneGo",
    "OneShotTask",
    "RetrievalTask",
    "RobustnessTask",
    "Task",
    "completed",
    "register",
    "section",
    "task",
]

ALL: tuple[Task[Any], ...] = (
    LinearTask(),
    RetrievalTask(),
    FinetuneTask(),
    KNNTask(),
    MLPTask(),
    ClusteringTask(),
    RobustnessTask(),
    OneShotTask(),
)

TASKS: dict[str, Task[Any]] = {each.name: each for each in ALL}
"""Every task by its name: the built-in ones, then those that plugins have registered."""

CUSTOM = "tasks"
"""The key under which the settings of registered tasks are."""

TASK_PLUGINS: Registry[type[Task[Any]]] = Registry(
    "task", (), tuple(TASKS), reserved=("pretrain", CUSTOM)
)
"""The classes that plugins have registered."""


def register(name: str, version: str | int, kind: type[Task[Any]]) -> None:
    """Add a task. The same class again (a notebook cell that is run again) replaces it.

    Raises:
        UserError: if the name is taken or invalid, the version is missing, or ``kind`` is not a
            task.
    """
    made = checked(f"task '{name}'", kind)
    TASK_PLUGINS.register(name, version, kind)
    kind.name, made.version = name, str(version)
    TASKS[name] = made


def section(name: str) -> str:
    """The key path of a task's settings.

    >>> section("linear")
    'linear'
    """
    return f"{CUSTOM}.{name}" if name in TASK_PLUGINS else name


def task(name: str) -> Task[Any]:
    """The task ``name``; :class:`UserError` for an unknown one."""
    if name not in TASKS:
        hint = nearest(name, TASKS)
        raise UserError(f"unknown task '{name}': {hint} (a registered one needs its --plugin)")
    return TASKS[name]
