"""Results at a URI: what is done goes there whole, and comes to every node that asks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyarrow import fs

from ablation import mirror as mirror_module
from ablation.mirror import Mirror
from ablation.plan import unit_key
from ablation.store import Store, uri_of
from skelcon.errors import UserError

PRETRAINING: dict[str, Any] = {"unit": "pretrain", "seed": 0}
KEY = unit_key(PRETRAINING)
Node = Callable[[str], Mirror]


@pytest.fixture(params=["file", "object store"])
def node(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    """Opens the mirror as another node does, by its name; all see one URI."""
    if request.param == "object store":
        shared = fs._MockFileSystem()
        opened = SimpleNamespace(from_uri=lambda uri: (shared, "bucket/x"))
        monkeypatch.setattr(mirror_module, "FileSystem", opened)

    def on(name: str) -> Mirror:
        monkeypatch.setenv("SKELCON_CACHE", str(tmp_path / name))
        return Mirror((tmp_path / "bucket").as_uri())

    return on


def make(store: Store, config: dict[str, Any]) -> Path:
    """A unit that is done."""
    directory = store.begin(unit_key(config), config)
    (directory / "result.json").write_text('{"loss": 1.0}')
    (directory / "weights.safetensors").write_bytes(bytes(100_000))
    (directory / "log.txt").write_text("done\n")
    store.finish(unit_key(config))
    return directory


def test_a_unit_that_is_done_goes_to_the_uri_and_to_other_nodes(node: Node) -> None:
    here = node("one")
    made = make(here.store, PRETRAINING)
    here.push(KEY)
    there = node("two")
    assert not there.store.is_done(KEY)
    there.fetch([KEY, "0123456789abcdef"])
    assert there.store.is_done(KEY)
    assert there.store.damage(KEY, thorough=True) is None
    for file in made.iterdir():
        assert (there.store.directory(KEY) / file.name).read_bytes() == file.read_bytes()
    assert not there.store.directory("0123456789abcdef").exists()


def test_all_that_is_done_and_the_tables_are_pushed(node: Node) -> None:
    here = node("one")
    make(here.store, PRETRAINING)
    (here.store.results / "tiny").mkdir()
    (here.store.results / "tiny" / "table.csv").write_text("row\n")
    here.push_all([KEY, "0123456789abcdef"], "tiny")
    files, base = here._files, here._base
    assert files.get_file_info(f"{base}/tiny/table.csv").type == fs.FileType.File
    there = node("two")
    there.fetch([KEY])
    assert there.store.is_done(KEY)


@pytest.mark.parametrize("harm", ["weights.safetensors", "DONE"])
def test_what_is_not_whole_at_the_uri_is_not_done(node: Node, harm: str) -> None:
    here = node("one")
    make(here.store, PRETRAINING)
    here.push(KEY)
    path = f"{here._base}/units/{KEY}/{harm}"
    if harm == "DONE":  # cut off in the middle of the copying
        here._files.delete_file(path)
    else:
        with here._files.open_output_stream(path) as file:
            file.write(bytes(99_999) + b"1")
    there = node("two")
    there.fetch([KEY])
    assert there.store.state(KEY) != "done"


def test_a_node_gets_what_a_unit_needs(node: Node) -> None:
    evaluation: dict[str, Any] = {
        "unit": "evaluate",
        "encoders": [{"representation": "seq", "pretrained": PRETRAINING}],
    }
    key = unit_key(evaluation)
    driver = node("one")
    make(driver.store, PRETRAINING)
    driver.push(KEY)
    driver.store.begin(key, evaluation)
    driver.hand_out(key)
    worker = node("two")
    worker.bring(key)
    assert worker.store.config(key) == evaluation
    assert worker.store.is_done(KEY)


def test_a_failure_is_told_to_the_driver_and_forgotten_when_it_is_tried_again(node: Node) -> None:
    driver = node("one")
    driver.store.begin(KEY, PRETRAINING)
    driver.hand_out(KEY)
    worker = node("two")
    worker.bring(KEY)
    worker.store.fail(KEY, "failed: out of memory")
    worker.push_failure(KEY)
    driver.fetch_failure(KEY)
    assert driver.store.failure(KEY) == "failed: out of memory"
    driver.store.begin(KEY, PRETRAINING)
    driver.hand_out(KEY)
    driver.fetch_failure(KEY)
    assert driver.store.state(KEY) == "started"


def test_a_uri_is_seen_for_one() -> None:
    assert uri_of(Path("s3://bucket/a/b")) == "s3://bucket/a/b"
    assert uri_of(Path("file:///a/b")) == "file:///a/b"
    assert uri_of(Path("results")) is None
    assert uri_of(Path("/a/s3:/b")) is None


def test_a_uri_of_nothing_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--results foo://b/x: Unrecognized filesystem type"):
        Mirror("foo://b/x")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"--results file:.*Not a directory"):
        Mirror((tmp_path / "file" / "x").as_uri())


def test_what_takes_no_uri_says_so() -> None:
    with pytest.raises(UserError, match="only a study's own command and plan take"):
        Store(Path("gs://bucket/x"))
