"""Where the numbers of a table come from: data, settings, code and machines, as terms."""

from __future__ import annotations

from ablation.plan import Plan
from ablation.provenance.configurations import Facts, facts_of, ran
from ablation.store import Store
from skelcon.data import SkeletonDataset
from skelcon.settings import assignments


def origin_of(name: str, plan: Plan, store: Store) -> Facts:
    """Data, protocol, settings, and the code and machines of the units."""
    evaluated = {"test": "the test side", "validation": "held-out groups of the training side"}
    texts = {
        "Table": name,
        "Data": _data(plan.dataset),
        "Pre-trained on": _data(plan.source) if plan.source is not None else "",
        "Protocol": plan.protocol,
        "Evaluated on": evaluated[plan.evaluate_on],
        "Preset": str(plan.preset),
        "How it was chosen": plan.preset.chosen or "",
        "Settings of the study": ", ".join(assignments(plan.study.base)),
        "Changed by --set": ", ".join(assignments(plan.overrides)),
        "Seeds": ", ".join(map(str, plan.seeds)),
    }
    own = ((term, text) for term, text in texts.items() if text)
    return (*own, *facts_of(ran(plan.units, store)))


def _data(dataset: SkeletonDataset) -> str:
    changed = dataset.normalisation.model_dump(mode="json").items()
    normalised = ", ".join(name for name, done in changed if done) or "no"
    made = ", synthetic" if dataset.synthetic else ""
    return (
        f"{dataset.name}{made}: {len(dataset)} clips, {dataset.num_classes} classes, "
        f"{dataset.layout.num_joints} joints, fingerprint {dataset.fingerprint}, layout family "
        f"{dataset.family}, normalised: {normalised}"
    )
