"""MLflow."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path

from ablation.tracking.runs import Epoch, TrackedRun
from skelcon.config import flat

METRICS_PER_BATCH, PARAMS_PER_BATCH = 1000, 100
"""The most that MLflow accepts in one request."""
PARAM_LENGTH = 500
"""The most characters of a parameter that MLflow accepts."""


class MlflowTracker:
    """MLflow, in the store at ``MLFLOW_TRACKING_URI``, or else ``mlflow.db`` under the results.

    A unit's row and seed are tags of its run.

    Args:
        directory: the study's, under the results; the experiment is named after it.
    """

    def __init__(self, directory: Path) -> None:
        from mlflow.tracking import MlflowClient

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        results = directory.parent
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        shown = uri or f"sqlite:///{results / 'mlflow.db'}"
        self.destination = f"MLflow: 'mlflow ui --backend-store-uri {shown}' shows the runs"
        own = f"sqlite:///{results.resolve() / 'mlflow.db'}"
        self._client = MlflowClient(tracking_uri=uri or own)
        name = f"skelcon-{directory.name}"
        if found := self._client.get_experiment_by_name(name):
            self._experiment = found.experiment_id
        else:
            artifacts = None if uri else (results.resolve() / "mlflow-artifacts").as_uri()
            self._experiment = self._client.create_experiment(name, artifacts)

    def log(self, run: TrackedRun, curve: list[Epoch], result: Mapping[str, float]) -> None:
        """Make a run, and delete one that an earlier attempt left."""
        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        for old in self._client.search_runs([self._experiment], f"tags.unit = '{run.key}'"):
            self._client.delete_run(old.info.run_id)
        start = now - int(1000 * sum(epoch.seconds for epoch in curve))
        tags = {"unit": run.key, "study": run.study, "group": run.row, "row": run.row}
        tags |= {"column": run.column, "seed": str(run.seed), "what": run.job}
        tags |= {"fold": str(run.fold)} if run.fold is not None else {}
        made = self._client.create_run(
            self._experiment, start_time=start, run_name=run.name, tags=tags
        ).info.run_id
        steps = [(epoch.number, epoch.values) for epoch in curve] + [(len(curve), result)]
        metrics = [Metric(tag, x, now, step) for step, values in steps for tag, x in values.items()]
        for at in range(0, len(metrics), METRICS_PER_BATCH):
            self._client.log_batch(made, metrics=metrics[at : at + METRICS_PER_BATCH])
        settings = flat(run.unit.to_json())
        params = [Param(name, str(value)[:PARAM_LENGTH]) for name, value in settings.items()]
        for at in range(0, len(params), PARAMS_PER_BATCH):
            self._client.log_batch(made, params=params[at : at + PARAMS_PER_BATCH])
        self._client.set_terminated(made)

    def close(self) -> None:
        """Does nothing: each run was sent when it was made."""
