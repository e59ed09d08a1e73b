"""One unit's work, a few seconds at a time: what a trial does, without a word of Ray."""

from ablation.work.context import Context
from ablation.work.failures import OUT_OF_MEMORY, record_failure
from ablation.work.process import cap_memory, prepare
from ablation.work.unit_run import UnitRun

__all__ = ["OUT_OF_MEMORY", "Context", "UnitRun", "cap_memory", "prepare", "record_failure"]
