"""Trackers of experiments that may be asked for with ``--track``: W&B and MLflow.

Both get one run for each unit of a study when it is done: its row is the run's group, its seed a
tag, its configuration and its curve the run's. Neither is needed by anything else.
"""

from __future__ import annotations

import importlib.util
import logging
import netrc
import os
import socket
import time
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from ablation.tracking.curves import Place, Point
from skelcon.errors import UserError, nearest

TRACKERS = ("wandb", "mlflow")
ANSWER_SECONDS = 3.0
"""How long a server may take to answer before the network counts as not there."""


class Tracker(Protocol):
    """Takes units that are done."""

    where: str
    """Where the runs go, in a line."""

    def log(self, place: Place, points: list[Point], values: dict[str, float]) -> None:
        """Tell of a unit: its place in the study, its curve, its result."""

    def close(self) -> None:
        """Send what is left."""


def parse_trackers(text: str) -> tuple[str, ...]:
    """``wandb,mlflow`` -> names; :class:`UserError` for one that is unknown or not installed."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in TRACKERS:
            raise UserError(f"--track {name}: {nearest(name, TRACKERS)}")
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:  # (W&B leaves a directory "wandb" where it ran.)
            raise UserError(f"--track {name}: not installed here: pip install 'skelcon[{name}]'")
    return tuple(dict.fromkeys(names))


def make_tracker(name: str, results: Path, directory: Path) -> Tracker:
    """The tracker of that name for the study whose directory under ``results`` is given."""
    return Wandb(directory) if name == "wandb" else Mlflow(results, directory.name)


class Wandb:
    """Weights & Biases. Without a key or a network its runs stay in ``<study>/wandb``.

    ``WANDB_MODE``, ``WANDB_PROJECT``, ``WANDB_ENTITY``, ``WANDB_BASE_URL`` are heeded.

    Args:
        directory: the study's.
    """

    def __init__(self, directory: Path) -> None:
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb

        self._wandb, self._directory = wandb, directory
        self._mode = os.environ.get("WANDB_MODE")
        host = urlsplit(os.environ.get("WANDB_BASE_URL") or wandb.Settings().base_url)
        why = ""
        if self._mode is None:
            self._mode = "online"
            if not _has_key(host.hostname or "", "api.wandb.ai"):
                self._mode, why = "offline", "no key"
            elif not _answers(host.hostname or "", host.port or 443):
                self._mode, why = "offline", f"'{host.hostname}' does not answer"
        self.where = f"W&B: {self._mode}"
        if self._mode == "offline":
            runs = directory / "wandb" / "offline-run-*"
            reason = f" ({why})" if why else ""
            self.where = f"W&B: offline{reason}, 'wandb sync {runs}' sends the runs"

    def log(self, place: Place, points: list[Point], values: dict[str, float]) -> None:
        """Make a run, or go on with the one that an earlier attempt left."""
        run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT", f"skelcon-{place.study}"),
            id=f"{place.study}-{place.unit.key}",
            name=f"{place.row} {place.column} {place.what} seed {place.seed}",
            group=place.row,
            job_type=place.what,
            tags=[f"seed {place.seed}", place.column],
            config={**place.unit.config, "unit_key": place.unit.key, "column": place.column},
            dir=str(self._directory),
            mode=self._mode,
            resume="allow" if self._mode == "online" else None,
            reinit="create_new",
            settings=self._wandb.Settings(
                silent=True,
                console="off",
                x_disable_stats=True,
                init_timeout=60,
                disable_git=True,
                disable_code=True,
            ),
        )
        try:
            for point in points:
                run.log(dict(point.values), step=point.epoch)
            run.summary.update(values)
        finally:
            run.finish()

    def close(self) -> None:
        """End the process that sends."""
        self._wandb.teardown()


def _has_key(*hosts: str) -> bool:
    """Whether W&B would find a key for one of the ``hosts``, without asking anybody."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    own = os.environ.get("NETRC")
    for path in [Path(own)] if own else [Path.home() / ".netrc", Path.home() / "_netrc"]:
        try:
            known = netrc.netrc(path)
            if any(known.authenticators(host) for host in hosts):
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=ANSWER_SECONDS).close()
    except OSError:
        return False
    return True


class Mlflow:
    """MLflow, in the store that ``MLFLOW_TRACKING_URI`` names or ``mlflow.db`` under the results.

    Args:
        results: the results directory.
        study: its name, which the experiment has too.
    """

    def __init__(self, results: Path, study: str) -> None:
        from mlflow.tracking import MlflowClient

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        own = results.resolve() / "mlflow.db"
        shown = uri or f"sqlite:///{results / 'mlflow.db'}"
        self.where = f"MLflow: 'mlflow ui --backend-store-uri {shown}' shows the runs"
        self._client = MlflowClient(tracking_uri=uri or f"sqlite:///{own}")
        name = f"skelcon-{study}"
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            self._experiment = found.experiment_id
        else:
            artifacts = None if uri else (results.resolve() / "mlflow-artifacts").as_uri()
            self._experiment = self._client.create_experiment(name, artifacts)

    def log(self, place: Place, points: list[Point], values: dict[str, float]) -> None:
        """Make a run in place of one that an earlier attempt left."""
        from mlflow.entities import Metric, Param

        key, now = place.unit.key, int(time.time() * 1000)
        for old in self._client.search_runs([self._experiment], f"tags.unit = '{key}'"):
            self._client.delete_run(old.info.run_id)
        run = self._client.create_run(
            self._experiment,
            start_time=now - int(1000 * sum(point.seconds for point in points)),
            run_name=f"{place.row} {place.column} {place.what} seed {place.seed}",
            tags={
                "unit": key,
                "study": place.study,
                "group": place.row,
                "row": place.row,
                "column": place.column,
                "seed": str(place.seed),
                "what": place.what,
            },
        ).info.run_id
        metrics = [
            Metric(name, value, now, point.epoch)
            for point in points
            for name, value in point.values.items()
        ]
        metrics += [Metric(name, value, now, len(points)) for name, value in values.items()]
        for at in range(0, len(metrics), 1000):  # as many as it takes at once
            self._client.log_batch(run, metrics=metrics[at : at + 1000])
        params = [Param(name, value) for name, value in _flat(place.unit.config).items()]
        for at in range(0, len(params), 100):
            self._client.log_batch(run, params=params[at : at + 100])
        self._client.set_terminated(run)

    def close(self) -> None:
        """Nothing: each run was sent when it was made."""


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Dotted names -> values as text, no longer than MLflow takes them."""
    found: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, dict) and value:
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = str(value)[:500]
    return found
