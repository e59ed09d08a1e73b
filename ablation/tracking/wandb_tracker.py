"""Weights & Biases."""

from __future__ import annotations

import contextlib
import netrc
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from ablation.tracking.runs import Epoch, TrackedRun

CONNECT_TIMEOUT = 3.0
"""Seconds a server may take to answer before the network counts as unavailable."""
SETTINGS = {"silent": True, "console": "off", "x_disable_stats": True, "init_timeout": 60}
SETTINGS |= {"disable_git": True, "disable_code": True}


class WandbTracker:
    """Weights & Biases. Without a key or a network its runs stay in ``<study>/wandb``.

    It respects ``WANDB_MODE``, ``WANDB_PROJECT``, ``WANDB_ENTITY`` and ``WANDB_BASE_URL``. A unit's
    row is the run's group, its seed a tag, its configuration and its curve are the run's.

    Args:
        directory: the study's.
    """

    def __init__(self, directory: Path) -> None:
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb

        self._wandb, self._directory = wandb, directory
        url = os.environ.get("WANDB_BASE_URL") or wandb.Settings().base_url
        self._mode, reason = _mode(url)
        self.destination = f"W&B: {self._mode}"
        if self._mode == "offline":
            runs = directory / "wandb" / "offline-run-*"
            self.destination = f"W&B: offline{reason}, 'wandb sync {runs}' sends the runs"

    def log(self, run: TrackedRun, curve: list[Epoch], result: Mapping[str, float]) -> None:
        """Make a run, or resume the one that an earlier attempt left."""
        fold = [f"fold {run.fold}"] if run.fold is not None else []
        logged = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", f"skelcon-{run.study}"),
            id=f"{run.study}-{run.key}",
            name=run.name,
            group=run.row,
            job_type=run.job,
            tags=[f"seed {run.seed}", run.column, *fold],
            config={**run.unit.to_json(), "unit_key": run.key, "column": run.column},
            dir=str(self._directory),
            mode=self._mode,
            resume="allow" if self._mode == "online" else None,
            reinit="create_new",
            settings=self._wandb.Settings(**SETTINGS),
        )
        try:
            for epoch in curve:
                logged.log(dict(epoch.values), step=epoch.number)
            logged.summary.update(result)
        finally:
            logged.finish()

    def close(self) -> None:
        """End W&B's own process."""
        self._wandb.teardown()


def _mode(url: str) -> tuple[str, str]:
    """W&B's mode, and in brackets why it is offline if the user has not chosen that."""
    mode = os.environ.get("WANDB_MODE")
    if mode is not None:
        return mode, ""
    server = urlsplit(url)
    host = server.hostname or ""
    if not (os.environ.get("WANDB_API_KEY") or _in_netrc(host, "api.wandb.ai")):
        return "offline", " (no key)"
    if not _answers(host, server.port or 443):
        return "offline", f" ('{host}' does not answer)"
    return "online", ""


def _in_netrc(*hosts: str) -> bool:
    """Whether W&B would find a key for one of the ``hosts`` in a file, without a prompt."""
    own = os.environ.get("NETRC")
    for path in [Path(own)] if own else [Path.home() / ".netrc", Path.home() / "_netrc"]:
        with contextlib.suppress(OSError, netrc.NetrcParseError):
            known = netrc.netrc(path)
            if any(known.authenticators(host) for host in hosts):
                return True
    return False


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=CONNECT_TIMEOUT).close()
    except OSError:
        return False
    return True
