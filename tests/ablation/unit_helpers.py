"""Units that no study made, for tests of what handles units."""

from __future__ import annotations

from typing import Any

from ablation.events import Progressed
from ablation.units import EncoderSource, EvaluateUnit, PretrainUnit, Side, Unit
from skelcon.pretrain import PretrainConfig
from skelcon.settings import merge


def pretraining(seed: int = 0, label: str | None = None, **changes: Any) -> PretrainUnit:
    """A pre-training in SEQ; ``changes`` are to the defaults of its settings."""
    values: dict[str, Any] = {"representations": ["seq"], "epochs": 10}
    merge(values, changes)
    side = Side("0" * 16, "xsub", "train", seed)
    config = PretrainConfig.model_validate(values)
    return PretrainUnit.of(side, config, f"training {seed}" if label is None else label)


def evaluation(of: PretrainUnit, task: str = "linear", label: str | None = None) -> EvaluateUnit:
    """An evaluation of its first encoder, with the task's defaults."""
    source = EncoderSource(of.representations[0], pretrained=of)
    from skelcon.downstream.tasks import task as task_named

    options = task_named(task).settings().model_dump(mode="json")
    name = f"evaluation {of.side.seed}" if label is None else label
    return EvaluateUnit(of.side, options, task, "test", (source,), label=name)


def progressed(unit: Unit, epoch: int) -> Progressed:
    """What a trial reports."""
    return Progressed(unit, epoch, loss=1.25, samples_per_s=321.0)
