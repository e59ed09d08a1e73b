"""The settings of an objective, and the registry; an objective's module is imported on use."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from skelcon.config import Config
from skelcon.contrast.config import ContrastConfig
from skelcon.registry import Component, Registry, signature_options

if TYPE_CHECKING:
    import torch

    from skelcon.contrast.objective import Objective
    from skelcon.encoders import Encoder, EncodersConfig

ObjectiveFactory = Callable[..., "Objective"]

MOCO = "moco"
"""The paper's contrast, and the default; its options are the fields of `ContrastConfig`."""

BUILTIN = {
    "simclr": "simclr:SimCLR",
    "byol": "byol:BYOL",
    "simsiam": "simsiam:SimSiam",
    "barlow": "barlow:BarlowTwins",
    "vicreg": "vicreg:VICReg",
    "masked": "masked:MaskedMotion",
    "cmd": "cmd:MutualDistillation",
}
"""Name -> module and class of the other built-in objectives."""

WITHOUT_TOKENS = ("hcn", "agcn", "bigru", "stgcn", "ctrgcn")
"""Encoders without tokens: ``masked`` has its own segments for them."""

TAKES = ("encoders", "generator")
"""The positional arguments of an objective; the others are its options."""

WITH_QUEUES = (MOCO, "cmd")
"""Objectives with the heads and queues of `ContrastConfig`, which is an argument of theirs."""

OBJECTIVES: Registry[ObjectiveFactory] = Registry("objective", TAKES, (MOCO, *BUILTIN))
"""The objectives that plugins have registered, in addition to :data:`BUILTIN`."""

ObjectiveName = Annotated[str, AfterValidator(OBJECTIVES.known)]


def segment_fault(frames: int, segment: int) -> str:
    """Why a view of ``frames`` has no tokens of ``segment`` frames; empty if it has."""
    if not frames % segment:
        return ""
    return (
        f"encoders.frames {frames} is not a multiple of the {segment} frames of a token "
        "(pretrain.objective.options.segment)"
    )


class ObjectiveConfig(Config):
    """The objective of a pre-training."""

    name: ObjectiveName = Field(
        MOCO, description=f"{MOCO} (the paper), {', '.join(BUILTIN)} or a registered one"
    )
    options: dict[str, Any] = Field(
        {}, description=f"its options; the options of {MOCO} are in pretrain.contrast"
    )
    version: str | None = Field(
        None, description="of a registered objective; any other version is an error"
    )

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        if self.name != MOCO:
            component = self._component()
            component.expect(self.version)
            component.options(self.options)
        elif self.options or self.version:
            raise ValueError(f"the options of {MOCO} are set in pretrain.contrast")
        return self

    @property
    def has_queues(self) -> bool:
        """Whether settings in ``pretrain.contrast`` apply to it."""
        return self.name in WITH_QUEUES

    def check(self, representations: Sequence[str], encoders: EncodersConfig) -> None:
        """ValueError if it does not fit the number of representations, the stream or the frames."""
        if self.name == MOCO:
            return
        made = self._component().function
        fewest, most = getattr(made, "fewest", 1), getattr(made, "most", None)
        number, which = len(representations), "+".join(representations)
        if number < fewest or (most is not None and number > most):
            limit = f"at least {fewest}" if number < fewest else f"at most {most}"
            raise ValueError(
                f"pretrain.representations: objective '{self.name}' takes {limit}, not {number} "
                f"({which})"
            )
        if encoders.stream != "joint" and getattr(made, "joints_only", False):
            raise ValueError(
                f"objective '{self.name}' hides joints, which stream '{encoders.stream}' would "
                "show: set pretrain.encoders.stream=joint"
            )
        if self.name == "masked":
            segment = self.resolved()["options"]["segment"]
            chosen = encoders.chosen(representations[0]).component.name
            fault = segment_fault(encoders.frames, segment)
            if chosen in WITHOUT_TOKENS and fault:
                raise ValueError(fault)

    @property
    def takes_extra(self) -> bool:
        """Whether it takes views beside query and key.

        A registered objective may inherit ``takes_extra`` and yet have a ``forward`` without them.
        """
        if self.name == MOCO:
            return True
        made = self._component().function
        if not getattr(made, "takes_extra", False):
            return False
        parameters = inspect.signature(getattr(made, "forward", made)).parameters.values()
        return any(each.kind is each.VAR_POSITIONAL for each in parameters)

    def resolved(self) -> dict[str, Any]:
        """Its name, all its options, and the version of a registered one.

        ``moco`` has no options here; they are in `ContrastConfig`.
        """
        if self.name == MOCO:
            return {"name": self.name, "options": {}}
        component = self._component()
        found = {"name": self.name, "options": component.options(self.options)}
        return found if component.version is None else {**found, "version": component.version}

    def build(
        self,
        contrast: ContrastConfig,
        encoders: Mapping[str, Encoder],
        generator: torch.Generator,
    ) -> Objective:
        """The objective on ``encoders``; ``contrast`` are the settings of objectives with queues.

        Raises:
            UserError: if a registered one is no `skelcon.contrast.Objective`, or has parameters
                that belong to no representation.
        """
        from skelcon.contrast.momentum import MomentumContrast
        from skelcon.contrast.objective import Objective
        from skelcon.errors import UserError

        if self.name == MOCO:
            return MomentumContrast(encoders, contrast, generator)
        component = self._component()
        given = (encoders, contrast, generator) if self.has_queues else (encoders, generator)
        made = component.function(*given, **component.options(self.options))
        if not isinstance(made, Objective):
            raise UserError(f"{component} is not a skelcon.contrast.Objective")
        trained = {id(parameter) for parameter in made.query_parameters()}
        for name, parameter in made.named_parameters():
            if parameter.requires_grad and id(parameter) not in trained:
                raise UserError(
                    f"{component}: nothing would train its parameter '{name}': keep it in an "
                    "nn.ModuleDict, by the name of its representation"
                )
        return made

    def _component(self) -> Component[ObjectiveFactory]:
        if self.name not in BUILTIN:
            return OBJECTIVES[self.name]
        module, _, name = BUILTIN[self.name].partition(":")
        made = getattr(importlib.import_module(f"skelcon.contrast.{module}"), name)
        takes = ("encoders", "config", "generator") if self.has_queues else TAKES
        check = signature_options(made, takes)
        return Component("objective", self.name, None, made, made.__module__, check)
