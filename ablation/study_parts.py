"""The parts of a study: rows, columns, and the numbers that the paper reports.

The docstring of `ablation.study` describes their fields.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Literal

from pydantic import Field

from skelcon.config import Config, Json
from skelcon.encoders import Representation
from skelcon.errors import nearest

Downstream = Annotated[tuple[Representation, ...] | None, Field(min_length=1)]


class Row(Config):
    """A row of a table: its settings, and whether its encoders are pre-trained."""

    label: str | None = None
    ticks: tuple[str, ...] = ()
    set: Json = Field({})
    downstream: Downstream = None
    pretrain: bool = True
    coordinates: bool = False
    task: str | None = None
    levels: dict[str, str] = Field({})

    @property
    def pretrained(self) -> bool:
        """Whether its encoders are pre-trained: neither random nor the coordinates."""
        return self.pretrain and not self.coordinates


class Column(Config):
    """A column of a table: its settings, and the metric that it shows."""

    label: str | None = None
    set: Json = Field({})
    downstream: Downstream = None
    protocol: str | None = None
    task: str | None = None
    separate: bool = False
    of: str | None = None
    metric: str | None = None
    unit: Literal["percent", "millions"] = "percent"
    fuse: tuple[str, ...] = ()
    weights: tuple[Annotated[float, Field(gt=0)], ...] = ()


class Reported(Config):
    """A row of another method: numbers that the paper reports, never ours."""

    label: str
    values: dict[str, float]


class Report(Config):
    """What the paper reports for the same cells on one data set."""

    source: str
    data: str | None = None
    protocol: str | None = None
    pretrained_on: str | None = None
    values: dict[str, dict[str, float]]
    spreads: dict[str, dict[str, float]] = Field({})
    others: dict[str, Reported] = Field({})


def check_fusion(name: str, columns: Mapping[str, Column]) -> None:
    """ValueError if the ``fuse`` of the column ``name`` is invalid."""
    column = columns[name]
    given = column.model_fields_set - {"label", "fuse", "weights", "metric", "unit"}
    if given:
        raise ValueError(f"column '{name}' fuses columns: it cannot set '{min(given)}'")
    if len(set(column.fuse)) != len(column.fuse) or len(column.fuse) < 2:
        raise ValueError(f"column '{name}': fuse: name two columns or more, each once")
    plain = [key for key, each in columns.items() if not (each.of or each.fuse)]
    for each in column.fuse:
        if each not in plain:
            raise ValueError(
                f"column '{name}': fuse: no column '{each}' with evaluations of its own: "
                f"{nearest(each, plain)}"
            )
    if column.weights and len(column.weights) != len(column.fuse):
        raise ValueError(
            f"column '{name}': weights: give one for each of {len(column.fuse)} columns"
        )
    if len({columns[each].protocol for each in column.fuse}) > 1:
        raise ValueError(f"column '{name}': fuse: the columns have different protocols")


def check_report(
    report: Report,
    rows: Collection[str],
    references: Collection[str],
    columns: Collection[str],
) -> None:
    """ValueError if a report names rows or columns that the study does not have."""
    for row in report.values:
        if row not in rows:
            raise ValueError(f"paper: unknown row '{row}'")
    for row, spreads in report.spreads.items():
        for column in spreads:
            if column not in report.values.get(row, {}):
                raise ValueError(f"paper: spreads: row '{row}', column '{column}' has no value")
    for other in report.others:
        if other in rows or other in references:
            raise ValueError(f"paper: others: '{other}' is a row of the study")
    others = {name: other.values for name, other in report.others.items()}
    for row, values in (report.values | others).items():
        for column in values:
            if column not in columns:
                raise ValueError(f"paper: row '{row}': unknown column '{column}'")
