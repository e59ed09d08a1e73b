"""One unit's work, a few seconds at a time: what a trial does. Does not use Ray.

What needs torch is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skelcon.lazy import lazy_exports

if TYPE_CHECKING:
    from ablation.work.context import Context
    from ablation.work.failures import OUT_OF_MEMORY, record_failure
    from ablation.work.process import cap_memory, prepare
    from ablation.work.unit_run import UnitRun

__all__ = ["OUT_OF_MEMORY", "Context", "UnitRun", "cap_memory", "prepare", "record_failure"]

__getattr__ = lazy_exports(
    __name__,
    {
        "Context": "ablation.work.context",
        "OUT_OF_MEMORY": "ablation.work.failures",
        "record_failure": "ablation.work.failures",
        "cap_memory": "ablation.work.process",
        "prepare": "ablation.work.process",
        "UnitRun": "ablation.work.unit_run",
    },
)
