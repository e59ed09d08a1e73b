"""One unit's work, a few seconds at a time: what a trial does, without a word of Ray."""

from ablation.work.process import cap_memory, prepare
from ablation.work.unit_run import (
    OUT_OF_MEMORY,
    UnitRun,
    bank_of,
    log,
    pretraining_of,
    reason_of,
    record_failure,
)

__all__ = [
    "OUT_OF_MEMORY",
    "UnitRun",
    "bank_of",
    "cap_memory",
    "log",
    "prepare",
    "pretraining_of",
    "reason_of",
    "record_failure",
]
