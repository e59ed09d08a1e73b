"""How far the loss of a training in bf16 is from that in fp32, step by step, with the same seed.

    python tests/benchmarks/bench_precision.py --data PATH/utd_mhad
    python tests/benchmarks/bench_precision.py --preset small --representation seq --steps 300

Both trainings start from the same weights and see the same views. The loss of a step is noisy, so
means over windows of steps are compared. Prints a JSON line for each seed: ``greatest`` is the
largest relative difference of a window's mean loss, and ``at`` the step at which that window ends;
``another_seed`` is the same of two trainings in fp32 with different seeds, what chance makes of it.
Nothing is timed: other work may run beside it.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ablation.work import prepare
from skelcon.contrast import ContrastResult
from skelcon.data import ClipBank, SkeletonDataset, open_or_import
from skelcon.data.splits import choose_protocol, split
from skelcon.data.synthetic import open_embedded
from skelcon.presets import preset
from skelcon.pretrain import PretrainConfig, Pretraining


def losses(
    dataset: SkeletonDataset, clips: NDArray[np.int64], config: PretrainConfig, seed: int
) -> NDArray[np.float64]:
    """The loss of each step of a training, (steps,)."""
    training = Pretraining(ClipBank(dataset), clips, dataset.layout, config, seed)
    found: list[float] = []

    def note(module: object, given: object, result: ContrastResult) -> None:
        found.append(float(result.loss.detach()))

    training.contrast.register_forward_hook(note)
    training.run()
    return np.array(found)


def greatest_difference(
    found: NDArray[np.float64], expected: NDArray[np.float64], window: int
) -> tuple[float, int]:
    """The largest relative difference of the means of windows, and the step where its window ends.

    Each window starts a step after the one before.
    """
    kernel = np.full(window, 1 / window)
    one, other = (np.convolve(each, kernel, mode="valid") for each in (found, expected))
    far = np.abs(one - other) / np.abs(other)
    at = int(far.argmax())
    return float(far[at]), at + window


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--preset", default="small")
    where = "packed, or in a known layout; embedded if not given"
    parser.add_argument("--data", type=Path, help=where)
    parser.add_argument("--representation", default="seq")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--window", type=int, default=10, help="steps")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    prepare(options.threads)  # as every process that trains a unit
    dataset = open_or_import(options.data)[0] if options.data else open_embedded()
    clips = split(dataset, choose_protocol(dataset, ["xsub", "xview"]), "train")
    settings = preset(
        options.preset,
        {"pretrain.representations": [options.representation], "pretrain.monitor": None},
        data=dataset.name,
    ).pretrain
    # A schedule of learning rates ends with the training.
    epochs = math.ceil(options.steps / (len(clips) // settings.batch))
    plain = settings.model_copy(update={"epochs": epochs, "precision": "fp32"})
    rounded = plain.model_copy(update={"precision": "bf16"})
    for seed in range(options.seeds):
        fp32, other = (losses(dataset, clips, plain, each) for each in (seed, seed + 1))
        bf16 = losses(dataset, clips, rounded, seed)
        greatest, at = greatest_difference(bf16, fp32, options.window)
        line: dict[str, object] = {"case": options.representation, "preset": options.preset}
        line |= {"data": dataset.name, "seed": seed, "steps": len(fp32), "window": options.window}
        line |= {"greatest": round(greatest, 5), "at": at}
        line["another_seed"] = round(greatest_difference(other, fp32, options.window)[0], 5)
        ends = fp32[: options.window], fp32[-options.window :]
        line["fp32_loss"] = [round(float(each.mean()), 4) for each in ends]
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
