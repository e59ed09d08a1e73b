"""Figures as parts of the page."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass
from urllib.parse import quote

from matplotlib.figure import Figure

from ablation.figures import FIGURES, Asked, DoesNotApplyError
from skelcon.figures import style

CAPTIONS = {
    "intervals": "The rows with their intervals.",
    "setting": "Along the setting that the rows vary.",
    "effects": "What each factor of the design does, with its 95 % interval.",
    "pairs": "Which representation gains from which in the pre-training.",
    "confusion": "Which class is taken for which.",
    "classes": "Accuracy by class, of two rows.",
    "parameters": "Accuracy against the size of the encoders.",
    "time": "Accuracy against training time.",
    "training": "Loss and top-1 of the contrast by epoch.",
    "ranks": "Average ranks, and which rows differ significantly.",
    "tsne": "Features of some classes.",
    "retrieval": "Queries and their nearest clips.",
}
"""What a figure shows, for who reads it and for who has it read out."""
PIXELS = 200
"""Dots per inch: twice the 96 of a style sheet, for screens that have them."""
SHADES = 64
"""Colours of a picture: those of a figure and their mixtures along edges."""


@dataclass(frozen=True)
class Drawn:
    """A figure; ``source`` is a data URI, width and height are in pixels of the page."""

    name: str
    caption: str
    source: str
    width: int
    height: int


def drawn_of(asked: Asked) -> tuple[tuple[Drawn, ...], tuple[tuple[str, str], ...]]:
    """The figures that apply, and why the others do not."""
    drawn, left_out = [], []
    for name, draw in FIGURES.items():
        try:
            figure = draw(asked)
        except DoesNotApplyError as reason:
            left_out.append((name, str(reason)))
            continue
        width, height = (round(96 * inches) for inches in figure.get_size_inches())
        drawn.append(Drawn(name, CAPTIONS.get(name, name), _inlined(figure), width, height))
    return tuple(drawn), tuple(left_out)


def _inlined(figure: Figure) -> str:
    """A data URI: lines, or pixels where they take less room."""
    lines = f"data:image/svg+xml,{quote(_compact(figure), safe=_SAFE)}"
    pixels = f"data:image/png;base64,{base64.b64encode(_pixels(figure)).decode()}"
    return min(lines, pixels, key=len)


_SAFE = " !$'()*+,-./:;=?@[]_{|}~"
"""What a quoted attribute and a URI both bear."""


_OF_FILES = r"<!--.*?-->|<metadata>.*?</metadata>|<\?xml.*?\?>|<!DOCTYPE.*?>"


def _compact(figure: Figure) -> str:
    """SVG without comments and metadata, in hundredths of a point."""
    text = style.encoded(figure, "svg").decode()
    text = re.sub(_OF_FILES, "", text, flags=re.DOTALL)
    text = re.sub(r"-?\d+\.\d{3,}", lambda found: f"{float(found[0]):.2f}", text)
    text = re.sub(r"\s+", " ", text).replace("> <", "><").strip()
    return text if "'" in text else text.replace('"', "'")  # which a URI need not escape


def _pixels(figure: Figure) -> bytes:
    """PNG of few colours."""
    from PIL import Image

    with Image.open(io.BytesIO(style.encoded(figure, "png", PIXELS))) as picture:
        few = picture.convert("RGB").quantize(SHADES, dither=Image.Dither.NONE)
    content = io.BytesIO()
    few.save(content, "png", optimize=True)
    return content.getvalue()
