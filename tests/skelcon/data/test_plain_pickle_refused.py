"""Pickles that are no plain data, are damaged or absurd: refused by a line, and nothing is run."""

import os
import pickle
import random
import re
import struct
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pickle_cases import ARRAYS, PROTOCOLS, same

from skelcon.data.importers.plain_pickle import load_plain, read_isolated
from skelcon.data.importers.processes import isolated

Load = Callable[[bytes], Any]


class Bomb:
    """Pickles as the call of anything with anything."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self.reduced = call, arguments

    def __reduce__(self) -> Any:
        return self.reduced


def name_4(module: str, name: str) -> bytes:
    """What protocol 4 asks for a name by; dots in it are attributes there."""
    parts = (b"\x8c" + bytes([len(part.encode())]) + part.encode() for part in (module, name))
    return b"\x80\x04" + b"".join(parts) + b"\x93"


def bombs(file: Path) -> dict[str, tuple[str, bytes]]:
    """What is tried -> what the refusal must name, and the pickle."""
    touch = f"touch {file}"
    code = f"open({str(file)!r}, 'w')"
    made = {
        f"{name}, protocol {protocol}": (name, pickle.dumps([Bomb(*call)], protocol))
        for protocol in PROTOCOLS
        for name, call in {
            "system": (os.system, touch),
            "eval": (eval, code),
            "exec": (exec, code),
            "Popen": (subprocess.Popen, ["touch", str(file)]),
            "partial": (partial, eval, code),
            "load": (np.load, str(file)),
            "getattr": (getattr, "a", "upper"),
            "Counter": (Counter, "aab"),
            "deque": (deque, "aab"),
            "open": (open, str(file), "w"),
        }.items()
    }
    by_name = {
        "posix.system": ("posix", "system"),
        "ctypes.CDLL": ("ctypes", "CDLL"),
        "ctypes.util.find_library": ("ctypes.util", "find_library"),
        "numpy.f2py.compile": ("numpy.f2py", "compile"),
        "numpy.testing.rundocs": ("numpy.testing", "rundocs"),
        "numpy.ndarray.tofile": ("numpy", "ndarray.tofile"),
        "numpy.ndarray.__reduce__": ("numpy", "ndarray.__reduce__"),
        "numpy.core.multiarray._reconstruct.__globals__": (
            "numpy.core.multiarray",
            "_reconstruct.__globals__",
        ),
        "collections.OrderedDict.__init__.__globals__": (
            "collections",
            "OrderedDict.__init__.__globals__",
        ),
        "numpy.core.multiarray.fromfile": ("numpy.core.multiarray", "fromfile"),
        "numpy.memmap": ("numpy", "memmap"),
        "numpy.matrix": ("numpy", "matrix"),
        "skelcon.data.importers.plain_pickle.load_plain": (
            "skelcon.data.importers.plain_pickle",
            "load_plain",
        ),
        "..": ("", "."),
        "a\\nb.c\\x1b[31m": ("a\nb", "c\x1b[31m"),
    }
    for name, parts in by_name.items():
        made[name] = (name, name_4(*parts) + b"\x8c\x01a\x85R.")
    array = pickle.dumps(np.zeros(2), 2)
    made["_reconstruct of another type"] = (
        "numpy.matrixlib.defmatrix.matrix",
        array.replace(b"cnumpy\nndarray\n", b"cnumpy.matrixlib.defmatrix\nmatrix\n"),
    )
    made["_reconstruct of a list"] = (
        "another class",
        array.replace(b"cnumpy\nndarray\n", b"c__builtin__\nlist\n"),
    )
    made["_codecs.encode by a codec"] = (
        "encode",
        name_4("_codecs", "encode") + b"\x8c\x01a\x8c\x03zip\x86R.",
    )
    made["INST"] = ("posix.system", f"(S'{touch}'\niposix\nsystem\n.".encode())
    made["OBJ"] = ("posix.system", f"(cposix\nsystem\nS'{touch}'\no.".encode())
    made["NEWOBJ of a function"] = ("", name_4("numpy", "ndarray") + b")\x81.")
    made["NEWOBJ_EX of a function"] = ("", name_4("numpy", "ndarray") + b")}\x92.")
    made["EXT1"] = ("extension", b"\x80\x02\x82\x01.")
    made["EXT4"] = ("extension", b"\x80\x02\x84\x01\x00\x00\x00.")
    made["PERSID"] = ("persistent", b"Pabc\n.")
    made["BINPERSID"] = ("persistent", b"\x80\x02K\x01Q.")
    made["NEXT_BUFFER"] = ("buffer", b"\x80\x05\x97.")
    state = b"}\x8c\x01aK\x01sb."
    slots = b"N}\x8c\x05_callK\x01s\x86b."
    for module, name in (("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")):
        made[f"state of {name}"] = ("state", name_4(module, name) + state)
        made[f"attributes of {name}"] = ("state", name_4(module, name) + slots)
    made["state of a class"] = ("", name_4("builtins", "set") + state)
    made["attributes of a class"] = ("", name_4("builtins", "set") + slots)
    made["state of a list"] = ("", b"\x80\x02]}b.")
    made["state of a whole array"] = ("twice", array[:-1] + b"(K\x01K\x00\x85NK\x00U\x00tb.")
    return made


@pytest.mark.parametrize("case", bombs(Path("x")))
def test_what_is_no_plain_data_is_refused_by_name(
    refusal: Callable[[bytes], str], tmp_path: Path, case: str
):
    named, content = bombs(tmp_path / "ran")[case]
    message = refusal(content)
    assert named in message
    assert not (tmp_path / "ran").exists()


def array_pickle(
    shape: bytes = b"K\x02\x85",
    code: bytes = b"U\x02f8",
    state: bytes = b"NNN",
    flags: int = 0,
    raw: bytes = b"U\x10" + bytes(16),
    first: bytes = b"K\x00\x85",
    order: bytes = b"U\x01<",
) -> bytes:
    """An array pickled by numpy 1 and Python 2, any part of it replaced."""
    return (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + first + b"U\x01b\x87R"
        b"(K\x01"
        + shape
        + b"cnumpy\ndtype\n"
        + code
        + b"K\x00K\x01\x87R(K\x03"
        + order
        + state
        + b"J\xff\xff\xff\xffJ\xff\xff\xff\xff"
        + b"K"
        + bytes([flags])
        + b"tb\x89"
        + raw
        + b"tb."
    )


def made_array(shape: bytes, code: bytes, rest: bytes = b"") -> bytes:
    """An array as ``numpy.ndarray(shape, dtype, buffer)``, of 8 bytes."""
    raw = b"C\x08" + bytes(8)
    return b"\x80\x04cnumpy\nndarray\n(" + shape + code + raw + rest + b"tR."


HUGE = b"\x8a\x08" + (2**62).to_bytes(8, "little")
CRAFTED: dict[str, tuple[str, bytes]] = {
    "objects from bytes": ("pointers", array_pickle(code=b"U\x02O8")),
    "objects from text": ("pointers", array_pickle(code=b"U\x01O", flags=63)),
    "fields": ("fields", array_pickle(code=b"U\x02f8", state=b"N(U\x01at}U\x01aNs")),
    "a subarray": ("fields", array_pickle(state=b"(K\x01K\x02tNN")),
    "void": ("V16", array_pickle(code=b"U\x03V16")),
    "a date": ("M8", array_pickle(code=b"U\x02M8")),
    "several types": ("f4,O", array_pickle(code=b"U\x04f4,O")),
    "no byte order": ("byte order", array_pickle(order=b"U\x02<>")),
    "a byte order that is no text": ("byte order", array_pickle(order=b"K\x01")),
    "another shape to begin with": ("another class", array_pickle(first=HUGE + b"\x85")),
    "more values than bytes": ("shape", array_pickle(shape=HUGE + b"\x85")),
    "fewer values than bytes": ("in 16 bytes", array_pickle(shape=b"K\x01\x85")),
    "nothing of a huge shape": ("", array_pickle(shape=HUGE + HUGE + b"K\x00\x87", raw=b"U\x00")),
    "empty strings of a huge shape": (
        "shape",
        array_pickle(shape=HUGE + b"\x85", code=b"U\x02U0", raw=b"U\x00"),
    ),
    "a negative shape": ("shape", array_pickle(shape=b"J\xfe\xff\xff\xff\x85")),
    "two negative sizes": ("shape", array_pickle(shape=b"J\xfe\xff\xff\xffJ\xff\xff\xff\xff\x86")),
    "100 axes": (
        "",
        array_pickle(shape=b"(" + b"K\x01" * 100 + b"t", raw=b"U\x08" + bytes(8)),
    ),
    "text of no characters": (
        "text",
        array_pickle(shape=b"K\x04\x85", code=b"U\x02U1", raw=b"U\x10" + b"\xff" * 16),
    ),
    "values that are a list": ("bytes", array_pickle(raw=b"]")),
    "values that are missing": ("bytes", array_pickle(raw=b"N")),
    "an array made of too little": ("8 bytes", made_array(b"K\x02\x85", b"U\x02f8")),
    "an array made of objects": ("pointers", made_array(b"K\x01\x85", b"U\x01O")),
    "an array made of fields": ("V8", made_array(b"K\x01\x85", b"U\x02V8")),
    "an array made of nothing": ("", b"\x80\x02cnumpy\nndarray\n" + HUGE + b"\x85\x85R."),
    "an array made with strides": (
        "",
        made_array(b"K\x01\x85", b"U\x02f8", b"K\x00" + HUGE + b"\x85"),
    ),
    "a dtype whose flags hide its pointers": (
        "pointers",
        array_pickle(code=b"U\x02O8", state=b"NNN", flags=0),
    ),
    "metadata of a dtype": ("fields", array_pickle(state=b"}U\x01aK\x01sNN")),
    "a dtype that is the class": (
        "without a dtype",
        re.sub(rb"(cnumpy\ndtype\n).*?tb", rb"\1", array_pickle(), flags=re.DOTALL),
    ),
    "a scalar of an object": (
        "",
        b"\x80\x02cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x01O\x85R(K\x03U\x01|NNNtb"
        b"U\x08" + bytes(8) + b"\x86R.",
    ),
}


def test_the_array_that_the_crafted_ones_differ_from(unpickled: Load):
    assert same(unpickled(array_pickle()), np.zeros(2))
    assert same(
        unpickled(array_pickle(code=b"U\x01O", raw=b"](K\x07Ne")), np.array([7, None], object)
    )


def test_an_array_made_by_its_class(unpickled: Load):
    assert same(unpickled(made_array(b"K\x02K\x01\x86", b"U\x03<f4")), np.zeros((2, 1), np.float32))
    assert unpickled(b"\x80\x02c__builtin__\nlist\n)R(K\x01K\x02e.") == [1, 2]


@pytest.mark.parametrize("case", CRAFTED)
def test_crafted_arrays_are_refused(refusal: Callable[[bytes], str], case: str):
    named, content = CRAFTED[case]
    assert named in refusal(content)


DAMAGED: dict[str, bytes] = {
    "empty": b"",
    "text": b"S001C001P001R001A001 0\n" * 9,
    "no end": b"\x80\x04",
    "only an end": b".",
    "a mark too few": b"\x80\x02K\x01e.",
    "an item for nobody": b"\x80\x02K\x01K\x01a.",
    "a tuple of too little": b"\x80\x02K\x01\x87.",
    "the memo's, that it lacks": b"\x80\x02h\x01.",
    "a list as a key": b"\x80\x02}]K\x01s.",
    "a key without a value": b"\x80\x02}(K\x01u.",
    "2**63 bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**63) + b"x.",
    "a string of -1": b"\x80\x02T" + struct.pack("<i", -1) + b"x.",
    "an integer of a million digits": b"I" + b"9" * 10**6 + b"\n.",
    "no number": b"Iabc\n.",
    "no quotes": b"Sabc\n.",
    "an unknown escape": b"S'\\x1'\n.",
    "not UTF-8": b"\x80\x04\x8c\x02\xff\xfe.",
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_pickles_are_refused(refusal: Callable[[bytes], str], case: str):
    refusal(DAMAGED[case])


ABSURD: dict[str, tuple[str, bytes]] = {
    "2**60 bytes": ("", b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"x."),
    "2**40 characters": ("", b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b"x."),
    "2**40 bytes to write to": ("", b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"x."),
    "a frame of 2**60": ("", b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"N"),
    "an integer of 2**31 bytes": ("", b"\x80\x02\x8b" + struct.pack("<I", 2**31) + b"x."),
    "a memo of 2**32 places": ("memory", b"\x80\x02Nr\xff\xff\xff\xff."),
    "a key of great depth": ("ended", b"\x80\x02}N" + b"\x85" * 10**6 + b"Ns."),
    "an item of great depth": ("ended", b"\x80\x04\x8f(N" + b"\x85" * 10**6 + b"\x90."),
    "10**12 bytes": (
        "memory",
        name_4("builtins", "bytearray") + b"\x8a\x06" + (10**12).to_bytes(6, "little") + b"\x85R.",
    ),
    "millions of sets": ("memory", b"\x80\x04(" + b"\x8f" * 10**6 + b"l."),
    "one list made a set again and again": (
        "memory",
        b"\x80\x04]("
        + b"K\x01" * 10**5
        + b"e\x94\x8c\x08builtins\x8c\x04list\x93\x94("
        + b"h\x01h\x00\x85R" * 10**3
        + b"l.",
    ),
    "one text encoded again and again": (
        "memory",
        b"\x80\x04X"
        + struct.pack("<I", 10**5)
        + b"x" * 10**5
        + b"\x94\x8c\x07_codecs\x8c\x06encode\x93\x94\x8c\x06latin1\x94("
        + b"h\x01h\x00h\x02\x86R" * 10**4
        + b"l.",
    ),
    "a key of great width": (
        "too long",
        b"\x80\x04(" + b"N" * 10**5 + b"t\x94}" + b"(h\x00Nu" * 10**5 + b".",
    ),
}


def plainly(path: Path) -> Iterator[str]:
    load_plain(path)
    yield "read"


@pytest.mark.parametrize("case", ABSURD)
def test_absurd_pickles_cost_a_process_and_a_line(tmp_path: Path, case: str):
    named, content = ABSURD[case]
    (tmp_path / "some.pkl").write_bytes(content)
    seconds = 1 if named == "too long" else 30
    with pytest.raises(ValueError, match=named or None) as caught:
        list(isolated(plainly, tmp_path / "some.pkl", memory=100 << 20, seconds=seconds))
    assert str(caught.value).isprintable()


def test_an_array_that_holds_itself(unpickled: Load):
    content = array_pickle(code=b"U\x01O", raw=b"](h\x01e", shape=b"K\x01\x85")
    got = unpickled(content.replace(b"U\x01b\x87R", b"U\x01b\x87Rq\x01"))
    assert got[0] is got
    got.flags.writeable = True
    got[0] = None  # not a cycle that cannot be collected


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_truncation_is_reported(refusal: Callable[[bytes], str], protocol: int):
    content = pickle.dumps({"a": [1, "b", (2.5, None)], "c": np.arange(3)}, protocol)
    for end in range(0, len(content), 3):
        refusal(content[:end])


def mutants(path: Path) -> Iterator[str]:
    """The outcome of loading each of 3,000 mutated pickles, in one process of limited memory."""
    rng = random.Random(0)
    value = {
        "split": {"xsub_train": ["S001", "S002"], "xsub_val": ["S003"]},
        "annotations": [
            {"frame_dir": "S001", "label": np.int64(3), "keypoint": ARRAYS["float16"]},
            {"frame_dir": "S002", "label": 4, "keypoint": ARRAYS["text"], "x": {b"y", 2.5}},
            None,
        ],
    }
    contents = [pickle.dumps(value, protocol) for protocol in PROTOCOLS]
    for _ in range(3000):
        content = bytearray(rng.choice(contents))
        for _ in range(rng.choice((1, 1, 2, 8))):
            at = rng.randrange(len(content))
            match rng.randrange(5):
                case 0:
                    content[at] = rng.randrange(256)
                case 1:
                    content[at] ^= 1 << rng.randrange(8)
                case 2:
                    del content[at : at + rng.randrange(1, 20)]
                case 3:
                    content[at:at] = content[(other := rng.randrange(len(content))) : other + 9]
                case 4:
                    content[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\x7f", b"(b.R"))
            content = content or bytearray(b"N.")
        path.write_bytes(content)
        try:
            load_plain(path)
        except ValueError as error:
            yield "refused" if str(error).isprintable() else "not one line"
        except MemoryError:
            yield "too large"
        else:
            yield "read"


def test_mutated_pickles_are_plain_data_or_refused(tmp_path: Path):
    (tmp_path / "some.pkl").touch()
    outcomes = Counter(isolated(mutants, tmp_path / "some.pkl", memory=200 << 20))
    assert "not one line" not in outcomes
    assert outcomes["refused"] > 100
    assert outcomes["read"] > 100


def test_a_file_that_is_none(tmp_path: Path):
    with pytest.raises(ValueError, match="is not a file"):
        list(read_isolated(plainly, tmp_path / "some.pkl"))


def test_reading_imports_nothing(tmp_path: Path):
    (tmp_path / "foreign.py").write_text("raise SystemExit('was imported')\n")
    (tmp_path / "some.pkl").write_bytes(name_4("foreign", "thing") + b".")
    sys.path.insert(0, str(tmp_path))
    try:
        with pytest.raises(ValueError, match=r"needs foreign\.thing, which is neither"):
            load_plain(tmp_path / "some.pkl")
    finally:
        sys.path.remove(str(tmp_path))
    assert "foreign" not in sys.modules
