"""Whether several small encoders train faster as one batched model, on this machine.

    python tests/benchmarks/bench_fused.py --preset small --models 4

For each representation: forward and backward of several encoders of the same shape on batches of
their own, one after the other, and as one batched model (``torch.func.stack_module_state`` and
``vmap``), in turn. Clips have one body: what computes an absent one once depends on the data, which
``vmap`` refuses. ``ratio`` above 1 means that the batched model is faster. Run nothing beside it.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import functional_call, grad, stack_module_state, vmap

from skelcon.data import KINECT_V2
from skelcon.encoders import Encoder, represent
from skelcon.presets import preset_tree, resolve_with_preset
from skelcon.pretrain import PretrainConfig


def seconds(work: Callable[[], object]) -> float:
    """How long ``work`` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def compared(name: str, config: PretrainConfig, models: int, rounds: int) -> dict[str, float]:
    """Milliseconds of ``models`` encoders of representation ``name``, apart and batched."""
    encoders = [Encoder(name, config.encoders, KINECT_V2, 1) for _ in range(models)]
    networks = [encoder.network for encoder in encoders]
    shape = (models, config.batch, 1, config.encoders.frames, KINECT_V2.num_joints, 3)
    inputs = torch.stack([represent(view, name) for view in torch.randn(shape)])
    parameters, buffers = stack_module_state(networks)
    structure = copy.deepcopy(networks[0]).to("meta")

    def loss(own: dict[str, Tensor], state: dict[str, Tensor], batch: Tensor) -> Tensor:
        made: Tensor = functional_call(structure, (own, state), (batch,))
        return made.square().mean()

    def apart() -> None:
        for network, batch in zip(networks, inputs, strict=True):
            network.zero_grad(set_to_none=True)
            network(batch).square().mean().backward()

    def batched() -> None:
        vmap(grad(loss), randomness="different")(parameters, buffers, inputs)

    apart()  # not counted: the first allocates
    batched()
    found = [(seconds(apart), seconds(batched)) for _ in range(rounds)]
    ms, batched_ms = (statistics.median(each) * 1e3 for each in zip(*found, strict=True))
    ratio = statistics.median(one / other for one, other in found)
    return {"ms": round(ms, 1), "batched_ms": round(batched_ms, 1), "ratio": round(ratio, 2)}


def main() -> None:
    """Print a JSON line for each representation."""
    parser = argparse.ArgumentParser(description="Small encoders apart and as one batched model.")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--models", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = resolve_with_preset(preset_tree(options.preset), [], {}, "benchmark").pretrain
    for name in ("img", "stg", "seq"):
        found = compared(name, config, options.models, options.rounds)
        print(json.dumps({"case": name, "preset": options.preset, **found}))


if __name__ == "__main__":
    main()
