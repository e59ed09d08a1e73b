"""Encoders, representations, losses and measures on the device, against float64 on the CPU."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from gpu_cases import Task, bank_of, difference, precisions, pretrain_config
from gpu_page import Row
from torch import Tensor
from torch.nn import functional

from skelcon.augment import AugmentConfig, augmented_view, evaluation_view
from skelcon.contrast.diagnosis import alignment, effective_rank, uniformity
from skelcon.contrast.infonce import contrast_logits, info_nce
from skelcon.downstream.neighbours import nearest_labels
from skelcon.encoders import REPRESENTATIONS, Encoder, represent
from skelcon.precision import Precision, autocast, computing
from skelcon.pretrain import Pretraining
from skelcon.seeding import generator, seeded_globally

LIMITS = {"fp32": 1e-3, "tf32": 5e-2, "bf16": 0.3}
"""How far features may be from float64, next to their largest."""
GRADIENT_LIMIT = 2e-2
"""How far gradients in float32 may be: those behind many batch norms are the worst."""

ENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "img": ("img", {"img__dropout": 0.0}),
    "img, norms": ("img", {"img__dropout": 0.0, "img__batch_norm": True, "img__input_norm": True}),
    "stg": ("stg", {}),
    "stg, no input norm": ("stg", {"stg__input_norm": False}),
    "seq": ("seq", {}),
    "seq, stepwise": ("seq", {"seq__stepwise": True}),
    "seq, input norm": ("seq", {"seq__input_norm": True}),
}
"""Case -> representation and settings of its encoder."""


def run(task: Task) -> None:
    """All of it."""
    _views(task)
    _losses(task)
    _measures(task)
    for name, (representation, changes) in ENCODERS.items():
        _encoder(task, name, representation, changes)
    for name in REPRESENTATIONS:
        _training(task, (name,))
    _training(task, REPRESENTATIONS)


def _views(task: Task) -> None:
    """Augmented views, with the same draws, and what is made of them."""
    clips = torch.arange(16)
    views = {}
    for where in ("cpu", task.device):
        bank = bank_of(task, 64, where).oriented("median")
        draws = generator(0, "check")
        views[str(where)] = augmented_view(
            bank, clips.to(bank.device), AugmentConfig(), 64, draws
        ).cpu()
        views[f"{where} fixed"] = evaluation_view(bank, clips.to(bank.device), 0.95, 64).cpu()
    here, there = str(task.device), "cpu"
    for kind in ("", " fixed"):
        far = difference(views[here + kind], views[there + kind])
        what = f"view{kind or ', augmented'}"
        task.emit(Row(what, far < 1e-5, values={"forward": far}))
    on_device = views["cpu"].to(task.device)
    for name in REPRESENTATIONS:
        same = torch.equal(represent(on_device, name).cpu(), represent(views["cpu"], name))
        task.emit(Row(f"representation {name}", same, "bit by bit"))


def _losses(task: Task) -> None:
    """InfoNCE (eq. 5), and its gradients, at the paper's queue."""
    draws = torch.Generator().manual_seed(0)
    B, D, K = (8, 16, 32) if task.tiny else (64, 128, 16384)
    raw = [torch.randn(n, D, generator=draws, dtype=torch.float64) for n in (B, B, K)]

    def loss(device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        query, key, queue = (functional.normalize(each, dim=1).to(device, dtype) for each in raw)
        query.requires_grad_()
        if dtype == torch.float64:  # the equation itself
            own = (query * key).sum(1, keepdim=True)
            every = torch.cat((own, query @ queue.T), 1) / 0.07
            value = (every.logsumexp(1) - every[:, 0]).mean()
        else:
            value = info_nce(contrast_logits(query, key, queue, 0.07))
        value.backward()
        assert query.grad is not None
        return value, query.grad

    found, expected = loss(task.device, torch.float32), loss(torch.device("cpu"), torch.float64)
    far = [difference(*pair) for pair in zip(found, expected, strict=True)]
    task.emit(Row("loss", max(far) < 1e-4, values={"forward": far[0], "gradient": far[1]}))


def _measures(task: Task) -> None:
    """What a training logs, and the nearest neighbour."""
    draws = torch.Generator().manual_seed(1)
    x, y = (torch.randn(64, 48, generator=draws, dtype=torch.float64) for _ in range(2))
    ux, uy = functional.normalize(x, dim=1), functional.normalize(y, dim=1)
    pairs: dict[str, Callable[[Any], Tensor]] = {
        "alignment": lambda to: alignment(to(ux), to(uy)),
        "uniformity": lambda to: uniformity(to(ux)),
        "effective rank": lambda to: effective_rank(to(x)),
    }
    for name, measure in pairs.items():
        far = difference(
            measure(lambda t: t.to(task.device, torch.float32)), measure(lambda t: t.clone())
        )
        task.emit(Row(name, far < 1e-3, values={"forward": far}))
    labels = torch.arange(64)
    found = nearest_labels(
        x.to(task.device).float(), y.to(task.device).float(), labels.to(task.device)
    )
    same = torch.equal(found.cpu(), nearest_labels(x, y, labels))
    task.emit(Row("nearest neighbour", same))


def _encoder(task: Task, name: str, representation: str, changes: dict[str, Any]) -> None:
    settings = {f"encoders__{key}": value for key, value in changes.items()}
    config = pretrain_config(task, (representation,), **settings).encoders
    with seeded_globally(0, "check"):
        encoder = Encoder(representation, config, bank_of(task, 64, "cpu").layout, 2)
    bank = bank_of(task, 64, "cpu")
    view = evaluation_view(bank, torch.arange(8), 0.95, config.frames)
    expected = _passed(copy.deepcopy(encoder).double(), view.double(), "fp32")
    for precision in precisions(task):
        on_device = copy.deepcopy(encoder).to(task.device)
        found = _passed(on_device, view.to(task.device), precision)
        far = {key: difference(found[key], expected[key]) for key in expected}
        ok = far["features"] < LIMITS[precision] and far["statistics"] < LIMITS[precision]
        if precision == "fp32":
            ok = ok and far["gradient"] < GRADIENT_LIMIT
        values = {"forward": far["features"], "gradient": far["gradient"]}
        if float(expected["statistics"].abs().max()) > 0:
            values["statistics"] = far["statistics"]
        task.emit(Row(f"encoder {name}, {precision}", ok, values=values))


def _passed(encoder: Encoder, view: Tensor, precision: Precision) -> dict[str, Tensor]:
    """Features in training mode, gradients of all parameters, and running statistics."""
    encoder.train()
    with computing(precision, view.device):
        with autocast(precision, view.device):
            features = encoder(view)
        # A fixed direction: the sum alone would vanish behind a batch norm.
        weights = torch.linspace(-1, 1, features.numel(), dtype=torch.float64)
        (features * weights.view(features.shape).to(features)).sum().backward()
    gradients = [
        p.grad.flatten().double().cpu() for p in encoder.parameters() if p.grad is not None
    ]
    running = [b.flatten().double().cpu() for b in encoder.buffers() if b.is_floating_point()]
    statistics = torch.cat(running) if running else torch.zeros(1)
    return {"features": features, "gradient": torch.cat(gradients), "statistics": statistics}


def _training(task: Task, representations: tuple[str, ...]) -> None:
    """The loss of a few steps on the device and on the CPU, in float32, with the same draws."""
    config = pretrain_config(
        task, representations, batch=8, precision="fp32", encoders__img__dropout=0.0
    )
    losses = []
    for where in ("cpu", task.device):
        bank = bank_of(task, 64, where)
        training = Pretraining(bank, torch.arange(16).numpy(), bank.layout, config, seed=0)
        losses.append(torch.tensor([training.run_epoch().loss]))
    far = difference(losses[1], losses[0])
    what = f"loss of {'+'.join(representations)} over two steps, next to the CPU in float32"
    task.emit(Row(what, far < 1e-3, values={"forward": far}))
