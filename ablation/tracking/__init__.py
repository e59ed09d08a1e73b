"""What the units of a study did, told to TensorBoard and to the trackers that were asked for."""

from ablation.tracking.tracking import Tracking

__all__ = ["Tracking"]
