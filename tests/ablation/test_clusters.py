"""Clusters of several nodes on this machine: what a node does not see, and a node that is lost."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ablation_helpers import ablate, command
from cluster_helpers import (
    CLUSTER,
    NODE,
    answer,
    can_hide,
    environment,
    lose_a_node,
    process,
)

from ablation.scheduler.delivery import FILES
from skelcon.data import SkeletonDataset

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment().items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def hidden_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hidden")


@pytest.fixture(scope="module")
def nodes_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nodes-cache")


@pytest.fixture(scope="module")
def address(
    dataset: SkeletonDataset,
    hidden_results: Path,
    nodes_cache: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """A cluster whose one node with a CPU sees neither the data set nor a results directory."""
    if not can_hide():
        pytest.skip("needs the right to mount in a name space of its own")
    logs = tmp_path_factory.mktemp("nodes")
    hidden = (dataset.path, hidden_results)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKELCON_CACHE", str(nodes_cache))
        with process(logs / "head", CLUSTER, 0) as head:
            at = answer(head, logs / "head")
            with process(logs / "node", NODE, at, hidden=hidden) as node:
                assert answer(node, logs / "node") == "up"
                yield at


def test_data_reaches_a_node_that_does_not_see_its_path(
    address: str, dataset: SkeletonDataset, study_file: Path, nodes_cache: Path, tmp_path: Path
) -> None:
    words = ("run", study_file, "--data", dataset.path, "--address", address)
    done = ablate(*words, "--only", "crop+jitter", "--results", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(tmp_path.glob("units/*/DONE"))) == 4
    (fetched,) = (path for path in (nodes_cache / "fetched").iterdir() if path.is_dir())
    assert fetched.name == dataset.fingerprint
    for name in FILES:
        assert (fetched / name).read_bytes() == (dataset.path / name).read_bytes(), name
    # What was fetched before is used again: a second study writes nothing there.
    before = fetched.stat().st_mtime_ns
    more = ablate(*words, "--only", "random", "--results", tmp_path)
    assert more.returncode == 0, more.stdout + more.stderr
    assert fetched.stat().st_mtime_ns == before


def test_results_that_a_node_does_not_see_are_refused(
    address: str, dataset: SkeletonDataset, study_file: Path, hidden_results: Path
) -> None:
    results = hidden_results / "r"
    words = ("run", study_file, "--data", dataset.path, "--address", address)
    done = ablate(*words, "--results", results)
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"--results {results}: node " in done.stderr
    assert "(127.0.0.1) does not see this directory" in done.stderr
    assert not list(results.glob("units/*"))


@pytest.mark.parametrize(("mode", "token"), [("disabled", ""), ("token", "another")])
def test_a_cluster_that_asks_for_its_token_is_reported_in_seconds(
    address: str,
    dataset: SkeletonDataset,
    study_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    token: str,
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", mode)
    monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    words = ("run", study_file, "--data", dataset.path, "--address", address)
    done = ablate(*words, "--results", tmp_path)
    assert done.returncode == 2
    assert f"the Ray cluster at --address {address} asks for its token" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_results_at_a_uri_need_no_shared_directory(
    address: str, dataset: SkeletonDataset, study_file: Path, nodes_cache: Path, tmp_path: Path
) -> None:
    """The node works in a directory of its own; the driver has what comes from the URI."""
    words = (
        "run",
        study_file,
        "--data",
        dataset.path,
        "--only",
        "crop+jitter",
        "--results",
        (tmp_path / "bucket").as_uri(),
    )
    done = ablate(*words, "--address", address, "--gpus-per-trial", "auto")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "--gpus-per-trial auto: no GPU, as the cluster has none" in done.stdout
    (node,) = nodes_cache.glob("mirrors/*")
    for place in (tmp_path / "bucket", node):
        assert len(list(place.glob("units/*/DONE"))) == 4, place
    # On another machine the same command finds all done.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKELCON_CACHE", str(tmp_path / "another"))
        again = ablate(*words)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "All 4 units are done: nothing to run." in again.stdout
    (first, second) = (
        text[text.index("A tiny study") : text.index("Written to")]
        for text in (done.stdout, again.stdout)
    )
    assert first == second


def test_a_study_continues_after_a_node_is_lost(
    dataset: SkeletonDataset, study_file: Path, tmp_path: Path
) -> None:
    """The unit that ran on the lost node loses none of its retries."""
    results, log = tmp_path / "r", tmp_path / "log"
    with process(log, CLUSTER, 2) as cluster:
        words = (
            "run",
            study_file,
            "--data",
            dataset.path,
            "--results",
            results,
            "--set",
            "pretrain.epochs=200",
            "--only",
            "crop+jitter",
            "--retries",
            0,
            "--address",
            answer(cluster, log),
        )
        driver = subprocess.Popen(
            command(*words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            until = time.monotonic() + 100
            while not list(results.glob("units/*/checkpoint.pt")):
                assert driver.poll() is None
                assert time.monotonic() < until
                time.sleep(0.02)
            lose_a_node(cluster)
            output, _ = driver.communicate(timeout=150)
        finally:
            driver.kill()
            driver.wait()
    assert driver.returncode == 0, output
    assert "failed: its node was lost; it is retried" in output, output
    assert "raylet" not in output  # of Ray's own words
    assert len(list(results.glob("units/*/DONE"))) == 4
    texts = [path.read_text() for path in results.glob("units/*/log.txt")]
    assert sum("resumed at epoch" in text for text in texts) == 1
