"""Why a unit failed: in one line, in its log, and whether a retry could help."""

from __future__ import annotations

import contextlib
import sys
import traceback
from datetime import datetime
from pathlib import Path

from ablation.store import Store
from skelcon.augment import AUGMENTATIONS
from skelcon.contrast import OBJECTIVES
from skelcon.downstream.tasks import TASK_PLUGINS
from skelcon.encoders import ENCODERS, REPRESENTATION_PLUGINS, STREAMS

OUT_OF_MEMORY = "failed: out of memory"
"""The reason of a unit that may succeed on a larger device, or alone on its device."""
OUT_OF_MEMORY_TEXTS = ("out of memory", "can't allocate memory", "not enough memory")
DETERMINISTIC = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    NameError,
    NotImplementedError,
    TypeError,
)
"""Errors that the same unit raises every time."""


def log(directory: Path, text: str) -> None:
    """Append a line with the time to a unit's log."""
    stamp = datetime.now().astimezone().isoformat(timespec="seconds")
    with (directory / "log.txt").open("a", encoding="utf-8") as file:
        file.write(f"{stamp} {text}\n")


def record_failure(store: Store, key: str, error: Exception) -> str:
    """Write to a unit's directory why it failed, and the traceback to its log.

    What cannot be written, as on a full disk, is left out.

    Returns:
        The reason in one line, as a table prints it.
    """
    reason = f"failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    if _is_out_of_memory(error):
        reason = OUT_OF_MEMORY
    with contextlib.suppress(OSError):
        store.directory(key).mkdir(parents=True, exist_ok=True)
        log(store.directory(key), "".join(traceback.format_exception(error)))
    with contextlib.suppress(OSError):
        store.fail(key, reason, deterministic=is_deterministic(error))
    return reason


def is_deterministic(error: Exception) -> bool:
    """Whether a retry would fail in the same way: by its type, or because a plugin raised it."""
    if is_of_the_machine(error):
        return False
    return isinstance(error, DETERMINISTIC) or _passed_a_plugin(error)


def is_of_the_machine(error: Exception) -> bool:
    """Whether the machine's memory or a disk is the cause, so that a retry may succeed."""
    return isinstance(error, OSError) or _is_out_of_memory(error)


def _is_out_of_memory(error: Exception) -> bool:
    # (torch's error by its name: the driver imports this module, and does not import torch.)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return any(words in str(error).lower() for words in OUT_OF_MEMORY_TEXTS)


def _passed_a_plugin(error: Exception) -> bool:
    """Whether code of a plugin's module was running."""
    registries = (AUGMENTATIONS, ENCODERS, OBJECTIVES, STREAMS)
    modules = (
        sys.modules.get(registry[name].module)
        for registry in (*registries, REPRESENTATION_PLUGINS, TASK_PLUGINS)
        for name in registry.added
    )
    files = {getattr(module, "__file__", None) for module in modules}
    frames = traceback.extract_tb(error.__traceback__)
    return any(frame.filename in files for frame in frames)
