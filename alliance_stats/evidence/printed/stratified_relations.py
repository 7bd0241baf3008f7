"""Odds ratios and chi-squared over strata, or with half a case added, beside the counts of all.

A test over strata (Mantel-Haenszel) or one with covariates stands in papers beside the counts of
all persons, from which it does not follow. Such a row is right only if that was done.
"""

from dataclasses import replace

import numpy as np

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.evidence.printed import count_relations
from alliance_stats.evidence.printed.count_relations import Cells, cells_of_box, pearson
from alliance_stats.evidence.printed.relation import (
    Box,
    Interval,
    Relation,
    Setting,
    loosened,
    point,
)
from alliance_stats.evidence.printed.statistic_relations import chi2_tail

__all__ = ["RELATIONS"]

_OVER_STRATA = "the test was made over strata (Mantel-Haenszel) or with covariates"
_HALF_ADDED = "half a case was added to each cell"
# Strata or covariates are taken to move a statistic by at most so many standard errors.
_MOVED = 1.5


def _moved(cells: Cells) -> Interval:
    """Return chi-squared that is moved by strata."""
    low, high = (np.sqrt(pearson(cells, yates=yates)) for yates in (True, False))
    return Interval(max(low - _MOVED, 0.0) ** 2, (high + _MOVED) ** 2)


def _chi2_over_strata(box: Box, _: Setting) -> Interval:
    if not chi2_tail(box["chi2"], point(1.0)).meets(box["p_value"]):
        raise NotIdentifiedError("the printed p is not that of the printed chi-squared")
    return _moved(cells_of_box(box))


def _odds_ratio_over_strata(box: Box, _: Setting) -> Interval:
    cells = cells_of_box(box)
    plain = (point(pearson(cells, yates=yates)) for yates in (True, False))
    if any(box["chi2"].meets(own) for own in plain) or not box["chi2"].meets(_moved(cells)):
        raise NotIdentifiedError("chi-squared is not one over strata")
    a, b, c, d = cells
    if min(cells) == 0.0:
        raise NotIdentifiedError("an empty cell leaves the odds ratio without a standard error")
    error = np.sqrt(1 / a + 1 / b + 1 / c + 1 / d)
    middle = np.log(a * d / (b * c))
    ends = (float(np.exp(middle + side * _MOVED * error)) for side in (-1.0, 1.0))
    return Interval(*ends)


def _with_half_added(box: Box, _: Setting) -> Interval:
    a, b, c, d = (cell + 0.5 for cell in cells_of_box(box))
    return point(a * d / (b * c))


_OF_COUNTS = {relation.name: relation for relation in count_relations.RELATIONS}
_CRUDE, _CHI2 = _OF_COUNTS["odds_ratio_counts"], _OF_COUNTS["chi2_counts"]

RELATIONS: tuple[Relation, ...] = (
    replace(
        loosened(_CRUDE, _with_half_added, _HALF_ADDED, name="odds_ratio_half_added",
                 is_exception=True),
        source="Haldane 1956, doi:10.1111/j.1469-1809.1955.tb01285.x",
    ),
    *(
        replace(
            loosened(firm, image, _OVER_STRATA, name=f"{firm.name}_over_strata",
                     also=(shown,), is_exception=True),
            source="Mantel & Haenszel 1959, doi:10.1093/jnci/22.4.719",
        )
        for firm, image, shown in (
            (_CRUDE, _odds_ratio_over_strata, "chi2"),
            (_CHI2, _chi2_over_strata, "p_value"),
        )
    ),
)  # fmt: skip
