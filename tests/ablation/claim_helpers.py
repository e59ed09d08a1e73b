"""Finished evaluations whose predictions are drawn with a known accuracy for each row."""

from __future__ import annotations

import numpy as np

from ablation.plan import Plan
from ablation.store import Store, write_json
from ablation.units import EvaluateUnit


def finish(
    plan: Plan, store: Store, accuracies: dict[str, float], *, of_seeds: float = 0.0
) -> None:
    """Write what all evaluations would leave; rows without an accuracy have one half.

    Args:
        plan: what is evaluated.
        store: where to write.
        accuracies: row -> the chance that a clip is right.
        of_seeds: the standard deviation of that chance over the seeds.
    """
    draws = np.random.default_rng(0)
    for cell in plan.cells:
        unit = cell.unit
        assert isinstance(unit, EvaluateUnit)
        if store.is_done(unit.key):
            continue
        clips = unit.side.clips(plan.dataset, unit.test)
        chance = accuracies.get(cell.row, 0.5) + of_seeds * draws.standard_normal()
        hits = draws.random(len(clips)) < chance
        labels = plan.dataset.labels[clips]
        directory = store.begin(unit.key, unit.to_json())
        write_json(directory / "result.json", {"top1": float(hits.mean()), "parameters": 10})
        np.savez(
            directory / "predictions.npz",
            clip=clips,
            label=labels,
            prediction=np.where(hits, labels, labels + 1),
            group=plan.dataset.columns["subject"][clips],
        )
        store.finish(unit.key)
