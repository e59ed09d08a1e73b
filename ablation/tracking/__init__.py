"""TensorBoard, and the trackers of ``--track``: the runs of a study's units."""

from ablation.tracking.tracking import Tracking

__all__ = ["Tracking"]
