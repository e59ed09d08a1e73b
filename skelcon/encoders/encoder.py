"""An encoder, from a view to a feature, and the projection head behind it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor, nn
from torch.nn import functional

from skelcon.data.layouts import SkeletonLayout
from skelcon.encoders.config import EncodersConfig
from skelcon.encoders.representations import represent
from skelcon.encoders.streams import streamed
from skelcon.errors import UserError


@runtime_checkable
class GivesTokens(Protocol):
    """What a network may have besides its features: tokens, each of a joint in a segment of frames.

    Its input is (B, M, C, T, V), and it treats bodies alike.

    Attributes:
        segment: frames of a token, a divisor of T.
    """

    segment: int

    def tokens(self, bodies: Tensor, kept: Tensor | None = None) -> Tensor:
        """(N, C, T, V) -> (N, L, D): L = T / segment * V, by segments, in each by joints.

        Args:
            bodies: of one or several clips.
            kept: (N, K) int64 tokens; nothing but these is seen, and the result is (N, K, D).
        """


class Encoder(nn.Module):
    """A view's representation and its network: (B, M, T, V, C) -> features (B, feature_size).

    Attributes:
        representation: ``img``, ``stg``, ``seq``, a registered one, or ``coordinates``.
        frames: T, the frames of its views.
        orientation: how the clips of its views are turned (`ClipBank.oriented`).
        stream: what of a view its network sees (`skelcon.encoders.streams`).
        layout: their skeleton, of V joints.
        bodies: M.
        feature_size: the size of a feature.

    Raises:
        UserError: if a registered encoder is not a module with an int ``feature_size``, or does
            not return features of that size.
    """

    def __init__(
        self,
        representation: str,
        config: EncodersConfig,
        layout: SkeletonLayout,
        bodies: int,
    ) -> None:
        super().__init__()
        self.representation = representation
        self.frames = config.frames
        self.orientation = config.orientation
        self.stream = config.stream
        self.layout = layout
        self.bodies = bodies
        chosen = config.chosen(representation)
        self._component = str(chosen.component)
        network = chosen.component.function(layout, bodies, config.frames, **chosen.options)
        size = getattr(network, "feature_size", None)
        if not isinstance(network, nn.Module) or not isinstance(size, int):
            raise UserError(f"{self._component} is not a torch module with an int feature_size")
        self.network = network
        self.feature_size: int = size

    def represented(self, view: Tensor) -> Tensor:
        """What the network gets of a view: the representation of its stream."""
        return represent(streamed(view, self.stream, self.layout), self.representation)

    def forward(self, view: Tensor) -> Tensor:
        """Features of a view, before the projection head."""
        features: Tensor = self.network(self.represented(view))
        if features.shape != (len(view), self.feature_size):
            raise UserError(
                f"{self._component} returned features of shape {tuple(features.shape)}, not "
                f"{(len(view), self.feature_size)}"
            )
        return features

    @property
    def segment(self) -> int | None:
        """The frames of a token; None if the network gives no tokens."""
        return self.network.segment if isinstance(self.network, GivesTokens) else None

    def tokens(self, view: Tensor, kept: Tensor | None = None) -> Tensor:
        """Tokens of each body of a view, see :class:`GivesTokens`.

        Args:
            view: (B, M, T, V, C).
            kept: (B M, K) int64 the tokens that are seen, and returned; all L if not set.

        Returns:
            (B M, L or K, feature_size).

        Raises:
            UserError: if the network gives none, or not these.
        """
        if not isinstance(self.network, GivesTokens):
            raise UserError(f"{self._component} gives no tokens, as encoder 'transformer' does")
        bodies = self.represented(view).flatten(0, 1)
        found = self.network.tokens(bodies, kept)
        number = self.frames // self.network.segment * self.layout.num_joints
        expected = (len(bodies), number if kept is None else kept.shape[1], self.feature_size)
        if found.shape != expected:
            raise UserError(
                f"{self._component} returned tokens of shape {tuple(found.shape)}, not {expected}"
            )
        return found


class ProjectionHead(nn.Module):
    """The MLP behind an encoder (section 4.2): Linear-ReLU-Linear to an L2-normalised embedding."""

    def __init__(self, inputs: int, hidden: int | None, outputs: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, hidden or inputs)
        self.out = nn.Linear(hidden or inputs, outputs)

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs) -> unit vectors (B, outputs)."""
        return functional.normalize(self.out(functional.relu(self.hidden(features))), dim=1)
