"""Which clips keep their label: balanced, reproducible and nested subsets."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skelcon.downstream import labelled_subset

PROPERTY = settings(max_examples=60, deadline=None, derandomize=True)


@PROPERTY
@given(
    labels=st.lists(st.integers(0, 6), min_size=1, max_size=80),
    shares=st.tuples(st.floats(0.001, 1.0), st.floats(0.001, 1.0)),
    seed=st.integers(0, 2**31),
    number=st.integers(0, 9),
)
def test_a_subset_is_balanced_reproducible_and_nested(
    labels: list[int], shares: tuple[float, float], seed: int, number: int
):
    classes = torch.tensor(labels)
    small, large = (labelled_subset(classes, share, seed, number) for share in sorted(shares))
    for share, subset in zip(sorted(shares), (small, large), strict=True):
        assert subset.tolist() == sorted(set(subset.tolist()))
        for label in set(labels):
            kept = int((classes[subset] == label).sum())
            assert kept == max(1, round(share * labels.count(label)))
        torch.rand(3)  # whatever the state of the global generator
        assert torch.equal(subset, labelled_subset(classes, share, seed, number))
    assert set(small.tolist()) <= set(large.tolist())
    assert labelled_subset(classes, 1.0, seed, number).tolist() == list(range(len(labels)))


def test_every_clip_of_a_class_is_as_likely():
    labels = torch.tensor([0] * 10 + [1] * 4)
    draws = [labelled_subset(labels, 0.25, 0, number) for number in range(2000)]
    counts = torch.bincount(torch.cat(draws), minlength=14)
    assert counts.sum() == 2000 * 3
    expected = torch.tensor([2000 * 2 / 10] * 10 + [2000 / 4] * 4)
    # About five standard deviations of a binomial.
    assert ((counts - expected).abs() < 5 * expected.sqrt()).all()
