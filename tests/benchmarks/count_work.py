"""FLOP and bytes of a pre-training step, counted; and the least time that they take.

    python tests/benchmarks/count_work.py

A step of one representation (two views, query, key, loss, backward, optimiser) runs on the CPU with
two and with four clips, once with both bodies and once with the second absent. `FlopCounterMode`
counts the FLOP of its matrix products and convolutions. Its bytes are those that each operation
reads and writes, as if no operation were fused with another and nothing stayed in a cache. Both
grow as a + b x clips. Prints a Markdown table at the paper's size.
"""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from skelcon.data import KINECT_V2, ClipBank, ClipInfo, DatasetWriter, Normalisation
from skelcon.encoders import bigru
from skelcon.pretrain import PretrainConfig, Pretraining

TWO_BODIES = 0.18
"""The share of clips with a second body, as in NTU RGB+D 60."""
BATCHES = 2, 4


@dataclass(frozen=True)
class Work:
    """What a step takes."""

    flop: float
    bytes: float

    def __add__(self, other: Work) -> Work:
        return Work(self.flop + other.flop, self.bytes + other.bytes)

    def __mul__(self, factor: float) -> Work:
        return Work(self.flop * factor, self.bytes * factor)


class _Traffic(TorchDispatchMode):
    """Bytes that operations read and write; a view moves none."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        if not func.is_view:
            leaves = tree_leaves((args, kwargs or {}, found))
            self.bytes += sum(t.numel() * t.element_size() for t in leaves if isinstance(t, Tensor))
        return found


@functools.cache
def _clips(second: bool) -> ClipBank:
    """Four clips, with or without a second body."""
    random = np.random.default_rng(0)
    as_it_is = Normalisation(centre=False, spine_to_z=False, shoulders_to_x=False)
    with tempfile.TemporaryDirectory() as place:
        with DatasetWriter(
            Path(place) / "clips",
            name="clips",
            layout=KINECT_V2,
            class_names=["any"],
            family="benchmark",
            normalisation=as_it_is,
            synthetic=True,
        ) as writer:
            for number in range(max(BATCHES)):
                clip = random.normal(size=(2, 80, KINECT_V2.num_joints, 3)).astype(np.float32)
                clip[1] *= second
                # One clip has both bodies always: the data set knows by it that there are two.
                writer.add(ClipInfo(str(number), label=0, subject=number), clip)
            both = random.normal(size=(2, 80, KINECT_V2.num_joints, 3)).astype(np.float32)
            writer.add(ClipInfo("both", label=0, subject=99), both)
            dataset = writer.close({"xsub": np.arange(max(BATCHES) + 1) < 1})
        return ClipBank(dataset)


def _counted(config: PretrainConfig, batch: int, second: bool) -> Work:
    bank = _clips(second)
    own = config.model_copy(update={"batch": batch, "precision": "fp32", "monitor": None})
    training = Pretraining(bank, np.arange(batch), bank.layout, own, seed=0)
    # torch's own GRU, as on a GPU: the counter does not know the products of the one for CPUs.
    torchs_own = mock.patch.object(bigru, "LARGE", sys.maxsize)
    with torchs_own, FlopCounterMode(display=False) as counter, _Traffic() as traffic:
        training.run_epoch()
    return Work(float(counter.get_total_flops()), float(traffic.bytes))


@functools.cache
def _line(text: str, second: bool) -> tuple[Work, Work]:
    """What a step takes whatever its batch, and what each of its clips adds."""
    config = PretrainConfig.model_validate_json(text)
    few, more = (_counted(config, batch, second) for batch in BATCHES)
    each = (more + few * -1) * (1 / (BATCHES[1] - BATCHES[0]))
    return few + each * -BATCHES[0], each


def step_work(config: PretrainConfig, share: float = TWO_BODIES) -> Work:
    """Of a step of two bodies with ``share`` of the clips having both; in float32.

    A unit of several representations takes the sum of what each takes alone.
    """
    total = Work(0, 0)
    for name in config.representations:
        alone = config.model_copy(
            update={
                "representations": (name,),
                "optimiser": config.optimiser.of([name]),
                "batch": 1,
                "epochs": 1,
                "precision": "fp32",  # counted once for all
            }
        )
        text = alone.model_dump_json()
        for second, part in ((True, share), (False, 1 - share)):
            fixed, each = _line(text, second)
            total += (fixed + each * config.batch) * part
    return total


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--share", type=float, default=TWO_BODIES, help="of clips with two bodies")
    options = parser.parse_args()
    cell: Callable[[float], str] = "{:,.0f}".format
    print("| representation | GFLOP a step | GB a step | FLOP a byte | GFLOP, both bodies |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for names in (("img",), ("stg",), ("seq",), ("seq", "stg"), ("img", "seq", "stg")):
        config = PretrainConfig(representations=names, batch=options.batch)
        work, full = (step_work(config, share) for share in (options.share, 1.0))
        numbers = work.flop / 1e9, work.bytes / 1e9, work.flop / work.bytes, full.flop / 1e9
        print(f"| {'+'.join(names)} | {' | '.join(map(cell, numbers))} |")


if __name__ == "__main__":
    main()
