"""Studies and their results from Python: the commands' work, with frames and tables to look at.

What a study finds done is not run again, and what is run here the commands find done. The nearest
neighbour of Table 5 trains nothing:

>>> import ablation, tempfile
>>> results = tempfile.mkdtemp()
>>> table = ablation.run(
...     "augmentations", only=["nearest"], results=results, in_process=True, progress=False
... )
>>> table
Table('augmentations': 1 row, 3 columns, n = 1 seed, synthetic, quick preset)
>>> table.entries["nearest", "seq"].n
1

A line of cells.csv, with what is behind its value:

>>> cells = ablation.load_cells(results, "augmentations")
>>> cells.loc[0, ["row", "column", "metric", "state", "representation"]].tolist()
['nearest', 'img', 'top1', 'done', 'coordinates']

A figure is matplotlib's:

>>> len(ablation.figure(results, "augmentations", "intervals").axes)
1

And two results directories side by side:

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
    """Run what is missing of a study, as ``skelcon-ablate STUDY`` does; its files are written too.

    Args:
        study: a built-in study's name, the path of a YAML file, or a study.
        data: a packed data set, any layout that can be imported, or the embedded data if None.
        preset: ``quick``, ``small``, ``paper``, ``authors`` or a file; if not set as for the data.
        seeds: so many, or which.
        results: the results directory.
        protocol: who trains and who tests; the study's first that the data has if not set.
        source: the data of a transfer's pre-trainings.
        evaluate_on: ``validation`` is a cross-validation, which leaves the test side alone.
        folds: of the cross-validation.
        settings: what ``--set`` changes, as ``{"pretrain.epochs": 3}``.
        only: only these rows.
        name: the table's, if not the study's.
        cpus_per_trial, gpus_per_trial, max_concurrent: what a trial takes of the machine.
        in_process: one unit after another in this process, without Ray.
        progress: show that it is alive.

    Returns:
        The table, with the rows and seeds that it had before. A unit that failed is a cell with a
        reason.

    Raises:
        UserError: for what is unknown or impossible, as on the command line.
        KeyboardInterrupt: after Ctrl-C; what has been trained is kept, and the same call resumes.
    """
    from ablation.cli.options import OutputOptions, PlanOptions, ResourceOptions, parse_name
    from ablation.cli.request import RequestOptions, StudyRequest

    called = None if name is None else parse_name(name)
    asked = RequestOptions(
        _sides(data, protocol, source, evaluate_on, folds),
        _chosen(preset, settings, seeds, only),
        ResourceOptions(cpus_per_trial, gpus_per_trial, max_concurrent),
        PlanOptions(),
        OutputOptions(results=Path(results), name=called, yes=True),
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


def _run(request: StudyRequest, in_process: bool, progress: bool) -> Table:
    """The run sequence of `ablation.running` for a request; gives the table."""
    from ablation.cli.request import open_results
    from ablation.cli.studies import check_machine, run_options
    from ablation.job import Job
    from ablation.monitor.output import Output
    from ablation.report.from_results import save_plan
    from ablation.report.questions import place_of
    from ablation.running import RunOptions, run_job
    from skelcon.cli.console import INTERRUPTED
    from skelcon.cli.terminal import PipeSafeConsole

    output = Output(PipeSafeConsole(quiet=not progress))
    store, mirror = open_results(request.output.results)
    plan = request.make_plan(output.console)
    if mirror is not None:
        mirror.fetch(plan.units)
    if not (in_process or all(map(store.is_done, plan.units))):
        check_machine(request.resources)
    place = place_of(plan, store.results, request.output.name)
    if place.message:
        output.say(place.message)
    whole = request.grown(plan, place.earlier, output.console)
    made: list[Table] = []

    def report() -> bool:
        save_plan(whole, store.results, place.directory)
        made.append(_exported(whole, store, place.directory))
        return False

    options = run_options(request.resources, request.output, plan.preset)
    if in_process:
        options = RunOptions(request.resources, in_process=True)
    job = Job.of_plan(plan, place.directory)
    if run_job(job, store, options, output, report, mirror) == INTERRUPTED:
        raise KeyboardInterrupt
    return made[-1]


def _exported(plan: Plan, store: Store, directory: Path) -> Table:
    """The table of what there is, and its files."""
    from ablation.report import cells_frame, make_table
    from ablation.report.export import export

    frame = cells_frame(plan, store)
    table = make_table(plan, frame, store)
    provenance = [store.provenance(key) for key in plan.units if store.is_done(key)]
    export(table, frame, provenance, directory)
    return table


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
    from ablation.cli.options import parse_seeds

    if isinstance(seeds, int):
        return parse_seeds(str(seeds))
    return parse_seeds(",".join(map(str, seeds)) + ",")


# -- what is there ----------------------------------------------------------------------------


def load_table(results: Location, study: str, metric: str | None = None) -> Table:
    """A table of a results directory; needs no data and runs nothing. Notebooks show it as such.

    Args:
        results: the results directory.
        study: the table's name there: that of its study, if it was not given another.
        metric: another number of the task than the study's, such as ``nn_top1``.

    Raises:
        UserError: if there is no such table or metric.
    """
    from ablation.report import cells_frame, make_table

    plan, store = _plan(results, study)
    plan = plan if metric is None else plan.showing(metric)
    return make_table(plan, cells_frame(plan, store), store)


def load_cells(results: Location, study: str) -> pd.DataFrame:
    """The lines of a table's cells.csv, one per cell, seed (and fold) and metric, and more.

    Beside each value stand the encoder's representation, its number of ``parameters``, the wall
    time of the evaluation and its pre-training, the file of the pre-trained ``weights`` (a line is
    what :func:`skelcon.load_encoder` takes), and a column for each setting that rows or columns of
    the study differ in, such as ``pretrain.optimiser.lr``. Values are fractions.

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
        row: of ``confusion``, ``classes``, ``tsne`` and ``retrieval``; the column's best if None.
        column: of the same, the first if None; the other figures show it alone.
        against: the row that ``classes`` compares with.
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
    """Two results directories side by side, as ``skelcon-ablate compare`` has them.

    ``difference`` is the second less the first in percentage points, ``low`` and ``high`` its 95 %
    interval, ``p`` corrected by Holm over the cells of the table, ``paired`` by what it is paired.
    ``frame.attrs["differs"]`` lists for each table what else differs.

    Args:
        first, second: results directories, or the directories of two tables.
        study: a table that both have; all of them if not set.

    Raises:
        UserError: if they have no table in common.
    """
    from ablation.provenance.comparison import compare_results
    from ablation.provenance.comparison_export import frame_of, to_json

    found = compare_results(Path(first), Path(second), study)
    frame = frame_of(found)
    frame.attrs["differs"] = {each["name"]: each["differs"] for each in to_json(found)["tables"]}
    return frame
