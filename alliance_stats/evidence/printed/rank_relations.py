"""Effect sizes of rank tests and rank correlations, printed as r."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from alliance_stats.evidence.printed.relation import (
    Box,
    Image,
    Interval,
    Relation,
    Setting,
    corners,
    loosened,
    no_df,
    p_relations,
)

__all__ = ["rank_alternatives"]

_RANKS = "r is the effect size z / sqrt(n) of a rank test (Rosenthal 1991)"
_RANKED_PAIRS = "r is the effect size z / sqrt(2 n) of a signed-rank test of n pairs"
_KENDALL = "r is Kendall's tau"
# Where ties are many, z of tau is smaller: for a 2 x 2 table it is sqrt(n) tau, two thirds of what
# it is without ties. An exact p of few persons is that of a z a tenth away.
_TIED = Interval(2.0 / 3.0 / 1.1, 1.1)


def _without_sign(size: Interval, box: Box) -> Interval:
    """Give a size the sign of the printed z: papers drop that of the effect size."""
    return Interval(-size.high, -size.low) if "z" in box and box["z"].high < 0.0 else size


def _z_of_size(root: Callable[[float], float]) -> Image:
    def image(box: Box, _: Setting) -> Interval:
        found = corners(lambda r, n: abs(r) * root(n), box["r"], box["n"], turns=((0.0,), ()))
        return _without_sign(found, box)

    return image


def _z_of_tau(box: Box, _: Setting) -> Interval:
    """Return z = S / SD(S) of Kendall's tau, 3 tau sqrt(n (n - 1) / (2 (2 n + 5))) without ties."""
    return corners(
        lambda tau, n, by: by * 3.0 * tau * np.sqrt(n * (n - 1.0) / (2.0 * (2.0 * n + 5.0))),
        box["r"],
        box["n"],
        _TIED,
    )


def rank_alternatives(z_of_r: Relation, p_of_r: Sequence[Relation]) -> tuple[Relation, ...]:
    """Return what z, and the p of an r, may be where r comes from ranks.

    Parameters
    ----------
    z_of_r
        The relation that yields the z of Pearson's r.
    p_of_r
        The relations that yield its p and stars.
    """
    found: list[Relation] = []
    for image, said, name, p_beside in (
        (_z_of_size(np.sqrt), _RANKS, "ranks", ()),
        (_z_of_size(lambda n: np.sqrt(2.0 * n)), _RANKED_PAIRS, "ranked_pairs", ("mean1",)),
        (_z_of_tau, _KENDALL, "tau", None),
    ):
        by_z, _ = p_relations(replace(z_of_r, image=image), name="", df=no_df)
        found.append(loosened(z_of_r, image, said, name=f"z_r_{name}", is_exception=True))
        if p_beside is None:  # without its z it would let too many p pass
            continue
        found += [
            loosened(r, by_z.image, said, name=f"{r.name}_{name}", also=p_beside, is_exception=True)
            for r in p_of_r
        ]
    return tuple(found)
