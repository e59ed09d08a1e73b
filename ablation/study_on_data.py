"""A study on given data: the columns that the data can fill, and the settings a user may change."""

from __future__ import annotations

import itertools

from ablation.study import Study
from skelcon.config import Json
from skelcon.data import SkeletonDataset, canonical_protocol
from skelcon.errors import UserError
from skelcon.settings import assignments


def protocols_of(study: Study, dataset: SkeletonDataset) -> dict[str, str | None]:
    """Column -> the protocol that it names itself; None for the study's."""
    named = {name: study.columns[study.behind(name)].protocol for name in study.columns}
    return {
        name: canonical_protocol(own, dataset.splits) if own else None
        for name, own in named.items()
    }


def fitted(
    study: Study, dataset: SkeletonDataset, asked: str | None
) -> tuple[Study, tuple[str, ...]]:
    """``study`` with the columns that the data can fill, and notes on those that are left out.

    Args:
        study: the study as it is defined.
        dataset: the data.
        asked: the user's ``--protocol``; columns with another protocol are left out.

    Raises:
        UserError: if no column is left.
    """
    columns, missing = {}, []
    protocols = protocols_of(study, dataset)
    for name, protocol in protocols.items():
        if protocol is not None and protocol not in dataset.splits:
            missing.append(protocol)
        elif asked is None or protocol in (None, asked):
            columns[name] = study.columns[name]
    if not columns:
        named = ", ".join(dict.fromkeys(own for own in protocols.values() if own))
        lacking = f"protocol {asked}" if asked else f"data set '{dataset.name}'"
        raise UserError(f"study '{study.name}' has columns for {named}, but none for {lacking}")
    lacks = ", ".join(dict.fromkeys(missing))
    notes = (f"Left out, as the data set has no such protocol: {lacks}.",) if missing else ()
    return study.with_columns(columns), notes


def check_overrides(study: Study, overrides: Json) -> None:
    """UserError if ``--set`` changes a setting in which rows or columns differ.

    References may set it: their own settings have precedence over ``--set``.
    """
    asked = [text.partition("=")[0] for text in assignments(overrides)]
    rows = {f"row '{name}'": row.set for name, row in study.rows.items()}
    columns = {f"column '{name}'": column.set for name, column in study.columns.items()}
    for member, settings in (rows | columns).items():
        keys = [text.partition("=")[0] for text in assignments(settings)]
        for key, each in itertools.product(keys, asked):
            if f"{key}.".startswith(f"{each}.") or f"{each}.".startswith(f"{key}."):
                raise UserError(
                    f"--set {each}: {member} of study '{study.name}' sets '{key}' itself; copy the "
                    "study's file to change that"
                )
