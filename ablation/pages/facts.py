"""Where numbers come from: data, code, machines, settings; and the commands that make them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from ablation.catalogue import known_studies
from ablation.plan import Plan
from ablation.store import Store
from ablation.store.unit_files import PROVENANCE
from skelcon.config import Json
from skelcon.data import SkeletonDataset
from skelcon.settings import assignments

Facts = tuple[tuple[str, str], ...]
"""Terms, each with what is said of it."""


def facts_of(store: Store, keys: Iterable[str]) -> Facts:
    """Machines, threads, versions and revisions of finished units, each value once."""
    found: dict[str, dict[str, None]] = {}
    for key in keys:
        provenance = store.files(key).read_or_none(PROVENANCE) if store.is_done(key) else None
        for term, value in _facts(provenance or {}):
            found.setdefault(term, {})[value] = None
    return tuple((term, "; ".join(values)) for term, values in found.items())


def _facts(provenance: Json) -> list[tuple[str, str]]:
    hardware: Json = provenance.get("hardware") or {}
    cores = f"{hardware['cores']} cores" if hardware.get("cores") else None
    machine = (hardware.get("cpu"), cores, hardware.get("gpu"), hardware.get("system"))
    versions = (f"{name} {value}" for name, value in (provenance.get("versions") or {}).items())
    texts = {
        "Machine": ", ".join(str(part) for part in machine if part),
        "Device": str(provenance.get("device") or ""),
        "Threads per unit": str(provenance.get("threads") or ""),
        "Versions": ", ".join(versions),
        "Git revision": str(provenance.get("revision") or ""),
    }
    return [(term, text) for term, text in texts.items() if text]


def origin_of(plan: Plan, store: Store) -> Facts:
    """Data, protocol, settings and what the units ran on."""
    base = assignments(plan.study.base)
    texts = {
        "Data": _data(plan.dataset),
        "Pre-trained on": _data(plan.source) if plan.source is not None else "",
        "Protocol": plan.protocol,
        "Evaluated on": "the test side"
        if plan.evaluate_on == "test"
        else "held-out groups of the training side",
        "Preset": str(plan.preset),
        "How it was chosen": plan.preset.chosen or "",
        "Settings of the study": ", ".join(base),
        "Changed by --set": ", ".join(assignments(plan.overrides)),
        "Seeds": ", ".join(map(str, plan.seeds)),
    }
    own = [(term, text) for term, text in texts.items() if text]
    return (*own, *facts_of(store, plan.units))


def _data(dataset: SkeletonDataset) -> str:
    changed = dataset.normalisation.model_dump(mode="json").items()
    normalised = ", ".join(name for name, done in changed if done) or "no"
    made = ", synthetic" if dataset.synthetic else ""
    return (
        f"{dataset.name}{made}: {len(dataset)} clips, {dataset.num_classes} classes, "
        f"{dataset.layout.num_joints} joints, fingerprint {dataset.fingerprint}, layout family "
        f"{dataset.family}, normalised: {normalised}"
    )


def command_of(plan: Plan, row: str | None = None) -> str:
    """The line that computes a table, or a row of it, again; PATH stands for what is not known."""
    name = plan.study.name
    words = ["skelcon-ablate", *([name] if name in known_studies() else ["run", f"{name}.yaml"])]
    for option, dataset in (("--data", plan.dataset), ("--source", plan.source)):
        if dataset is not None and not dataset.synthetic:
            words += [option, "PATH"]
    if plan.asked_protocol is not None:
        words += ["--protocol", plan.asked_protocol]
    if plan.evaluate_on == "validation":
        words += ["--evaluate-on", "validation", "--folds", str(plan.folds)]
    words += ["--preset", plan.preset.name]
    for text in assignments(plan.overrides):
        words += ["--set", text]
    first = plan.seeds == tuple(range(len(plan.seeds)))
    words += ["--seeds", str(len(plan.seeds)) if first else ",".join(map(str, plan.seeds)) + ","]
    words += ["--only", row] if row is not None else []
    words += ["--metric", plan.shown] if plan.shown is not None else []
    return shlex.join(words)
