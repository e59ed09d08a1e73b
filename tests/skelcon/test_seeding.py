import hashlib

import pytest
import torch

from skelcon.seeding import derive, generator, seeded_globally


def test_a_stream_is_the_hash_of_its_seed_and_name():
    digest = hashlib.sha256(b"3/queues").hexdigest()
    assert derive(3, "queues") == int(digest[:16], 16) // 2
    streams = {derive(seed, name) for seed in range(20) for name in ("a", "b", "epoch 1")}
    assert len(streams) == 60
    assert all(0 <= stream < 2**63 for stream in streams)


def test_generators_of_one_name_agree():
    draws = [torch.rand(4, generator=generator(*key)) for key in ((1, "a"), (1, "a"), (1, "b"))]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_the_global_generator_is_seeded_inside_and_restored_after():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with seeded_globally(1, "dropout"):
        inside = torch.rand(4)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(inside, torch.rand(4, generator=generator(1, "dropout")))
    with pytest.raises(TypeError), seeded_globally(1, "dropout"):
        torch.rand(torch.rand(4))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_training_on_the_cpu_does_not_start_cuda(monkeypatch: pytest.MonkeyPatch):
    started: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_rng_state", started.append)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: None)
    with seeded_globally(1, "dropout"):
        pass
    assert started == []
