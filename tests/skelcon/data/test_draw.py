"""Pictures are looked at through their pixels: where the colours of left and right are."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.animation import FFMpegWriter
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from skelcon.data import KINECT_V2, Normalisation
from skelcon.data.draw import animate, strip
from skelcon.data.importers import RAW
from skelcon.data.synthetic import Take, render
from skelcon.errors import UserError

LEFT, RIGHT = (0x21, 0x66, 0xAC), (0xD6, 0x60, 0x4D)
LEFT_2, RIGHT_2 = (0x8D, 0xBB, 0xDD), (0xF2, 0xB4, 0x9F)
HEAD_ROWS = 90
"""Rows of pixels at the top that hold the title."""


def clip_of(action: int) -> np.ndarray:
    return render(Take(1, 2, 1, 1, action), noise=False)


def pixels_of(figure: Figure) -> np.ndarray:
    """(rows, columns, 3)"""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def places(pixels: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """(n, 2) row and column of what is drawn in that colour, the title aside."""
    rows, columns = np.nonzero((pixels == colour).all(axis=-1))
    return np.stack([rows, columns], axis=1)[rows > HEAD_ROWS]


def test_a_strip_shows_left_and_right_in_their_places():
    clip = clip_of(1)  # waves with the right hand; a performer's right is where x is larger
    pixels = pixels_of(strip(clip, KINECT_V2, 1, normalisation=RAW, title=("a", "wave", "x")))
    left, right = places(pixels, LEFT), places(pixels, RIGHT)
    assert len(left) > 300
    assert len(right) > 300
    assert left[:, 1].mean() < right[:, 1].mean() - 10


@pytest.mark.parametrize("done", [RAW, Normalisation()], ids=["y is up", "z is up"])
def test_up_is_up(done: Normalisation):
    standing = np.zeros((1, 2, 25, 3))
    standing[0, :, :, 2 if done.spine_to_z else 1] = np.linspace(1, 2, 25)
    standing[0, :, :, 0] = 3
    head = KINECT_V2.joints.index("head")
    standing[0, :, head, 2 if done.spine_to_z else 1] = 3
    pixels = pixels_of(strip(standing, KINECT_V2, 1, normalisation=done))
    trunk = places(pixels, (0x40, 0x40, 0x40))
    widths = np.bincount(trunk[:, 0])
    assert widths.argmax() < np.median(np.flatnonzero(widths))  # the head is the widest


def test_a_strip_has_evenly_spaced_frames_from_first_to_last():
    clip = clip_of(3)
    figure = strip(clip, KINECT_V2, 5, normalisation=RAW)
    numbers = [int(t.get_text()) for t in figure.texts if t.get_text().isdecimal()]
    assert len(figure.axes) == 5
    assert (numbers[0], numbers[-1]) == (1, clip.shape[1])
    assert np.ptp(np.diff(numbers)) <= 1
    assert len(strip(clip[:, :3], KINECT_V2, 8, normalisation=RAW).axes) == 3
    assert len(strip(clip[:, :1], KINECT_V2, 8, normalisation=RAW).axes) == 1


def test_all_pictures_of_a_strip_have_one_scale():
    figure = strip(clip_of(11), KINECT_V2, 6, normalisation=RAW)
    width, height = figure.get_size_inches()
    for axes in figure.axes:
        box = axes.get_position()
        across = box.width * width / np.ptp(axes.get_xlim())
        up = box.height * height / np.ptp(axes.get_ylim())
        assert across == pytest.approx(up)
        assert across == pytest.approx(
            figure.axes[0].get_position().width * width / np.ptp(figure.axes[0].get_xlim())
        )


def test_a_second_body_is_paler_and_an_absent_one_is_not_drawn():
    pair = clip_of(16)
    pixels = pixels_of(strip(pair, KINECT_V2, 3, normalisation=RAW))
    assert min(len(places(pixels, colour)) for colour in (LEFT, RIGHT, LEFT_2, RIGHT_2)) > 300
    pair[1] = 0
    figure = strip(pair, KINECT_V2, 3, normalisation=RAW)
    pixels = pixels_of(figure)
    assert len(places(pixels, LEFT)) > 300
    assert len(places(pixels, LEFT_2)) == len(places(pixels, RIGHT_2)) == 0
    assert not any("second" in text.get_text() for text in figure.texts)


def test_a_missing_joint_is_not_drawn_and_a_centred_one_is():
    clip = clip_of(1)[:, :2]
    centre = KINECT_V2.centre
    clip -= clip[:, :, centre : centre + 1]
    trunk = (0x40, 0x40, 0x40)
    raw, centred = (
        len(places(pixels_of(strip(clip, KINECT_V2, 1, normalisation=done)), trunk))
        for done in (RAW, Normalisation(spine_to_z=False, shoulders_to_x=False))
    )
    assert raw < 0.7 * centred
    for side in "left", "right":
        for name in ("wrist", "hand", "hand_tip", "thumb"):
            clip[:, :, KINECT_V2.joints.index(f"{side}_{name}")] = 0
    figure = strip(clip, KINECT_V2, 1, normalisation=RAW)
    segments = figure.axes[0].collections[0].get_segments()
    assert len(segments) == 24 - 8 - 2  # and the two bones at the centre


@pytest.mark.parametrize("frames", [1, 2])
def test_frames_without_anybody_are_empty_pictures(frames: int):
    clip = np.zeros((1, 3, 25, 3))
    assert len(strip(clip, KINECT_V2, frames, normalisation=RAW).axes) == frames
    clip[0, 0] = clip_of(1)[0, 0]
    assert len(strip(clip, KINECT_V2, 3, normalisation=Normalisation()).axes) == 3


def test_a_title_is_no_formula_and_fits():
    name = "a $name$ of many letters " * 6
    figure = strip(clip_of(1)[:, :1], KINECT_V2, 1, normalisation=RAW, title=(name, "_x^", "y"))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    for text in figure.texts:
        box = text.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= canvas.get_width_height()[0]


@pytest.mark.parametrize(("count", "pictures"), [(7, 7), (50, 17)])
def test_a_gif_moves_at_the_speed_of_the_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, pictures: int
):
    monkeypatch.setattr("skelcon.data.draw.MOST_PICTURES", 20)
    clip = np.resize(clip_of(1)[0], (1, count, 25, 3))
    out = tmp_path / "clip.gif"
    animate(clip, KINECT_V2, out, normalisation=RAW, title=("a", "b"))
    assert list(tmp_path.iterdir()) == [out]
    with Image.open(out) as film:
        assert film.n_frames == pictures
        seconds = 0.0
        for at in range(pictures):
            film.seek(at)
            seconds += film.info["duration"] / 1000
        assert seconds == pytest.approx(count / 30, rel=0.12)
        assert film.size[0] % 2 == film.size[1] % 2 == 0
        drawn = np.array(film.convert("RGB")).astype(int)
    assert (np.abs(drawn - LEFT).sum(axis=-1) < 30).sum() > 100


def test_another_ending_is_the_users_mistake(tmp_path: Path):
    with pytest.raises(UserError, match=r"must end in \.gif or \.mp4"):
        animate(clip_of(1), KINECT_V2, tmp_path / "clip.avi", normalisation=RAW)
    assert not any(tmp_path.iterdir())


@pytest.mark.skipif(not FFMpegWriter.isAvailable(), reason="ffmpeg is not installed")
def test_a_film(tmp_path: Path):
    out = tmp_path / "clip.mp4"
    animate(clip_of(16)[:, :9], KINECT_V2, out, normalisation=RAW, title=("a",))
    assert list(tmp_path.iterdir()) == [out]
    assert out.read_bytes()[4:8] == b"ftyp"


def test_a_film_without_ffmpeg_names_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(FFMpegWriter, "isAvailable", lambda: False)
    with pytest.raises(UserError, match=r"needs ffmpeg.* install it, or choose \.gif"):
        animate(clip_of(1), KINECT_V2, tmp_path / "clip.mp4", normalisation=RAW)
    assert not any(tmp_path.iterdir())


def test_other_commands_do_not_wait_for_matplotlib():
    code = (
        "import sys, skelcon.cli; early = 'matplotlib' in sys.modules; import skelcon.data.draw; "
        "print(early, 'matplotlib.pyplot' in sys.modules)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert printed.stdout.split() == ["False", "False"]
