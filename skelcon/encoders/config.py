"""Which encoder each representation gets, and its settings; the networks are imported when built.

By default it is the paper's; another built-in or a registered one can be chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from skelcon.config import Config
from skelcon.encoders.options import (
    COORDINATES,
    REPRESENTATION_PLUGINS,
    REPRESENTATIONS,
    STREAMS,
    AGCNConfig,
    BiGRUConfig,
    CTRGCNConfig,
    HCNConfig,
    Orientation,
    STGCNConfig,
    Stream,
    TransformerConfig,
)
from skelcon.registry import Component, Registry

if TYPE_CHECKING:
    from torch import nn

    from skelcon.data.layouts import SkeletonLayout

EncoderFactory = Callable[..., "nn.Module"]


def _hcn(layout: SkeletonLayout, bodies: int, frames: int, **options: Any) -> nn.Module:
    from skelcon.encoders.hcn import HCN

    return HCN(HCNConfig(**options), bodies, layout.num_joints, frames)


def _agcn(layout: SkeletonLayout, bodies: int, frames: int, **options: Any) -> nn.Module:
    from skelcon.encoders.agcn import AGCN

    return AGCN(AGCNConfig(**options), bodies, layout)


def _bigru(layout: SkeletonLayout, bodies: int, frames: int, **options: Any) -> nn.Module:
    from skelcon.encoders.bigru import BiGRU

    return BiGRU(BiGRUConfig(**options), bodies, layout.num_joints)


def _stgcn(layout: SkeletonLayout, bodies: int, frames: int, **options: Any) -> nn.Module:
    from skelcon.encoders.stgcn import STGCN

    return STGCN(STGCNConfig(**options), layout)


def _ctrgcn(layout: SkeletonLayout, bodies: int, frames: int, **options: Any) -> nn.Module:
    from skelcon.encoders.ctrgcn import CTRGCN

    return CTRGCN(CTRGCNConfig(**options), bodies, layout)


def _transformer(layout: SkeletonLayout, bodies: int, frames: int, **options: Any) -> nn.Module:
    from skelcon.encoders.transformer import Transformer

    return Transformer(TransformerConfig(**options), layout.num_joints, frames)


def _flat(layout: SkeletonLayout, bodies: int, frames: int) -> nn.Module:
    from skelcon.encoders.representations import Flat

    return Flat(bodies * frames * layout.num_joints * 3)


def _builtin(name: str, build: EncoderFactory, config: type[Config]) -> Component[EncoderFactory]:
    def check(given: Mapping[str, Any]) -> dict[str, Any]:
        return config.model_validate(given).model_dump(mode="json")

    return Component("encoder", name, None, build, __name__, check)


BUILTIN = {
    "hcn": _builtin("hcn", _hcn, HCNConfig),
    "agcn": _builtin("agcn", _agcn, AGCNConfig),
    "bigru": _builtin("bigru", _bigru, BiGRUConfig),
    "stgcn": _builtin("stgcn", _stgcn, STGCNConfig),
    "ctrgcn": _builtin("ctrgcn", _ctrgcn, CTRGCNConfig),
    "transformer": _builtin("transformer", _transformer, TransformerConfig),
}
"""The paper's three encoders, and further ones."""

_FLAT: Component[EncoderFactory] = Component("encoder", "flat", None, _flat, __name__, dict)

PAPER = {"img": "hcn", "stg": "agcn", "seq": "bigru"}
"""Representation -> encoder (section 4.2)."""

_SECTIONS = {encoder: name for name, encoder in PAPER.items()}
_SECTIONS |= {name: name for name in BUILTIN if name not in _SECTIONS}
"""Encoder -> where its defaults are set: the paper's below their representation."""

_OF_A_GRAPH = ("stgcn", "ctrgcn", "transformer")
"""Encoders whose input is (B, M, C, T, V)."""

ENCODERS: Registry[EncoderFactory] = Registry(
    "encoder", ("layout", "bodies", "frames"), tuple(BUILTIN)
)
"""The encoders that plugins have registered, in addition to :data:`BUILTIN`."""


class CustomEncoder(Config):
    """The encoder of one representation, by name."""

    encoder: str | None = Field(
        None,
        description="hcn, agcn, bigru, stgcn, ctrgcn, transformer or a registered one; the "
        "representation's own if not set",
    )
    options: dict[str, Any] = Field(
        {},
        description="the encoder's options; of a built-in one those that differ from its section: "
        "encoders.img of hcn, .stg of agcn, .seq of bigru, else its own, as encoders.ctrgcn",
    )
    version: str | None = Field(
        None, description="of a registered encoder; any other version is an error"
    )
    representation_version: str | None = Field(
        None, description="of a registered representation; any other version is an error"
    )


@dataclass(frozen=True)
class ChosenEncoder:
    """The encoder of a representation, and all its options."""

    component: Component[EncoderFactory]
    options: dict[str, Any]


class EncodersConfig(Config):
    """One encoder per representation: ``img``, ``stg`` and ``seq`` have the paper's."""

    img: HCNConfig = HCNConfig()
    stg: AGCNConfig = AGCNConfig()
    seq: BiGRUConfig = BiGRUConfig()
    stgcn: STGCNConfig = STGCNConfig()
    ctrgcn: CTRGCNConfig = CTRGCNConfig()
    transformer: TransformerConfig = TransformerConfig()
    frames: int = Field(64, ge=16, description="T, the frames of a view")
    orientation: Orientation = Field(
        "first_frame",
        description="how a clip is turned: its spine to z and its shoulders to x, by its first "
        "frame (the paper) or by the median of its frames; or not at all, as any clip in 2D",
    )
    stream: Stream = Field(
        "joint",
        description="what encoders see of a view: joint (positions), bone, motion, angle or a "
        "registered one",
    )
    stream_version: str | None = Field(
        None, description="of a registered stream; any other version is an error"
    )
    custom: dict[str, CustomEncoder] = Field({}, description="representation -> another encoder")

    @model_validator(mode="after")
    def _check_custom(self) -> Self:
        if self.stream in STREAMS:
            STREAMS[self.stream].expect(self.stream_version)
            STREAMS[self.stream].options({})  # it has none to set
        elif self.stream_version is not None:
            raise ValueError(f"stream_version: {self.stream} is built in")
        for name, custom in self.custom.items():
            if REPRESENTATION_PLUGINS.known(name) in REPRESENTATIONS and custom.encoder is None:
                raise ValueError(
                    f"custom.{name} has no encoder: set custom.{name}.encoder, or the "
                    f"options of the paper's encoder in encoders.{name}"
                )
            if name in REPRESENTATION_PLUGINS:
                REPRESENTATION_PLUGINS[name].expect(custom.representation_version)
            elif custom.representation_version is not None:
                raise ValueError(f"custom.{name}.representation_version: {name} is built in")
            self.chosen(name).component.expect(custom.version)
        return self

    def chosen(self, representation: str) -> ChosenEncoder:
        """The encoder of ``representation``; ValueError if there is none, or an option is invalid.

        A built-in encoder has the options of its section as defaults: bigru for a registered
        representation is as large as for ``seq``. The coordinates have one that does nothing.
        """
        if representation == COORDINATES:
            return ChosenEncoder(_FLAT, {})
        custom = self.custom.get(representation, CustomEncoder())
        own = PAPER.get(representation) or REPRESENTATION_PLUGINS[representation].encoder
        chosen = custom.encoder or own
        if chosen is None:
            raise ValueError(
                f"representation '{representation}' has no encoder: set encoders.custom."
                f"{representation}.encoder ({', '.join(ENCODERS.names())})"
            )
        if chosen in BUILTIN:
            component = BUILTIN[chosen]
            given = {**getattr(self, _SECTIONS[chosen]).model_dump(), **custom.options}
        else:
            component, given = ENCODERS[chosen], custom.options
        options = component.options(given)
        if chosen in _OF_A_GRAPH and representation == "seq":
            raise ValueError(f"custom.seq.encoder: {chosen} takes stg or img, not seq")
        if chosen == "transformer" and self.frames % options["segment"]:
            raise ValueError(
                f"encoders.frames {self.frames} is not a multiple of the {options['segment']} "
                f"frames of {representation}'s segments (custom.{representation}.options.segment)"
            )
        return ChosenEncoder(component, options)

    def components(self, representations: Sequence[str]) -> list[Component[Any]]:
        """The registered components that ``representations`` use."""
        found: list[Component[Any]] = [STREAMS[self.stream]] if self.stream in STREAMS else []
        for name in representations:
            found += [REPRESENTATION_PLUGINS[name]] if name in REPRESENTATION_PLUGINS else []
            component = self.chosen(name).component
            found += [component] if component.name in ENCODERS else []
        return found

    def resolved(self, representations: Sequence[str]) -> dict[str, Any]:
        """What determines the encoders of ``representations``, in full, and nothing else."""
        kept: dict[str, Any] = {}
        custom: dict[str, dict[str, Any]] = {}
        for name in REPRESENTATION_PLUGINS.names():
            if name not in representations:
                continue
            chosen = self.chosen(name)
            if chosen.component.name == PAPER.get(name):
                kept[name] = chosen.options
                continue
            custom[name] = {"encoder": chosen.component.name, "options": chosen.options}
            if chosen.component.version:
                custom[name]["version"] = chosen.component.version
            if name in REPRESENTATION_PLUGINS:
                custom[name]["representation_version"] = REPRESENTATION_PLUGINS[name].version
        kept |= {"frames": self.frames, "orientation": self.orientation}
        if self.stream != "joint":
            kept["stream"] = self.stream
        if self.stream in STREAMS:
            kept["stream_version"] = STREAMS[self.stream].version
        return {**kept, "custom": custom} if custom else kept
