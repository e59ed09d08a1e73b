"""USDRL (Weng et al., AAAI 2025): recognised, and not imported.

Its encoders, DSTE and STTR, transform frames and joints in two branches and take the maximum over
each. skelcon has no such encoder. Besides, no tensor says how DSTE weights its two parts and by
which gap it shifts.
"""

from __future__ import annotations

from skelcon.errors import UserError
from skelcon.pretrain.foreign.checkpoint import Checkpoint, CheckpointSource, Converted


def convert(checkpoint: Checkpoint, stream: str | None) -> list[Converted]:
    """An error, always."""
    name = "STTR" if checkpoint.has(r"backbone\.t_tr\.layers\.") else "DSTE"
    raise UserError(
        f"'{checkpoint.path}': USDRL's encoder ({name}: a branch of frames and one of joints, and "
        "the maximum over each) does not exist in skelcon, so its weights cannot be imported"
    )


USDRL = CheckpointSource("usdrl", "USDRL", r"backbone\.ske_emb\.", convert)
