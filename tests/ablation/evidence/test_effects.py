"""The effects of a design's factors: numbers, files, sentence and figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from figure_helpers import check_legible

from ablation.evidence.effects import effects_of
from ablation.figures import FIGURES, Asked, DoesNotApplyError
from ablation.pages import make_page, read_results
from ablation.plan import Plan, make_plan
from ablation.report import Table, cells_frame, make_table
from ablation.report.export import export
from ablation.report.from_results import load_plan, save_plan
from ablation.store import Store, write_json
from ablation.study import load_study
from skelcon.data import SkeletonDataset

FACTORS = {
    "objective": {
        "label": "Objective",
        "levels": {
            name: {"label": name.upper(), "set": {"pretrain.objective.name": name}}
            for name in ("moco", "byol", "vicreg")
        },
    },
    "rate": {"setting": "pretrain.optimiser.lr", "values": [0.01, 0.02]},
    "noise": {"setting": "pretrain.augment.gaussian_noise.std", "values": [0.1, 0.2]},
}
USE = ["gaussian_noise"]


def plan_of(
    dataset: SkeletonDataset, folder: Path, design: dict[str, object], seeds: int = 3
) -> Plan:
    path = folder / "mine.yaml"
    columns = {"seq": {"downstream": ["seq"]}}
    base = {"pretrain.augment.use": USE, "pretrain.batch": 8}
    references = {"random": {"pretrain": False}}
    values = {"title": "Mine", "base": base, "columns": columns, "references": references}
    path.write_text(yaml.safe_dump({**values, "design": design}, sort_keys=False))
    return make_plan(load_study(path), dataset, preset="quick", seeds=tuple(range(seeds)))


def finish(plan: Plan, store: Store, noise: float = 0.004, clips: bool = False) -> None:
    """BYOL is 10 points below MoCo, rate 0.02 is 4 above, and 12 more with VICReg."""
    draws = np.random.default_rng(0)
    for cell in plan.cells:
        row, unit = plan.study.all_rows[cell.row], cell.unit
        assert unit is not None
        value = 0.5 - 0.1 * (row.levels.get("objective") == "byol")
        value += 0.04 * (row.levels.get("rate") == "0.02")
        value += 0.12 * ([*row.levels.values()][:2] == ["vicreg", "0.02"])
        value += 0.01 * cell.seed + draws.normal(0, noise)
        directory = store.begin(unit.key, unit.to_json())
        tested = unit.side.clips(plan.dataset, "test")
        hits = np.arange(len(tested)) < value * len(tested)
        write_json(directory / "result.json", {"top1": float(hits.mean()) if clips else value})
        if clips:
            labels, group = plan.dataset.labels[tested], plan.dataset.columns["subject"][tested]
            answers = {"prediction": np.where(hits, labels, labels + 1), "group": group}
            np.savez(directory / "predictions.npz", clip=tested, label=labels, **answers)
        store.finish(unit.key)


def table_of(plan: Plan, store: Store) -> Table:
    return make_table(plan, cells_frame(plan, store), store)


GRID = {"kind": "grid", "factors": FACTORS}


@pytest.fixture
def table(dataset: SkeletonDataset, tmp_path: Path) -> Table:
    plan, store = plan_of(dataset, tmp_path, GRID), Store(tmp_path / "results")
    finish(plan, store)
    return table_of(plan, store)


def lines_of(table: Table, folder: Path) -> pd.DataFrame:
    export(table, cells_frame(table.plan, Store(folder)), [], folder / "out")
    return pd.read_csv(folder / "out" / "effects.csv", dtype={"level": str, "against": str})


def test_effects_are_differences_of_means_and_true_effects_are_found(
    table: Table, tmp_path: Path
) -> None:
    lines = lines_of(table, tmp_path)
    main = lines[lines["kind"] == "main"]
    assert list(zip(main["factor"], main["level"], main["against"], strict=True)) == [
        ("objective", "byol", "moco"),
        ("objective", "vicreg", "moco"),
        ("objective", "vicreg", "byol"),
        ("rate", "0.02", "0.01"),
        ("noise", "0.2", "0.1"),
    ]
    values, rows = table.evidence.values, table.study.rows

    def mean(factor: str, level: str) -> float:
        names = [name for name, row in rows.items() if row.levels[factor] == level]
        return 100 * float(np.mean([[*values[name, "seq"].values()] for name in names]))

    for line in main.itertuples():
        expected = mean(line.factor, line.level) - mean(line.factor, line.against)
        assert line.effect == pytest.approx(expected, abs=1e-9)
        assert line.low < line.effect < line.high
        assert line.p <= line.p_holm
    assert main["effect"].tolist() == pytest.approx([-10, 6, 16, 8, 0], abs=0.5)
    further = lines[lines["kind"] == "interaction"].set_index(["level", "against"])
    assert len(further) == 2 + 2 + 1
    found = further.loc[("vicreg:0.02", "moco:0.01")]
    assert found["effect"] == pytest.approx(12, abs=1)
    assert found["low"] > 0
    corrected = lines.groupby("kind")["p_holm"].max()
    assert (corrected <= 1).all()
    assert (main["share"].iloc[:3] == main["share"].iloc[0]).all()


def test_one_sentence_names_the_significant_factors_and_no_others(table: Table) -> None:
    (said,) = (note for note in table.notes if note.startswith("Significant"))
    assert said.startswith("Significant factors: Objective (explains ")
    assert "VICREG is 16." in said
    assert "points [" in said
    assert "above BYOL), rate (explains" in said
    assert "; not significant: noise" in said
    assert "; interactions: VICREG minus MOCO is 1" in said
    assert "higher with rate 0.02 than with rate 0.01." in said
    for effect in (*table.effects[0].main, *table.effects[0].interactions):
        low, high = effect.difference.interval or (-1, 1)
        assert not (effect.shown and low <= 0 <= high)
    assert any(note.startswith("Design: grid, 12 runs of 12 combinations") for note in table.notes)


def test_files_page_and_figure_come_from_the_results_alone(
    dataset: SkeletonDataset, tmp_path: Path
) -> None:
    plan, store = plan_of(dataset, tmp_path, GRID), Store(tmp_path / "results")
    finish(plan, store)
    save_plan(plan, store.results, store.results / "mine")
    again = table_of(load_plan(store.results, "mine"), store)
    assert again.effects == table_of(plan, store).effects
    directory = tmp_path / "out"
    written = export(again, cells_frame(again.plan, store), [], directory)
    assert {"effects.csv", "effects.md", "effects.tex"} <= {path.name for path in written}
    text = (directory / "effects.md").read_text()
    assert "| seq | Objective | BYOL | MOCO | **-" in text
    assert "- Significant factors: " in text
    assert (directory / "effects.tex").read_text().count(r"\\") == 1 + 5 + 5
    asked = Asked(again.plan, store)
    figure = FIGURES["effects"](asked)
    check_legible(figure)
    labels = [each.get_text() for each in figure.axes[0].get_yticklabels()]
    assert labels[:4] == [
        "BYOL – MOCO",
        "VICREG – MOCO",
        "rate 0.02 – rate 0.01",
        "noise 0.2 – noise 0.1",
    ]
    assert len(labels) == 5  # and the interaction that is shown
    page = make_page(read_results(store.results, ["mine"]))
    assert any("Significant factors" in note for note in page.sections[0].grid.notes)
    assert "effects" in {drawn.name for drawn in page.sections[0].figures}


def test_an_incomplete_fraction_takes_its_error_from_the_runs(
    dataset: SkeletonDataset, tmp_path: Path
) -> None:
    design = {"kind": "fractional", "runs": 8, "factors": FACTORS}
    plan, store = plan_of(dataset, tmp_path, design), Store(tmp_path / "results")
    finish(plan, store)
    table = table_of(plan, store)
    (found,) = table.effects
    assert (found.basis, found.runs, found.seeds) == ("runs", (8, 8), 3)
    small = "Significant factors, if interactions are small: "
    assert any(note.startswith(small) for note in table.notes)
    assert found.main[0].difference.seeds - 1 == 8 - 5
    assert any("resolution III" in note for note in plan.notes)
    assert any(note.startswith("Aliases: ") for note in plan.notes)


def test_test_groups_widen_the_intervals(dataset: SkeletonDataset, tmp_path: Path) -> None:
    plan, store = plan_of(dataset, tmp_path, GRID), Store(tmp_path / "results")
    finish(plan, store, clips=True)
    table = table_of(plan, store)
    effect = table.effects[0].main[0].difference
    hits = table.evidence.hits
    rows = table.study.rows
    byol, moco = (
        np.mean(
            [hits[n, "seq"].hits for n in rows if rows[n].levels["objective"] == o], axis=(0, 1)
        )
        for o in ("byol", "moco")
    )
    groups = hits[next(iter(rows)), "seq"].groups
    own, count = byol - moco, len(np.unique(groups))
    sums = [(own - own.mean())[groups == group].sum() for group in np.unique(groups)]
    expected = count / (count - 1) * sum(np.square(sums)) / len(own) ** 2
    assert effect.groups == count == 2
    assert effect.value == pytest.approx(own.mean(), abs=1e-12)
    assert effect.of_groups == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("design", "seeds", "reason"),
    [
        (
            {"kind": "one-at-a-time", "factors": FACTORS},
            1,
            "one seed and no residual degrees of freedom",
        ),
        (
            {
                "kind": "grid",
                "factors": {"e": {"setting": "pretrain.epochs", "values": [2, 3]}},
            },
            3,
            "are not estimated: the budgets differ (e 2 2 epochs, e 3 3).",
        ),
    ],
)
def test_nothing_is_called_an_effect_without_an_error_or_equal_budgets(
    dataset: SkeletonDataset, tmp_path: Path, design: dict[str, object], seeds: int, reason: str
) -> None:
    plan, store = plan_of(dataset, tmp_path, design, seeds), Store(tmp_path / "results")
    finish(plan, store)
    table = table_of(plan, store)
    (said,) = (note for note in table.notes if note.startswith("Effects are not"))
    assert reason in said
    assert not any(effect.shown for each in table.effects for effect in each.main)


def test_leave_one_out_and_add_one_have_effects_of_their_own(
    dataset: SkeletonDataset, tmp_path: Path
) -> None:
    items = {"setting": "pretrain.augment.use", "items": ["crop", "pose", "jitter"]}
    design = {"kind": ["leave-one-out", "add-one"], "factors": {"use": items}}
    plan, store = plan_of(dataset, tmp_path, design), Store(tmp_path / "results")
    finish(plan, store)
    without, alone = table_of(plan, store).effects
    values = table_of(plan, store).evidence.values

    def mean(row: str) -> float:
        return float(np.mean([*values[row, "seq"].values()]))

    assert without.main[0].difference.value == pytest.approx(mean("all") - mean("all-crop"))
    assert alone.main[0].difference.value == pytest.approx(mean("none+crop") - mean("none"))


def test_the_finished_runs_of_a_design_are_used(dataset: SkeletonDataset, tmp_path: Path) -> None:
    plan, store = plan_of(dataset, tmp_path, GRID), Store(tmp_path / "results")
    assert effects_of(plan, table_of(plan, store).evidence)[0].reason.startswith("fewer than two")
    with pytest.raises(DoesNotApplyError, match="fewer than two"):
        FIGURES["effects"](Asked(plan, store))
    part = plan.study.only(tuple([*plan.study.rows][:-1]))
    finish(make_plan(part, dataset, preset="quick", seeds=(0, 1)), store)
    table = table_of(plan, store)
    (found,) = table.effects
    assert (found.runs, found.seeds, found.basis) == ((11, 12), 2, "runs")
    assert any(note.endswith("(11 of 12 runs, 2 of 3 seeds).") for note in table.notes)


def test_with_one_of_the_seeds_done_effects_are_not_estimated(
    dataset: SkeletonDataset, tmp_path: Path
) -> None:
    design = {"kind": "one-at-a-time", "factors": FACTORS}
    plan, store = plan_of(dataset, tmp_path, design), Store(tmp_path / "results")
    finish(plan_of(dataset, tmp_path, design, seeds=1), store)
    why = "one seed and no residual degrees of freedom (1 of 3 seeds): run more seeds."
    assert f"Effects are not estimated: {why}" in table_of(plan, store).notes


PAIRS = {
    "rate": {"setting": "pretrain.optimiser.lr", "values": [0.01, 0.02]},
    "noise": {"setting": "pretrain.augment.gaussian_noise.std", "values": [0.1, 0.2]},
    "heat": {"setting": "pretrain.contrast.temperature", "values": [0.1, 0.2]},
    "momentum": {"setting": "pretrain.contrast.momentum", "values": [0.99, 0.999]},
}


def finish_as(plan: Plan, store: Store, value: Callable[[Mapping[str, str]], float]) -> Table:
    """Finish each row of the design with ``value`` and a little noise, but no references."""
    draws = np.random.default_rng(0)
    for cell in plan.cells:
        if (
            cell.unit is not None
            and cell.row in plan.study.rows
            and not store.is_done(cell.unit.key)
        ):
            found = value(plan.study.rows[cell.row].levels) + draws.normal(0, 0.004)
            write_json(store.begin(cell.unit.key, {}) / "result.json", {"top1": found})
            store.finish(cell.unit.key)
    return table_of(plan, store)


def test_of_two_aliased_interactions_one_is_named_with_its_alias(
    dataset: SkeletonDataset, tmp_path: Path
) -> None:
    design = {"kind": "fractional", "runs": 8, "factors": PAIRS}
    plan, store = plan_of(dataset, tmp_path, design), Store(tmp_path / "results")
    table = finish_as(
        plan, store, lambda at: 0.5 + 0.05 * (at["rate"] == "0.02") * (at["noise"] == "0.2")
    )
    shown = [e.factors for e in table.effects[0].interactions if e.shown]
    assert shown == [("rate", "noise"), ("heat", "momentum")]  # the same column of signs
    (said,) = (note for note in table.notes if "significant by itself" in note)
    assert said.startswith("No factor is significant by itself; ")
    assert said.endswith("(aliased with heat × momentum).")
    assert said.count("higher with") == 1
    written = export(table, cells_frame(plan, store), [], tmp_path / "out")
    assert "effects.md" in {path.name for path in written}
    text = (tmp_path / "out" / "effects.md").read_text()
    assert "| rate × noise = heat × momentum |" in text
    assert "- Design: fractional, 8 runs of 16 combinations, resolution IV" in text
    labels = [
        t.get_text() for t in FIGURES["effects"](Asked(plan, store)).axes[0].get_yticklabels()
    ]
    assert len(labels) == 4 + 1


def test_the_slope_of_a_range_has_the_error_of_its_residuals(
    dataset: SkeletonDataset, tmp_path: Path
) -> None:
    rate = {"setting": "pretrain.optimiser.lr", "range": [0.001, 0.1]}
    design = {"kind": "sobol", "runs": 8, "factors": {"rate": rate}}
    plan, store = plan_of(dataset, tmp_path, design), Store(tmp_path / "results")
    table = finish_as(plan, store, lambda at: 0.5 + 0.1 * np.sin(1000 * float(at["rate"])))
    assert table.effects[0].basis == "runs"
    assert not table.effects[0].main[0].shown


def test_runs_with_the_same_units_are_not_counted_as_two(
    dataset: SkeletonDataset, tmp_path: Path
) -> None:
    uses = {name: {"set": {"pretrain.augment.use": [name]}} for name in ("gaussian_noise", "crop")}
    factors = {"use": {"levels": uses}, "noise": PAIRS["noise"]}
    plan = plan_of(dataset, tmp_path, {"kind": "grid", "factors": factors})
    assert plan.notes[1:] == (
        "Runs crop/0.1 and crop/0.2 have the same units in seq, as these use no setting in which "
        "the runs differ: no effect can be estimated.",
    )
    table = finish_as(plan, Store(tmp_path / "results"), lambda at: 0.5)
    same = "runs crop/0.1 and crop/0.2 have the same units"
    assert table.effects[0].reason == same
    assert f"Effects are not estimated: {same}." in table.notes
