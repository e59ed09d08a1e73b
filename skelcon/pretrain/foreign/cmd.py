"""CMD (Mao et al., ECCV 2022): a bidirectional GRU behind a batch norm of its input.

A checkpoint holds the query encoders of three streams, of which one is taken. The GRU steps
through time frame by frame, as in the code of the paper's authors, on which CMD is built.
"""

from __future__ import annotations

from skelcon.pretrain.foreign.authors import gru_tensors
from skelcon.pretrain.foreign.checkpoint import Checkpoint, CheckpointSource, Converted, stream_of
from skelcon.pretrain.foreign.moco import query_encoder
from skelcon.pretrain.foreign.tensors import COORDINATES, JOINTS


def convert(checkpoint: Checkpoint, stream: str | None) -> list[Converted]:
    """The query encoder of a stream."""
    chosen = stream_of(checkpoint, stream)
    t = query_encoder(checkpoint, chosen)
    config, tensors, bodies = gru_tensors(t)
    tensors |= t.norm("input_norm", "norm", bodies * JOINTS * COORDINATES)
    t.check_all_used()
    normed = config.model_copy(update={"input_norm": True})
    return [Converted("seq", normed, tensors, bodies, stream=chosen)]


CMD = CheckpointSource("cmd", "CMD", r"encoder_q\.input_norm\.", convert)
