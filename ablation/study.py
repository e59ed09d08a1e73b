"""A study: the definition of one table, read from a YAML file. No study needs code.

title: Benefit of skeleton augmentation       the title of the table
reproduces: Table 5                           the table of the paper, if it is one
protocols: [xview, xsub]                      the first that the data has is used
task: linear                                  linear, retrieval, finetune, knn, mlp, clustering, ...
plugins: [my_plugin.py]                       modules that it needs, relative to the file
downstream: [seq]                             encoders that are evaluated, side by side
base: {key.path: value}                       settings of every cell, after the preset's
ticks: {crop: Crop, pose: Pose}               tick columns of the printed table
rows:
  crop+pose:
    label: crop and pose                      what is printed; the name if not set
    ticks: [crop, pose]
    set: {pretrain.augment.use: [crop, pose]} settings of the row
    downstream: [seq]                         in place of the column's
    pretrain: true                            false: the encoder keeps its random weights
    coordinates: false                        true: what encoders see, in place of their features
    task: retrieval                           in place of the column's and the study's
    grid: {key.path: [values]}                in place of the row, one for each combination
columns:
  seq:
    label: SEQ
    set: {pretrain.representations: [seq]}    settings of the column
    downstream: [seq]                         in place of the study's
    protocol: xview                           in place of the study's choice
    task: knn                                 in place of the study's
    separate: false                           true: each representation is pre-trained alone
    of: intra                                 another metric of the units behind that column:
    metric: parameters                        which one; in place of the study's
    unit: millions                            percent or millions
  3s:
    fuse: [joint, bone, motion]               adds up the class scores of these columns
    weights: [0.6, 0.6, 0.4]                  weights of their probabilities; equal if not set
references:                                   rows beside the comparison, as rows:
  random: {label: random weights, pretrain: false}    their own settings win over --set
  nearest: {label: nearest neighbour, coordinates: true, task: retrieval}
paper:                                        what the paper reports: the entry that fits the
- source: Table 5, NTU RGB+D 60, x-view       data is used, else the first
  data: ntu60                                 name of a data set, and its protocol
  protocol: xview
  pretrained_on: pkummd1                      name of the source, for a transfer
  values: {crop+pose: {seq: 73.8}}            percent
  spreads: {crop+pose: {seq: 0.5}}            the ± of a value, if the paper has one
  others: {su: {label: Su et al., values: {seq: 59.3}}}   reported rows of other methods
claims:                                       statements about the table (ablation/claim.py)
- {text: All three beat the rest., source: Section 4.4, rows: crop+pose+jitter > *}
transfer: false                               true: the pre-training is on --source
design: {kind: grid, factors: ...}            generated rows (ablation/designs/config.py)
notes: [text]                                 notes for readers of the table
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from pydantic import Field, PrivateAttr, model_validator

from ablation.catalogue import known_studies
from ablation.claim import Claim
from ablation.designs import Design, with_generated_rows
from ablation.study_parts import Column, Downstream, Report, Row, check_fusion, check_report
from skelcon.config import Config, InvalidValueError, Json, validated
from skelcon.downstream.tasks import TASKS
from skelcon.encoders import REPRESENTATION_PLUGINS, Representation
from skelcon.errors import UserError, nearest
from skelcon.plugins import load_plugins
from skelcon.presets import DataNames, resolve_with_preset
from skelcon.settings import Settings, merge
from skelcon.yamlfile import YamlFile, read_yaml

RESERVED: tuple[str, ...] = ("units", "search", "data", "running", "drivers", "damaged")
RESERVED += ("skelcon", "mlflow-artifacts")
"""Names of other folders of a results directory."""
PARAMETERS = "parameters"
"""A metric that every task has: the number of parameters of its encoders."""


class Study(Config):
    """The definition of one table; the module's docstring describes the fields."""

    name: str
    title: str
    reproduces: str | None = None
    protocols: tuple[str, ...] = Field(("xview", "xsub", "xsetup"), min_length=1)
    task: str = "linear"
    plugins: tuple[str, ...] = ()
    metric: str = "top1"
    downstream: Downstream = None
    base: Json = Field({})
    ticks: dict[str, str] = Field({})
    rows: dict[str, Row]
    columns: dict[str, Column] = Field(min_length=1)
    references: dict[str, Row] = Field({})
    paper: tuple[Report, ...] = ()
    claims: tuple[Claim, ...] = ()
    design: Design | None = None
    transfer: bool = False
    notes: tuple[str, ...] = ()
    _file: YamlFile | None = PrivateAttr(None)

    def __repr__(self) -> str:
        rows, columns = ", ".join(self.all_rows), ", ".join(self.columns)
        return f"Study('{self.name}': rows {rows}; columns {columns})"

    __str__ = __repr__

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        if not self.all_rows:  # --only may leave references alone
            raise ValueError("a study has at least one row")
        for name, row in self.all_rows.items():
            for tick in row.ticks:
                if tick not in self.ticks:
                    raise ValueError(f"row '{name}': unknown tick '{tick}'")
        self._check_levels()
        clash = set(self.rows) & set(self.references)
        if clash:
            raise ValueError(f"'{min(clash)}' is both a row and a reference")
        self._check_tasks()
        for name in self.columns:
            self._check_column(name)
        for report in self.paper:
            check_report(report, self.rows, self.references, self.columns)
        for claim in self.claims:
            claim.check(*self._members(claim))
        return self

    def _check_levels(self) -> None:
        factors = {axis.name for axis in self.design.axes} if self.design is not None else set()
        for name, row in self.rows.items():
            if row.levels and {*row.levels} != factors:
                needed = ", ".join(sorted(factors))
                hint = f"give one for each of {needed}" if factors else "the study has no design"
                raise ValueError(f"row '{name}': levels: {hint}")

    def _members(self, claim: Claim) -> tuple[set[str], set[str]]:
        """The names that a claim may compare, and the names that it may compare them in."""
        others = {name for report in self.paper for name in report.others}
        rows = {*self.all_rows, *others}
        return (rows, {*self.columns}) if claim.along_rows else ({*self.columns}, rows)

    def _check_tasks(self) -> None:
        of_rows = [row.task for row in self.all_rows.values()]
        of_columns = [column.task for column in self.columns.values()]
        for task in (self.task, *of_rows, *of_columns):
            if task is not None and task not in TASKS:
                raise ValueError(f"unknown task '{task}': {nearest(task, TASKS)}")
        own = all(c.task or c.of or c.fuse for c in self.columns.values())
        for name, row in self.all_rows.items():
            # A column with a task of its own that trains encoders has a dash in such a row.
            stated = row.task or (None if own else self.task)
            if row.coordinates and stated is not None and not TASKS[stated].frozen:
                frozen = ", ".join(task for task in TASKS if TASKS[task].frozen)
                hint = f"give one of the tasks {frozen}"
                raise ValueError(f"row '{name}': the coordinates cannot be trained: {hint}")

    def _check_column(self, name: str) -> None:
        column = self.columns[name]
        task = self.task_of_column(name)
        metrics, metric = (*TASKS[task].metrics, PARAMETERS), column.metric or self.metric
        if metric not in metrics:
            hint = nearest(metric, metrics)
            raise ValueError(f"unknown metric '{metric}' of task {task}: {hint}")
        if column.fuse or column.weights:
            check_fusion(name, self.columns)
            self._check_subsets(name)
        if column.of is not None:
            own = (column.set, column.protocol, column.task, column.separate, column.downstream)
            if any(own):
                shows = f"column '{name}' shows column '{column.of}'"
                raise ValueError(f"{shows}: it can set nothing else")
            other = self.columns.get(column.of)
            if other is None or other.of is not None or other.fuse:
                without = f"no column '{column.of}' with evaluations of its own"
                raise ValueError(f"column '{name}': of: {without}")
            if column.metric is None:
                raise ValueError(f"column '{name}': 'of' needs a metric")
        for row_name, row in self.all_rows.items():
            named = row.downstream or column.downstream or self.downstream
            if not (named or column.of or column.fuse or row.coordinates):
                raise ValueError(
                    f"row '{row_name}', column '{name}': say whose encoder is evaluated "
                    "(downstream: [seq]) in the row, the column or the study"
                )

    def _check_subsets(self, name: str) -> None:
        """Fused columns must be trained on the same number of subsets of the labels."""
        for row, column in itertools.product(self.all_rows, self.columns[name].fuse):
            first = self.columns[name].fuse[0]
            own, others = self._subsets(row, first), self._subsets(row, column)
            if own != others and self.task_of(row, first) == self.task_of(row, column):
                raise ValueError(
                    f"column '{name}': fuse: '{first}' and '{column}' have {own} and {others} "
                    "subsets of the labels"
                )

    def _subsets(self, row: str, column: str) -> int:
        """The number of subsets of the labels that a cell is trained on, by the study alone."""
        tree: Json = {}
        for changes in (self.base, self.all_rows[row].set, self.columns[column].set):
            merge(tree, changes)
        task = TASKS[self.task_of(row, column)]
        own = tree.get(task.name)
        own = own if isinstance(own, dict) else {}
        known = {name: own[name] for name in ("labels", "subsets") if name in own}
        return task.predictions(task.settings().model_copy(update=known), 1)

    @property
    def all_rows(self) -> dict[str, Row]:
        """Rows and references, in the order of the table."""
        return {**self.rows, **self.references}

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks of its cells, column by column."""
        found = (self.task_of(row, column) for column in self.columns for row in self.all_rows)
        return tuple(dict.fromkeys(found))

    def task_of(self, row: str, column: str) -> str:
        """The downstream task of a cell: the row's, or else the column's."""
        return self.all_rows[row].task or self.task_of_column(column)

    def task_of_column(self, column: str) -> str:
        """The task of a column (of a fusion, of its first column), or else the study's."""
        behind = self.columns.get(self.behind(column))
        return (behind.task if behind is not None else None) or self.task

    def report(self, data: str, protocol: str, source: str | None = None) -> Report | None:
        """What the paper reports for the data, or else its first report.

        Args:
            data: name of the data set.
            protocol: its protocol.
            source: name of the data set of a transfer's pre-trainings.
        """

        def fit(report: Report) -> int:
            if report.data != data:
                return 0
            matches = [report.protocol in (None, protocol), report.pretrained_on == source]
            return 1 + matches.count(True)

        return max(self.paper, key=fit, default=None)

    def behind(self, column: str) -> str:
        """The column whose units a column shows: itself, its ``of``, or the first it fuses."""
        about = self.columns[column]
        return about.of or (about.fuse or (column,))[0]

    def downstream_of(self, row: str, column: str) -> tuple[Representation, ...]:
        """The encoders that a cell evaluates; none in a row of coordinates."""
        if self.all_rows[row].coordinates:
            return ()
        of_column = self.columns[self.behind(column)].downstream
        names = self.all_rows[row].downstream or of_column or self.downstream
        assert names is not None  # checked when the study was read
        # In a fixed order, so that the same encoders in another order are the same unit.
        return tuple(sorted(names, key=REPRESENTATION_PLUGINS.names().index))

    def only(self, names: tuple[str, ...]) -> Study:
        """The study with only the rows ``names``; :class:`UserError` for an unknown one."""
        for name in names:
            if name not in self.all_rows:
                hint = nearest(name, self.all_rows)
                raise UserError(f"study '{self.name}' has no row '{name}': {hint}")
        rows = {name: row for name, row in self.rows.items() if name in names}
        references = {name: row for name, row in self.references.items() if name in names}
        return self.model_copy(
            update={"rows": rows, "references": references}
        )._with_possible_claims()

    def with_columns(self, columns: dict[str, Column]) -> Study:
        """The study with only these columns."""
        return self.model_copy(update={"columns": columns})._with_possible_claims()

    def _with_possible_claims(self) -> Study:
        """Without the claims about rows or columns that the study no longer has."""
        claims = []
        for claim in self.claims:
            compared, across = self._members(claim)
            within = claim.within and tuple(name for name in claim.within if name in across)
            if compared.issuperset(claim.names) and within != ():
                claims.append(claim.model_copy(update={"within": within}))
        return self.model_copy(update={"claims": tuple(claims)})

    def settings(
        self,
        row: str,
        column: str,
        preset: Json,
        overrides: Json,
        representations: tuple[Representation, ...] | None = None,
        data: DataNames | None = None,
    ) -> Settings:
        """The settings of a cell.

        They are merged in this order: preset, study, row, column, overrides. In a reference row
        the settings of row and column come last, so that overrides do not change what it is.

        Args:
            row, column: the cell.
            preset: the settings of the preset.
            overrides: the user's ``--set``.
            representations: in place of those that row and column name.
            data: the data sets, for the preset's recipes by data set.

        Raises:
            UserError: for an invalid setting; it names file and line if the study has it.
        """
        own = [self.all_rows[row].set, self.columns[column].set]
        cell = [self.base, *own]
        if representations is not None:
            cell.append({"pretrain.representations": list(representations)})
        if row in self.references and overrides:
            overrides = copy.deepcopy(overrides)
            for changes in own:
                merge(overrides, changes)
        source = f"study '{self.name}', row '{row}', column '{column}'"
        try:
            return resolve_with_preset(preset, cell, overrides, source, data)
        except InvalidValueError as error:
            at = self._line_of(row, column, error.keys)
            in_file = at is not None and not str(error).startswith("--set")
            raise UserError(f"{at}: {error}" if in_file else str(error)) from None

    def _line_of(self, row: str, column: str, keys: tuple[str, ...]) -> str | None:
        """``'file', line n`` of the setting of a cell that gives the value at ``keys``."""
        if self._file is None:
            return None
        rows = (("rows", row, "set"), ("references", row, "set"))
        places = (("columns", column, "set"), *rows, *self._places_of(row), ("base",))
        found = (self._file.at_setting(above, keys) for above in places)
        return next((text for text in found if text is not None), None)

    def _places_of(self, row: str) -> Iterator[tuple[str, ...]]:
        """The places in the file that may hold the settings of a generated row."""
        yield "rows", row.partition("/")[0], "grid"
        yield "rows", row.partition("/")[0], "set"
        for factor, level in self.all_rows[row].levels.items():
            yield "design", "factors", factor, "levels", level, "set"


def load_study(path: Path) -> Study:
    """Read and check a study; :class:`UserError` names the file, the line and the key."""
    file = read_yaml(path)
    if "name" in file.values:
        raise UserError(f"{file.at(['name'])}: a study is named after its file")
    if path.stem in RESERVED:
        raise UserError(
            f"'{path}': a study cannot be named '{path.stem}', as a results directory uses that "
            "name for other files: rename the file"
        )
    plugins = _plugins_of(file, path)
    load_plugins(plugins)
    values = with_generated_rows({**file.values, "name": path.stem}, file)
    if plugins:
        values["plugins"] = plugins
    study = validated(Study, values, file.at)
    study._file = file
    return study


def _plugins_of(file: YamlFile, path: Path) -> tuple[str, ...]:
    """The plugins of a study: absolute paths of files beside the study, or names of modules."""
    names = file.values.get("plugins") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{file.at(['plugins'])}: plugins: give a list of names or files")
    beside = {n: (path.parent / f"{n.removesuffix('.py')}.py").resolve() for n in names}
    return tuple(str(path) if path.exists() else name for name, path in beside.items())


def named_study(name: str) -> Study:
    """The built-in study ``name``; :class:`UserError` names the nearest for an unknown one."""
    studies = known_studies()
    if name not in studies:
        hint = nearest(name, studies)
        raise UserError(f"'{name}' is no study: {hint} (or the path of a .yaml file)")
    return load_study(studies[name])


def whole_study(study: Study) -> Study:
    """The built-in study with all its rows; ``study`` itself if it is not a built-in one."""
    return named_study(study.name) if study.name in known_studies() else study
