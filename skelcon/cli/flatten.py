"""Groups of options: a frozen dataclass as a command's parameter becomes options of the command.

    @group("Output")
    class Output:
        results: Path = option(Path("results"), "The results directory.")

    @app.command()
    @with_options
    def status(output: Output) -> None: ...

Typer has no such groups: every command would have to repeat the options.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass
from pkgutil import resolve_name
from typing import Annotated, Any, TypeVar, dataclass_transform, get_args, get_origin
from typing import get_type_hints as hints_of

import typer

Class = TypeVar("Class", bound=type)
Result = TypeVar("Result")


@dataclass_transform(frozen_default=True)
def group(panel: str) -> Callable[[Class], Class]:
    """Make a frozen dataclass of options that help shows under ``panel``."""

    def decorate(of: Class) -> Class:
        of.panel = panel  # type: ignore[attr-defined]
        dataclass(frozen=True)(of)  # in place
        return of

    return decorate


def option(
    default: Any,
    text: str = "",
    *names: str,
    parse: Callable[[Any], Any] | str | None = None,
    repeated: bool = False,
    **how: Any,
) -> Any:
    """A field of a group. A field with typer's own annotation needs it only for ``parse``.

    Args:
        default: the field's value if nothing is typed, or a function that makes it.
        text: the option's help.
        names: the option's names, if they differ from the field's.
        parse: from what was typed (a list if the option is ``repeated``) to the field's value; as
            ``module:function`` it is imported when it is needed.
        repeated: whether the option may be given several times.
        how: further arguments of :func:`typer.Option`.
    """
    made = {"default_factory": default} if callable(default) else {"default": default}
    typed = list[str] if repeated else str
    info = typer.Option(*names, help=text, **how)
    metadata = {"info": info, "parse": parse, "typed": typed}
    return field(**made, metadata=metadata)


def with_options(function: Callable[..., Result]) -> Callable[..., Result]:
    """Make each parameter of ``function`` that is a dataclass a group of options."""
    hints = hints_of(function, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    flat: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name in groups:
            flat += _options(groups[name])
        else:
            flat.append(_keyword(name, parameter.default, hints[name]))

    @functools.wraps(function)
    def command(**values: Any) -> Result:
        made = {name: _make(each, values) for name, each in groups.items()}
        return function(**values, **made)

    command.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in flat}
    return command


def _keyword(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def _options(of: Any) -> list[inspect.Parameter]:
    """The options of a group and of the groups in it, as typer reads them."""
    hints = hints_of(of, include_extras=True)
    found = []
    for each in fields(of):
        hint, default = hints[each.name], each.default
        if is_dataclass(hint):
            found += _options(hint)
            continue
        annotated = get_origin(hint) is Annotated
        kind, info = get_args(hint) if annotated else (hint, each.metadata["info"])
        info = copy.copy(info)
        info.rich_help_panel = of.panel
        if each.metadata.get("parse") is not None:
            kind, default = each.metadata["typed"] | None, None
        found.append(_keyword(each.name, default, Annotated[kind, info]))
    return found


def _make(of: Any, values: dict[str, Any]) -> Any:
    """A group from the typed ``values``, from which its options are removed."""
    hints = hints_of(of, include_extras=True)
    given = {}
    for each in fields(of):
        if is_dataclass(hints[each.name]):
            given[each.name] = _make(hints[each.name], values)
            continue
        value, parse = values.pop(each.name), each.metadata.get("parse")
        if parse is None:
            given[each.name] = value
        elif value is not None and value != []:  # otherwise nothing was typed
            given[each.name] = (resolve_name(parse) if isinstance(parse, str) else parse)(value)
    return of(**given)
