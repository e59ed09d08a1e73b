"""Components that settings choose by name: built-in ones, and those that plugins register."""

from __future__ import annotations

import contextlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Generic, TypeVar, get_type_hints

from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError

from skelcon.errors import UserError, nearest

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
Options = dict[str, Any]
OptionsCheck = Callable[[Mapping[str, Any]], Options]


@dataclass(frozen=True)
class Component(Generic[FunctionT]):
    """Something that settings choose by name, such as an augmentation, an encoder or an objective.

    Attributes:
        kind: what it is, such as ``augmentation``.
        name: its name in settings.
        version: part of the key of every unit that uses it; None if it is built in.
        function: the function or class that computes it.
        module: where ``function`` is defined, for messages.
        check: takes the options that are set and returns all options; raises ValueError for an
            invalid one.
        encoder: for a representation, its default encoder; else None.
    """

    kind: str
    name: str
    version: str | None
    function: FunctionT
    module: str
    check: OptionsCheck
    encoder: str | None = None

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}'"

    def options(self, given: Mapping[str, Any]) -> Options:
        """``given`` completed by the defaults; ValueError for an invalid option."""
        try:
            return self.check(given)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "options"
            raise ValueError(f"{self}, {where}: {first['msg']}") from None
        except ValueError as error:
            raise ValueError(f"{self}: {error}") from None

    def expect(self, version: str | None) -> None:
        """ValueError if ``version`` is given and is not the registered one."""
        if version is not None and version != self.version:
            has = f"version {self.version} is loaded" if self.version else "it is built in"
            raise ValueError(f"version {version} of the {self} is required, but {has}")


class Registry(Generic[FunctionT]):
    """The components of one kind.

    Args:
        kind: what one is called.
        takes: the positional arguments of a component's function; further ones are its options.
        builtin: names that exist without a plugin.
        reserved: further names that no component may have, or a function that returns them.
    """

    def __init__(
        self,
        kind: str,
        takes: tuple[str, ...],
        builtin: Sequence[str] = (),
        reserved: Sequence[str] | Callable[[], Sequence[str]] = (),
    ) -> None:
        self.kind, self.takes = kind, takes
        self.builtin, self._reserved = tuple(builtin), reserved
        self._registered: dict[str, Component[FunctionT]] = {}

    def names(self) -> tuple[str, ...]:
        """All names in their canonical order: built-in, then registered ones sorted."""
        return (*self.builtin, *sorted(self._registered))

    @property
    def added(self) -> tuple[str, ...]:
        """The names that plugins have registered."""
        return tuple(self._registered)

    def known(self, name: str) -> str:
        """``name`` if it exists; ValueError with the nearest name otherwise."""
        if name not in self.builtin and name not in self._registered:
            hint = nearest(name, self.names())
            raise ValueError(
                f"unknown {self.kind} '{name}': {hint} (a registered one needs its --plugin)"
            )
        return name

    def __contains__(self, name: str) -> bool:
        """Whether a plugin has registered ``name``."""
        return name in self._registered

    def __getitem__(self, name: str) -> Component[FunctionT]:
        """The component that a plugin registered as ``name``; ValueError if there is none."""
        if name not in self._registered:
            raise ValueError(f"{self.kind} '{self.known(name)}' is built in, not registered")
        return self._registered[name]

    def register(
        self, name: str, version: str | int, function: FunctionT, encoder: str | None = None
    ) -> None:
        """Add a component. The same function again (a notebook cell that is run again) replaces it.

        Raises:
            UserError: if the name is taken or invalid, the version is missing, or ``function``
                does not accept its arguments.
        """
        what = f"{self.kind} '{name}'"
        if not re.fullmatch(r"[a-z][a-z0-9_-]*", name):
            raise UserError(f"{what}: a name consists of lower-case letters, digits, '-' and '_'")
        reserved = self._reserved() if callable(self._reserved) else self._reserved
        if name in (*self.builtin, *reserved):
            raise UserError(f"{what}: skelcon uses this name itself, choose another")
        if isinstance(version, bool) or not isinstance(version, str | int) or version == "":
            raise UserError(f"{what}: version {version!r}: give a string or a number, such as '1'")
        module = str(getattr(function, "__module__", "unknown"))
        before = self._registered.get(name)
        if before is not None and _place(before.function) != _place(function):
            raise UserError(f"{what} is registered by both '{before.module}' and '{module}'")
        try:
            check = signature_options(function, self.takes)
        except (TypeError, ValueError) as error:
            raise UserError(f"{what}: {error}") from None
        self._registered[name] = Component(
            self.kind, name, str(version), function, module, check, encoder
        )


def _place(function: Callable[..., Any]) -> tuple[str, str]:
    kind = type(function)
    name = getattr(function, "__qualname__", kind.__qualname__)
    return getattr(function, "__module__", kind.__module__), name


def signature_options(function: Callable[..., Any], takes: tuple[str, ...]) -> OptionsCheck:
    """The check of a function's options: its parameters after ``takes``, by their annotations.

    An option without an annotation (or with one that only a type checker can resolve) must have
    the type of its default, if that is a plain value.

    Raises:
        TypeError: if it does not accept ``takes``, or has an option whose type is not plain.
    """
    parameters = list(inspect.signature(function).parameters.values())
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    first, rest = parameters[: len(takes)], parameters[len(takes) :]
    if len(first) < len(takes) or any(p.kind not in positional for p in first):
        raise TypeError(f"it must accept ({', '.join(takes)}), followed by its options")
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in rest)
    named = [p for p in rest if p.kind.name in ("POSITIONAL_OR_KEYWORD", "KEYWORD_ONLY")]
    scope = vars(sys.modules.get(getattr(function, "__module__", ""), object))
    try:
        types = {p.name: TypeAdapter[Any](_type_of(p, scope)) for p in named}
    except PydanticSchemaGenerationError:
        raise TypeError("an option must be a number, a string, true, false or a list") from None
    defaults = {p.name: p.default for p in named if p.default is not p.empty}

    def check(given: Mapping[str, Any]) -> Options:
        for name in given:
            if name not in types and not open_ended:
                hint = nearest(name, types) if types else "it has none"
                raise ValueError(f"unknown option '{name}': {hint}")
        for name in types:
            if name not in given and name not in defaults:
                raise ValueError(f"option '{name}' must be set")
        values = {**defaults, **given}
        return {name: _plain(name, value, types.get(name)) for name, value in values.items()}

    return check


def _type_of(parameter: inspect.Parameter, scope: Mapping[str, Any]) -> Any:
    annotation, default = parameter.annotation, parameter.default
    if isinstance(annotation, str):  # "from __future__ import annotations"
        alone = SimpleNamespace(__annotations__={"option": annotation})
        with contextlib.suppress(Exception):  # one that exists for the type checker only
            hints = get_type_hints(alone, dict(scope), include_extras=True)
            annotation = hints["option"]
    if annotation is not parameter.empty and not isinstance(annotation, str):
        return annotation
    return type(default) if isinstance(default, bool | int | float | str) else Any


def _plain(name: str, value: Any, kind: TypeAdapter[Any] | None) -> Any:
    """``value`` as plain JSON, so that it can be hashed."""
    try:
        if kind is not None:
            value = kind.dump_python(kind.validate_python(value), mode="json")
        return json.loads(json.dumps(value, allow_nan=False))
    except ValidationError as error:
        message = error.errors()[0]["msg"]
        raise ValueError(f"option '{name}': {message} (given: {value!r})") from None
    except (TypeError, ValueError) as error:
        raise ValueError(f"option '{name}' is not a plain value ({error})") from None
