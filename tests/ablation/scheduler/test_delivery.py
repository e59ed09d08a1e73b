"""A data set that is fetched once per node, and what a node does with the file it looks for."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import ray
from numpy.typing import NDArray

from ablation.scheduler import nodes
from ablation.scheduler.delivery import FILES, fetched, holds
from ablation.scheduler.nodes import check_nodes, look_at
from ablation.scheduler.resources import Resources
from ablation.store import Store
from skelcon.data import SkeletonDataset
from skelcon.errors import UserError


class Source:
    """Gives a data set in small pieces, and counts what is read of it."""

    def __init__(self, path: Path) -> None:
        self.path, self.begun = path, 0

    def __call__(self, name: str, offset: int) -> NDArray[np.uint8]:
        self.begun += offset == 0
        return np.fromfile(self.path / name, np.uint8, 4096, offset=offset)


def test_a_data_set_is_fetched_whole_and_once(dataset: SkeletonDataset, tmp_path: Path) -> None:
    read, found = Source(dataset.path), []
    workers = [
        threading.Thread(
            target=lambda: found.append(fetched(dataset.fingerprint, read, [tmp_path / "cache"]))
        )
        for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert read.begun == len(FILES)
    (place,) = set(found)
    assert holds(place, dataset.fingerprint)
    assert SkeletonDataset.open(place).content_digest() == dataset.fingerprint
    assert [path.name for path in place.parent.iterdir() if path.is_dir()] == [place.name]


def test_an_interrupted_fetch_starts_from_scratch(dataset: SkeletonDataset, tmp_path: Path) -> None:
    for left in (f".{dataset.fingerprint}.part", dataset.fingerprint):
        (tmp_path / left).mkdir()
        (tmp_path / left / "frames.npy").write_bytes(b"half")
    place = fetched(dataset.fingerprint, Source(dataset.path), [tmp_path])
    assert SkeletonDataset.open(place).content_digest() == dataset.fingerprint


def test_another_data_set_is_refused(dataset: SkeletonDataset, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="not the data set 0123456789abcdef"):
        fetched("0123456789abcdef", Source(dataset.path), [tmp_path])
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_where_nothing_can_be_written_the_next_place_is_taken(
    dataset: SkeletonDataset, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    places = [tmp_path / "file" / "cache", tmp_path / "cache"]
    place = fetched(dataset.fingerprint, Source(dataset.path), places)
    assert place.parent == places[1]


def test_a_path_holds_the_data_set_or_another_or_none(
    dataset: SkeletonDataset, tmp_path: Path
) -> None:
    assert holds(dataset.path, dataset.fingerprint)
    assert not holds(dataset.path, "0123456789abcdef")
    assert not holds(tmp_path / "nowhere", dataset.fingerprint)
    (tmp_path / "meta.json").write_text("[]")
    assert not holds(tmp_path, dataset.fingerprint)


def test_a_node_reports_what_it_cannot_do_with_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ablation.scheduler.nodes.CATCH_UP_SECONDS", 0.0)
    probe = tmp_path / "probe"
    assert look_at(str(probe)) == "does not see"
    probe.touch()
    assert look_at(str(probe)) == ""
    assert list(tmp_path.iterdir()) == [probe]
    monkeypatch.setattr(Path, "touch", _read_only)
    assert look_at(str(probe)) == "cannot write (Read-only file system) to"


def _read_only(path: Path) -> None:
    raise OSError(30, "Read-only file system", str(path))


@pytest.mark.parametrize(
    ("count", "more"), [(1, ""), (2, " (and 1 other node)"), (3, " (and 2 other nodes)")]
)
def test_nodes_that_do_not_see_the_results_are_counted(
    count: int, more: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = {
        "Alive": True,
        "NodeID": "n",
        "Resources": {"CPU": 1.0},
        "NodeManagerHostname": "far",
        "NodeManagerAddress": "10.0.0.2",
    }
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: ""))
    monkeypatch.setattr(ray, "nodes", lambda: [node] * count)
    monkeypatch.setattr(ray, "get", lambda answer, timeout: answer)
    monkeypatch.setattr(nodes, "run_on", lambda *arguments: "does not see")
    with pytest.raises(UserError, match=re.escape(f"far (10.0.0.2){more} does not see this")):
        check_nodes(Store(tmp_path), Resources(), [{}, {}])
