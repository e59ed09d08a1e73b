"""Time of a pre-training step and of the data path, on the machine at hand.

    python tests/benchmarks/bench_trainer.py --preset paper --batch 32 --threads 2
    python tests/benchmarks/bench_trainer.py --preset small --data PATH/utd_mhad --threads 1

Prints one JSON line a case, with the median over ``--steps`` steps after ``--warmup``. Cases:
``aug`` (one augmented view of a batch: crop-resize and a spatial augmentation), ``intra-img``,
``intra-stg`` and ``intra-seq`` (a whole optimisation step: two views, query, key, loss, backward,
optimiser) and ``inter-stg-seq``. A sample is one clip. Run nothing beside it.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from ablation.work import prepare
from skelcon.augment import AugmentConfig, augmented_view
from skelcon.data import ClipBank, open_or_import
from skelcon.data.synthetic import open_embedded
from skelcon.presets import preset_tree, resolve_with_preset
from skelcon.pretrain import Pretraining
from skelcon.seeding import generator

CASES = ("aug", "intra-img", "intra-stg", "intra-seq", "inter-stg-seq")


def timed(step: Callable[[], object], steps: int, warmup: int) -> list[float]:
    """Milliseconds of each of ``steps`` calls."""
    times = []
    for i in range(warmup + steps):
        began = time.perf_counter()
        step()
        if i >= warmup:
            times.append(1e3 * (time.perf_counter() - began))
    return times


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--cases", default=",".join(CASES))
    options = parser.parse_args()
    prepare(options.threads)  # as every process that trains a unit

    dataset = open_or_import(options.data)[0] if options.data else open_embedded()
    bank = ClipBank(dataset)
    clips = torch.arange(options.batch).numpy()  # one batch: an epoch is a step
    for case in options.cases.split(","):
        if case == "aug":
            draws = generator(0, "bench")
            step: Callable[[], object] = lambda draws=draws: augmented_view(  # noqa: E731
                bank, torch.from_numpy(clips), AugmentConfig(), 64, draws
            )
        else:
            changes = {"representations": case.split("-")[1:], "batch": options.batch}
            tree = preset_tree(options.preset)
            config = resolve_with_preset(tree, [{"pretrain": changes}], {}, "benchmark").pretrain
            step = Pretraining(bank, clips, dataset.layout, config, seed=0).run_epoch
        times = timed(step, options.steps, options.warmup)
        median = statistics.median(times)
        line = {
            "case": case,
            "preset": options.preset,
            "batch": options.batch,
            "threads": options.threads,
            "ms_per_step": round(median, 2),
            "min_ms": round(min(times), 2),
            "max_ms": round(max(times), 2),
            "samples_per_s": round(1e3 * options.batch / median, 2),
            "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "torch": torch.__version__,
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
