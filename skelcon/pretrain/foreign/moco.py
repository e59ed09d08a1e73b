"""State dicts of momentum contrasts: one query encoder, or one for each stream."""

from __future__ import annotations

from skelcon.pretrain.foreign.checkpoint import Checkpoint
from skelcon.pretrain.foreign.tensors import Tensors

_QUERIES = {"joint": "encoder_q", "bone": "encoder_q_bone", "motion": "encoder_q_motion"}
_DROPPED = r"encoder_k(_motion|_bone)?\.|queue(_ptr)?(_motion|_bone)?$"


def query_encoder(checkpoint: Checkpoint, stream: str) -> Tensors:
    """The tensors of the query encoder without its projection head ``fc``.

    The encoder of ``stream`` if there is one for each stream, else the only one. Key encoders,
    queues and the encoders of other streams are dropped.
    """
    several = any(checkpoint.has(rf"{_QUERIES[name]}\.") for name in ("bone", "motion"))
    own = _QUERIES[stream if several else "joint"]
    others = [rf"{query}\." for query in _QUERIES.values() if query != own]
    tensors = checkpoint.tensors(f"{own}.", "|".join((_DROPPED, *others)))
    tensors.drop("fc.")
    return tensors
