"""Options in groups: a frozen dataclass as a command's parameter becomes options of the command.

    @dataclass(frozen=True)
    class Output:
        panel: ClassVar[str] = "Output"
        results: Annotated[Path, typer.Option(help="The results directory.")] = Path("results")

    @app.command()
    @with_options
    def status(output: Output) -> None: ...

Typer has no such groups: it would need the same option written at every command.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

Result = TypeVar("Result")


@dataclass(frozen=True)
class Parsed:
    """Marks an option whose text is parsed when the command line is read.

    Attributes:
        parse: makes the field's value of what was typed; raises ``UserError``.
        typed: ``list[str]`` for an option that can be repeated.
    """

    parse: Callable[[Any], Any]
    typed: Any = str


def with_options(function: Callable[..., Result]) -> Callable[..., Result]:
    """Make each parameter of ``function`` that is a dataclass a group of options."""
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, Any] = {}
    flat: list[inspect.Parameter] = []
    for parameter in inspect.signature(function).parameters.values():
        annotation = hints[parameter.name]
        if is_dataclass(annotation):
            groups[parameter.name] = annotation
            flat += _options(annotation)
        else:
            flat.append(parameter.replace(annotation=annotation, kind=parameter.KEYWORD_ONLY))

    @functools.wraps(function)
    def command(**values: Any) -> Result:
        made = {name: _make(group, values) for name, group in groups.items()}
        return function(**values, **made)

    command.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in flat}
    return command


def _options(group: Any) -> list[inspect.Parameter]:
    """The options of a group and of the groups in it, as typer reads them."""
    hints = get_type_hints(group, include_extras=True)
    found = []
    for field in fields(group):
        hint = hints[field.name]
        if is_dataclass(hint):
            found += _options(hint)
            continue
        kind, info, *parsed = get_args(hint)
        info, default = copy.copy(info), field.default
        info.rich_help_panel = group.panel
        if parsed:
            kind, default = parsed[0].typed | None, None
        annotation: Any = Annotated[kind, info]
        found.append(
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=default,
                annotation=annotation,
            )
        )
    return found


def _make(group: Any, values: dict[str, Any]) -> Any:
    """The group of what was typed; its options are taken from ``values``."""
    hints = get_type_hints(group, include_extras=True)
    given = {}
    for field in fields(group):
        hint = hints[field.name]
        if is_dataclass(hint):
            given[field.name] = _make(hint, values)
            continue
        value = values.pop(field.name)
        _, _, *parsed = get_args(hint)
        if not parsed:
            given[field.name] = value
        elif value is not None and value != []:  # else nothing was typed
            given[field.name] = parsed[0].parse(value)
    return group(**given)
