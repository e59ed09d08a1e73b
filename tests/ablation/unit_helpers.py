"""Made-up units, and what their trials report."""

from __future__ import annotations

from typing import Any

from ablation.plan import Unit


def training(seed: int, epochs: int = 10) -> Unit:
    config = {
        "unit": "pretrain",
        "seed": seed,
        "config": {"epochs": epochs, "representations": ["seq"]},
    }
    return Unit(config, (), f"training {seed}")


def evaluation(of: Unit) -> Unit:
    config = {
        "unit": "evaluate",
        "task": "linear",
        "seed": of.config["seed"],
        "config": {},
        "encoders": [{"representation": "seq"}],
    }
    return Unit(config, (of.key,), f"evaluation {of.config['seed']}")


def report(epoch: int) -> dict[str, Any]:
    return {"epoch": epoch, "epochs": 10, "loss": 1.25, "samples_per_s": 321.0}
