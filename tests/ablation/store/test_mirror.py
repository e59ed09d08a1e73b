"""Results at a URI: what is done goes there whole, and comes to every node that asks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pyarrow import fs
from unit_helpers import evaluation, pretraining

from ablation.events import Event, Waiting
from ablation.interrupts import Interrupt
from ablation.scheduler.queue import Driver, Queue
from ablation.scheduler.resources import Resources
from ablation.store import Store, uri_of
from ablation.store import mirror as mirror_module
from ablation.store.mirror import Mirror, UnreachedError
from ablation.store.unit_claims import Claims
from ablation.units import Unit
from skelcon.errors import UserError

PRETRAINING = pretraining()
KEY = PRETRAINING.key
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


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror_module.time, "sleep", lambda seconds: None)


class Hiccups:
    """Files that cannot be reached so many times; ``calls`` counts all attempts."""

    def __init__(self, files: fs.FileSystem, times: int) -> None:
        self._files, self._left, self.calls = files, times, 0

    def __getattr__(self, name: str) -> Any:
        self.calls += 1
        self._left -= 1
        if self._left >= 0:
            raise OSError("AWS Error SLOW_DOWN")
        return getattr(self._files, name)


def make(store: Store, unit: Unit = PRETRAINING) -> Path:
    """A unit that is done."""
    directory = store.begin(unit.key, unit.to_json())
    (directory / "result.json").write_text('{"loss": 1.0}')
    (directory / "weights.safetensors").write_bytes(bytes(100_000))
    (directory / "log.txt").write_text("done\n")
    store.finish(unit.key)
    return directory


def test_a_unit_that_is_done_goes_to_the_uri_and_to_other_nodes(node: Node) -> None:
    here = node("one")
    made = make(here.store)
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
    make(here.store)
    (here.store.results / "tiny").mkdir()
    (here.store.results / "tiny" / "table.csv").write_text("row\n")
    here.push_all([KEY, "0123456789abcdef"], "tiny")
    files = here._files
    assert files.get_file_info("tiny/table.csv").type == fs.FileType.File
    there = node("two")
    there.fetch([KEY])
    assert there.store.is_done(KEY)


@pytest.mark.parametrize("harm", ["weights.safetensors", "DONE"])
def test_what_is_not_whole_at_the_uri_is_not_done(node: Node, harm: str) -> None:
    here = node("one")
    make(here.store)
    here.push(KEY)
    path = f"units/{KEY}/{harm}"
    if harm == "DONE":  # cut off in the middle of the copying
        here._files.delete_file(path)
    else:
        with here._files.open_output_stream(path) as file:
            file.write(bytes(99_999) + b"1")
    there = node("two")
    there.fetch([KEY])
    assert there.store.state(KEY) != "done"


def test_a_node_gets_what_a_unit_needs(node: Node) -> None:
    wanted = evaluation(PRETRAINING)
    key = wanted.key
    driver = node("one")
    make(driver.store)
    driver.push(KEY)
    driver.store.begin(key, wanted.to_json())
    driver.hand_out(key)
    worker = node("two")
    worker.bring(key)
    assert worker.store.config(key) == wanted.to_json()
    assert worker.store.is_done(KEY)


def test_a_failure_reaches_the_driver_and_is_deleted_at_a_retry(node: Node) -> None:
    driver = node("one")
    driver.store.begin(KEY, PRETRAINING.to_json())
    driver.hand_out(KEY)
    worker = node("two")
    worker.bring(KEY)
    worker.store.fail(KEY, "failed: out of memory")
    worker.push_failure(KEY)
    driver.fetch_failure(KEY)
    assert driver.store.failure(KEY) == "failed: out of memory"
    driver.store.begin(KEY, PRETRAINING.to_json())
    driver.hand_out(KEY)
    driver.fetch_failure(KEY)
    assert driver.store.state(KEY) == "started"


def test_a_request_that_fails_is_retried(node: Node) -> None:
    here = node("one")
    make(here.store)
    files = here._files
    here._files = Hiccups(files, len(mirror_module.PATIENT))
    here.push(KEY)
    here._files = Hiccups(files, len(mirror_module.PAUSES))
    here.hand_out(KEY)
    there = node("two")
    there.fetch([KEY])
    assert there.store.is_done(KEY)
    there._files = gone = Hiccups(files, 1000)
    with pytest.raises(UnreachedError, match=r"SLOW_DOWN; what is done is in"):
        there.fetch_failure(KEY)
    assert gone.calls == len(mirror_module.PAUSES) + 1


class Reasons:
    """Keeps why nothing runs."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def report(self, event: Event) -> None:
        """Keep the reason."""
        if isinstance(event, Waiting):
            self.said.append(event.reason)


def test_a_bucket_that_is_gone_ends_no_study(node: Node) -> None:
    """What the driver could not send or fetch is retried; the reason is reported."""
    from ablation.scheduler.tune_parts import UnitCallback, UnitSearcher

    here, reporter = node("one"), Reasons()
    with Claims(here.store) as claims:
        driver = Driver(here.store, {}, Resources(), reporter, Interrupt())
        queue = Queue([PRETRAINING], driver, claims)
        searcher = UnitSearcher(queue, driver, here, None)
        callback = UnitCallback(queue, driver, here)
        callback._started.add("t")
        files, gone = here._files, cast(fs.FileSystem, Hiccups(here._files, 1000))
        here._files = gone
        assert searcher.suggest("t") == searcher.FINISHED
        last = {"unit_done": True}
        trial = SimpleNamespace(trial_id="t", config={"key": KEY}, last_result=last)
        for ended in (callback.on_trial_complete, callback.on_trial_error):
            here._files = files
            assert searcher.suggest("t")["key"] == KEY
            here._files = gone
            ended(0, [], trial)
        here._files = files
        assert searcher.suggest("t")["key"] == KEY
        assert not queue.failed
    assert len(reporter.said) == 3
    assert all("SLOW_DOWN" in text for text in reporter.said)


def test_units_that_run_are_not_reported_as_waiting(node: Node) -> None:
    from ablation.scheduler.tune_parts import UnitCallback, UnitSearcher

    here, reporter, units = node("one"), Reasons(), [PRETRAINING, pretraining(1)]
    with Claims(here.store) as claims:
        driver = Driver(here.store, {}, Resources(), reporter, Interrupt())
        queue = Queue(units, driver, claims)
        searcher = UnitSearcher(queue, driver, here, None)
        callback = UnitCallback(queue, driver, here)
        done = {"unit_done": True}
        first, second = (
            SimpleNamespace(trial_id=name, config=searcher.suggest(name), last_result=done)
            for name in ("first", "second")
        )
        here._files = cast(fs.FileSystem, Hiccups(here._files, 1000))
        callback.on_trial_complete(0, [], first)
        assert reporter.said == []
        callback.on_trial_complete(0, [], second)
        assert len(reporter.said) == 1


def test_a_worker_that_cannot_push_has_not_failed_its_unit(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ablation.scheduler.worker import Worker

    here = node("one")
    make(here.store)
    monkeypatch.setattr("ablation.scheduler.worker.mirror_at", lambda uri: here)
    worker = object.__new__(Worker)  # without a thread that watches Ray
    worker._device = "cpu"
    worker._run = None
    worker._settings = {
        "mirror": here.uri,
        "key": KEY,
        "plugins": [],
        "directory": ".",
        "data": {PRETRAINING.side.data: "d"},
        "node": None,
        "checkpoints": None,
        "gpu": 0,
        "monitor": None,
    }
    monkeypatch.setattr("ablation.scheduler.worker.data_at", lambda wanted, path, node: path)
    here._files = cast(fs.FileSystem, Hiccups(here._files, 1000))
    with pytest.raises(UnreachedError):
        worker.step()
    assert here.store.state(KEY) == "done"
    assert not (here.store.directory(KEY) / "failed.json").exists()


def test_names_in_the_bucket_do_not_lead_out_of_a_unit(node: Node) -> None:
    here = node("one")
    directory = make(here.store)
    done = json.loads((directory / "DONE").read_text())
    (directory / "DONE").write_text(json.dumps({**done, "../../planted": {"bytes": 1}}))
    here.push(KEY)
    with here._files.open_output_stream("planted") as file:
        file.write(b"x")
    there = node("two")
    there.fetch([KEY])
    assert not (there.store.results / "planted").exists()
    assert there.store.state(KEY) != "done"


def test_a_unit_of_before_checksums_is_fetched(node: Node) -> None:
    here = node("one")
    (make(here.store) / "DONE").write_text("")
    here.push(KEY)
    there = node("two")
    there.bring(KEY)
    assert there.store.is_done(KEY)
    assert there.store.result(KEY) == {"loss": 1.0}


def test_event_files_that_were_replaced_go_and_what_is_there_is_not_sent_again(node: Node) -> None:
    here = node("one")
    run = here.store.results / "tiny" / "tensorboard" / "row" / "column"
    run.mkdir(parents=True)
    (run / "events.1").write_text("old")
    (run.parent / "other").mkdir()
    (run.parent / "other" / "events.1").write_text("kept")
    here.push_all([], "tiny")
    (run / "events.1").rename(run / "events.2")
    (run.parent / "other" / "events.1").unlink()  # of another machine: nothing replaces it here
    here.push_all([], "tiny")
    selector = fs.FileSelector("tiny/tensorboard", recursive=True)
    found = {i.path.rpartition("tensorboard/")[2]: i for i in here._files.get_file_info(selector)}
    assert {name for name in found if "events" in name} == {
        "row/column/events.2",
        "row/other/events.1",
    }
    sent: list[Path] = []
    here._write = lambda path, *parts: sent.append(path)  # type: ignore[method-assign]
    here.push_all([], "tiny")
    assert not sent


def test_records_of_trackers_are_shared(node: Node) -> None:
    for name, keys in (("one", "a\nb\n"), ("two", "b\nc\n")):
        mirror = node(name)
        (mirror.store.results / "tiny").mkdir(parents=True)
        record = mirror.store.results / "tiny" / "tracked-wandb.txt"
        record.write_text(keys)
        mirror.fetch_records("tiny")
        mirror.push_all([], "tiny")
    assert record.read_text().split() == ["b", "c", "a"]


def test_a_uri_is_recognised() -> None:
    assert uri_of(Path("s3://bucket/a/b")) == "s3://bucket/a/b"
    assert uri_of(Path("file:///a/b")) == "file:///a/b"
    address = "s3://b/x?scheme=http&endpoint_override=http://minio:9000"
    assert uri_of(Path(address)) == address
    assert uri_of(Path("results")) is None
    assert uri_of(Path("/a/s3:/b")) is None


def test_a_uri_of_nothing_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--results foo://b/x: Unrecognized filesystem type"):
        Mirror("foo://b/x")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"--results file:.*Not a directory"):
        Mirror((tmp_path / "file" / "x").as_uri())


def test_commands_that_take_no_uri_say_so() -> None:
    with pytest.raises(UserError, match="only a study's own command and plan take"):
        Store(Path("gs://bucket/x"))
