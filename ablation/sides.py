"""The sides that the units of a plan train on: clips, skeleton, seeds and folds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from ablation.units import TRAIN_SIDE, EvaluateOn, Side
from skelcon.data import (
    Fold,
    SkeletonDataset,
    SkeletonLayout,
    canonical_protocol,
    choose_protocol,
    common_layout,
    num_folds,
    require_sides,
    split,
)


@dataclass(frozen=True)
class Sides:
    """Makes the sides of a study's units.

    Attributes:
        dataset: the data that the study is evaluated on.
        source: the data that a transfer is pre-trained on; None without a transfer.
        source_protocol: the protocol of the source; empty without a transfer.
        evaluate_on: the test side, or held-out groups of the training side.
        seeds: the seeds of each cell.
        folds: the highest number of folds of a cross-validation.
    """

    dataset: SkeletonDataset
    source: SkeletonDataset | None
    source_protocol: str
    evaluate_on: EvaluateOn
    seeds: tuple[int, ...]
    folds: int

    @cached_property
    def layout(self) -> SkeletonLayout:
        """The skeleton that all encoders see: in a transfer the joints that both data have."""
        if self.source is None:
            return self.dataset.layout
        return common_layout(self.source.layout, self.dataset.layout)

    @cached_property
    def bodies(self) -> int:
        """The number of bodies that all encoders see."""
        datasets = [self.dataset] if self.source is None else [self.dataset, self.source]
        return max(dataset.max_bodies for dataset in datasets)

    def evaluated(self, protocol: str) -> Iterator[Side]:
        """A side for each seed, and in a cross-validation for each seed and fold."""
        folds: list[Fold | None] = [None]
        if self.evaluate_on == "validation":
            count = num_folds(self.dataset, protocol, self.folds)
            folds = [Fold(index, count) for index in range(count)]
        part = TRAIN_SIDE[self.evaluate_on]
        for seed, fold in itertools.product(self.seeds, folds):
            yield Side.of(self.dataset, protocol, part, seed, self.layout, self.bodies, fold)

    def pretrained(self, target: Side) -> Side:
        """The side on which the encoders of an evaluation are pre-trained.

        In a transfer it is the whole training side of the source, also in a cross-validation, as
        the source is not tested; unless source and target are the same data.
        """
        source = self.source
        if source is None or source.fingerprint == self.dataset.fingerprint:
            return target
        protocol, seed = self.source_protocol, target.seed
        return Side.of(source, protocol, "train", seed, self.layout, self.bodies)

    def notes(self) -> tuple[str, ...]:
        """What a transfer is pre-trained on."""
        source, target = self.source, self.dataset
        if source is None:
            return ()
        clips = split(source, self.source_protocol, "train")
        return (
            f"Pre-trained on {source.name} ({self.source_protocol}, {len(clips)} clips, "
            f"{source.num_classes} classes, {source.layout.num_joints} joints), data "
            f"{source.fingerprint}, and fine-tuned on {target.name} "
            f"({target.layout.num_joints} joints), both on the "
            f"{self.layout.num_joints} joints of {self.layout.name}.",
        )


def protocol_of_source(
    source: SkeletonDataset, dataset: SkeletonDataset, asked: str | None, protocols: Sequence[str]
) -> str:
    """The protocol of a transfer's source.

    Args:
        source: the data of the pre-trainings.
        dataset: the data that is evaluated.
        asked: the user's ``--protocol``; it is used if the source has it.
        protocols: else the first of these that the source has.

    Raises:
        UserError: if the source has none of them, or the training side is empty.
    """
    chosen = ""
    if asked:
        chosen = canonical_protocol(asked, (*dataset.splits, *source.splits))
    if chosen not in source.splits:
        chosen = choose_protocol(source, protocols)
    require_sides(source, chosen, "train")
    return chosen
