"""A study: what one table asks, read from a YAML file.

title: Benefit of skeleton augmentation       what the table is called
reproduces: Table 5                           the table of the paper, if it is one
protocols: [xview, xsub]                      the first that the data has is used
task: linear                                  linear or retrieval
base: {key.path: value}                       settings of every cell, after the preset's
ticks: {crop: Crop, pose: Pose}               tick columns of the printed table
rows:
  crop+pose:
    ticks: [crop, pose]
    set: {pretrain.augment.use: [crop, pose]}
columns:
  seq:
    label: SEQ
    representation: seq                       whose encoder is evaluated
    set: {pretrain.representations: [seq]}
references:                                   rows beside the comparison
  random: {label: random weights, pretrain: false}
paper:
  source: Table 5, NTU RGB+D 60, x-view
  values: {crop+pose: {seq: 73.8}}            percent
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from skelcon.config import Config
from skelcon.encoders import Representation
from skelcon.errors import UserError, nearest
from skelcon.settings import Settings, load_yaml, resolve, validated

STUDIES = Path(__file__).resolve().parent.parent / "search_spaces"
Task = Literal["linear", "retrieval"]


class Row(Config):
    """A row of a table: its settings, and whether its encoder is pre-trained at all."""

    label: str | None = Field(None, description="what the table prints; the row's name if not set")
    ticks: tuple[str, ...] = Field((), description="the tick columns that are ticked")
    set: dict[str, Any] = Field({}, description="key path -> value")
    pretrain: bool = Field(default=True, description="false: the encoder keeps its random weights")


class Column(Config):
    """A column of a table: its settings and the encoder that it evaluates."""

    label: str | None = Field(None, description="what the table prints")
    representation: Representation = Field(description="whose encoder is evaluated")
    set: dict[str, Any] = Field({}, description="key path -> value")


class PaperValues(Config):
    """What the paper reports for the same cells."""

    source: str = Field(description="table, data set and protocol")
    values: dict[str, dict[str, float]] = Field(description="row -> column -> percent")


class Study(Config):
    """One table. See the module's text for the file."""

    name: str
    title: str
    reproduces: str | None = None
    protocols: tuple[str, ...] = ("xview", "xsub", "xsetup")
    task: Task = "linear"
    metric: str = "top1"
    base: dict[str, Any] = Field({}, description="see the module's text")
    ticks: dict[str, str] = Field({}, description="see the module's text")
    rows: dict[str, Row] = Field(min_length=1)
    columns: dict[str, Column] = Field(min_length=1)
    references: dict[str, Row] = Field({}, description="see the module's text")
    paper: PaperValues | None = None

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        for name, row in {**self.rows, **self.references}.items():
            for tick in row.ticks:
                if tick not in self.ticks:
                    raise ValueError(f"row '{name}': unknown tick '{tick}'")
        clash = set(self.rows) & set(self.references)
        if clash:
            raise ValueError(f"'{min(clash)}' is both a row and a reference")
        for row_name, columns in (self.paper.values if self.paper else {}).items():
            if row_name not in self.rows:
                raise ValueError(f"paper: unknown row '{row_name}'")
            for column in columns:
                if column not in self.columns:
                    raise ValueError(f"paper: row '{row_name}': unknown column '{column}'")
        return self

    @property
    def all_rows(self) -> dict[str, Row]:
        """Rows and references, in the order of the table."""
        return {**self.rows, **self.references}

    def paper_value(self, row: str, column: str) -> float | None:
        """What the paper reports for a cell, in percent."""
        return self.paper.values.get(row, {}).get(column) if self.paper else None

    def only(self, names: tuple[str, ...]) -> Study:
        """The study with the rows ``names`` only; :class:`UserError` for an unknown one."""
        for name in names:
            if name not in self.all_rows:
                raise UserError(f"study '{self.name}' has no row '{name}': "
                                f"{nearest(name, self.all_rows)}")  # fmt: skip
        return self.model_copy(
            update={
                "rows": {k: v for k, v in self.rows.items() if k in names},
                "references": {k: v for k, v in self.references.items() if k in names},
            }
        )

    def settings(
        self, row: str, column: str, preset: dict[str, Any], overrides: dict[str, Any]
    ) -> Settings:
        """The settings of a cell: preset, then study, row and column, then the user's.

        A preset's ``by_representations`` changes what belongs to a set of representations, such
        as ``img`` or ``img+seq``; all cells of one pre-training thus agree on it.
        """
        preset = dict(preset)
        special = preset.pop("by_representations", {})
        cell = (self.base, self.all_rows[row].set, self.columns[column].set)
        source = f"study '{self.name}', row '{row}', column '{column}'"
        names = resolve((preset, *cell), source).pretrain.representations
        trees = (preset, special.get("+".join(names), {}), *cell)
        checked = resolve(trees, source)
        return checked if not overrides else resolve((*trees, overrides), "--set")


def load_study(path: Path) -> Study:
    """Read and check a study; :class:`UserError` names the file and the key that is wrong."""
    values = load_yaml(path)
    return validated(Study, {**values, "name": path.stem}, f"'{path}'")


def known_studies() -> dict[str, Path]:
    """The studies that come with skelcon: name -> file."""
    return {path.stem: path for path in sorted(STUDIES.glob("*.yaml"))}


def named_study(name: str) -> Study:
    """The study ``name``; :class:`UserError` names the nearest for an unknown one."""
    studies = known_studies()
    if name not in studies:
        raise UserError(f"unknown study '{name}': {nearest(name, studies)}")
    return load_study(studies[name])
