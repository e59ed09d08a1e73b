"""What is read of a unit's files, whatever state they are in."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablation.store import Store, UnitFiles
from ablation.store.unit_files import CHECKPOINT, CONFIG, DONE, LOG, METRICS, RESULT, WEIGHTS
from skelcon.errors import UserError
from skelcon.pretrain.weights import WEIGHTS_FILE


@pytest.mark.parametrize(
    ("text", "epochs"),
    [
        ("", 0),
        ('{"epoch": 0}\n', 1),
        ('{"epoch": 0}\n{"epoch": 1}', 1),  # being written
        ('{"epoch": 0}\n{"ep\0\n{"epoch": 2}\n', 1),  # after a power cut
        ('{"epoch": 0}\n[]\n', 1),
    ],
)
def test_metrics_end_at_the_first_torn_line(tmp_path: Path, text: str, epochs: int) -> None:
    (tmp_path / METRICS).write_text(text)
    assert UnitFiles(tmp_path).metrics() == [{"epoch": n} for n in range(epochs)]


def test_a_unit_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    files = UnitFiles(tmp_path / "k")
    assert (files.key, files.state, files.metrics()) == ("k", "absent", [])
    assert (files.log_tail(3), files.claimed_by(), files.size()) == ([], None, 0)
    assert not files.has(CHECKPOINT)
    assert files.read_or_none(RESULT) is None
    with pytest.raises(UserError, match=r"'.*result\.json' is damaged"):
        files.read(RESULT)


def test_files_of_a_unit_are_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.begin("k", {"seed": 0})
    store.fail("k", "failed: x")
    files = store.files("k")
    assert (files.state, files.read(CONFIG)) == ("failed", {"seed": 0})
    files.path(LOG).write_text("one\ntwo\nthree\n")
    assert files.log_tail(2) == ["two", "three"]
    assert files.size() == sum(path.stat().st_size for path in files.directory.iterdir())
    store.finish("k")
    assert files.state == "done"
    assert files.has(DONE)


def test_the_weights_are_called_as_the_trainer_calls_them() -> None:
    assert WEIGHTS == WEIGHTS_FILE
