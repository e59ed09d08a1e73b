"""Trainings on a device that has shapes and no numbers: what mixes it with the CPU is an error.

    python fake_device.py

torch's fake tensors run on a made-up device, "accel": no GPU is needed. Prints a JSON line a
training (an epoch of two steps, or a linear evaluation of two epochs): `waits` are the places that
read a number back from the device, and how often. Then a line for each of fp32, bf16, and bf16 with
an older cuDNN: `dtypes` are what a GRU is given under autocast. A GRU is replaced by products of
the same operands, as torch has none for a device that it does not know.
"""

from __future__ import annotations

import json
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils import backend_registration

from skelcon.augment import evaluation_view
from skelcon.data import ClipBank
from skelcon.data.synthetic import open_embedded
from skelcon.downstream import Inputs, LinearConfig
from skelcon.downstream.linear import SGDEvaluation
from skelcon.downstream.tasks import completed
from skelcon.precision import Precision, autocast
from skelcon.pretrain import PretrainConfig, Pretraining

READS = {
    "__int__": 3,
    "__index__": 3,
    "__float__": 0.5,
    "__bool__": True,
    "item": 0.5,
    "tolist": [0.5, 0.5],
}
"""What reads a number back from a device, and what it gets here."""
SMALL = {
    "frames": 16,
    "img": {"channels": 8, "cooccurrence": 16},
    "stg": {"channels": [8, 16], "strides": [1, 2]},
    "seq": {"hidden": 8, "layers": 1},
}
DTYPES: set[str] = set()
"""Of what the GRU was given."""
SOURCE = str(Path(__file__).resolve().parents[2] / "skelcon")


class _Backend(backend_registration._DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]

    def device_count(self) -> int:
        return 1

    def is_available(self) -> bool:
        return True

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        """Nothing is drawn."""


class _Reads(TorchFunctionMode):
    """Answers what reads a number back, and notes where that was."""

    def __init__(self) -> None:
        super().__init__()
        self.where: Counter[str] = Counter()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name == "numpy" and args[0].device.type == "cpu":
            return np.zeros(args[0].shape)
        if name not in READS:
            return func(*args, **(kwargs or {}))
        if args[0].device.type == "accel":
            frames = (
                each for each in traceback.extract_stack() if each.filename.startswith(SOURCE)
            )
            place = list(frames)[-1]
            self.where[f"{place.filename.removeprefix(SOURCE)}: {place.line}"] += 1
        return READS[name]


def _gru(
    x: Tensor, initial: Tensor, weights: Sequence[Tensor], *rest: object
) -> tuple[Tensor, Tensor]:
    """Shapes and operands of `torch._VF.gru`, batch first."""
    H = initial.shape[-1]
    (dtype,) = {each.dtype for each in (x, initial, *weights)}  # cuDNN takes no mixture
    DTYPES.add(str(dtype))
    out = torch.cat([x @ w[:H].T for w in weights if w.shape[1:] == x.shape[2:]], dim=2)
    return out, initial + sum((w.sum() for w in weights), start=initial.sum())


def _fake(tensor: Tensor, mode: FakeTensorMode) -> Tensor:
    with mode:
        return torch.empty_strided(
            tensor.shape, tensor.stride(), dtype=tensor.dtype, device="accel:0"
        )


def _move(module: nn.Module, mode: FakeTensorMode) -> nn.Module:
    for each in module.modules():
        for name, parameter in each.named_parameters(recurse=False):
            moved = nn.Parameter(_fake(parameter.detach(), mode), parameter.requires_grad)
            each._parameters[name] = moved
        for name, buffer in each.named_buffers(recurse=False):
            each._buffers[name] = _fake(buffer, mode)
    return module


def main() -> None:
    """The command line."""
    backend_registration._setup_privateuseone_for_python_backend("accel", backend_module=_Backend())
    dataset, mode = open_embedded(), FakeTensorMode()
    torch._VF.gru = _gru  # type: ignore[attr-defined]
    # (torch cannot move a module of fake tensors.)
    nn.Module.to = lambda self, device: _move(self, mode)  # type: ignore[assignment,misc]
    nn.utils.skip_init = lambda kind, *sizes, device: kind(*sizes).to(device)
    bank = ClipBank(dataset).oriented("first_frame")
    turn = bank._turns["first_frame"]
    assert turn is not None
    there = bank.oriented("first_frame")
    there._turns = {"first_frame": _fake(turn, mode)}
    for name in ("_frames", "_blocks", "lengths", "labels"):
        setattr(there, name, _fake(getattr(bank, name), mode))
    there.device = torch.device("accel:0")
    for name in ("img", "stg", "seq"):
        config = PretrainConfig.model_validate(
            {
                "representations": [name],
                "batch": 8,
                "contrast": {"queue": 32},
                "encoders": {**SMALL, "orientation": "first_frame"},
            }
        )
        training = Pretraining(ClipBank(dataset), np.arange(16), dataset.layout, config, seed=0)
        _move(training.contrast, mode)
        training.bank, training._clips = there, _fake(training._clips, mode)
        for group in training._optimiser.param_groups:
            group["params"] = training.contrast.query_parameters()
            group.update({"fused": False, "foreach": True})  # (it has no fused optimisers)
        with mode, _Reads() as reads:
            training.run_epoch()
        print(json.dumps({"what": name, "waits": dict(reads.where)}), flush=True)
        encoder = training.contrast.encoder(name)
        with mode, _Reads() as reads:
            clips = torch.arange(16, device=there.device)
            probe, classes = LinearConfig(epochs=2, batch=8), dataset.num_classes
            inputs = Inputs([encoder], there, clips, clips, classes, 16, 0, torch.zeros_like(clips))
            completed(SGDEvaluation(inputs, probe))
        print(json.dumps({"what": f"linear {name}", "waits": dict(reads.where)}), flush=True)
    # (Of autocast this device has the switch alone.)
    switch = torch.library.Library("_", "IMPL", "AutocastPrivateUse1")
    switch.fallback(torch.library.fallthrough_kernel)
    cases: tuple[tuple[Precision, int], ...] = ("fp32", 91_300), ("bf16", 91_300), ("bf16", 91_200)
    for precision, cudnn in cases:
        DTYPES.clear()
        torch.backends.cudnn.version = lambda cudnn=cudnn: cudnn
        with mode, autocast(precision, there.device):
            encoder(evaluation_view(there, clips, 0.95, 16))
        print(json.dumps({"what": f"GRU in {precision}", "waits": {}, "dtypes": [*DTYPES]}))


if __name__ == "__main__":
    main()
