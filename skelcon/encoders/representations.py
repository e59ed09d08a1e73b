"""The three representations of a view: what each encoder takes (section 3.3).

Notation: B clips, M bodies, T frames, V joints, C coordinates.
"""

from __future__ import annotations

from torch import Tensor, nn

from skelcon.encoders.options import COORDINATES, REPRESENTATION_PLUGINS
from skelcon.errors import UserError


def represent(view: Tensor, name: str) -> Tensor:
    """A view (B, M, T, V, C) as the representation ``name``.

    Returns:
        img: (B, M, C, T, V), a pseudo-image per body with the coordinates as its channels;
        stg: (B, M, C, T, V), the node features of a spatio-temporal graph per body;
        seq: (B, T, V * C * M), a time series, joint-major and body fastest;
        a registered one: (B, ...), the input of its encoder;
        coordinates: the view itself.

    Raises:
        UserError: if a registered one returns something else.
    """
    if name == COORDINATES:
        return view
    if name in REPRESENTATION_PLUGINS:
        result = REPRESENTATION_PLUGINS[name].function(view)
        if not isinstance(result, Tensor) or not result.dim() or len(result) != len(view):
            got = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
            raise UserError(
                f"representation '{name}' returned {got}, not a tensor of {len(view)} clips"
            )
        return result
    if name == "seq":
        return view.permute(0, 2, 3, 4, 1).flatten(2)
    return view.permute(0, 1, 4, 2, 3)


class Flat(nn.Module):
    """All coordinates of a view, side by side, as its feature; it has no parameters."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.feature_size = size

    def forward(self, view: Tensor) -> Tensor:
        """(B, M, T, V, C) -> (B, feature_size)."""
        return view.flatten(1)


class InputNorm(nn.Module):
    """Batch norm of each coordinate of each joint of each body over clips and frames."""

    def __init__(self, bodies: int, joints: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(bodies * joints * 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, M, C, T, V) -> the same shape, normalised."""
        B, M, C, T, V = x.shape
        flat = x.permute(0, 1, 4, 2, 3).reshape(B, M * V * C, T)
        normed: Tensor = self.norm(flat)
        return normed.view(B, M, V, C, T).permute(0, 1, 3, 4, 2)
