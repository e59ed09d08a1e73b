"""Notes on units of one table that are not comparable: other precision, device or recipe."""

from __future__ import annotations

from collections.abc import Iterator

from ablation.plan import Plan
from ablation.store import Store
from ablation.store.unit_files import PROVENANCE
from ablation.units import Unit
from skelcon.config import Json

Kinds = dict[str, dict[str, None]]
"""Value of a fact, such as bf16 -> the rows with such units."""


def mixture_notes(plan: Plan, store: Store) -> list[str]:
    """A note for each fact in which the finished units behind the cells differ.

    The facts are the layout family of the data, the precision of training, the arithmetic of the
    device, and the version of the recipe.
    """
    found: dict[str, Kinds] = {}
    known: dict[str, list[tuple[str, str]]] = {}
    for cell in plan.cells:
        for key in (cell.unit.key, *cell.unit.needs) if cell.unit is not None else ():
            if key not in known:
                unit = plan.units.get(key)
                known[key] = [] if unit is None else list(_facts(unit, store))
            for fact, kind in known[key]:
                found.setdefault(fact, {}).setdefault(kind, {})[cell.row] = None
    return [
        f"Units differ in their {fact}: {_listed(plan, kinds)}. Comparing such cells compares this "
        "too."
        for fact, kinds in found.items()
        if len(kinds) > 1
    ]


def _facts(unit: Unit, store: Store) -> Iterator[tuple[str, str]]:
    provenance = store.files(unit.key).read_or_none(PROVENANCE)
    if provenance is None:
        return
    if family := (provenance.get("data") or {}).get("family"):
        yield "layout family", str(family)
    if unit.trains or "precision" in unit.options:
        yield "precision", str(unit.options.get("precision", "fp32"))
    if "device" in provenance:
        yield "arithmetic", arithmetic_of(provenance)
    yield "recipe version", str(unit.side.recipe)


def arithmetic_of(provenance: Json) -> str:
    """How a unit's device computes: ``float32 on the CPU``, ``NVIDIA H200 with TF32 products``."""
    if str(provenance["device"]).startswith("cpu"):
        return "float32 on the CPU"
    gpu = str(provenance.get("hardware", {}).get("gpu") or provenance["device"])
    if "arithmetic" not in provenance:  # of an earlier version
        return gpu
    found = provenance["arithmetic"]
    tf32 = [name for name in ("products", "convolutions") if found[f"tf32_{name}"]]
    return f"{gpu} with {'TF32 ' + ' and '.join(tf32) if tf32 else 'float32'}"


def _listed(plan: Plan, kinds: Kinds) -> str:
    """``fp32 (none and crop), bf16 (pose)``."""
    parts = []
    for kind, rows in kinds.items():
        labels = " and ".join(plan.study.all_rows[row].label or row for row in rows)
        every = len(rows) == len(plan.study.all_rows)
        parts.append(f"{kind} ({'all rows' if every else labels})")
    return ", ".join(parts)
