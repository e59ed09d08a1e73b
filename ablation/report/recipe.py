"""Notes on the recipe: the user's preset, and the orientation of the clips."""

from __future__ import annotations

from ablation.plan import Plan
from ablation.units import EvaluateUnit, PretrainUnit
from skelcon.data import SkeletonDataset
from skelcon.settings import assignments


def recipe_notes(plan: Plan) -> list[str]:
    """The notes on a table's preset and on the orientation of its clips."""
    chosen = plan.preset.chosen
    notes = [f"How the {plan.preset} preset was chosen: {chosen}."] if chosen else []
    return [*_preset(plan), *notes, *_turned_before(plan), *_never_turned(plan)]


def _preset(plan: Plan) -> list[str]:
    """The changes in a preset file, as a reader of the table may not have it."""
    preset = plan.preset
    if not preset.changes:
        return []
    base = f"the {preset.base} preset, changed by " if preset.base else ""
    return [f"Preset {preset}: {base}{', '.join(assignments(preset.changes))}."]


def _turned_before(plan: Plan) -> list[str]:
    """Data whose clips should be seen as recorded, but were rotated on import."""
    asked = {unit.side.data for unit in plan.units.values() if "as_recorded" in _orientations(unit)}
    return [_note(each) for each in plan.datasets if each.fingerprint in asked and _turned(each)]


def _never_turned(plan: Plan) -> list[str]:
    """Data in 2D whose clips should be rotated."""
    asked = {
        unit.side.data: name
        for unit in plan.units.values()
        for name in sorted(_orientations(unit) - {"as_recorded"})
    }
    return [
        f"Encoders see the clips of {each.name} as_recorded, not {asked[each.fingerprint]}: they "
        "are in 2D."
        for each in plan.datasets
        if each.layout.dimensions == 2 and each.fingerprint in asked
    ]


def _orientations(unit: PretrainUnit | EvaluateUnit) -> set[str]:
    if isinstance(unit, PretrainUnit):
        return {unit.options["encoders"]["orientation"]}
    found = (source.encoders for source in unit.encoders)
    return {encoders["orientation"] for encoders in found if encoders is not None}


def _turned(dataset: SkeletonDataset) -> bool:
    return dataset.normalisation.spine_to_z or dataset.normalisation.shoulders_to_x


def _note(dataset: SkeletonDataset) -> str:
    what = f"Encoders see the clips of {dataset.name} turned, not as_recorded"
    if dataset.family == "agcn-npy":
        return f"{what}: its files hold them turned."
    return f"{what}: its import turned them. Import it again with --normalise centre."
