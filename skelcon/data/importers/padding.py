"""From clips that are padded to one number of frames back to their own lengths.

All functions take a clip (M bodies, T frames, V joints, 3), absent bodies and joints zeros, and
give a number of frames from 0 (no body is ever present) to T.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Clip = NDArray[np.floating]


def zero_padded_length(clip: Clip) -> int:
    """The frames up to the last in which a body is present."""
    (present,) = np.nonzero(np.any(clip != 0, axis=(0, 2, 3)))
    return int(present[-1]) + 1 if len(present) else 0


def replayed_length(clip: Clip) -> int:
    """The frames until the main body, the first that is ever present, repeats.

    The makers of such clips (2s-AGCN) repeat the frames of each body to the end, so that the
    clip's length is the period of the main body. Another body with another period is cut to this
    length: all are centred on the main body, which hides the other's period. If nothing repeats,
    all frames with a body count.
    """
    length = zero_padded_length(clip)
    if not length:
        return length
    main = next(body for body in clip if np.any(body != 0))
    return min(length, _period(main))  # (the last frame may repeat an empty one)


def given_length(frames: int, clip: Clip) -> int:
    """The length in a file of lengths, at most the frames of ``clip``; ``ValueError`` below 1."""
    if frames < 1:
        raise ValueError(f"its number of frames is {frames}")
    return min(frames, int(clip.shape[1]))


def _period(body: Clip) -> int:
    """The smallest p with body[f] == body[f - p] for all f >= p; T if there is no smaller one.

    T less the longest end that is also a beginning: in linear time (Knuth, Morris and Pratt), so
    that no clip, however much of it is alike, takes long.
    """
    content = (np.ascontiguousarray(body) + 0).tobytes()  # adding 0 makes -0.0 the same as 0.0
    size = len(content) // len(body)
    frames = [content[at : at + size] for at in range(0, len(content), size)]
    borders = [0]
    border = 0
    for frame in frames[1:]:
        while border and frame != frames[border]:
            border = borders[border - 1]
        if frame == frames[border]:
            border += 1
        borders.append(border)
    return len(frames) - border
