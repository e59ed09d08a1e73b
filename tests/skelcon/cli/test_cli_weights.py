import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from skelcon import embed, load_encoder
from skelcon.cli.program import main
from skelcon.data import KINECT_V2, SkeletonDataset, split, synthetic
from skelcon.encoders import AGCNConfig, BiGRUConfig, Encoder, EncodersConfig
from skelcon.pretrain.foreign import SOURCES
from skelcon.pretrain.weights import save_encoders

SMALL = EncodersConfig(
    stg=AGCNConfig(channels=(4,), strides=(2,)), seq=BiGRUConfig(hidden=4, layers=1), frames=16
)
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command as its user runs it: exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["skelcon", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        return (int(caught.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def weights(dataset: SkeletonDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the weights of two encoders."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("unit")
    encoders = {name: Encoder(name, SMALL, dataset.layout, 2) for name in ("stg", "seq")}
    save_encoders(folder / "weights.safetensors", encoders, SMALL, dataset.layout, 2)
    return folder


def test_embed_writes_all_clips_without_pickles(
    run: Run, weights: Path, dataset: SkeletonDataset, tmp_path: Path
):
    out = tmp_path / "new" / "features.npz"
    code, shown, _ = run("embed", weights, out, "--data", dataset.path, "--representation", "seq")
    assert code == 0
    assert f"{len(dataset)} clips, 8 features each" in shown
    assert list(out.parent.iterdir()) == [out]
    with np.load(out, allow_pickle=False) as arrays:
        assert set(arrays) == {"features", "labels", "clip_names", "class_names"}
        expected = embed(load_encoder(weights, "seq"), dataset)
        np.testing.assert_allclose(arrays["features"], expected, atol=1e-6)
        np.testing.assert_array_equal(arrays["labels"], dataset.labels)
        assert tuple(arrays["clip_names"]) == dataset.clip_names
        assert tuple(arrays["class_names"]) == dataset.class_names


def test_embed_adds_the_sides_of_a_protocol_and_replaces_an_older_file(
    run: Run, weights: Path, dataset: SkeletonDataset, tmp_path: Path
):
    out = tmp_path / "features.npz"
    out.write_bytes(b"older")
    arguments = ("--data", dataset.path, "--representation", "stg", "--protocol", "cross_subject")
    assert run("embed", weights, out, *arguments)[0] == 0
    with np.load(out, allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["split"], dataset.splits["xsub"])


def test_without_data_the_embedded_clips_are_used(
    run: Run,
    weights: Path,
    dataset: SkeletonDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(synthetic, "open_embedded", lambda _: dataset)
    assert run("embed", weights, tmp_path / "a.npz", "--representation", "seq")[0] == 0
    with np.load(tmp_path / "a.npz") as arrays:
        assert len(arrays["features"]) == len(dataset)


@pytest.mark.parametrize("query", [5, 4], ids=["a test clip", "a training clip"])
def test_retrieve_finds_the_nearest_training_clips(
    run: Run, weights: Path, dataset: SkeletonDataset, query: int
):
    assert dataset.splits["xsub"][[5, 4]].tolist() == [1, 0]
    features = embed(load_encoder(weights, "seq"), dataset).astype(np.float64)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    gallery = [int(i) for i in split(dataset, "xsub", "train") if i != query]
    cosine = features @ features[query]
    expected = sorted(gallery, key=lambda i: -cosine[i])[:3]
    arguments = ("retrieve", weights, "--data", dataset.path, "--query", f"clip {query}", "-k", 3)
    code, shown, _ = run(*arguments, "--representation", "seq", "--json")
    assert code == 0
    answer = json.loads(shown)
    found = answer.pop("nearest")
    asked = {"clip": f"clip {query}", "class": f"class {query % 4}"}
    assert answer == {"query": asked, "representation": "seq", "protocol": "xsub"}
    assert [each["clip"] for each in found] == [f"clip {i}" for i in expected]
    assert [each["class"] for each in found] == [f"class {i % 4}" for i in expected]
    assert [each["cosine"] for each in found] == pytest.approx(cosine[expected], abs=1e-5)

    code, shown, _ = run(*arguments, "--representation", "seq")
    heading, *rows = shown.splitlines()
    assert heading.startswith(f"clip {query} (class {query % 4}): the nearest of {len(gallery)} ")
    assert [row.split()[:3] for row in rows] == [
        [f"{each['cosine']:.4f}", *each["clip"].split()] for each in found
    ]


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["embed", "{weights}", "{tmp}/a.npz"], "several representations: choose one of stg, seq"),
        (["embed", "{weights}", "{tmp}/a.npz", "--representation", "img"], "valid: seq, stg"),
        (["embed", "{tmp}", "{tmp}/a.npz"], "no weights at"),
        (["embed", "{weights}", "{tmp}/a.txt", "--representation", "seq"], "must be a file"),
        (
            ["embed", "{weights}", "{tmp}/a.npz", "--representation", "seq", "--protocol", "xveiw"],
            "did you mean 'xview'",
        ),
        (["embed", "{weights}", "{tmp}/file/a.npz", "--representation", "seq"], "cannot write"),
        (
            ["retrieve", "{weights}", "--representation", "seq", "--query", "clp 3"],
            "has no clip 'clp 3': did you mean 'clip 3'",
        ),
        (
            [
                "retrieve",
                "{weights}",
                "--representation",
                "seq",
                "--query",
                "clip 3",
                "--protocol",
                "xview",
            ],
            "it has: xsub",
        ),
        (["retrieve", "{weights}", "--representation", "seq", "--query", "x", "-k", "0"], "-k"),
        (["import-weights", "{tmp}/no.pth.tar", "{tmp}/a.safetensors"], "no checkpoint at"),
        (["import-weights", "{tmp}/file", "{tmp}/file"], "a file that ends in .safetensors"),
    ],
)
def test_a_mistake_is_one_clear_line_and_writes_nothing(
    run: Run,
    arguments: list[str],
    shown: str,
    weights: Path,
    dataset: SkeletonDataset,
    tmp_path: Path,
):
    (tmp_path / "file").write_text("mine")
    filled = [each.format(weights=weights, tmp=tmp_path) for each in arguments]
    if filled[0] != "import-weights":
        filled += ["--data", str(dataset.path)]
    code, out, error = run(*filled)
    assert code == 2
    assert shown in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


def test_import_weights_prints_what_it_wrote(run: Run, tmp_path: Path):
    torch.manual_seed(0)
    gru = torch.nn.GRU(150, 4, 1, bidirectional=True)
    state = {f"encoder_q.encoder.gru.{name}": value for name, value in gru.state_dict().items()}
    state |= {"encoder_q.fc.weight": torch.ones(6, 8), "encoder_q.fc.bias": torch.ones(6)}
    torch.save({"epoch": 1, "state_dict": state}, tmp_path / "a.pth.tar")
    out = tmp_path / "new" / "a.safetensors"
    code, shown, _ = run("import-weights", tmp_path / "a.pth.tar", out, "--frames", 32)
    assert code == 0
    assert shown == "seq: 8 features of views of 2 bodies, 32 frames, 25 joints\n"
    encoder = load_encoder(out)
    assert (encoder.frames, encoder.layout) == (32, KINECT_V2)
    assert torch.equal(encoder.network.gru.weight_hh_l0, gru.weight_hh_l0)


def test_import_weights_prints_which_clips_a_source_uses(run: Run, tmp_path: Path):
    shapes = {
        "joints_embed.proj": (8, 3, 4, 1),
        "norm": (8,),
        "blocks.0.norm1": (8,),
        "blocks.0.norm2": (8,),
        "blocks.0.attn.qkv": (24, 8),
        "blocks.0.attn.proj": (8, 8),
        "blocks.0.mlp.fc1": (16, 8),
        "blocks.0.mlp.fc2": (8, 16),
    }
    state = {f"{name}.weight": torch.ones(shape) for name, shape in shapes.items()}
    state |= {f"{name}.bias": torch.ones(shape[:1]) for name, shape in shapes.items()}
    state |= {"pos_embed": torch.ones(1, 1, 25, 8), "temp_embed": torch.ones(1, 6, 1, 8)}
    torch.save({"model": state, "epoch": 399}, tmp_path / "a.pth")
    out = tmp_path / "a.safetensors"
    code, shown, _ = run("import-weights", tmp_path / "a.pth", out, "--from", "mamp")
    assert code == 0
    first, second = shown.splitlines()
    assert first == "stg: 8 features of views of 2 bodies, 24 frames, 25 joints"
    assert second.startswith("MAMP was trained on these clips: CTR-GCN npz")
    code, _, error = run("import-weights", tmp_path / "a.pth", out, "--from", "cmd")
    assert code == 2
    assert "is a checkpoint of MAMP, not of CMD: --from mamp" in error


def test_the_help_of_import_weights_names_the_sources(run: Run):
    _, shown, _ = run("import-weights", "--help")
    assert all(name in shown for name in SOURCES if name != "usdrl")
