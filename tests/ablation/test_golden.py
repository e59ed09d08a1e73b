"""What must never change: keys, `config.json` bytes, finished units, and the tables made of them.

`golden/results.tar.xz` is a whole results directory of release 0.1, with its packed data;
`golden/keys.json` the keys of all studies in all presets, on that data under a made-up fingerprint.
"""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ablation_helpers import in_process

import ablation
from ablation.catalogue import known_studies
from ablation.plan import Plan, make_plan
from ablation.study import load_study, named_study
from skelcon.data import SkeletonDataset

GOLDEN = Path(__file__).parent / "golden"
STUDIES = ("study", "nearest", "tuned")


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    with tarfile.open(GOLDEN / "results.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


def plan_of(dataset: SkeletonDataset, name: str, preset: str, seeds: tuple[int, ...]) -> Plan:
    known = name in known_studies()
    study = named_study(name) if known else load_study(GOLDEN / f"{name}.yaml")
    source = replace(dataset, fingerprint="1" * 16) if study.transfer else None
    return make_plan(study, dataset, preset=preset, seeds=seeds, source=source)


def units_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Study, preset -> key -> what it needs and its label."""
    dataset = SkeletonDataset.open(folder / "data")
    sides = dict.fromkeys(("xsub", "xview", "xsetup"), dataset.splits["xsub"])
    everywhere = replace(dataset, fingerprint="0" * 16, splits=sides)
    found = {}
    for name in known_studies():
        for preset in ("quick", "small", "paper"):
            plan = plan_of(everywhere, name, preset, (0, 7))
            found[f"{name} {preset}"] = {
                key: [list(unit.needs), unit.label] for key, unit in plan.units.items()
            }
    return found


def test_keys_needs_and_labels_of_all_studies_are_what_they_were(golden: Path) -> None:
    assert units_of(golden) == json.loads((GOLDEN / "keys.json").read_text())


@pytest.mark.parametrize("name", STUDIES)
def test_config_files_have_the_bytes_that_they_had(golden: Path, name: str, tmp_path: Path) -> None:
    from ablation.store import Store

    plan = plan_of(SkeletonDataset.open(golden / "data"), name, "quick", (0, 1))
    assert len(plan.units) > 8
    store = Store(tmp_path)
    for key, unit in plan.units.items():
        written = store.begin(key, unit.to_json()) / "config.json"
        assert written.read_bytes() == (golden / "results/units" / key / "config.json").read_bytes()


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not {"tensorboard", "drivers"} & set(path.parts)
    }


@pytest.mark.parametrize("name", STUDIES)
def test_a_finished_study_runs_nothing_and_writes_the_same_files(golden: Path, name: str) -> None:
    before = files_of(golden / "results")
    table = golden / "results" / name
    for path in table.iterdir():
        if path.is_file():
            path.unlink()
    asked = ("--data", golden / "data", "--preset", "quick", "--seeds", 2)
    file = GOLDEN / f"{name}.yaml"
    ended = in_process("run", file, *asked, "--results", golden / "results")
    assert ended.returncode == 0, ended.stderr
    after = files_of(golden / "results")
    assert {name for name in set(after) - set(before) if not name.startswith("data/")} <= {
        f"{study}/study.json" for study in STUDIES
    }
    assert [name for name in before if after[name] != before[name]] == []


def test_units_trained_now_give_the_numbers_that_they_gave(golden: Path, tmp_path: Path) -> None:
    """To float32's rounding: processors differ in the order of their sums.

    A clip between two classes may then change sides, and there are four of them: accuracies may
    differ by so much, losses may not.
    """
    asked: dict[str, Any] = {"preset": "quick", "only": ["crop+jitter"], "results": tmp_path}
    for name in STUDIES:
        file = GOLDEN / f"{name}.yaml"
        ablation.run(file, golden / "data", in_process=True, progress=False, **asked)
    units = sorted(path.name for path in (tmp_path / "units").iterdir())
    assert len(units) == 3 + 3 * 3
    for key in units:
        now, then = (folder / "units" / key for folder in (tmp_path, golden / "results"))
        assert sorted(p.name for p in now.iterdir() if p.name not in ("lock", "claim")) == sorted(
            p.name for p in then.iterdir()
        )
        for file in ("result.json", "metrics.jsonl"):
            if (then / file).exists():
                lines = zip(_lines(now / file), _lines(then / file), strict=True)
                for line, golden_line in lines:
                    for timed in ("seconds", "samples_per_s"):
                        line.pop(timed, None), golden_line.pop(timed, None)
                    accuracies = [name for name in golden_line if "top1" in name]
                    for name in accuracies:
                        assert line.pop(name) == pytest.approx(golden_line.pop(name), abs=0.36)
                    assert line == pytest.approx(golden_line, rel=1e-3)


def _lines(path: Path) -> list[dict[str, float]]:
    text = path.read_text()
    return (
        [json.loads(text)] if path.suffix == ".json" else list(map(json.loads, text.splitlines()))
    )
