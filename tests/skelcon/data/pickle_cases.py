"""Values that a pickle of plain data may hold."""

import pickle
from typing import Any

import numpy as np

RNG = np.random.default_rng(0)
PLAIN: dict[str, Any] = {
    "nothing": None,
    "truths": [True, False],
    "integers": [0, 1, -1, 255, 256, 65535, 65536, -(2**31), 2**31, 2**70, -(2**90), 10**700],
    "numbers": [0.5, -1e300, float("inf"), 3 + 4j],
    "text": ["", "a", "S001C001", "é\n\\'\"\u2603\U0001f600" * 3, "x" * 300, "\\u0041"],
    "bytes": [b"", b"a", bytes(range(256)), b"y" * 300, bytearray(b"z"), bytearray()],
    "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), ((),)],
    "dicts": {"a": 1, 2: [], None: {}, (1, "b"): {"c": {}}, 0.5: b"", True: set()},
    "sets": [set(), {1, 2}, frozenset(), frozenset({"a", "b"}), {("a", 1)}],
    "many": [list(range(3000)), {str(i): i for i in range(3000)}, set(range(3000))],
    "the same twice": [[1, 2]] * 3,
}
ARRAYS: dict[str, np.ndarray] = {
    "float16": RNG.normal(size=(2, 3, 4)).astype(np.float16),
    "float32": RNG.normal(size=(2, 3, 4)).astype(np.float32),
    "float64, big-endian": RNG.normal(size=7).astype(">f8"),
    "complex": RNG.normal(size=5) + 1j,
    "int8": np.arange(-3, 3, dtype=np.int8),
    "uint64": np.array([2**64 - 1], np.uint64),
    "truths": np.array([[True, False]]),
    "one number": np.array(2.5),
    "nothing": np.zeros((0, 3)),
    "of Fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "of axes in another order": np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
    "with gaps": np.arange(24).reshape(4, 6)[::2, ::3],
    "text": np.array([["a", "bcd"], ["", "é\u2603"]]),
    "text, big-endian": np.array(["a", "bcd"], ">U3"),
    "bytes": np.array([b"a", b"bcd"]),
    "large": np.arange(100_000, dtype=np.int32),
    "of objects": np.array([[1, "a", None], [[2], {3: 4}, b"b"]], object),
}
SCALARS = [
    *(kind(3) for kind in (np.int8, np.uint16, np.int64, np.float16, np.float32, np.float64)),
    *(np.complex64(1 + 2j), np.bool_(True), np.str_("ab"), np.str_(""), np.bytes_(b"ab")),
]
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def same(got: Any, expected: Any) -> bool:
    if isinstance(expected, np.ndarray):
        return (
            got.dtype.newbyteorder("=") == expected.dtype.newbyteorder("=")
            and got.shape == expected.shape
            and got.tolist() == expected.tolist()
        )
    return type(got) is type(expected) and got == expected
