"""One exemplar a class: which clips they are, what they are compared with, and the protocol."""

import dataclasses
import sys

import numpy as np
import pytest
import torch
from joint_means import Joints

from skelcon.data import KINECT_V1, ClipBank, ClipInfo, DatasetWriter, Normalisation
from skelcon.data.importers.ntu_facts import EXEMPLARS, NOVEL
from skelcon.data.protocols import PROTOCOL_PLUGINS, with_registered
from skelcon.downstream import Inputs
from skelcon.downstream.oneshot import exemplars
from skelcon.downstream.tasks import completed, task
from skelcon.plugins import load_plugins

FRAMES, CLASSES = 8, 5


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> ClipBank:
    """Six clips of each of five classes; the fourth of class 3 is one of NTU's exemplars."""
    random = np.random.default_rng(0)
    classes = [f"class {i}" for i in range(CLASSES)]
    steps = Normalisation(centre=False, spine_to_z=False, shoulders_to_x=False)
    with DatasetWriter(
        tmp_path_factory.mktemp("oneshot") / "data",
        name="tiny",
        layout=KINECT_V1,
        class_names=classes,
        family="test",
        normalisation=steps,
    ) as writer:
        poses = random.normal(size=(CLASSES, 20, 3))
        for i in range(30):
            clip = poses[i % CLASSES] + random.normal(size=(1, 9, 20, 3))
            name = EXEMPLARS[3] if i == 18 else f"clip {i}"
            writer.add(ClipInfo(name, label=i % CLASSES, subject=1), clip.astype(np.float32))
        return ClipBank(writer.close({"xsub": np.arange(30) % 2}))


def inputs_of(bank: ClipBank, train: list[int], test: list[int], seed: int = 0) -> Inputs:
    groups = torch.zeros(len(train), dtype=torch.long)
    given = torch.tensor(train), torch.tensor(test)
    return Inputs([Joints()], bank, *given, CLASSES, FRAMES, seed, groups)


@pytest.fixture
def novel(bank: ClipBank) -> Inputs:
    """Classes 0 and 1 train, 2, 3 and 4 are novel."""
    train, test = ([i for i in range(30) if (i % 5 < 2) == known] for known in (True, False))
    return inputs_of(bank, train, test)


def test_an_exemplar_of_a_novel_class_is_official_or_drawn_and_not_tested(novel: Inputs) -> None:
    seen = set()
    for seed in range(20):
        chosen, tested = exemplars(dataclasses.replace(novel, seed=seed), None)
        assert (novel.bank.labels[chosen]).tolist() == [2, 3, 4]
        assert chosen[1] == 18
        assert set(chosen.tolist()) | set(tested.tolist()) == set(novel.test.tolist())
        assert not set(chosen.tolist()) & set(tested.tolist())
        seen.add(tuple(chosen.tolist()))
    assert len(seen) > 5
    again = [exemplars(novel, None)[0].tolist() for _ in range(2)]
    assert again[0] == again[1]


def test_classes_that_train_give_a_training_clip_and_all_their_test_clips(bank: ClipBank) -> None:
    inputs = inputs_of(bank, list(range(15)), list(range(15, 30)))
    chosen, tested = exemplars(inputs, None)
    assert (chosen < 15).all()
    assert bank.labels[chosen].tolist() == list(range(CLASSES))
    assert tested.tolist() == list(range(15, 30))
    chosen, tested = exemplars(inputs, 2)
    assert bank.labels[chosen].tolist() == [0, 2]
    assert set(bank.labels[tested].tolist()) == {0, 2}


def test_each_clip_has_the_class_of_the_nearest_exemplar(novel: Inputs) -> None:
    result = completed(task("oneshot").start(novel, task("oneshot").settings()))
    chosen, tested = exemplars(novel, None)
    queries, gallery = (novel.features(each).double().numpy() for each in (tested, chosen))
    queries, gallery = (each / np.linalg.norm(each, axis=1)[:, None] for each in (queries, gallery))
    expected = novel.bank.labels[chosen].numpy()[(queries @ gallery.T).argmax(axis=1)]
    assert result.predictions.tolist() == expected.tolist()
    assert result.clips.tolist() == tested.tolist()
    assert result.metrics["top1"] == np.mean(expected == novel.bank.labels[tested].numpy())
    assert result.metrics["chance"] == pytest.approx(1 / 3)
    assert result.metrics["top1"] > 0.5


def test_a_test_side_of_exemplars_alone_is_an_error(bank: ClipBank) -> None:
    with pytest.raises(ValueError, match="no test clip is left"):
        exemplars(inputs_of(bank, [0, 1], [2, 3, 4]), None)


def test_the_protocol_is_that_of_ntu_120(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PROTOCOL_PLUGINS, "_registered", {})
    monkeypatch.delitem(sys.modules, "skelcon.data.oneshot", raising=False)
    load_plugins(["skelcon.data.oneshot"])
    monkeypatch.delitem(sys.modules, "skelcon.data.oneshot")
    names = [f"S018C001P008R001A{action:03}" for action in range(1, 121)]
    infos = [ClipInfo(name, label=0) for name in names]
    found = with_registered({}, infos)["oneshot"]
    assert (np.flatnonzero(found == 1) + 1).tolist() == list(NOVEL) == list(range(1, 116, 6))
    assert (found == 0).sum() == 100
    ntu60 = [ClipInfo(f"S001C001P008R001A{action:03}", label=0) for action in range(1, 61)]
    assert with_registered({}, ntu60) == {}
    assert with_registered({}, [*infos, ClipInfo("clip", label=0)]) == {}
    assert len(EXEMPLARS) == 20
    assert EXEMPLARS[:2] == ("S001C003P008R001A001", "S001C003P008R001A007")
    assert EXEMPLARS[9:11] == ("S001C003P008R001A055", "S018C003P008R001A061")
    assert EXEMPLARS[-1] == "S018C003P008R001A115"
