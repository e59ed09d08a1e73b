"""Seconds of a training step of the authors' code, as it is in a checkout.

    python gpu_reference.py CHECKOUT img|stg|seq cuda|cpu BATCH STEPS

Its model, loss and optimiser are its own; its feeder is left out: the views are random and lie on
the device. Prints the median step's seconds. (Of the authors' code only the names are here.)
"""

from __future__ import annotations

import contextlib
import io
import statistics
import sys
import time
import types

import torch
from torch import Tensor, nn

NAMES = {"img": "image-based", "stg": "graph-based", "seq": "seq-based"}
TWO_BODIES = 0.18


def main() -> None:
    """The command line."""
    checkout, name, where, batch, steps = sys.argv[1:6]
    sys.path.insert(0, checkout)
    device = torch.device(where)
    if device.type == "cpu":  # it calls .cuda() wherever it runs
        torch.Tensor.cuda = lambda self, *args, **kwargs: self  # type: ignore[method-assign]
    for unused in ("torchvision", "torchvision.transforms"):  # imported, and not used
        sys.modules.setdefault(unused, types.ModuleType(unused))
    with contextlib.redirect_stdout(io.StringIO()):
        from moco.builder_intra import MoCo
        from options import options_pretraining

        options = options_pretraining.opts_ntu_60_cross_view()
        sizes = options.bi_gru_model_args, options.agcn_model_args, options.hcn_model_args
        model = MoCo(NAMES[name], *sizes, 128, 16384, 0.999, 0.07, True).to(device)
    optimiser = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=1e-4)
    criterion = nn.CrossEntropyLoss()
    views = [_view(name, int(batch)).to(device) for _ in range(2)]
    model.train()
    seconds = []
    for _ in range(2 + int(steps)):
        began = time.perf_counter()
        logits, labels = model(*views)
        loss = criterion(logits, labels)
        loss.item()  # as its own loop logs it
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    print(statistics.median(seconds[2:]))


def _view(name: str, batch: int) -> Tensor:
    view = torch.randn(batch, 3, 64, 25, 2)
    view[round(TWO_BODIES * batch) :, ..., 1] = 0
    return view.permute(0, 2, 3, 1, 4).flatten(2) if name == "seq" else view


if __name__ == "__main__":
    main()
