"""Studies and their results from Python: the work of the commands, returning tables and frames.

Units are shared with the commands: none is run twice. The nearest neighbour of Table 5 trains
nothing:

>>> import ablation, tempfile
>>> results = tempfile.mkdtemp()
>>> table = ablation.run(
...     "augmentations", only=["nearest"], results=results, in_process=True, progress=False
... )
>>> table
Table('augmentations': 1 row, 3 columns, n = 1 seed, synthetic, quick preset)
>>> table.entries["nearest", "seq"].n
1

A line of cells.csv, with further columns about its value:

>>> cells = ablation.load_cells(results, "augmentations")
>>> cells.loc[0, ["row", "column", "metric", "state", "representation"]].tolist()
['nearest', 'img', 'top1', 'done', 'coordinates']

A figure of matplotlib:

>>> len(ablation.figure(results, "augmentations", "intervals").axes)
1

Two results directories compared:

>>> ablation.compare(results, results)[["row", "column", "difference"]].values.tolist()[0]
['nearest', 'img', 0.0]
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from skelcon.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from ablation.cli.options import StudyDataOptions, StudyOptions
    from ablation.cli.request import StudyRequest
    from ablation.cli.table_options import OutputOptions
    from ablation.plan import Plan
    from ablation.report.table import Table
    from ablation.store import Store
    from ablation.study import Study
    from skelcon.config import Json
    from skelcon.data import SkeletonDataset

    Location = str | os.PathLike[str]


def run(
    study: Location | Study,
    data: Location | SkeletonDataset | None = None,
    *,
    preset: Location | None = None,
    seeds: int | Iterable[int] = 1,
    results: Location = "results",
    protocol: str | None = None,
    source: Location | SkeletonDataset | None = None,
    evaluate_on: Literal["test", "validation"] = "test",
    folds: int | None = None,
    settings: Mapping[str, Any] | None = None,
    only: Iterable[str] = (),
    name: str | None = None,
    cpus_per_trial: float = 1,
    gpus_per_trial: float = 0,
    max_concurrent: int | None = None,
    in_process: bool = False,
    progress: bool = True,
) -> Table:
    """Run what is missing of a study and write the table's files, as ``skelcon-ablate STUDY`` does.

    Args:
        study: a built-in study's name, the path of a YAML file, or a study.
        data: a packed data set, any layout that can be imported, or the embedded data if None.
        preset: ``quick``, ``small``, ``paper``, ``authors`` or a file; None: ``quick`` for
            synthetic data, else ``small``.
        seeds: how many seeds, or a list of them.
        results: the results directory.
        protocol: who trains and who tests; None: the study's first that the data has.
        source: the data to pre-train on, for a study of transfer.
        evaluate_on: ``validation`` cross-validates on the training side; the test side is not read.
        folds: how many folds the cross-validation has.
        settings: what ``--set`` changes, as ``{"pretrain.epochs": 3}``.
        only: only these rows.
        name: the table's name, if it is not the study's.
        cpus_per_trial, gpus_per_trial: the resources of a trial.
        max_concurrent: at most this many trials at once.
        in_process: one unit after another in this process, without Ray.
        progress: print messages and progress.

    Returns:
        The table, with the rows and seeds that it had before. A cell that failed has a reason.

    Raises:
        UserError: for a user's mistake, as on the command line.
        KeyboardInterrupt: after Ctrl-C; what has been trained is kept, and the same call resumes.
    """
    from ablation.cli.options import PlanOptions, ResourceOptions
    from ablation.cli.request import RequestOptions, StudyRequest

    asked = RequestOptions(
        _sides(data, protocol, source, evaluate_on, folds),
        _chosen(preset, settings, seeds, only),
        ResourceOptions(cpus_per_trial, gpus_per_trial, max_concurrent),
        PlanOptions(),
        _output(results, name),
    )
    return _run(StudyRequest.of(lambda: _study(study), asked), in_process, progress)


def _sides(
    data: Location | SkeletonDataset | None,
    protocol: str | None,
    source: Location | SkeletonDataset | None,
    evaluate_on: Literal["test", "validation"],
    folds: int | None,
) -> StudyDataOptions:
    from ablation.cli.options import StudyDataOptions

    return StudyDataOptions(_path(data), protocol, _path(source), evaluate_on, folds)


def _chosen(
    preset: Location | None,
    settings: Mapping[str, Any] | None,
    seeds: int | Iterable[int],
    only: Iterable[str],
) -> StudyOptions:
    from ablation.cli.options import StudyOptions
    from skelcon.settings import merge

    tree: Json = {}
    merge(tree, settings or {})
    scale = None if preset is None else str(preset)
    return StudyOptions(preset=scale, settings=tree, seeds=_seeds(seeds), only=tuple(only))


def _output(results: Location, name: str | None) -> OutputOptions:
    from ablation.cli.parsing import parse_name
    from ablation.cli.table_options import OutputOptions

    called = None if name is None else parse_name(name)
    return OutputOptions(results=Path(results), name=called, yes=True)


def _run(request: StudyRequest, in_process: bool, progress: bool) -> Table:
    """Run a request and write the table's files, as its command does."""
    from ablation.cli.studies import Aggregated, run_plan
    from ablation.monitor.output import Output
    from skelcon.cli.console import INTERRUPTED
    from skelcon.cli.terminal import PipeSafeConsole

    output = Output(PipeSafeConsole(quiet=not progress))
    plan, store, mirror = request.open_plan(output.console)
    tables: list[Table] = []

    def report(whole: Plan, directory: Path) -> bool:
        found = Aggregated.of(whole, store)
        found.write(directory, request.output)
        tables.append(found.table)
        return False

    code = run_plan(request, plan, store, mirror, output, report, in_process=in_process)
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    return tables[-1]


def _study(study: Location | Study) -> Study:
    from ablation.cli.request import open_study
    from ablation.study import Study

    return study if isinstance(study, Study) else open_study(str(study))


def _path(data: Location | SkeletonDataset | None) -> Path | None:
    from skelcon.data import SkeletonDataset

    if data is None:
        return None
    path = data.path if isinstance(data, SkeletonDataset) else Path(data)
    if not path.exists():
        raise UserError(f"'{path}' does not exist: give a packed data set, or what is imported")
    return path


def _seeds(seeds: int | Iterable[int]) -> tuple[int, ...]:
    from ablation.cli.parsing import parse_seeds

    if isinstance(seeds, int):
        return parse_seeds(str(seeds))
    return parse_seeds(",".join(map(str, seeds)) + ",")


# -- results ----------------------------------------------------------------------------------


def load_table(results: Location, study: str, metric: str | None = None) -> Table:
    """A table of a results directory; needs no data and runs nothing. A notebook shows it.

    Args:
        results: the results directory.
        study: the table's name there: the study's name, if no other was given.
        metric: another metric of the task, such as ``nn_top1``.

    Raises:
        UserError: if there is no such table or metric.
    """
    from ablation.report import cells_frame, make_table

    plan, store = _plan(results, study)
    plan = plan if metric is None else plan.showing(metric)
    return make_table(plan, cells_frame(plan, store), store)


def load_cells(results: Location, study: str) -> pd.DataFrame:
    """The lines of a table's cells.csv, one per cell, seed (and fold) and metric.

    Further columns are the encoder's representation, its number of ``parameters``, the wall times
    of the evaluation and its pre-training, the files of the pre-trained ``weights``
    (:func:`skelcon.load_encoder` takes such a line), and each setting in which rows or columns of
    the study differ, such as ``pretrain.optimiser.lr``. Values are fractions.

    Args:
        results: the results directory.
        study: the table's name there.

    Raises:
        UserError: if there is no such table.
    """
    from ablation.provenance.cells import described_cells

    return described_cells(*_plan(results, study))


def figure(
    results: Location,
    study: str,
    kind: str,
    *,
    row: str | None = None,
    column: str | None = None,
    against: str | None = None,
    data: Location | SkeletonDataset | None = None,
) -> Figure:
    """A figure of a table, as ``skelcon-ablate figures`` draws it; runs nothing.

    Args:
        results: the results directory.
        study: the table's name there.
        kind: ``intervals``, ``setting``, ``effects``, ``pairs``, ``confusion``, ``classes``,
            ``parameters``, ``time``, ``training``, ``ranks``, ``tsne`` or ``retrieval``.
        row: for ``confusion``, ``classes``, ``tsne`` and ``retrieval``; None: the column's best.
        column: for the same figures, None: the first; the others are restricted to it.
        against: the row with which ``classes`` compares ``row``.
        data: the table's data set, which ``tsne`` and ``retrieval`` need.

    Raises:
        UserError: if there is no such table, figure, row or column, or if the figure does not apply
            to the table.
    """
    from ablation.cli.figures import frames_of
    from ablation.figures import FIGURES, Asked, DoesNotApplyError
    from skelcon.cli.terminal import PipeSafeConsole
    from skelcon.errors import nearest

    if kind not in FIGURES:
        raise UserError(f"unknown figure '{kind}': {nearest(kind, FIGURES)}")
    plan, store = _plan(results, study)
    path = _path(data)
    frames = frames_of(plan, path, PipeSafeConsole(quiet=True)) if path is not None else None
    try:
        return FIGURES[kind](Asked(plan, store, row, column, against, frames))
    except DoesNotApplyError as reason:
        raise UserError(f"{kind} does not apply to '{study}': {reason}") from None


def _plan(results: Location, study: str) -> tuple[Plan, Store]:
    from ablation.report.from_results import load_plan
    from ablation.store import Store

    return load_plan(Path(results), study), Store(Path(results))


def compare(first: Location, second: Location, study: str | None = None) -> pd.DataFrame:
    """Compare two results directories, as ``skelcon-ablate compare`` does.

    Columns of the frame: ``difference`` is the second minus the first in percentage points, ``low``
    and ``high`` are its 95 % interval, ``p`` is corrected by Holm over the cells of the table, and
    ``paired`` says how values are paired. ``frame.attrs["differs"]`` lists for each table what else
    differs.

    Args:
        first, second: results directories, or the directories of two tables.
        study: a table that both have; None: all of them.

    Raises:
        UserError: if they have no table in common.
    """
    from ablation.provenance.comparison import compare_results
    from ablation.provenance.comparison_export import frame_of, to_json

    found = compare_results(Path(first), Path(second), study)
    frame = frame_of(found)
    frame.attrs["differs"] = {each["name"]: each["differs"] for each in to_json(found)["tables"]}
    return frame
