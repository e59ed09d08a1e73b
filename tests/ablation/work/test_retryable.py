"""Why a unit failed, and whether the same would happen again."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch

from ablation.store import Store
from ablation.work import OUT_OF_MEMORY, record_failure
from skelcon.augment import AUGMENTATIONS
from skelcon.downstream import tasks
from skelcon.plugins import load_plugins

PLUGIN = '''
from skelcon import register_augmentation


@register_augmentation("broken-{kind}", version="1")
def broken(view, generator):
    """Fails by itself."""
    raise {error}
'''
TASK = '''
from skelcon import register_task
from skelcon.config import Config
from skelcon.downstream import Task


@register_task("broken", version="1")
class Broken(Task[Config]):
    """Fails by itself."""

    settings, metrics = Config, ("top1",)

    def start(self, inputs, settings):
        raise RuntimeError("boom")
'''


@pytest.mark.parametrize(
    ("error", "reason", "deterministic"),
    [
        (FloatingPointError("the loss became nan"), "failed: FloatingPointError: the", True),
        (TypeError("no such argument"), "failed: TypeError: no such argument", True),
        (RuntimeError("a rank does not answer"), "failed: RuntimeError: a rank", False),
        (OSError(errno.ENOSPC, "No space left"), "failed: OSError: [Errno 28]", False),
        (torch.OutOfMemoryError("CUDA"), OUT_OF_MEMORY, False),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), OUT_OF_MEMORY, False),
    ],
)
def test_an_error_that_comes_again_is_not_retried(
    error: Exception, reason: str, deterministic: bool, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    assert record_failure(store, "0" * 16, error).startswith(reason)
    assert store.failure("0" * 16).startswith(reason)
    assert store.failed_for_good("0" * 16) is deterministic


@pytest.mark.parametrize(
    ("kind", "error", "deterministic"),
    [("own", "RuntimeError('boom')", True), ("disk", "OSError(28, 'No space')", False)],
)
def test_a_plugins_own_error_is_not_retried(
    kind: str, error: str, deterministic: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AUGMENTATIONS, "_registered", dict(AUGMENTATIONS._registered))
    plugin = tmp_path / f"broken_{kind}.py"
    plugin.write_text(PLUGIN.format(kind=kind, error=error))
    load_plugins([str(plugin)])
    store = Store(tmp_path)
    with pytest.raises((RuntimeError, OSError)) as raised:
        AUGMENTATIONS[f"broken-{kind}"].function(None, None)
    assert isinstance(raised.value, Exception)
    record_failure(store, "0" * 16, raised.value)
    assert store.failed_for_good("0" * 16) is deterministic


def test_an_error_of_a_plugins_task_is_not_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.TASK_PLUGINS, "_registered", dict(tasks.TASK_PLUGINS._registered))
    monkeypatch.setattr(tasks, "TASKS", dict(tasks.TASKS))
    plugin = tmp_path / "broken_task.py"
    plugin.write_text(TASK)
    load_plugins([str(plugin)])
    with pytest.raises(RuntimeError) as raised:
        tasks.task("broken").start(None, None)
    store = Store(tmp_path)
    record_failure(store, "0" * 16, raised.value)
    assert store.failed_for_good("0" * 16)
