import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skelcon.data.importers.padding import given_length, replayed_length, zero_padded_length


def clip_of(seed: int, bodies: int, frames: int, joints: int = 3) -> np.ndarray:
    """A clip in which nothing happens twice."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(bodies, frames, joints, 3)).astype(np.float32)


def replayed(body: np.ndarray, size: int) -> np.ndarray:
    """The frames of ``body``, repeated up to ``size``."""
    return body[np.arange(size) % len(body)]


sizes = st.integers(1, 40)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**6), bodies=st.integers(1, 3), frames=sizes, more=sizes)
def test_what_zeros_were_put_behind_has_its_length_again(
    seed: int, bodies: int, frames: int, more: int
):
    clip = clip_of(seed, bodies, frames)
    padded = np.concatenate([clip, np.zeros((bodies, more, 3, 3), np.float32)], axis=1)
    assert zero_padded_length(clip) == zero_padded_length(padded) == frames
    assert replayed_length(padded) == frames


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    lengths=st.lists(sizes, min_size=1, max_size=3),
    more=sizes,
    absent=st.integers(0, 2),
)
def test_what_was_replayed_has_the_main_bodys_length_again(
    seed: int, lengths: list[int], more: int, absent: int
):
    size = lengths[0] + more
    bodies = [replayed(clip_of(seed + at, 1, n)[0], size) for at, n in enumerate(lengths)]
    before = [np.zeros_like(bodies[0])] * absent
    assert replayed_length(np.stack([*before, *bodies])) == lengths[0]


def test_bodies_of_two_lengths_centred_on_the_first():
    main, other = clip_of(0, 1, 70)[0], clip_of(1, 1, 41)[0]
    padded = np.stack([replayed(main, 300), replayed(other, 300)])
    padded -= padded[0, :, 1:2].copy()
    assert replayed_length(padded) == 70


@pytest.mark.parametrize("frames", [1, 2, 299, 300])
def test_lengths_at_the_ends(frames: int):
    assert replayed_length(replayed(clip_of(0, 1, frames)[0], 300)[None]) == frames
    padded = np.zeros((2, 300, 3, 3), np.float32)
    padded[:, :frames] = clip_of(0, 2, frames)
    assert zero_padded_length(padded) == frames


def test_clips_without_a_body_and_with_gaps():
    clip = np.zeros((2, 9, 3, 3), np.float32)
    assert zero_padded_length(clip) == replayed_length(clip) == 0
    clip[1, 2, 0, 2] = 1
    assert zero_padded_length(clip) == 3
    clip[0, 6, 2, 1] = -1
    assert zero_padded_length(clip) == 7
    # A main body that is away for some frames of its 4, and is then replayed.
    body = clip_of(3, 1, 4)[0]
    body[1:3] = 0
    assert replayed_length(replayed(body, 9)[None]) == 4


def test_the_sign_of_zero_does_not_matter_but_every_other_bit_does():
    clip = replayed(clip_of(0, 1, 5)[0], 20)[None].copy()
    clip[0, ::5, 1] = 0.0
    clip[0, 5, 1] = -0.0
    assert replayed_length(clip) == 5
    clip[0, 19, 2, 0] = np.nextafter(clip[0, 19, 2, 0], np.float32(9))
    assert replayed_length(clip) == 20


@pytest.mark.parametrize("kind", ["f2", "f8", ">f4", "i2", "u1"])
def test_other_kinds_of_numbers(kind: str):
    clip = (np.arange(1, 28).reshape(1, 3, 3, 3)[:, np.arange(8) % 3]).astype(kind)
    assert replayed_length(clip) == 3


def test_a_given_number_of_frames():
    clip = clip_of(0, 1, 10)
    assert [given_length(frames, clip) for frames in (1, 10, 11, 10**9)] == [1, 10, 10, 10]
    for frames in (0, -3):
        with pytest.raises(ValueError, match=str(frames)):
            given_length(frames, clip)


def test_a_clip_that_is_nearly_all_alike_takes_no_time():
    clip = np.ones((1, 60_000, 1, 3), np.float32)
    clip[0, 29_999] = 2
    began = time.process_time()  # other processes may be at work
    assert replayed_length(clip) == 30_001  # only what comes before the 2 is seen again
    assert time.process_time() - began < 3


def test_a_clip_that_is_replayed_up_to_a_frame_without_a_body():
    body = clip_of(0, 1, 23)[0]
    body[0] = 0
    clip = replayed(body, 300)[None]
    assert not clip[:, 299].any()
    assert replayed_length(clip) == 23
    clip[:, 7:] = 0
    assert replayed_length(clip) == 7
