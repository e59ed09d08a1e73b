"""One Tune experiment: trials for the units that a queue hands out.

Importing this module imports Ray Tune (a second).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray import tune

from ablation.scheduler.queue import Driver, Queue
from ablation.scheduler.stopping import SaveOnSignal, fit
from ablation.scheduler.trainables import UnitTrainable
from ablation.scheduler.tune_parts import Stop, UnitCallback, UnitSearcher
from ablation.store.mirror import Mirror
from skelcon.config import Json


def run_experiment(
    queue: Queue,
    driver: Driver,
    mirror: Mirror | None,
    slots: int | None,
    *,
    space: Json,
    asked: Callable[[Mapping[str, Any]], dict[str, float]],
    scratch: Path,
) -> bool:
    """Run units until nothing more can be handed out, or a signal comes.

    Args:
        queue: which unit is next.
        driver: whose units they are.
        mirror: of results at a URI.
        slots: how many trials run at once, if units are to be handed out no earlier.
        space: what every trial's configuration holds.
        asked: gives the resources that a trial with this configuration requests.
        scratch: a new directory for what Tune writes.

    Returns:
        Whether something is left that cannot be handed out at present.

    Raises:
        SessionLostError: if Ray has died.
    """
    searcher = UnitSearcher(queue, driver, mirror, slots)
    tuner = tune.Tuner(
        tune.with_resources(UnitTrainable, asked),
        param_space=space,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            num_samples=-1,  # until the searcher says that nothing is left
            max_concurrent_trials=driver.resources.max_concurrent,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: str(trial.trial_id),
        ),
        run_config=tune.RunConfig(
            name="units",
            storage_path=str(scratch),
            stop=Stop(queue),
            callbacks=[UnitCallback(queue, driver, mirror), SaveOnSignal(driver.interrupt)],
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    )
    fit(tuner)
    return searcher.paused
