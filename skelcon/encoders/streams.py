"""Streams: what of a skeleton an encoder sees, in place of the positions of its joints.

A stream is made of an augmented view, as in CrosSCLR and AimCLR, and has the view's shape. What is
missing stays missing: an absent body, a lost frame or a lost joint is zero, and so is what would be
the difference to it. In 2D the confidence of a difference is the mean of the two.

Notation: B clips, M bodies, T frames, V joints, C coordinates.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from skelcon.augment.strong import there
from skelcon.data.layouts import SkeletonLayout
from skelcon.encoders.options import STREAMS
from skelcon.errors import UserError


def streamed(view: Tensor, name: str, layout: SkeletonLayout) -> Tensor:
    """A view (B, M, T, V, C) as the stream ``name``, of the same shape.

    Raises:
        UserError: if a registered one has another shape.
    """
    if name == "joint":
        return view
    if name in BUILTIN:
        return BUILTIN[name](view, layout)
    result = STREAMS[name].function(view, layout)
    if not isinstance(result, Tensor) or result.shape != view.shape:
        got = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
        raise UserError(f"stream '{name}' returned {got}, not the view's {tuple(view.shape)}")
    return result


def bone(view: Tensor, layout: SkeletonLayout) -> Tensor:
    """Each joint less its parent; the root is zero (2s-AGCN, Shi et al., CVPR 2019)."""
    parents = list(range(layout.num_joints))
    for child, parent in layout.bones:
        parents[child] = parent
    order = torch.tensor(parents, device=view.device)
    known = _there(view, layout)
    return _difference(
        view, view.index_select(3, order), known & known.index_select(3, order), layout
    )


def motion(view: Tensor, layout: SkeletonLayout) -> Tensor:
    """The next frame less each frame; the last frame is zero (CrosSCLR, CVPR 2021)."""
    known = _there(view, layout)
    after, still_known = (torch.cat((x[:, :, 1:], x[:, :, -1:]), dim=2) for x in (view, known))
    return _difference(after, view, known & still_known, layout)


def angle(view: Tensor, layout: SkeletonLayout) -> Tensor:
    """The angle of each bone with each axis, in radians: arccos(l_c / |l|) of the bone l.

    This is the angle of ResGCN (Song et al., ACM MM 2020) and EfficientGCN. Their code adds 0.1 mm
    to the length, so that a bone without length has pi / 2; here it has zeros, as the root has.
    """
    bones = bone(view, layout)
    D = layout.dimensions
    length = bones[..., :D].norm(dim=-1, keepdim=True)
    cosine = bones[..., :D] / length.clamp(min=torch.finfo(view.dtype).tiny)
    angles = torch.where(length > 0, cosine.clamp(-1, 1).arccos(), 0)
    return torch.cat((angles, bones[..., D:]), dim=-1)


BUILTIN: dict[str, Callable[[Tensor, SkeletonLayout], Tensor]] = {
    "bone": bone,
    "motion": motion,
    "angle": angle,
}


def _there(view: Tensor, layout: SkeletonLayout) -> Tensor:
    """(B, M, T, V): which joints are known.

    The joint that clips are centred on is all zeros, and is there wherever its body is: of the
    main body (`SkeletonLayout.at_origin`). Some files (frame50 npy) have each body on its root
    instead: then the usual centre moves, and the root is zero throughout.
    """
    known, root = there(view, layout), layout.root
    if layout.at_origin and root not in layout.at_origin:
        usual = view[:, 0, :, list(layout.at_origin)].ne(0).flatten(1).any(dim=1)  # (B,)
        on_root = usual[:, None] & ~known[..., root].any(dim=2)  # (B, M)
        known[..., root] |= known.any(dim=3) & on_root[..., None]
    return known


def _difference(one: Tensor, other: Tensor, known: Tensor, layout: SkeletonLayout) -> Tensor:
    """``one`` less ``other``, zero where it is not ``known``."""
    difference = one - other
    if layout.dimensions == 2:
        confidence = (one[..., 2:] + other[..., 2:]) / 2
        difference = torch.cat((difference[..., :2], confidence), dim=-1)
    return torch.where(known[..., None], difference, 0)
