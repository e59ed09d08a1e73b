"""Pickles of plain data are read, whatever wrote them."""

import errno
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pickle_cases import ARRAYS, PLAIN, PROTOCOLS, SCALARS, same

from skelcon.data.importers.processes import isolated

Load = Callable[[bytes], Any]


def numpy_1(content: bytes) -> bytes:
    """The names of numpy 2's modules as numpy 1 has them (lengths count in protocol 4)."""
    if content[2:3] == pickle.FRAME:
        content = content[:2] + content[11:]
    for module in (b"multiarray", b"numeric"):
        new, old = b"numpy._core." + module, b"numpy.core." + module
        content = content.replace(
            b"\x8c" + bytes([len(new)]) + new, b"\x8c" + bytes([len(old)]) + old
        )
        content = content.replace(b"c" + new, b"c" + old)
    return content


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("case", PLAIN)
def test_plain_values_come_back(unpickled: Load, case: str, protocol: int):
    assert same(unpickled(pickle.dumps(PLAIN[case], protocol)), PLAIN[case])


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("case", ARRAYS)
def test_arrays_come_back(unpickled: Load, case: str, protocol: int):
    content = pickle.dumps({"of": ARRAYS[case], "again": [ARRAYS[case]]}, protocol)
    for each in (content, numpy_1(content)):
        got = unpickled(each)
        assert same(got["of"], ARRAYS[case])
        assert got["again"][0] is got["of"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_scalars_come_back_as_those_of_python(unpickled: Load, protocol: int):
    got = unpickled(pickle.dumps(SCALARS, protocol))
    assert got == [scalar.item() for scalar in SCALARS]
    assert {type(each) for each in got} == {int, float, complex, bool, str, bytes}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_containers_of_collections(unpickled: Load, protocol: int):
    ordered = OrderedDict([("b", 1), ("a", [2])])
    assert same(unpickled(pickle.dumps(ordered, protocol)), dict(ordered))


def test_containers_that_hold_themselves(unpickled: Load):
    knot: list = [1]
    knot.append(knot)
    got = unpickled(pickle.dumps(knot))
    assert got[1] is got


def test_what_python_2_writes(unpickled: Load):
    # pickle.dumps((["S001C001\\'\n", u"\xe9", "\xe9", 3L, True], [0, 5]), 0) there
    assert unpickled(
        b"((lp0\nS'S001C001\\\\\\'\\n'\np1\naV\xe9\np2\naS'\\xe9'\np3\naL3L\naI01\na"
        b"(lp4\nI0\naI5\natp5\n."
    ) == (["S001C001\\'\n", "é", "é", 3, True], [0, 5])
    # ... numpy.array([1, -2], "<f2"), protocol 2, by numpy 1
    assert unpickled(
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85"
        b"U\x01b\x87Rq\x03(K\x01K\x02\x85cnumpy\ndtype\nq\x04U\x02f2K\x00K\x01\x87Rq\x05"
        b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x04\x00\x3c\x00\xc0tb."
    ).tolist() == [1, -2]
    # ... collections.OrderedDict([("a", 1)]) and set(["a"])
    assert unpickled(b"ccollections\nOrderedDict\n((lp0\n(lp1\nS'a'\naI1\naatR.") == {"a": 1}
    assert unpickled(b"\x80\x02c__builtin__\nset\n]U\x01aa\x85R.") == {"a"}


def test_great_depth_that_is_only_depth(unpickled: Load):
    got = unpickled(b"\x80\x02N" + b"\x85" * 200_000 + b".")
    depth = 0
    while got:
        (got,) = got
        depth += 1
    assert depth == 200_000


def test_arrays_cannot_be_written(unpickled: Load):
    for protocol in PROTOCOLS:
        assert not unpickled(pickle.dumps(np.arange(5), protocol)).flags.writeable


def test_a_process_that_is_not_read_to_the_end_is_ended(tmp_path: Path):
    (tmp_path / "some.pkl").write_bytes(b"N.")
    values = isolated(endless, tmp_path / "some.pkl")
    pid = next(values)
    assert next(values) == pid
    values.close()
    assert not Path(f"/proc/{pid}").exists()


def test_a_process_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def start(process: ForkServerProcess) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(ForkServerProcess, "start", start)
    (tmp_path / "some.pkl").touch()
    with pytest.raises(OSError, match="temporarily unavailable"):
        next(isolated(endless, tmp_path / "some.pkl"))


def endless(path: Path) -> Iterator[int]:
    while True:
        yield os.getpid()
