"""Figures as parts of the page."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from matplotlib.figure import Figure

from ablation.figures import FIGURES, Asked, DoesNotApplyError
from skelcon.figures import style

CAPTIONS = {
    "intervals": "The rows with their intervals.",
    "setting": "Accuracy along the setting in which rows or columns differ.",
    "effects": "The effects of the factors of the design, with 95 % intervals.",
    "pairs": "Accuracy by the representations that are pre-trained together.",
    "confusion": "Confusion matrix of the best row.",
    "classes": "Accuracy by class for two rows.",
    "parameters": "Accuracy against the size of the encoders.",
    "time": "Accuracy against training time.",
    "training": "Loss and contrast top-1 by epoch.",
    "ranks": "Average ranks, and which rows differ significantly.",
    "tsne": "t-SNE of the features of some classes.",
    "retrieval": "Queries and their nearest clips.",
}
"""Caption and alternative text of each figure."""
PIXELS = 200
"""Dots per inch: about twice the 96 of CSS, for high-resolution screens."""
SHADES = 64
"""Colours of a PNG: few are enough for a figure and its anti-aliased edges."""


@dataclass(frozen=True)
class Drawn:
    """A figure; ``source`` is a data URI, width and height are in CSS pixels."""

    name: str
    caption: str
    source: str
    width: int
    height: int


def drawn_of(
    asked: Asked, show: Callable[[str], None]
) -> tuple[tuple[Drawn, ...], tuple[tuple[str, str], ...]]:
    """The figures that apply, and (name, reason) of the others.

    ``show`` is called with the name of each figure before it is drawn.
    """
    drawn, left_out = [], []
    for name, draw in FIGURES.items():
        show(name)
        try:
            figure = draw(asked)
        except DoesNotApplyError as reason:
            left_out.append((name, str(reason)))
            continue
        width, height = (round(96 * inches) for inches in figure.get_size_inches())
        drawn.append(Drawn(name, CAPTIONS.get(name, name), _inlined(figure), width, height))
    return tuple(drawn), tuple(left_out)


def _inlined(figure: Figure) -> str:
    """A data URI with SVG, or with PNG if that is shorter."""
    lines = f"data:image/svg+xml,{quote(_compact(figure), safe=_SAFE)}"
    pixels = f"data:image/png;base64,{base64.b64encode(_pixels(figure)).decode()}"
    return min(lines, pixels, key=len)


_SAFE = " !$'()*+,-./:;=?@[]_{|}~"
"""Characters that need no escape in a data URI inside a quoted attribute."""
_OF_FILES = r"<!--.*?-->|<metadata>.*?</metadata>|<\?xml.*?\?>|<!DOCTYPE.*?>"


def _compact(figure: Figure) -> str:
    """SVG without comments and metadata, with coordinates rounded to hundredths of a point."""
    text = style.encoded(figure, "svg").decode()
    text = re.sub(_OF_FILES, "", text, flags=re.DOTALL)
    text = re.sub(r"-?\d+\.\d{3,}", lambda found: f"{float(found[0]):.2f}", text)
    text = re.sub(r"\s+", " ", text).replace("> <", "><").strip()
    return text if "'" in text else text.replace('"', "'")  # ' needs no escape in a URI


def _pixels(figure: Figure) -> bytes:
    """PNG with few colours."""
    from PIL import Image

    with Image.open(io.BytesIO(style.encoded(figure, "png", PIXELS))) as picture:
        few = picture.convert("RGB").quantize(SHADES, dither=Image.Dither.NONE)
    content = io.BytesIO()
    few.save(content, "png", optimize=True)
    return content.getvalue()
