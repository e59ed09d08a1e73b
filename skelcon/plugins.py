"""User-defined components: plugins register them, and settings choose them by name.

A plugin is a Python module that calls the decorators below when it is imported::

    import torch
    from skelcon import register_augmentation

    @register_augmentation("backwards", version="1")
    def backwards(view, generator, p: float = 0.5):
        chosen = torch.rand(len(view), generator=generator).to(view.device) < p
        return torch.where(chosen[:, None, None, None, None], view.flip(2), view)

Settings can then use its name: ``pretrain.augment.use: [crop, backwards]``. The name, the version
and all options of each component in use are part of a unit's key: increase the version when the
same options give different numbers than before. The README of this package has longer examples.
"""

from __future__ import annotations

import functools
import importlib
import importlib.machinery
import importlib.util
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from skelcon.augment import AUGMENTATIONS
from skelcon.contrast import OBJECTIVES
from skelcon.downstream.tasks import register as add_task
from skelcon.encoders import ENCODERS, REPRESENTATION_PLUGINS, STREAMS
from skelcon.errors import UserError, nearest

if TYPE_CHECKING:
    from torch import Tensor, nn

    from skelcon.contrast import Objective
    from skelcon.data import ClipInfo, SkeletonLayout, Source
    from skelcon.downstream import Task

GROUP = "skelcon.plugins"
"""The entry-point group of installed plugins."""

AugmentationT = TypeVar("AugmentationT", bound="Callable[..., Tensor]")
EncoderT = TypeVar("EncoderT", bound="Callable[..., nn.Module]")
ObjectiveT = TypeVar("ObjectiveT", bound="Callable[..., Objective]")
ProtocolT = TypeVar("ProtocolT", bound="Callable[[Sequence[ClipInfo]], Any]")
SourceT = TypeVar("SourceT", bound="type[Source]")
RepresentationT = TypeVar("RepresentationT", bound="Callable[[Tensor], Tensor]")
StreamT = TypeVar("StreamT", bound="Callable[[Tensor, SkeletonLayout], Tensor]")
TaskT = TypeVar("TaskT", bound="type[Task[Any]]")
ComponentT = TypeVar("ComponentT")


def register_augmentation(
    name: str, *, version: str | int
) -> Callable[[AugmentationT], AugmentationT]:
    """Register ``function(view, generator, **options) -> view`` as an augmentation.

    It is applied to every view, after the paper's and in the order of
    ``pretrain.augment.use``. Its options are set in ``pretrain.augment.custom.<name>``; one is
    ``p``, the probability for a sample, 1 if it is not set and the function has no ``p`` itself.

    Args of the function:
        view: (B, M, T, V, 3) float32 on the device that trains; absent bodies are all zero. Of a
            layout in 2D the third value is a confidence.
        generator: a CPU generator; every random draw must come from it.
        options: parameters of plain types; annotations are checked, defaults are part of the key.

    Raises:
        UserError: if the name is taken or the function does not accept these.
    """

    return _decorator(lambda function: AUGMENTATIONS.register(name, version, function))


def register_encoder(name: str, *, version: str | int) -> Callable[[EncoderT], EncoderT]:
    """Register ``factory(layout, bodies, frames, **options) -> nn.Module`` as an encoder.

    ``pretrain.encoders.custom.<representation>`` chooses it (``encoder``) and sets its
    ``options``. The factory may be the module's class.

    Args of the factory:
        layout: the :class:`skelcon.data.SkeletonLayout` of the data.
        bodies, frames: M and T of a view.
        options: parameters of plain types; annotations are checked, defaults are part of the key.

    The module maps the representation's tensor (:func:`skelcon.encoders.represent`) to
    (B, feature_size) and has the int attribute ``feature_size``. It may give tokens, too: see
    :class:`skelcon.encoders.GivesTokens`.

    Raises:
        UserError: if the name is taken or the factory does not accept these.
    """

    return _decorator(lambda factory: ENCODERS.register(name, version, factory))


def register_objective(name: str, *, version: str | int) -> Callable[[ObjectiveT], ObjectiveT]:
    """Register ``factory(encoders, generator, **options) -> Objective`` as an objective.

    ``pretrain.objective`` chooses it (``name``) and sets its ``options``. The factory is most often
    the class, a subclass of :class:`skelcon.contrast.Objective`.

    Args of the factory:
        encoders: representation -> its :class:`skelcon.encoders.Encoder`.
        generator: a CPU generator for what is drawn at the start, apart from weights.
        options: parameters of plain types; annotations are checked, defaults are part of the key.

    Raises:
        UserError: if the name is taken or the factory does not accept these.
    """

    return _decorator(lambda factory: OBJECTIVES.register(name, version, factory))


def register_representation(
    name: str, *, version: str | int, encoder: str | None = None
) -> Callable[[RepresentationT], RepresentationT]:
    """Register ``function(view) -> tensor`` as a representation, contrasted like the paper's.

    Args:
        name: what ``pretrain.representations`` calls it.
        version: part of the key.
        encoder: its default encoder: hcn, agcn, bigru (with the settings of img, stg or seq),
            stgcn, ctrgcn, transformer or a registered one;
            ``pretrain.encoders.custom.<name>`` may choose another.

    The function maps a view (B, M, T, V, 3) to (B, ...), the input of its encoder.

    Raises:
        UserError: if the name is taken or the function does not accept a view.
    """

    return _decorator(
        lambda function: REPRESENTATION_PLUGINS.register(name, version, function, encoder)
    )


def register_stream(name: str, *, version: str | int) -> Callable[[StreamT], StreamT]:
    """Register ``function(view, layout) -> view`` as a stream, for ``pretrain.encoders.stream``.

    The function maps an augmented view (B, M, T, V, 3) of a :class:`skelcon.data.SkeletonLayout` to
    what encoders see, of the same shape. What is absent (all zeros) should stay absent.

    Raises:
        UserError: if the name is taken or the function does not accept these.
    """

    return _decorator(lambda function: STREAMS.register(name, version, function))


def register_layout(layout: SkeletonLayout | Mapping[str, Any] | Path | str) -> SkeletonLayout:
    """Register a skeleton layout, which ``--layout`` and descriptions of data then know by name.

    Args:
        layout: the layout, or a mapping with the keys of a layout's YAML file, or the path of one
            (``Path(__file__).with_name("mine.yaml")`` is the file beside the plugin).

    Returns:
        The registered layout. The same one may be registered again.

    Raises:
        UserError: if it is not valid, or another layout has its name.
    """
    from skelcon.data import LAYOUTS  # which brings numpy along

    return LAYOUTS.register(layout)


def register_importer(source: SourceT) -> SourceT:
    """Register a subclass of :class:`skelcon.data.Source`: files of one more layout.

    A class decorator. ``skelcon data import`` and ``--data`` then find such files, and ``--format``
    takes the class's ``family``. Its ``find``, ``name``, ``layout``, ``class_names``, ``read`` and
    ``splits`` say what the files are; resuming, several processes, limits and the report are those
    of every import.

    Raises:
        UserError: if it is not such a class, or its family's name is invalid or taken.
    """
    from skelcon.data.importers.registered import register  # which brings numpy along

    register(source)
    return source


def register_protocol(name: str, *, version: str | int) -> Callable[[ProtocolT], ProtocolT]:
    """Register ``function(infos) -> sides`` as a protocol, which every import then computes.

    Args:
        name: what ``--protocol`` calls it.
        version: recorded in the data set's header; clips are imported again when it changes.

    Args of the function:
        infos: a :class:`skelcon.data.ClipInfo` for each of the N clips: name, label, subject,
            camera and setup (-1 where unknown).

    It returns (N,) integers, 0 trains, 1 tests, -1 takes no part, or None if the protocol does
    not apply to the clips.

    Raises:
        UserError: if the name is taken or the function does not accept infos.
    """

    from skelcon.data.protocols import PROTOCOL_PLUGINS  # which brings numpy along

    return _decorator(lambda function: PROTOCOL_PLUGINS.register(name, version, function))


def register_task(name: str, *, version: str | int) -> Callable[[TaskT], TaskT]:
    """Register a subclass of :class:`skelcon.downstream.Task`: one more downstream task.

    A class decorator. Studies, columns and ``--task`` name it; its settings are ``tasks.<name>``,
    and all of them are part of the key. The class has ``settings`` (a subclass of
    :class:`skelcon.config.Config` whose fields have defaults), ``metrics`` (the numbers of its
    result, ``top1`` among them if studies are to rank by it), ``frozen`` if it leaves the encoders
    as they are, and ``start``; what else a task may say has a default.

    Raises:
        UserError: if the name is taken, or the class is not such a task.
    """

    return _decorator(lambda kind: add_task(name, version, kind))


def _decorator(register: Callable[[Any], object]) -> Callable[[ComponentT], ComponentT]:
    """A decorator that registers what it decorates, and leaves it as it is."""

    def decorate(component: ComponentT) -> ComponentT:
        register(component)
        return component

    return decorate


def load_plugins(names: Sequence[str] = (), directory: Path | None = None) -> None:
    """Import the plugins ``names`` and all installed ones; modules are imported only once.

    Args:
        names: modules (``my_plugin``, ``my_package.plugin``) or paths of .py files.
        directory: where modules are searched after the installed ones, and what paths are
            relative to; the current directory by default.

    Raises:
        UserError: if a plugin cannot be imported; names it, the reason and the line.
    """
    for entry in metadata.entry_points(group=GROUP):
        _guarded(f"installed plugin '{entry.value}'", entry.load)
    directory = (directory or Path.cwd()).resolve()
    for name in names:
        load = _import_file if name.endswith(".py") else _import_module
        _guarded(f"plugin '{name}'", functools.partial(load, name, directory))


def _import_module(name: str, directory: Path) -> None:
    _search_too(directory)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the plugin imports another module that is missing
        here = [path.stem for path in directory.glob("*.py")]
        hint = nearest(name, here) if here else "there is no .py file"
        raise UserError(f"no such module, installed or in '{directory}': {hint}") from None
    if module.__file__ is None:
        raise UserError("it is a directory, not a module")


class _SourceLoader(importlib.machinery.SourceFileLoader):
    """Compiles the file each time: Python's cache misses a change within the same second."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _import_file(file: str, directory: Path) -> None:
    """Import a file by its stem, as if its directory were the current one."""
    path = (directory / file).resolve()
    name = path.stem
    if not path.is_file():
        raise UserError(f"there is no file '{path}'")
    known: ModuleType | None = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return
    if known is not None or name in sys.stdlib_module_names:
        raise UserError(f"another module has the name '{name}': rename the file")
    loader = _SourceLoader(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    _search_too(path.parent)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


def _search_too(directory: Path) -> None:
    """Search ``directory`` for modules after the installed ones, so that it shadows none."""
    if str(directory) not in sys.path:
        sys.path.append(str(directory))
    importlib.invalidate_caches()  # the file may have just been written


def _guarded(what: str, load: Callable[[], object]) -> None:
    """Run ``load``; any error becomes one line."""
    try:
        load()
    except UserError as error:
        raise UserError(f"{what}: {error}") from None
    except (Exception, SystemExit) as error:  # the user's code: anything may go wrong
        if isinstance(error, SyntaxError):
            where, reason = f"{error.filename}, line {error.lineno}", error.msg
        else:
            frames = traceback.extract_tb(error.__traceback__)
            last = [frame for frame in frames if not frame.filename.startswith("<frozen")][-1]
            where, reason = f"{last.filename}, line {last.lineno}", " ".join(str(error).split())
        raise UserError(
            f"{what} cannot be imported: {type(error).__name__}: {reason} ({where})"
        ) from None
