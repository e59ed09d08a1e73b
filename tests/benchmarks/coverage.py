"""How often intervals hold the truth and chance is called a difference: the long simulation.

    python tests/benchmarks/coverage.py [--tables 10000]

Made-up evaluations (tests/ablation/statistics/statistics_helpers.py), in which seeds, groups of
test clips and clips are sources of variance, against the truth that they were drawn from. Beside it
the percentile interval of a hierarchical bootstrap (seeds, then groups, then clips within them), on
fewer tables as it is slow.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "ablation" / "statistics"))
from statistics_helpers import TRUTH, WORLDS, World, coverage

DRAWS = 200


def bootstrap_coverage(world: World, tables: int) -> float:
    """The share of percentile intervals that hold the truth."""
    rng, held = np.random.default_rng(1), []
    for hits, groups in world.tables(tables):
        members = [np.flatnonzero(groups == group) for group in range(world.groups)]
        means = [_resampled(hits, members, rng) for _ in range(DRAWS)]
        low, high = np.quantile(means, [0.025, 0.975])
        held.append(low <= TRUTH <= high)
    return float(np.mean(held))


def _resampled(
    hits: NDArray[np.float64], members: list[NDArray[np.int64]], rng: np.random.Generator
) -> float:
    seeds = rng.integers(0, len(hits), len(hits))
    groups = rng.integers(0, len(members), len(members))
    clips = np.concatenate([rng.choice(members[g], len(members[g])) for g in groups])
    return float(hits[np.ix_(seeds, clips)].mean())


def main() -> None:
    """Print a line for each world."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=int, default=10_000, help="made-up evaluations a line")
    tables = parser.parse_args().tables
    print(f"{'shares of ' + str(tables) + ' tables':<44} interval   p < 5 %   p < 1 %  bootstrap")
    for world in WORLDS:
        found = coverage(world, tables)
        resampled = bootstrap_coverage(world, max(tables // 10, 20))
        shares = (*found, resampled)
        print(f"{world!s:<44}" + "".join(f"{100 * share:8.1f} %" for share in shares), flush=True)


if __name__ == "__main__":
    main()
