"""Twice the same bits, and the same bits after a resume; what has no deterministic way is named."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Protocol

import torch
from gpu_cases import CASES, CLASSES, Task, bank_of, digest, precisions, pretrain_config
from gpu_page import Row

from skelcon.downstream import FinetuneConfig, Finetuning, Inputs, LinearConfig
from skelcon.downstream.linear import kind_of
from skelcon.encoders import Encoder
from skelcon.pretrain import Pretraining
from skelcon.seeding import seeded_globally

EPOCHS = 2
STEPS = 2


class _Training(Protocol):
    def run_epoch(self) -> object: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def run(task: Task) -> None:
    """Each kind of training."""
    for name, representations in CASES.items():
        for precision in precisions(task):
            _check(
                task,
                f"pre-training {name}, {precision}",
                _pretraining(task, representations, precision),
            )
    stepwise = {"encoders__seq__stepwise": True}
    _check(task, "pre-training seq, stepwise", _pretraining(task, ("seq",), "fp32", **stepwise))
    norms = {"encoders__img__batch_norm": True, "encoders__img__input_norm": True}
    _check(task, "pre-training img, norms", _pretraining(task, ("img",), "fp32", **norms))
    for name in ("img", "stg", "seq"):
        _check(task, f"linear evaluation {name}", _linear(task, name, LinearConfig(epochs=EPOCHS)))
        _check(task, f"fine-tuning {name}", _finetuning(task, name))
    chosen = LinearConfig(weight_decay="auto", crops=2, standardise=True)
    _check(task, "linear evaluation img, regularised", _linear(task, "img", chosen))


def _pretraining(
    task: Task, representations: tuple[str, ...], precision: str, **changes: Any
) -> Callable[[], _Training]:
    config = pretrain_config(
        task, representations, batch=16, precision=precision, epochs=EPOCHS, **changes
    )
    bank = bank_of(task, 64)
    clips = torch.arange(16 * STEPS).numpy()
    return lambda: Pretraining(bank, clips, bank.layout, config, seed=1)


def _sides(task: Task) -> tuple[torch.Tensor, torch.Tensor]:
    clips = torch.arange(64, device=task.device)
    return clips[clips % 4 != 3], clips[clips % 4 == 3]


def _encoder(task: Task, name: str) -> Encoder:
    bank = bank_of(task, 64)
    config = pretrain_config(task, (name,)).encoders
    with seeded_globally(0, "check"):
        return Encoder(name, config, bank.layout, bank.num_bodies).to(task.device)


def _linear(task: Task, name: str, config: LinearConfig) -> Callable[[], _Training]:
    bank, (train, test), encoder = bank_of(task, 64), _sides(task), _encoder(task, name)
    groups = train % 8
    inputs = Inputs([encoder], bank, train, test, CLASSES, encoder.frames, 1, groups)
    return lambda: kind_of(config)(inputs, config)


def _finetuning(task: Task, name: str) -> Callable[[], _Training]:
    bank, (train, test), encoder = bank_of(task, 64), _sides(task), _encoder(task, name)
    config = FinetuneConfig(epochs=EPOCHS, batch=16)
    groups = torch.zeros_like(train)
    inputs = Inputs([encoder], bank, train, test, CLASSES, encoder.frames, 1, groups)
    return lambda: Finetuning(inputs, config)


def _check(task: Task, what: str, start: Callable[[], _Training]) -> None:
    """Two undisturbed runs, one that resumes, and one in which errors are on."""
    torch.use_deterministic_algorithms(True, warn_only=True)

    def run(resumed: bool = False) -> str:
        training = start()
        training.run_epoch()
        if resumed:
            state = copy.deepcopy(training.state_dict())
            training = start()
            training.load_state_dict(state)
        training.run_epoch()
        return digest(training.state_dict())

    first = run()
    twice, again = run() == first, run(resumed=True) == first
    torch.use_deterministic_algorithms(True)
    named = ""
    try:
        run()
    except RuntimeError as error:
        if "determinis" not in str(error):
            raise
        named = str(error).split(".")[0]
    values = {"twice": _word(twice), "resumed": _word(again)}
    task.emit(Row(what, twice and again, named, values))


def _word(same: bool) -> str:
    return "same bits" if same else "other bits"
