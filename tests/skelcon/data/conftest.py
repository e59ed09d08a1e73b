import gc
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io

from skelcon.data import ClipInfo, DatasetWriter, Normalisation, SkeletonDataset, SkeletonLayout
from skelcon.data.importers.plain_pickle import load_plain
from skelcon.errors import UserError

TINY = SkeletonLayout(
    name="tiny",
    joints=("base", "top", "left", "right"),
    bones=((1, 0), (2, 1), (3, 1)),
    centre=0,
    spine=(0, 1),
    shoulders=(3, 2),
)


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No test may read or write the user's own cache."""
    path = tmp_path / "cache"
    monkeypatch.setenv("SKELCON_CACHE", str(path))
    return path


@pytest.fixture(scope="session")
def tiny() -> SkeletonLayout:
    return TINY


@pytest.fixture(scope="session")
def write() -> Callable[..., SkeletonDataset]:
    """Writes a data set of the tiny layout; every part of it can be replaced."""

    def write(
        path: Path,
        infos: Sequence[ClipInfo],
        clips: Sequence[np.ndarray] | None = None,
        splits: dict[str, np.ndarray] | None = None,
        **options: Any,
    ) -> SkeletonDataset:
        settings: dict[str, Any] = {
            "name": "tried",
            "layout": TINY,
            "class_names": ["sit", "stand", "jump"],
            "family": "made",
            "normalisation": Normalisation(),
        }
        if clips is None:
            clips = [np.full((1, 1, 4, 3), at + 1.0) for at in range(len(infos))]
        with DatasetWriter(path, **{**settings, **options}) as writer:
            for info, clip in zip(infos, clips, strict=True):
                writer.add(info, clip)
            return writer.close(splits or {})

    return write


@pytest.fixture(scope="session")
def user_error() -> Callable[..., str]:
    """Calls what must fail with a one-line `UserError` that contains all of ``named``."""

    def user_error(call: Callable[[], object], *named: object) -> str:
        try:
            call()
        except UserError as error:
            text = str(error)
        else:
            raise AssertionError("no UserError was raised")
        gc.collect(1)  # a file left open is a ResourceWarning, and that an error
        assert "\n" not in text
        assert "\r" not in text
        for what in named:
            assert str(what) in text
        return text

    return user_error


@pytest.fixture(scope="session")
def mat_bytes() -> Callable[..., bytes]:
    """A .mat file's content, by default as UTD-MHAD has it."""

    def mat_bytes(values: object, variable: str = "d_skel", *, packed: bool = True) -> bytes:
        buffer = io.BytesIO()
        scipy.io.savemat(buffer, {variable: values}, do_compression=packed)
        return buffer.getvalue()

    return mat_bytes


def _real(name: str) -> Path:
    override = os.environ.get("SKELCON_TEST_DATA")
    root = Path(override) if override else Path(__file__).parents[3].parent / "shared" / "data"
    if not (root / name).is_dir():
        pytest.skip(f"no real data at '{root / name}' (set SKELCON_TEST_DATA to where it is)")
    return root / name


@pytest.fixture(scope="session")
def real_utd() -> Path:
    return _real("utd_mhad")


@pytest.fixture(scope="session")
def real_msr() -> Path:
    return _real("msr_action3d")


@pytest.fixture(scope="session")
def real_pku() -> Path:
    return _real("pku_mmd")


@pytest.fixture
def unpickled(tmp_path: Path) -> Callable[[bytes], Any]:
    """Reads a pickle of plain data."""
    path = tmp_path / "some.pkl"

    def unpickled(content: bytes) -> Any:
        path.write_bytes(content)
        return load_plain(path)

    return unpickled


@pytest.fixture
def refusal(unpickled: Callable[[bytes], Any]) -> Callable[[bytes], str]:
    """Why a pickle is not read, in one line."""

    def refusal(content: bytes) -> str:
        with pytest.raises(ValueError, match=r".") as caught:
            unpickled(content)
        message = str(caught.value)
        assert message.isprintable()
        assert len(message) < 300
        return message

    return refusal
