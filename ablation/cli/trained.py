"""Trained encoders that ``skelcon evaluate`` takes, and the side on which they are evaluated."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ablation.store import Store
from ablation.units import EncoderSource, EvaluateOn, PretrainUnit, UnreadableUnitError, read_unit
from skelcon.data import (
    PROTOCOLS,
    SkeletonDataset,
    SkeletonLayout,
    choose_protocol,
    common_layout,
    require_sides,
)
from skelcon.encoders import REPRESENTATION_PLUGINS
from skelcon.errors import UserError, nearest

if TYPE_CHECKING:
    from skelcon.encoders import Encoder

PREFERRED = ("xview", *(name for name in PROTOCOLS if name != "xview"))


class TrainedWeights:
    """Trained encoders in a file, and the finished unit that trained them, if there is one.

    Attributes:
        file: the weights file.
        names: the representations that are evaluated, in the order of studies.
        key: the unit's key, else the file's SHA-256. The path of the file is no part of an
            evaluation's key: it may be in another results directory.
        encoders: the encoders in the form that an evaluation takes.
    """

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        from skelcon.pretrain.weights import WEIGHTS_FILE, load_encoders

        self.file = path / WEIGHTS_FILE if path.is_dir() else path
        loaded, _ = load_encoders(self.file)
        if not names and len(loaded) > 1:
            raise UserError(
                f"'{self.file}' has several encoders: choose with --representation "
                f"({', '.join(loaded)}, or {','.join(loaded)} to concatenate their features)"
            )
        for name in names:
            if name not in loaded:
                hint = nearest(name, loaded)
                raise UserError(f"'{self.file}' has no encoder of '{name}': {hint}")
        self.names = sorted(names or loaded, key=REPRESENTATION_PLUGINS.names().index)
        self._encoder: Encoder = next(iter(loaded.values()))
        self.unit = _pretraining_at(self.file, WEIGHTS_FILE)
        if self.unit is not None:
            self.key = self.unit.key
            sources = [EncoderSource(name, pretrained=self.unit) for name in self.names]
        else:
            self.key = hashlib.sha256(self.file.read_bytes()).hexdigest()
            sources = [EncoderSource(name, weights=self.key) for name in self.names]
        self.encoders = tuple(sources)

    def trained_on(self, dataset: SkeletonDataset) -> PretrainUnit | None:
        """The pre-training, if it is known and used the same data."""
        unit = self.unit
        return unit if unit is not None and unit.side.data == dataset.fingerprint else None

    def skeleton(self, dataset: SkeletonDataset) -> tuple[SkeletonLayout, int]:
        """Layout and number of bodies of their views; ``UserError`` if the data lacks joints."""
        layout = self._encoder.layout
        if common_layout(dataset.layout, layout) != layout:
            raise UserError(
                f"'{self.file}' takes {layout.num_joints} joints ({layout.name}), and data set "
                f"'{dataset.name}' has {dataset.layout.num_joints}"
            )
        return layout, self._encoder.bodies


def _pretraining_at(file: Path, weights_file: str) -> PretrainUnit | None:
    """The finished pre-training that wrote ``file``, if there is one."""
    directory = file.resolve().parent
    store = Store(directory.parent.parent)
    if file.name != weights_file or not store.is_done(directory.name):
        return None
    try:
        unit = read_unit(store.config(directory.name))
    except (UnreadableUnitError, UserError):
        return None
    return unit if isinstance(unit, PretrainUnit) and unit.key == directory.name else None


def choose_side(
    trained: PretrainUnit | None, dataset: SkeletonDataset, asked: str | None
) -> tuple[str, EvaluateOn]:
    """Protocol and side of an evaluation: the pre-training's own, if it used the same data."""
    if trained is None:
        protocol = choose_protocol(dataset, [asked] if asked else PREFERRED)
        require_sides(dataset, protocol)
        return protocol, "test"
    own = trained.side.protocol
    chosen = choose_protocol(dataset, [asked or own])
    if chosen != own:
        raise UserError(
            f"--protocol {chosen}: the encoders were pre-trained on the training side of {own} of "
            f"the same data, which has test clips of {chosen}; give --protocol {own}"
        )
    if trained.side.train != "train":
        return chosen, "validation"
    require_sides(dataset, chosen)
    return chosen, "test"
