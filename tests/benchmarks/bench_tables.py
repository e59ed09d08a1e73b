"""What the five ablation tables cost, here and with the authors' scripts, from measured steps.

    python tests/benchmarks/bench_trainer.py --threads 2 --precision fp32,bf16 --rounds 3 \
        --reference CHECKOUT --driver SCRIPT > steps.jsonl
    python tests/benchmarks/bench_tables.py steps.jsonl

Counts the units of Tables 5, 6, 8, 9 and 10 in the paper preset at the size of NTU RGB+D 60
(cross-view) and multiplies them by the milliseconds that ``bench_trainer.py`` has found: a
pre-training by its steps, an evaluation by its passes over the clips. Of several representations
that were not measured together the steps are added. Here a unit that two tables ask for is run
once, and reference rows are included; theirs are a run for each pre-training and each evaluation of
each table, without reference rows. Nothing is trained: the hours are estimated.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ablation.plan import make_plan
from ablation.study import named_study
from ablation.units import EvaluateUnit, PretrainUnit, Unit
from skelcon.data.synthetic import open_embedded

STUDIES = ("augmentations", "rep-pairs", "jitter-joints", "crop-length", "rep-combinations")
ORDER = ("img", "seq", "stg")

Lines = dict[str, dict[str, Any]]
"""Case -> what ``bench_trainer.py`` found."""


def batches_of(unit: Unit, train: int, test: int, batch: int) -> float:
    """How many batches a unit trains on, or passes through its encoders."""
    if isinstance(unit, PretrainUnit):
        return unit.epochs * (train // batch)
    assert isinstance(unit, EvaluateUnit)
    return unit.task.clips_seen(unit.settings, train, test) / batch


def milliseconds(unit: Unit, lines: Lines, field: str) -> float:
    """Of one of its batches."""
    if isinstance(unit, PretrainUnit):
        names, kind = unit.representations, "intra"
        together = f"inter-{'-'.join(name for name in ORDER if name in names)}"
        if len(names) > 1 and together in lines:
            return float(lines[together][field])
    else:
        assert isinstance(unit, EvaluateUnit)
        names, kind = tuple(each.representation for each in unit.encoders), "linear"
    return sum(float(lines[f"{kind}-{name}"][field]) for name in names if name in ORDER)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("steps", type=Path, help="what bench_trainer.py has printed")
    parser.add_argument("--train", type=int, default=37_646, help="clips of the training side")
    parser.add_argument("--test", type=int, default=18_932)
    options = parser.parse_args()
    found: dict[str, Lines] = {}
    for text in options.steps.read_text().splitlines():
        line = json.loads(text)
        found.setdefault(line["precision"], {})[line["case"]] = line
    dataset = open_embedded()
    plans = [make_plan(named_study(s), dataset, preset="paper", seeds=(0,)) for s in STUDIES]
    for precision, lines in found.items():
        if "intra-seq" not in lines:
            continue
        batch = int(lines["intra-seq"]["batch"])

        def hours(unit: Unit, field: str, lines: Lines = lines, batch: int = batch) -> float:
            count = batches_of(unit, options.train, options.test, batch)
            return count * milliseconds(unit, lines, field) / 3.6e6

        distinct = {key: unit for plan in plans for key, unit in plan.units.items()}
        ours = sum(hours(unit, "ms") for unit in distinct.values())
        result: dict[str, object] = {"precision": precision, "units": len(distinct)}
        result["hours"] = round(ours, 1)
        if "authors_ms" in lines["intra-seq"]:
            runs = [
                unit
                for plan in plans
                for unit in plan.units.values()
                if isinstance(unit, PretrainUnit) or unit.needs
            ]
            theirs = sum(hours(unit, "authors_ms") for unit in runs)
            result |= {"authors_runs": len(runs), "authors_hours": round(theirs, 1)}
            result["ratio"] = round(theirs / ours, 2)
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
