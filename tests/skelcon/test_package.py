import subprocess
import sys

import pytest

import skelcon
from skelcon import errors
from skelcon.downstream import embed
from skelcon.presets import preset
from skelcon.pretrain import load_encoder


def test_the_package_offers_a_trained_encoder_and_its_features():
    assert skelcon.load_encoder is load_encoder
    assert skelcon.embed is embed
    assert skelcon.preset is preset
    with pytest.raises(AttributeError, match="'skelcon' has no attribute 'loadencoder'"):
        _ = skelcon.loadencoder


def test_importing_the_package_does_not_import_torch():
    program = "import sys, skelcon; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_hint_names_the_nearest_or_the_valid():
    names = [f"clip {i:03}" for i in range(50)]
    assert errors.nearest("clp 047", names) == "did you mean 'clip 047'?"
    assert errors.nearest("?", ["b", "a"]) == "valid: a, b"
    hint = errors.nearest("?", names)
    assert hint.startswith("valid: clip 000, clip 001, ")
    assert hint.endswith("clip 029, and 20 more")
