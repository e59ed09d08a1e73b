"""Writes the runs of a study's units to TensorBoard and to the trackers of ``--track``."""

from ablation.tracking.tracking import Tracking

__all__ = ["Tracking"]
