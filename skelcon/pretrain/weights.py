"""Encoders on disk: safetensors with a header that says how to build them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import safe_open
from safetensors.torch import save

from skelcon.data import SkeletonLayout
from skelcon.encoders import ENCODERS, REPRESENTATION_PLUGINS, STREAMS, Encoder, EncodersConfig
from skelcon.errors import UserError, nearest
from skelcon.registry import Registry
from skelcon.wholefile import whole_file

WEIGHTS_FILE = "weights.safetensors"
"""The name of the weights in a unit's directory."""


def save_encoders(
    path: Path,
    encoders: Mapping[str, Encoder],
    config: EncodersConfig,
    layout: SkeletonLayout,
    bodies: int,
) -> None:
    """Write query encoders, without their projection heads; the file is whole or not there."""
    tensors = {
        f"{name}.{key}": value.detach().cpu().contiguous()
        for name, encoder in encoders.items()
        for key, value in encoder.state_dict().items()
    }
    header = {
        "representations": list(encoders),
        "encoders": {
            **config.model_dump(mode="json", exclude={"custom"}),
            **config.resolved(list(encoders)),
        },
        "layout": layout.to_dict(),
        "bodies": bodies,
    }
    if components := config.components(list(encoders)):
        header["plugins"] = [
            {name: getattr(component, name) for name in ("kind", "name", "version", "module")}
            for component in components
        ]
    with whole_file(path) as file:
        file.write(save(tensors, {"skelcon": json.dumps(header)}))


def load_encoders(path: Path) -> tuple[dict[str, Encoder], EncodersConfig]:
    """The encoders in a file of :func:`save_encoders`, on the CPU, and their configuration.

    Plugins that they need must be loaded before: a weights file never runs code.

    Raises:
        UserError: if the file is missing, is not a weights file of skelcon, or needs a plugin that
            is not loaded or has another version.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["skelcon"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise UserError(f"no weights at '{path}'") from None
    except Exception as error:  # safetensors' own errors have no common base
        raise UserError(f"'{path}' is not a weights file of skelcon ({error})") from None
    try:
        _check_plugins(path, header.get("plugins", []))
        return _built(header, tensors)
    # The header does not fit the code, or is damaged.
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"'{path}' has weights that this version of skelcon cannot use ({reason})"
        ) from None


class CellLine(Protocol):
    """A line of a table's cells (`ablation.load_cells`): a pandas Series, or a mapping."""

    def __getitem__(self, name: str, /) -> Any:
        """``weights`` maps representations to the weights files of their pre-trainings."""


def load_encoder(path: Path | str | CellLine, representation: str | None = None) -> Encoder:
    """One trained encoder, on the CPU and in evaluation mode.

    It takes views (B, M, T, V, C) of ``encoder.bodies`` bodies and ``encoder.frames`` frames,
    turned as ``encoder.orientation`` says; :func:`skelcon.embed` makes these from the clips of a
    data set.

    Args:
        path: a ``weights.safetensors``, a directory that holds one, or a line of
            ``ablation.load_cells``, which names the encoder that its value was measured with.
        representation: ``img``, ``stg`` or ``seq``; not needed where there is only one.

    Raises:
        UserError: if the file is missing or is not a weights file of skelcon; if it does not hold
            the representation, or holds several and none is given; or if the line has no
            pre-training.
    """
    if not isinstance(path, (str, Path)):
        path, representation = _of_cell(path, representation)
    path = Path(path)
    if path.is_dir():
        path = path / WEIGHTS_FILE
    encoders, _ = load_encoders(path)
    if representation is None and len(encoders) > 1:
        names = ", ".join(encoders)
        raise UserError(f"'{path}' holds several representations: choose one of {names}")
    name = representation or next(iter(encoders))
    if name not in encoders:
        raise UserError(f"'{path}' holds no representation '{name}': {nearest(name, encoders)}")
    return encoders[name]


def _of_cell(cell: CellLine, representation: str | None) -> tuple[str, str]:
    """File and representation behind a line of cells."""
    weights: Mapping[str, str] | None = cell["weights"]
    where = f"row '{cell['row']}', column '{cell['column']}'"
    if not weights:
        raise UserError(f"{where}: nothing was pre-trained for it, so there are no weights")
    if representation is None and len(weights) > 1:
        raise UserError(f"{where} has several encoders: choose one of {', '.join(weights)}")
    name = representation or next(iter(weights))
    if name not in weights:
        raise UserError(f"{where} has no encoder '{name}': {nearest(name, weights)}")
    return weights[name], name


def _built(
    header: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]
) -> tuple[dict[str, Encoder], EncodersConfig]:
    config = EncodersConfig.model_validate(header["encoders"])
    layout = SkeletonLayout.from_dict(header["layout"])
    encoders = {}
    for name in header["representations"]:
        with torch.random.fork_rng(devices=[]):  # its initial weights are replaced
            encoder = Encoder(name, config, layout, int(header["bodies"]))
        prefix = f"{name}."
        encoder.load_state_dict(
            {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        )
        encoders[name] = encoder.eval()
    return encoders, config


def _check_plugins(path: Path, needed: Sequence[Mapping[str, str]]) -> None:
    """UserError unless the registered components that a file needs are loaded in its version."""
    registries: dict[str, Registry[Any]] = {
        r.kind: r for r in (ENCODERS, REPRESENTATION_PLUGINS, STREAMS)
    }
    for need in needed:
        what, registry = f"{need['kind']} '{need['name']}'", registries[need["kind"]]
        if need["name"] not in registry:
            raise UserError(
                f"'{path}' needs the {what}, version {need['version']}, which no loaded plugin "
                f"registers: it was in the module '{need['module']}' (--plugin {need['module']}, "
                f"or skelcon.plugins.load_plugins(['{need['module']}']))"
            )
        loaded = registry[need["name"]].version
        if loaded != need["version"]:
            raise UserError(
                f"'{path}' was made with version {need['version']} of the {what}, but version "
                f"{loaded} is loaded"
            )
