"""Two drivers on one results directory share the work; the dead hold nothing."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ablation.store import Store
from ablation.store import claims as claims_module
from ablation.store.claims import Claims

KEYS = [f"{number:016x}" for number in range(40)]


def test_a_claim_is_one_drivers_until_it_lets_go(tmp_path: Path) -> None:
    with Claims(Store(tmp_path)) as one, Claims(Store(tmp_path)) as other:
        assert one.take("k")
        assert one.take("k")
        assert not other.take("k")
        one.release("k")
        assert other.take("k")
        assert not one.take("k")


def test_who_leaves_lets_go_of_all_and_leaves_nothing(tmp_path: Path) -> None:
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
from ablation.store.claims import Claims
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


def elsewhere(results: Path, silent: float) -> str:
    """A driver on another machine that has claimed k and has said nothing for so long."""
    file = results / "drivers" / "far-1-abc.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"machine": "far", "process": {"pid": 1, "began": "1"}}))
    os.utime(file, (time.time() - silent,) * 2)
    claim = results / "units" / "k" / "claim"
    claim.parent.mkdir(parents=True)
    claim.write_text("far-1-abc")
    return file.stem


@pytest.mark.parametrize(("silent", "free"), [(0, False), (30, False), (90, True)])
def test_a_driver_elsewhere_is_dead_when_it_has_been_silent_for_long(
    tmp_path: Path, silent: float, free: bool
) -> None:
    elsewhere(tmp_path, silent)
    with Claims(Store(tmp_path)) as mine:
        assert mine.take("k") == free


def test_a_claim_of_nobody_known_is_worth_nothing(tmp_path: Path) -> None:
    claim = tmp_path / "units" / "k" / "claim"
    claim.parent.mkdir(parents=True)
    claim.write_text("somebody")
    (tmp_path / "drivers").mkdir()
    (tmp_path / "drivers" / "somebody.json").write_text("{")
    with Claims(Store(tmp_path)) as mine:
        assert mine.take("k")


def test_it_gives_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims_module, "BEAT", 0.01)
    with Claims(Store(tmp_path)):
        (file,) = tmp_path.glob("drivers/*.json")
        for change in (lambda: os.utime(file, (0, 0)), file.unlink):
            change()
            give_up = time.monotonic() + 20
            while not file.exists() or file.stat().st_mtime == 0:
                assert time.monotonic() < give_up
                time.sleep(0.01)
