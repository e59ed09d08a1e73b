"""Downstream tasks: the evaluation of trained encoders, frozen or fine-tuned.

The tasks that settings and studies name are in :mod:`skelcon.downstream.tasks`. Retrieval with a
small encoder of random weights, on the embedded data:

>>> import torch
>>> from skelcon.data import ClipBank, groups_of, split
>>> from skelcon.data.synthetic import open_embedded
>>> from skelcon.downstream import Inputs, completed, task
>>> from skelcon.encoders import BiGRUConfig, Encoder, EncodersConfig
>>> dataset = open_embedded()
>>> bank = ClipBank(dataset)
>>> train, test = (split(dataset, "xview", side) for side in ("train", "test"))
>>> config = EncodersConfig(seq=BiGRUConfig(hidden=8, layers=1), frames=16)
>>> inputs = Inputs(
...     encoders=[Encoder("seq", config, dataset.layout, bank.num_bodies)],
...     bank=bank,
...     train=torch.from_numpy(train),
...     test=torch.from_numpy(test),
...     num_classes=dataset.num_classes,
...     frames=config.frames,
...     seed=0,
...     groups=torch.from_numpy(groups_of(dataset, "xview", train)),
... )
>>> chosen = task("retrieval")
>>> result = completed(chosen.start(inputs, chosen.settings()))
>>> 0 < result.metrics["top1"] < 1
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skelcon.downstream.config import (
    ClusteringConfig,
    FinetuneConfig,
    KNNConfig,
    LinearConfig,
    MLPConfig,
    OneShotConfig,
    RetrievalConfig,
    RobustnessConfig,
)
from skelcon.lazy import lazy_exports

if TYPE_CHECKING:
    from skelcon.downstream.calibration import calibrate
    from skelcon.downstream.embedding import embed
    from skelcon.downstream.features import extract
    from skelcon.downstream.finetune import Finetuning, labelled_subset
    from skelcon.downstream.inputs import Inputs
    from skelcon.downstream.neighbours import nearest_clips, retrieval
    from skelcon.downstream.result import EvaluationResult, scored
    from skelcon.downstream.tasks import task
    from skelcon.downstream.tasks.base import OneGo, Task, completed

__all__ = [
    "ClusteringConfig",
    "EvaluationResult",
    "FinetuneConfig",
    "Finetuning",
    "Inputs",
    "KNNConfig",
    "LinearConfig",
    "MLPConfig",
    "OneGo",
    "OneShotConfig",
    "RetrievalConfig",
    "RobustnessConfig",
    "Task",
    "calibrate",
    "completed",
    "embed",
    "extract",
    "labelled_subset",
    "nearest_clips",
    "retrieval",
    "scored",
    "task",
]

__getattr__ = lazy_exports(
    __name__,
    {
        "EvaluationResult": "skelcon.downstream.result",
        "Finetuning": "skelcon.downstream.finetune",
        "Inputs": "skelcon.downstream.inputs",
        "OneGo": "skelcon.downstream.tasks.base",
        "Task": "skelcon.downstream.tasks.base",
        "calibrate": "skelcon.downstream.calibration",
        "completed": "skelcon.downstream.tasks.base",
        "embed": "skelcon.downstream.embedding",
        "extract": "skelcon.downstream.features",
        "labelled_subset": "skelcon.downstream.finetune",
        "nearest_clips": "skelcon.downstream.neighbours",
        "retrieval": "skelcon.downstream.neighbours",
        "scored": "skelcon.downstream.result",
        "task": "skelcon.downstream.tasks",
    },
)
