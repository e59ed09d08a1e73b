"""Time of a pre-training step, of the data path and of a linear evaluation, on this machine.

    python tests/benchmarks/bench_trainer.py --threads 2 --precision fp32,bf16
    python tests/benchmarks/bench_trainer.py --reference CHECKOUT --driver SCRIPT --rounds 3
    python tests/benchmarks/bench_trainer.py --preset small --data PATH/utd_mhad --cases intra-seq

Cases: ``feeder`` (two augmented views of a batch), ``intra-img``, ``intra-stg``, ``intra-seq`` and
``inter-seq-stg`` (a whole optimisation step: two views, query, key, loss, backward, optimiser),
``linear-img`` and so on (an epoch of a linear evaluation with a fresh crop, for a batch of clips),
``linear-seq-kept`` and so on (the same, where the 80 epochs share 8 crops). Of the clips 18 % have
two bodies, as in NTU RGB+D. Each measurement is in a process of its own, and in each of the rounds
everything is measured in turn. Prints a JSON line for each case and precision: ``ms`` is the median
over the rounds; ``floor_ms`` is what the products and convolutions alone would take at the rate of
a large matrix product. Run nothing beside it.

With ``--reference`` the authors' code is measured in the same rounds, once as it is and once set to
keep freed memory (``kept``), by a script that is called as ``SCRIPT --ref CHECKOUT --cases CASE
--batch B --threads N --steps N --warmup N`` and prints a JSON line with ``ms_per_step``. ``ratio``
is the authors' time over ours: the median of the rounds, with the least and the greatest.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ablation.work import prepare
from skelcon.augment import AugmentConfig, augmented_view
from skelcon.data import (
    KINECT_V2,
    ClipBank,
    ClipInfo,
    DatasetWriter,
    Normalisation,
    SkeletonDataset,
    open_or_import,
)
from skelcon.downstream import Inputs
from skelcon.downstream.linear import LinearEvaluation, kind_of
from skelcon.encoders import Encoder, bigru
from skelcon.presets import preset_tree, resolve_with_preset
from skelcon.pretrain import Pretraining
from skelcon.seeding import generator
from skelcon.settings import Settings

REPRESENTATIONS = ("seq", "stg", "img")
CASES = (
    "feeder",
    *(f"intra-{name}" for name in REPRESENTATIONS),
    "inter-seq-stg",
    *(f"linear-{name}" for name in REPRESENTATIONS),
    *(f"linear-{name}-kept" for name in REPRESENTATIONS),
)
SECOND_BODY = 0.18
KEPT_CROPS = 8
KEEP_MEMORY = "glibc.malloc.mmap_threshold=1073741824:glibc.malloc.trim_threshold=17179869184"


def theirs(case: str) -> str:
    """What the driver calls a case; a linear evaluation reads its clips in each epoch."""
    if case == "feeder":
        return "feeder-intra-seq"
    return f"e2e-{case.removesuffix('-kept')}" if case.startswith("linear") else case


def made_up(path: Path, clips: int) -> SkeletonDataset:
    """Walks of about 75 frames, a second body in 18 % of each batch."""
    rng = np.random.default_rng(0)
    plain = Normalisation(centre=False, spine_to_z=True, shoulders_to_x=True)
    names = [f"class {i}" for i in range(60)]
    with DatasetWriter(
        path, name="walks", layout=KINECT_V2, class_names=names, family="made", normalisation=plain
    ) as writer:
        for i in range(clips):
            frames = int(np.clip(np.exp(rng.normal(np.log(75), 0.4)), 32, 300))
            start = rng.normal(0, 0.3, (2, 1, 25, 3))
            walk = start + rng.normal(0, 0.02, (2, frames, 25, 3)).cumsum(axis=1)
            if (i * SECOND_BODY) % 1 + SECOND_BODY < 1:
                walk[1] = 0
            writer.add(ClipInfo(str(i), label=i % 60, subject=i % 8), walk.astype(np.float32))
        return writer.close({"xsub": np.arange(clips) % 8 == 7})


def settings_of(options: argparse.Namespace, case: str, precision: str) -> Settings:
    """Of the preset."""
    names = [part for part in case.split("-") if part in REPRESENTATIONS] or ["seq"]
    crops = KEPT_CROPS if case.endswith("-kept") else None
    changes = {
        "pretrain": {"representations": names, "batch": options.batch, "precision": precision},
        "linear": {"crops": crops, "weight_decay": 0.0, "precision": precision},
    }
    return resolve_with_preset(preset_tree(options.preset), [changes], {}, "benchmark")


def work_of(
    options: argparse.Namespace, case: str, precision: str
) -> tuple[Callable[[], object], float]:
    """What is timed, and how many batches one call of it is."""
    with tempfile.TemporaryDirectory() as folder:
        many = options.batch * (4 if case.startswith("linear") else 1)
        dataset = (
            open_or_import(options.data)[0] if options.data else made_up(Path(folder) / "d", many)
        )
        bank = ClipBank(dataset)  # what is mapped stays there
    clips, settings = np.arange(many), settings_of(options, case, precision)
    config = settings.pretrain
    chosen, seed = torch.from_numpy(clips), 0
    if case == "feeder":
        draws = generator(seed, "benchmark")

        def views() -> None:
            for _ in ("query", "key"):
                augmented_view(bank, chosen, AugmentConfig(), 64, draws)

        return views, 1
    if not case.startswith("linear"):
        # One batch: an epoch is a step.
        return Pretraining(bank, clips, dataset.layout, config, seed).run_epoch, 1
    encoders = [Encoder(config.representations[0], config.encoders, dataset.layout, 2)]
    linear = settings.of("linear")
    frames, groups = config.encoders.frames, torch.zeros_like(chosen)
    inputs = Inputs(encoders, bank, chosen, chosen[:1], dataset.num_classes, frames, seed, groups)

    def evaluation() -> LinearEvaluation:
        return kind_of(linear)(inputs, linear)

    if not case.endswith("-kept"):
        return evaluation().run_epoch, 4

    def all_epochs() -> None:
        whole = evaluation()
        while not whole.done:
            whole.run_epoch()

    return all_epochs, 4 * linear.epochs


def measured(options: argparse.Namespace, case: str, precision: str) -> float:
    """Median milliseconds a batch."""
    threads = 1 if case == "feeder" else options.threads  # theirs has one in each worker
    prepare(threads)  # as every process that trains a unit
    work, batches = work_of(options, case, precision)
    steps, warmup = (1, 0) if case.endswith("-kept") else (options.steps, options.warmup)
    times = []
    for _ in range(warmup + steps):
        began = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - began) / batches)
    return statistics.median(times[warmup:])


def floor(options: argparse.Namespace, case: str) -> dict[str, float]:
    """GFLOP of the products and convolutions of a step, and the matrix rates of this machine."""
    prepare(options.threads)
    found: dict[str, float] = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        a, b = (torch.randn(2048, 2048).to(dtype) for _ in range(2))
        times = []
        for _ in range(5):
            began = time.perf_counter()
            torch.nn.functional.conv2d(a.view(2048, 2048, 1, 1), b.view(2048, 2048, 1, 1))
            times.append(time.perf_counter() - began)
        found[f"{name}_gflops"] = 2 * 2048**3 / min(times) / 1e9
    if not case.startswith(("feeder", "linear")):
        from torch.utils.flop_counter import FlopCounterMode

        bigru.LARGE = 1 << 30  # torch's own products are counted
        work, _ = work_of(options, case, "fp32")
        with FlopCounterMode(display=False) as counter:
            work()
        found["gflop"] = counter.get_total_flops() / 1e9
    return found


def child(options: argparse.Namespace, case: str, what: str) -> dict[str, float]:
    """One measurement in a process of its own: a precision of ours, or the floor."""
    own = ("preset", "batch", "threads", "steps", "warmup", "data")
    given = [f"--{n}={getattr(options, n)}" for n in own if getattr(options, n) is not None]
    command = [sys.executable, __file__, *given, "--cases", case, "--child", what]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def reference(options: argparse.Namespace, case: str, *, keep: bool) -> float:
    """Milliseconds a step of the authors' code."""
    command = [sys.executable, *shlex.split(options.driver), "--ref", str(options.reference)]
    command += ["--cases", theirs(case), "--batch", str(options.batch)]
    command += ["--threads", str(options.threads)]
    command += ["--steps", str(options.steps), "--warmup", str(options.warmup)]
    environment = {**os.environ, **({"GLIBC_TUNABLES": KEEP_MEMORY} if keep else {})}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return float(json.loads(done.stdout.strip().splitlines()[-1])["ms_per_step"])


def compare(options: argparse.Namespace, case: str) -> None:
    """Everything in turn, in each round; a line for each precision."""
    precisions = options.precision.split(",") if case != "feeder" else ["fp32"]
    ours: dict[str, list[float]] = {name: [] for name in precisions}
    others: dict[str, list[float]] = {"authors": [], "kept": []} if options.reference else {}
    for _ in range(options.rounds):
        for name, times in others.items():
            times.append(reference(options, case, keep=name == "kept"))
        for name in precisions:
            ours[name].append(child(options, case, name)["ms"])
    known = child(options, case, "floor")
    for name in precisions:
        line: dict[str, object] = {"case": case, "precision": name, "preset": options.preset}
        line |= {"batch": options.batch, "threads": options.threads, "torch": torch.__version__}
        line |= {"ms": round(statistics.median(ours[name]), 2), "rounds": ours[name]}
        if "gflop" in known:
            least = 1e3 * known["gflop"] / known[f"{name}_gflops"]
            line |= {"floor_ms": round(least, 1), **{k: round(v, 1) for k, v in known.items()}}
        for other, times in others.items():
            ratios = sorted(a / b for a, b in zip(times, ours[name], strict=True))
            spread = [round(each, 2) for each in (ratios[0], ratios[-1])]
            line[f"{other}_ms"] = round(statistics.median(times), 2)
            line["ratio" if other == "authors" else f"ratio_{other}"] = [
                round(statistics.median(ratios), 2),
                *spread,
            ]
        print(json.dumps(line), flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--precision", default="fp32", help="fp32, bf16 or both: fp32,bf16")
    parser.add_argument("--reference", type=Path, help="a checkout of the authors' code")
    parser.add_argument("--driver", help="the script that drives it, and options of its own")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if (options.reference is None) != (options.driver is None):
        parser.error("--reference and --driver go together")
    if options.child == "floor":
        print(json.dumps(floor(options, options.cases)))
    elif options.child:
        print(json.dumps({"ms": measured(options, options.cases, options.child)}))
    else:
        for case in options.cases.split(","):
            compare(options, case)


if __name__ == "__main__":
    main()
