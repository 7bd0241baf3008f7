"""The same effect as a correlation, a standardised mean difference or an odds ratio."""

import numpy as np

from alliance_stats.evidence.catalogue.core import Box, Relation, Setting
from alliance_stats.evidence.intervals import Interval, corners, point

__all__ = ["RELATIONS"]

_STUDENT = "Student 1908, doi:10.1093/biomet/6.2-3.302"
_BORENSTEIN = "Borenstein et al. 2009, doi:10.1002/9780470743386, ch. 7"


def _r_of_t(box: Box, _: Setting) -> Interval:
    return corners(lambda t, df: t / np.hypot(t, np.sqrt(df)), box["t"], box["df"])


def _groups_factor(box: Box) -> Interval:
    """Return a = (n1 + n2)^2 / (n1 n2), which is least where the groups are equal."""
    return corners(
        lambda n1, n2: (n1 + n2) ** 2 / (n1 * n2),
        box["n1"],
        box["n2"],
        turns=((box["n2"].low,), (box["n1"].low,)),
    )


def _to_d(r: Interval, a: Interval) -> Interval:
    return corners(lambda x, factor: x * np.sqrt(factor) / np.sqrt(1.0 - x * x), r, a)


def _to_r(d: Interval, a: Interval) -> Interval:
    return corners(lambda x, factor: x / np.hypot(x, np.sqrt(factor)), d, a)


def _d_of_r(box: Box, _: Setting) -> Interval:
    return _to_d(box["r"], point(4.0))


def _r_of_d(box: Box, _: Setting) -> Interval:
    return _to_r(box["d"], point(4.0))


def _d_of_r_sized(box: Box, _: Setting) -> Interval:
    return _to_d(box["r"], _groups_factor(box))


def _r_of_d_sized(box: Box, _: Setting) -> Interval:
    return _to_r(box["d"], _groups_factor(box))


def _d_of_odds_ratio(box: Box, _: Setting) -> Interval:
    return corners(lambda ratio: np.log(ratio) * np.sqrt(3.0) / np.pi, box["odds_ratio"])


def _odds_ratio_of_d(box: Box, _: Setting) -> Interval:
    return corners(lambda d: np.exp(d * np.pi / np.sqrt(3.0)), box["d"])


_EQUAL, _SIZED = "for groups of equal size", "for groups of n1 and n2"
_CHINN = "Chinn 2000, doi:10.1002/1097-0258(20001130)19:22<3127::AID-SIM784>3.0.CO;2-M"
RELATIONS: tuple[Relation, ...] = (
    Relation("d_r", "d", ("r",), _d_of_r,
             f"d = 2 r / sqrt(1 - r^2) {_EQUAL}", _BORENSTEIN, "d r"),
    Relation("r_d", "r", ("d",), _r_of_d,
             f"r = d / sqrt(d^2 + 4) {_EQUAL}", _BORENSTEIN, "d r"),
    Relation("d_r_sized", "d", ("r", "n1", "n2"), _d_of_r_sized,
             f"d = r sqrt(a) / sqrt(1 - r^2) {_SIZED}, a = (n1 + n2)^2 / (n1 n2)", _BORENSTEIN,
             "d r"),
    Relation("r_d_sized", "r", ("d", "n1", "n2"), _r_of_d_sized,
             f"r = d / sqrt(d^2 + a) {_SIZED}, a = (n1 + n2)^2 / (n1 n2)", _BORENSTEIN, "d r"),
    Relation("d_odds_ratio", "d", ("odds_ratio",), _d_of_odds_ratio,
             "d = ln(OR) sqrt(3) / pi", _CHINN, "d or"),
    Relation("odds_ratio_d", "odds_ratio", ("d",), _odds_ratio_of_d,
             "OR = exp(d pi / sqrt(3))", _CHINN, "d or"),
    Relation("r_t", "r", ("t", "df"), _r_of_t, "r = t / sqrt(t^2 + df)", _STUDENT, "r t"),
)  # fmt: skip
