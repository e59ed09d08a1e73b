"""A study's command inside another command: ``unit KEY STUDY ...``, ``cluster slurm STUDY ...``.

The words are read by the study's own command, so that all that it takes is taken, and what it would
refuse is refused: at once, but for what only the plan tells (rows, seeds, settings, the data).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import typer
from rich.console import Console

from ablation.cli.commands import check_options, open_data, open_source, plan_study
from ablation.missing import missing_units
from ablation.plan import Plan, Unit
from ablation.runner.resources import Resources
from ablation.store import Store
from ablation.study import Study, known_studies
from skelcon.errors import UserError, nearest

PLANNED = ("preset", "seeds", "protocol", "assignments", "only", "evaluate_on")
WITH_RAY = {
    "track": "--track",
    "address": "--address",
    "max_concurrent": "--max-concurrent",
    "formats": "--format",
}
"""Options of a study's command that its units alone have no use for."""


@dataclass(frozen=True)
class StudyCommand:
    """What a study's command was asked.

    Attributes:
        words: the command as it was typed: the study's name, or ``run FILE``, and its options.
        study: the study.
        resources: what its trials may take.
        options: the arguments of :func:`ablation.cli.commands.run_study`.
        given: the names of those that were typed.
    """

    words: tuple[str, ...]
    study: Study
    resources: Resources
    options: dict[str, Any]
    given: frozenset[str]

    @property
    def store(self) -> Store:
        """Its results; :class:`UserError` if they are at a URI."""
        return Store(self.options["results"])

    def check_without_ray(self) -> None:
        """Raise :class:`UserError` for what units that run without Ray cannot heed."""
        _ = self.store
        for name, option in WITH_RAY.items():
            if name in self.given:
                raise UserError(
                    f"{option}: leave it out here, it is for the study's own command (units run "
                    "without Ray, one after another, and make no table)"
                )

    def plan(self, console: Console) -> Plan:
        """Its plan."""
        dataset = open_data(self.options["data"], console)
        source = open_source(self.study, self.options["source"], console)
        choices = {name: self.options[name] for name in PLANNED}
        return plan_study(self.study, dataset, source, **choices)

    def missing(self, plan: Plan, console: Console) -> list[Unit]:
        """What of its plan is not done."""
        return missing_units(plan.units, self.store, console, mend=False)


def read(context: typer.Context, words: Sequence[str]) -> StudyCommand:
    """Read a study's command; nothing of it is run.

    Args:
        context: of the command in which it stands.
        words: the study's name, or ``run`` and a file, and the options.

    Raises:
        UserError: for a study that there is not, and for values that make no sense; typer's own
            errors for wrong options.
    """
    name, *rest = words
    if name.endswith((".yaml", ".yml")):
        words = name, *rest = "run", *words
    if name != "run" and name not in known_studies():
        raise UserError(
            f"'{name}' is no study: {nearest(name, known_studies())} (or the path of a .yaml file)"
        )
    group: Any = context.find_root().command
    command = group.get_command(context, name)
    asked: list[dict[str, Any]] = []

    def keep(study: Study, **options: Any) -> None:
        asked.append({"study": study, "options": options, "resources": check_options(**options)[0]})

    with command.make_context(name, list(rest), parent=context, obj=keep) as inner:
        command.invoke(inner)
    typed = frozenset(each.name for each in command.params if given(inner, each.name))
    (only,) = asked
    if only["options"]["plan_only"]:
        raise UserError("--plan: leave it out here; skelcon-ablate plan says what would run")
    return StudyCommand(words=tuple(words), given=typed, **only)


def given(context: typer.Context, name: str) -> bool:
    """Whether a command's parameter was typed, and is not its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
