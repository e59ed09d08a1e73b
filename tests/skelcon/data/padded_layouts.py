"""`agcn-npy`, `stgcn-npy` and `frame50-npy`, as their makers write them."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np

UserErrorOf = Callable[..., str]
TRAINING_SUBJECTS = {1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38}
NAMES = [
    f"S{1 + at % 3:03d}C{1 + at % 3:03d}P{1 + at % 5:03d}R{1 + at // 30:03d}A{1 + at % 60:03d}"
    for at in range(60)
]


def clip_of(name: str, joints: int = 25, bodies: int = 2) -> list[np.ndarray]:
    """The frames of each body (T, V, 3) float32; bodies of one clip differ in length."""
    rng = np.random.default_rng(list(name.encode()))
    frames = int(rng.integers(5, 12))
    out = [rng.normal(size=(frames, joints, 3)).astype(np.float32)]
    for _ in range(bodies - 1):
        shorter = int(rng.integers(0, frames))
        out.append(rng.normal(size=(shorter, joints, 3)).astype(np.float32))
    return out


def padded(bodies: list[np.ndarray], size: int, how: str) -> np.ndarray:
    """(C, T, V, M): each body replayed to the end, or zeros after it."""
    out = np.zeros((len(bodies), size, *bodies[0].shape[1:]), np.float32)
    for at, body in enumerate(bodies):
        if len(body) and how == "replay":
            out[at] = np.concatenate([body] * (size // len(body) + 1))[:size]
        else:
            out[at, : len(body)] = body
    return out.transpose(3, 1, 2, 0)


def trains(name: str, protocol: str) -> bool:
    if protocol == "xsub":
        return int(name[9:12]) in TRAINING_SUBJECTS
    return name[4:8] != "C001"


class Layout:
    """Writes one family's files."""

    def __init__(self, family: str) -> None:
        self.family = family
        self.array = {"agcn-npy": "data_joint", "stgcn-npy": "data", "frame50-npy": "position"}[
            family
        ]
        self.size = 50 if family == "frame50-npy" else 300

    def stored(self, name: str, joints: int = 25) -> np.ndarray:
        if self.family == "frame50-npy":
            rng = np.random.default_rng(list(name.encode()))
            return rng.normal(size=(3, 50, joints, 2)).astype(np.float32)
        how = "replay" if self.family == "agcn-npy" else "zeros"
        return padded(clip_of(name, joints), self.size, how)

    def expected(self, name: str) -> np.ndarray:
        """(M, T, V, 3): what must come back."""
        whole = self.stored(name).transpose(3, 1, 2, 0)
        return whole if self.family == "frame50-npy" else whole[:, : len(clip_of(name)[0])]

    def write(
        self,
        folder: Path,
        part: str,
        names: list[str],
        *,
        suffix: str = ".skeleton",
        num_frame: bool = False,
        dtype: str = "f4",
        joints: int = 25,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        values = np.zeros((len(names), 3, self.size, joints, 2), dtype)
        for at, name in enumerate(names):
            values[at] = self.stored(name, joints)
        np.save(folder / f"{part}_{self.array}.npy", values)
        labels = [int(name[-3:]) - 1 for name in names]
        with (folder / f"{part}_label.pkl").open("wb") as file:
            pickle.dump(([name + suffix for name in names], labels), file)
        if num_frame:
            lengths = np.array([len(clip_of(name)[0]) for name in names])
            np.save(folder / f"{part}_num_frame.npy", lengths)

    def protocol(self, root: Path, protocol: str, **options: object) -> Path:
        for part, side in (("train", True), ("val", False)):
            chosen = [name for name in NAMES if trains(name, protocol) is side]
            if protocol == "xsub":  # another order in every directory
                chosen = chosen[::-1]
            self.write(root / protocol, part, chosen, **options)  # type: ignore[arg-type]
        return root / protocol


FAMILIES = ("agcn-npy", "stgcn-npy", "frame50-npy")
AGCN, STGCN, FRAME50 = map(Layout, FAMILIES)


def reasons(skipped: list) -> dict[str, str]:
    for bad in skipped:
        assert bad.reason
        assert "\n" not in bad.reason
    return {bad.name: bad.reason for bad in skipped}


def header(shape: object, descr: object = "<f4", fortran: object = False) -> bytes:
    text = repr({"descr": descr, "fortran_order": fortran, "shape": shape}).encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
