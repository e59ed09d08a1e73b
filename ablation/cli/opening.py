"""Opens what a command names: studies, data sets, results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from ablation.catalogue import known_studies
from skelcon.errors import UserError, nearest

if TYPE_CHECKING:
    from rich.console import Console

    from ablation.store import Store
    from ablation.store.mirror import Mirror
    from ablation.study import Study
    from skelcon.data import SkeletonDataset


def open_study(name: str) -> Study:
    """The study of that name, or of a YAML file; :class:`UserError` if there is none."""
    from ablation.study import load_study, named_study

    if name.endswith((".yaml", ".yml")):
        return load_study(Path(name))
    if name not in known_studies():
        hint = nearest(name, known_studies())
        raise UserError(f"'{name}' is no study: {hint} (or the path of a .yaml file)")
    return named_study(name)


def open_study_file(path: Path) -> Study:
    """The study of a YAML file; for a built-in study's name :class:`UserError` says how it runs."""
    from ablation.study import load_study

    if str(path) in known_studies() and not path.exists():
        raise UserError(f"'{path}' is a built-in study: run skelcon-ablate {path}")
    return load_study(path)


def open_data(
    path: Path | None, console: Console, embedded: Callable[[], SkeletonDataset] | None = None
) -> SkeletonDataset:
    """A packed data set, or an import of a known layout; the embedded data without a path."""
    from skelcon.cli.console import progress_bar
    from skelcon.data import open_or_import
    from skelcon.data.synthetic import open_embedded

    if path is None:
        return (embedded or open_embedded)()
    with progress_bar(console, "reading the data") as progress:
        dataset, skipped = open_or_import(path, progress)
    if skipped:
        text = (
            f"warning: {len(skipped)} bad files left out of '{path}'; the first, "
            f"{skipped[0].name}: {skipped[0].reason}"
        )
        console.print(Text(text), soft_wrap=True)
    return dataset


def open_source(study: Study, path: Path | None, console: Console) -> SkeletonDataset | None:
    """The data that a transfer pre-trains on: ``--source``, or embedded data of other subjects."""
    from skelcon.data.synthetic import open_embedded

    if not study.transfer:
        if path is not None:
            raise UserError(f"--source {path}: study '{study.name}' transfers nothing")
        return None
    return open_data(path, console, lambda: open_embedded(seed=1))


def open_results(results: Path) -> tuple[Store, Mirror | None]:
    """The store of a results directory; of a URI its local copy, and the mirror that fills it."""
    from ablation.store import Store, uri_of

    uri = uri_of(results)
    if uri is None:
        return Store(results), None
    from ablation.store.mirror import mirror_at  # imports pyarrow

    mirror = mirror_at(uri)
    return mirror.store, mirror
