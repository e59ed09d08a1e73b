"""What the paper's ten tables cost at its own setting, estimated from counted work; trains nothing.

    python tests/benchmarks/estimate_tables.py

Plans each study on made-up clips that are as many as NTU RGB+D 60's, one frame each, and gives the
cost model of `skelcon-ablate plan` the seconds of a clip that :mod:`count_work` and the roof of a
device allow, divided by the share of the roof that is expected. Prints Markdown.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from count_work import Work, step_work

from ablation.catalogue import known_studies
from ablation.costs import CostModel
from ablation.costs.history import Rate
from ablation.plan import Plan, make_plan
from ablation.scheduler.resources import Resources
from ablation.store import Store
from ablation.study import load_study
from ablation.units import PretrainUnit, Unit
from skelcon.data import KINECT_V2, ClipInfo, DatasetWriter, Normalisation, SkeletonDataset
from skelcon.encoders import COORDINATES
from skelcon.pretrain import PretrainConfig

CLIPS = 56_578
"""Of NTU RGB+D 60 without the clips that lack a skeleton; cross-view trains on two cameras."""
OTHERS = ("recognition", "semi-supervised", "retrieval", "transfer", "supervised")
"""Tables 1 to 4, and 7."""
ABLATIONS = ("augmentations", "rep-pairs", "jitter-joints", "crop-length", "rep-combinations")
"""Tables 5, 6, 8, 9 and 10."""
FORWARD, TRAINED = 0.25, 0.75
"""A forward pass, and a training step, of one encoder next to a step of query and key encoder."""


@dataclass(frozen=True)
class Device:
    """What a device does at most, and the share of it that is expected.

    Attributes:
        flop: of matrix products a second.
        bytes: that it moves a second, read and written.
        width: bytes of a number next to those of float32.
    """

    flop: float
    bytes: float
    share: float
    width: float = 1.0

    def floor(self, work: Work) -> float:
        """The least seconds."""
        return max(work.flop / self.flop, self.width * work.bytes / self.bytes)


H100 = {
    "fp32": Device(67e12, 3.35e12, 0.4),
    "tf32": Device(495e12, 3.35e12, 0.4),
    "bf16": Device(989e12, 3.35e12, 0.4, 0.5),
}
"""An H100 SXM by its data sheet (dense products)."""


def clips_of(place: Path) -> SkeletonDataset:
    """As many clips as NTU RGB+D 60 has, of 40 subjects and 3 cameras, without their frames."""
    as_it_is = Normalisation(centre=False, spine_to_z=False, shoulders_to_x=False)
    number = np.arange(CLIPS)
    subject, camera = number % 40, number // 40 % 3
    frame = np.ones((2, 1, KINECT_V2.num_joints, 3), np.float32)
    with DatasetWriter(
        place,
        name="ntu60",
        layout=KINECT_V2,
        class_names=[str(label) for label in range(60)],
        family="benchmark",
        normalisation=as_it_is,
        synthetic=True,
    ) as writer:
        for i in number:
            where = {"subject": int(subject[i]), "camera": int(camera[i])}
            writer.add(ClipInfo(str(i), label=int(i % 60), **where), frame)
        trained = np.isin(subject, np.arange(20)), camera > 0
        sides = [np.where(side, 0, 1) for side in trained]
        return writer.close(dict(zip(("xsub", "xview"), sides, strict=True)))


def seconds_of_a_clip(unit: Unit, device: Device) -> float:
    """What a clip that `Unit.clips_seen` counts takes."""
    names = [name for name in unit.representations if name != COORDINATES]
    batch = 64
    configs = [PretrainConfig(representations=(name,), batch=batch) for name in names]
    floor = sum(device.floor(step_work(config)) for config in configs) / batch / device.share
    if isinstance(unit, PretrainUnit):
        return floor
    return floor * (TRAINED if unit.task_name == "finetune" else FORWARD)


def model_of(
    dataset: SkeletonDataset, place: Path, units: Sequence[Unit], device: Device, gpus: int = 8
) -> CostModel:
    """The cost model with an estimated time for each unit, on one node of ``gpus`` GPUs."""
    nodes = [{"CPU": 8.0 * gpus, "GPU": float(gpus)}]
    model = CostModel.of(Store(place), [dataset], Resources(gpus_per_trial=1), nodes)
    for unit in units:
        rate = Rate(seconds_of_a_clip(unit, device), "estimated")
        model.history.add_measurement(unit, model.hardware, rate)
    return model


def print_steps(cpu: Device) -> None:
    """A step of 64 clips: work, and the least time on each device."""
    print("| step of 64 clips | GFLOP | GB | this CPU, s | H100 fp32, ms | tf32, ms | bf16, ms |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for names in (("img",), ("stg",), ("seq",), ("seq", "stg"), ("img", "seq", "stg")):
        work = step_work(PretrainConfig(representations=names, batch=64))
        floors = [1e3 * device.floor(work) for device in H100.values()]
        cells = [f"{work.flop / 1e9:,.0f}", f"{work.bytes / 1e9:,.0f}", f"{cpu.floor(work):.1f}"]
        print(f"| {'+'.join(names)} | {' | '.join([*cells, *(f'{ms:.1f}' for ms in floors)])} |")


def print_tables(dataset: SkeletonDataset, place: Path, cpu: Device) -> None:
    """Units and GPU-hours of each table, and of all together."""
    files = known_studies()
    plans = {
        name: make_plan(
            load_study(files[name]), dataset, preset="paper", seeds=(0,), source=dataset
        )
        for name in (*OTHERS, *ABLATIONS)
    }
    heads = [f"{name}, GPU-hours" for name in H100]
    ends = "8 H100, bf16 | this CPU, days"
    print(f"\n| table | pre-trainings | evaluations | {' | '.join(heads)} | {ends} |")
    print("| --- " + "| ---: " * (len(heads) + 4) + "|")
    for name, plan in plans.items():
        _print_line(name, [plan], dataset, place, cpu)
    ablations = [plans[name] for name in ABLATIONS]
    _print_line("**the five ablations together**", ablations, dataset, place, cpu)
    _print_line("**all ten together**", list(plans.values()), dataset, place, cpu)


def _print_line(
    name: str, plans: Sequence[Plan], dataset: SkeletonDataset, place: Path, cpu: Device
) -> None:
    units = {key: unit for plan in plans for key, unit in plan.units.items()}  # many share some
    listed = list(units.values())
    *gpus, here = (
        model_of(dataset, place, listed, device).cost(listed) for device in (*H100.values(), cpu)
    )
    hours = [f"{cost.gpu_hours:,.0f}" for cost in gpus]
    wall, days = (gpus[-1].seconds or 0) / 3600, here.trial_seconds / 86400
    trained = sum(isinstance(unit, PretrainUnit) for unit in listed)
    cells = [str(trained), str(len(listed) - trained), *hours, f"{wall:,.1f} h", f"{days:,.0f}"]
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


def print_growth(dataset: SkeletonDataset, place: Path) -> None:
    """Hours of all ten tables by seeds and GPUs, in bfloat16."""
    gpus = 1, 8, 16, 32, 64
    heads = [f"{n} GPU{'s' if n > 1 else ''}" for n in gpus]
    print(f"\n| seeds | units | {' | '.join(heads)} |")
    print("| ---: " * (len(gpus) + 2) + "|")
    files = known_studies()
    for seeds in (1, 3, 5):
        made = {"preset": "paper", "seeds": tuple(range(seeds)), "source": dataset}
        plans = [
            make_plan(load_study(files[name]), dataset, **made) for name in (*OTHERS, *ABLATIONS)
        ]
        units = list({key: unit for plan in plans for key, unit in plan.units.items()}.values())
        walls = [
            (model_of(dataset, place, units, H100["bf16"], n).cost(units).seconds or 0) / 3600
            for n in gpus
        ]
        print(f"| {seeds} | {len(units)} | {' | '.join(f'{wall:,.1f}' for wall in walls)} |")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--gflops", type=float, default=145, help="of this CPU's products")
    parser.add_argument("--gbytes", type=float, default=20, help="a second that this CPU copies")
    parser.add_argument("--share", type=float, default=0.4, help="of an H100's roof, expected")
    options = parser.parse_args()
    for name, device in H100.items():
        H100[name] = dataclasses.replace(device, share=options.share)
    cpu = Device(options.gflops * 1e9, options.gbytes * 1e9, 0.9)
    print_steps(cpu)
    with tempfile.TemporaryDirectory() as made:
        dataset, results = clips_of(Path(made) / "ntu60"), Path(made) / "results"
        print_tables(dataset, results, cpu)
        print_growth(dataset, results)


if __name__ == "__main__":
    main()
