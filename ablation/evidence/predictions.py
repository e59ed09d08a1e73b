"""The predictions of an evaluation, or of a late fusion of several."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ablation.fusion import Fusion
from ablation.store import Store
from ablation.store.unit_files import PREDICTIONS
from skelcon.config import Json

Ints = NDArray[np.int64]


class NoPredictionsError(Exception):
    """There are no predictions; the message says why in one line."""


@dataclass(frozen=True)
class Predictions:
    """The predicted class of each tested clip.

    Attributes:
        clips, groups, labels: (N,) index, group and true class of each clip.
        predicted: (n, N) predicted class for each of the n subsets of the labels, usually one.
    """

    clips: Ints
    groups: Ints
    labels: Ints
    predicted: Ints

    @property
    def right(self) -> NDArray[np.bool_]:
        """(n, N) whether the prediction is correct."""
        found: NDArray[np.bool_] = self.predicted == self.labels
        return found


def read_predictions(store: Store, of: str | Fusion) -> Predictions:
    """The predictions of a finished evaluation, given by its key, or of a fusion.

    Raises:
        NoPredictionsError: if they cannot be read, or cannot be fused.
    """
    if isinstance(of, Fusion):
        return _fused(store, [unit.key for unit in of.units], of.weights)
    saved = _read(store, of, "prediction")
    return Predictions(*saved[:3], np.atleast_2d(saved[3]))


def _fused(store: Store, keys: Sequence[str], weights: Sequence[float]) -> Predictions:
    """The class with the highest sum of weighted probabilities (softmax scores)."""
    parts = [_read(store, key, "scores") for key in keys]
    first = parts[0]
    for part in parts:
        same = all(np.array_equal(*pair) for pair in zip(first[:3], part[:3], strict=True))
        if not same or first[3].shape != part[3].shape:
            raise NoPredictionsError(
                "the fused evaluations tested different clips or subsets of labels"
            )
    scores = [np.exp(part[3].astype(np.float64)) for part in parts]
    total = sum(weight * each for weight, each in zip(weights, scores, strict=True))
    return Predictions(*first[:3], np.atleast_2d(np.argmax(total, axis=-1)))


def _read(store: Store, key: str, what: str) -> tuple[Ints, Ints, Ints, NDArray[np.generic]]:
    """Clips, groups, labels, and the array called ``what``."""
    path = store.files(key).path(PREDICTIONS)
    try:
        with np.load(path) as saved:
            if what == "scores" and what not in saved:
                raise NoPredictionsError(
                    f"{key} was evaluated by an older version, without scores of classes: delete "
                    f"units/{key} and run the study again"
                )
            clips, groups, labels = (saved[name] for name in ("clip", "group", "label"))
            return clips, groups, labels, saved[what]
    except (OSError, ValueError, LookupError, zipfile.BadZipFile):
        raise NoPredictionsError(f"'{path}' holds no predictions with groups") from None


def fused_result(store: Store, fusion: Fusion) -> Json:
    """The metrics of a fusion of finished evaluations, as in a unit's result.json.

    Raises:
        NoPredictionsError: if they cannot be fused.
    """
    top1 = read_predictions(store, fusion).right.mean(axis=1)
    sizes = [int(store.result(unit.key)["parameters"]) for unit in fusion.units]
    values: Json = {"top1": float(top1.mean()), "parameters": fusion.parameters(sizes)}
    return values | ({"top1_std": float(top1.std(ddof=1))} if len(top1) > 1 else {})
