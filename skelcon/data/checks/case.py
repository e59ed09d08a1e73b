"""What every judge gets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from skelcon.data.anatomy import Anatomy, Doubt, Fit, anatomy_of, best_fit, doubts
from skelcon.data.checks.scan import Scan
from skelcon.data.dataset import SkeletonDataset
from skelcon.data.layouts import SkeletonLayout


@dataclass
class Case:
    """A data set, and what was seen when all of it was read."""

    dataset: SkeletonDataset
    scan: Scan

    @cached_property
    def body(self) -> Anatomy:
        """The median body."""
        return anatomy_of(self.dataset)

    @cached_property
    def fits(self) -> tuple[Fit | None, Fit | None]:
        """How the layout fits, and one that fits much better."""
        return best_fit(self.body, self.dataset.layout)

    @property
    def layout(self) -> SkeletonLayout:
        """The one that fits best."""
        _, better = self.fits
        return self.dataset.layout if better is None else better.layout

    @cached_property
    def doubts(self) -> tuple[Doubt, ...]:
        """What contradicts the layout."""
        return doubts(self.body, self.dataset.layout, self.dataset.normalisation)
