"""A unit as a Ray Tune trainable: what the driver registers, and a worker runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ray import tune

from skelcon.config import Json

if TYPE_CHECKING:
    from ablation.scheduler.worker import Worker


class UnitTrainable(tune.Trainable):  # type: ignore[misc]
    """Runs one unit after another in the same process; the store is the only checkpoint.

    ``config``: ``key`` of the unit, whose directory holds its configuration, ``results`` (a path),
    ``mirror`` (the URI that replaces it, or None),
    ``data`` (fingerprint -> path) and the ``node`` to fetch it from where that is not seen,
    ``plugins`` (and the ``directory`` to look for them), ``gpu`` (how much of one to use, or how
    many), whether the unit is ``alone`` on it, ``threads``, ``checkpoints`` (a policy) and
    ``monitor`` (how to evaluate it while it trains, or None).
    """

    _worker: Worker

    def setup(self, config: Json) -> None:
        """Called once per worker; the unit starts with the first step."""
        from ablation.scheduler.worker import Worker  # imports torch, which the driver need not

        self._worker = Worker(config["threads"], config["gpu"])
        self._worker.take(config)

    def reset_config(self, new_config: Json) -> bool:
        """Take another unit in this process."""
        self._worker.take(new_config)
        return True

    def step(self) -> Json:
        """Work for about a second; a failure is recorded in the unit's directory."""
        return self._worker.step()

    def cleanup(self) -> None:
        """Release the unit, keeping what has been trained, and the memory that it took."""
        self._worker.release()
