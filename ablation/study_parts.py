"""What a study is made of: rows, columns, and what is reported elsewhere.

The text of `ablation.study` describes their fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from skelcon.config import Config, Json
from skelcon.encoders import Representation
from skelcon.errors import nearest

Downstream = Annotated[tuple[Representation, ...] | None, Field(min_length=1)]


class Row(Config):
    """A row of a table: its settings, and whether its encoder is pre-trained at all."""

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
    """A column of a table: its settings, and which number of the evaluation it shows."""

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
    """ValueError unless the column ``name`` fuses what can be fused."""
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
