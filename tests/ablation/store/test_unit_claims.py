"""Drivers on one results directory share the work; claims of dead drivers do not count."""

from __future__ import annotations

import errno
import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest

from ablation.store import Store
from ablation.store.heartbeat import Heartbeat, live_drivers
from ablation.store.unit_claims import Claims

KEYS = [f"{number:016x}" for number in range(40)]


def test_a_claim_belongs_to_one_driver_until_it_is_released(tmp_path: Path) -> None:
    with Claims(Store(tmp_path)) as one, Claims(Store(tmp_path)) as other:
        assert one.take("k")
        assert one.take("k")
        assert not other.take("k")
        one.release("k")
        assert other.take("k")
        assert not one.take("k")


def test_a_driver_that_ends_releases_all_and_leaves_nothing(tmp_path: Path) -> None:
    with Claims(Store(tmp_path)) as one:
        assert one.take("k")
    with Claims(Store(tmp_path)) as other:
        assert other.take("k")
    assert not list(tmp_path.glob("drivers/*.json"))
    assert not list(tmp_path.glob("units/k/*"))


def _take_all(results: Path, taken: object, together: object) -> None:
    with Claims(Store(results)) as claims:
        together.wait(60)  # type: ignore[attr-defined]
        taken.put([key for key in KEYS if claims.take(key)])  # type: ignore[attr-defined]
        together.wait(60)  # type: ignore[attr-defined]


def test_drivers_that_ask_at_once_never_get_the_same_unit(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    taken, together = context.Queue(), context.Barrier(4)
    drivers = [
        context.Process(target=_take_all, args=(tmp_path, taken, together)) for _ in range(4)
    ]
    for driver in drivers:
        driver.start()
    got = [key for _ in drivers for key in taken.get(timeout=120)]
    for driver in drivers:
        driver.join(60)
    assert sorted(got) == KEYS


HOLD = """
import sys, time
from pathlib import Path
from ablation.store.unit_claims import Claims
from ablation.store import Store
with Claims(Store(Path(sys.argv[1]))) as claims:
    assert claims.take("k")
    print("taken", flush=True)
    time.sleep(600)
"""


def test_a_killed_driver_on_this_machine_is_dead_at_once(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "taken\n"
        with Claims(Store(tmp_path)) as mine:
            assert not mine.take("k")
            driver.kill()
            driver.wait(30)
            assert mine.take("k")
    assert not list(tmp_path.glob("units/k/claim"))


def test_a_finished_unit_has_no_claim(tmp_path: Path) -> None:
    """Its driver may be killed before it releases it, and the next one has nothing to claim."""
    store, key = Store(tmp_path), KEYS[1]
    with Claims(store) as mine:
        assert mine.take(key)
        store.finish(key)
        assert not list(tmp_path.glob("units/*/claim"))


def test_a_full_disk_leaves_nothing_of_a_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: object, **how: str) -> None:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    with Claims(Store(tmp_path)) as mine, monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="No space"):
            mine.take("k")
        assert list((tmp_path / "units" / "k").iterdir()) == []


def test_a_claim_of_an_unknown_driver_does_not_count(tmp_path: Path) -> None:
    claim = tmp_path / "units" / "k" / "claim"
    claim.parent.mkdir(parents=True)
    claim.write_text("unknown")
    (tmp_path / "drivers").mkdir()
    (tmp_path / "drivers" / "unknown.json").write_text("{")
    with Claims(Store(tmp_path)) as mine:
        assert mine.take("k")


def test_claims_of_a_given_heartbeat_end_before_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with Heartbeat(store) as heartbeat:
        for _ in range(2):  # one after the other, as when Ray is started again
            with Claims(store, heartbeat) as claims, Claims(store) as other:
                assert claims.take("k")
                assert not other.take("k")
        assert [name for name, _ in live_drivers(tmp_path)] == [heartbeat.driver]
    assert live_drivers(tmp_path) == []
