"""A pre-training sees clips turned as its encoders ask, wherever they were turned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from skelcon.data import CENTRED, ClipBank, Normalisation
from skelcon.data.synthetic import synthesize
from skelcon.pretrain import PretrainConfig, Pretraining

TREE: dict[str, Any] = {
    "encoders": {"seq": {"hidden": 8, "layers": 1}, "frames": 16},
    "contrast": {"dim": 8, "head_hidden": 8, "queue": 16, "momentum": 0.9},
    "batch": 12,
    "epochs": 1,
}


@pytest.fixture(scope="module")
def banks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ClipBank]:
    place = tmp_path_factory.mktemp("turned")
    steps = {"centred": CENTRED, "turned": Normalisation()}
    return {
        name: ClipBank(
            synthesize(
                place / name, subjects=2, repetitions=1, cameras=1, setups=1, normalisation=step
            )
        )
        for name, step in steps.items()
    }


def loss(bank: ClipBank, orientation: str) -> float:
    encoders = {**TREE["encoders"], "orientation": orientation}
    config = PretrainConfig.model_validate({**TREE, "encoders": encoders})
    clips = np.arange(len(bank.lengths))
    return Pretraining(bank, clips, bank.layout, config, seed=0).run_epoch().loss


def test_a_turn_at_load_trains_as_a_turn_at_import(banks: dict[str, ClipBank]) -> None:
    at_import = loss(banks["turned"], "as_recorded")
    assert loss(banks["turned"], "first_frame") == at_import
    assert loss(banks["centred"], "first_frame") == pytest.approx(at_import, abs=1e-4)
    for other in ("as_recorded", "median"):
        assert abs(loss(banks["centred"], other) - at_import) > 1e-3
    assert banks["centred"].orientation == "as_recorded"  # the caller's own is left alone
