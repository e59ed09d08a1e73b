"""All studies on synthetic data, the quick preset cut short: every cell has a number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ablation.catalogue import known_studies
from ablation.plan import Plan, make_plan
from ablation.report import cells_frame, make_table
from ablation.report.export import FORMATS, export
from ablation.store import Store
from ablation.study import Study, named_study
from ablation.work import Context, UnitRun
from skelcon.data import SkeletonDataset
from skelcon.data.synthetic import synthesize

NARROW = {
    "img": {"channels": 4, "cooccurrence": 16},
    "stg": {"channels": (4, 4), "strides": (1, 2)},
    "seq": {"hidden": 4, "layers": 1},
}
SHORT = {
    "pretrain": {
        "epochs": 1,
        "batch": 8,
        "contrast": {"queue": 32, "dim": 8, "head_hidden": 8},
        "encoders.frames": 16,
    },
    "linear": {"epochs": 1, "crops": 1, "weight_decay": 0.0},
    "finetune": {"epochs": 1},
    "mlp": {"epochs": 1, "crops": 1},
    "robustness": {
        "crops": 1,
        "epochs": 1,
        "weight_decay": 0.0,
        "noise": [0.1],
        "camera": [30],
        "missing": [0.2],
        "speed": [2],
    },
}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, dict[str, SkeletonDataset]]:
    """One store for all studies, so that they share what they share; target and source data."""
    folder = tmp_path_factory.mktemp("studies")
    data = {
        name: synthesize(folder / name, subjects=2, repetitions=1, cameras=2, seed=seed)
        for seed, name in enumerate(("target", "source"))
    }
    return Store(folder / "results"), data


def short(study: Study) -> Study:
    """Without the epochs that rows set themselves, so that :data:`SHORT` has them."""
    rows = {
        name: row.model_copy(
            update={"set": {k: v for k, v in row.set.items() if k != "pretrain.epochs"}}
        )
        for name, row in study.rows.items()
    }
    return study.model_copy(update={"rows": rows})


def sizes(study: Study) -> dict[str, Any]:
    """The widths of :data:`NARROW` and a larger batch, where no row sets widths or shares."""
    own = [key for row in study.rows.values() for key in row.set]
    names = [f"pretrain.encoders.{name}" for name in NARROW]
    if any(key.startswith(name) for key in own for name in names):
        return {}
    return {"pretrain.batch": 16, **dict(zip(names, NARROW.values(), strict=True))}


def run_all(plan: Plan, store: Store) -> None:
    where = {each.fingerprint: each.path for each in (plan.dataset, plan.source) if each}
    for unit in plan.units.values():
        unit_run = UnitRun(unit, store, Context(where))
        while not unit_run.step().done:
            pass
        unit_run.close()


@pytest.mark.parametrize("name", sorted(known_studies()))
def test_a_study_fills_its_table(
    name: str, places: tuple[Store, dict[str, SkeletonDataset]], tmp_path: Path
) -> None:
    store, data = places
    study = short(named_study(name))
    plan = make_plan(
        study,
        data["target"],
        preset="quick",
        seeds=(0,),
        overrides={**SHORT, **sizes(study)},
        source=data["source"],
    )
    run_all(plan, store)
    frame = cells_frame(plan, store)
    assert set(frame["state"]) <= {"done", "not applicable"}
    done = frame[frame["state"] == "done"]
    assert len(done) >= len(plan.study.all_rows)
    assert (done["value"][done["metric"] == "top1"]).between(0, 1).all()
    table = make_table(plan, frame)
    written = {path.name for path in export(table, frame, [], tmp_path / name, FORMATS)}
    files = {"cells.csv", "table.csv", "table.tex", "table.md", "table.json"}
    claims = {"claims.csv", "claims.md"} if table.answers else set()
    effects = {"effects.csv", "effects.md", "effects.tex"} if table.effects else set()
    assert files | claims | effects == written
    latex = (tmp_path / name / "table.tex").read_text()
    assert latex.count(r"\\") >= 1 + len(plan.study.all_rows)
    assert "synthetic data made by skelcon" in table.caption
