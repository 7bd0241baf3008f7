"""Standardised differences: d and g from means, tests and other effect sizes."""

from collections.abc import Callable

import numpy as np
from scipy import stats

from alliance_stats.effect_sizes import hedges_correction
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.evidence.printed.mean_relations import (
    GROUPS,
    MOMENTS,
    change_sd,
    difference,
    over,
    pooled_df,
    pooled_sd,
    size,
)
from alliance_stats.evidence.printed.relation import (
    Box,
    Image,
    Interval,
    Relation,
    Setting,
    corners,
    loosened,
    magnitude,
    point,
    quotient,
)

__all__ = ["RELATIONS"]

_COHEN = "Cohen 1988, doi:10.4324/9780203771587"
_HEDGES = "Hedges 1981, doi:10.3102/10769986006002107"
_GLASS = "Glass 1976, doi:10.3102/0013189X005010003"
_ROSENTHAL = "Rosenthal 1994, in Cooper & Hedges, The handbook of research synthesis"
_BORENSTEIN = "Borenstein et al. 2009, doi:10.1002/9780470743386, ch. 7"


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


def approximate_correction(df: float) -> float:
    """Return 1 - 3 / (4 df - 1)."""
    return 1.0 - 3.0 / (4.0 * df - 1.0)


def _g(correction: Callable[[float], float]) -> Image:
    def image(box: Box, setting: Setting) -> Interval:
        shrink = correction(pooled_df(box).low)
        return corners(lambda d: d * shrink, over(pooled_sd)(box, setting))

    return image


def _g_from_d(correction: Callable[[float], float]) -> Image:
    def image(box: Box, _: Setting) -> Interval:
        shrink = correction(pooled_df(box).low)
        return corners(lambda d: d * shrink, box["d"])

    return image


def _average_sd(box: Box) -> Interval:
    return corners(lambda s1, s2: np.sqrt((s1**2 + s2**2) / 2.0), box["sd1"], box["sd2"])


def _d_from_t(box: Box, _: Setting) -> Interval:
    root = np.sqrt(1.0 / size(box, "n1") + 1.0 / size(box, "n2"))
    return corners(lambda t: t * root, box["t"])


# Welch's t divides by another SD than d does; SDs are taken to differ up to so many times.
_SD_RATIO = 4.0


def _d_from_welch_t(box: Box, setting: Setting, kind: int = 0) -> Interval:
    """Return d for a Welch t, by the pooled or (1) the average SD; monotone in the SDs' ratio."""
    n1, n2 = size(box, "n1"), size(box, "n2")
    if n1 == n2:
        raise NotIdentifiedError("Welch's t is the pooled one")
    ratio = Interval(1.0 / _SD_RATIO, _SD_RATIO)
    if {"sd1", "sd2"} <= set(box):
        ratio = quotient(box["sd1"], box["sd2"])

    def factors(times: float) -> tuple[float, float]:
        # squares of a ratio without bound would overflow: they are bounded where nothing changes
        square = min(times, 1e6) ** 2
        pooled = ((n1 - 1) * square + n2 - 1) / (n1 + n2 - 2)
        plain = (square / n1 + 1 / n2) / (1 / n1 + 1 / n2)
        average = (square + 1) / 2
        return float(np.sqrt(plain / pooled)), float(np.sqrt(plain / average))

    found = [factors(end)[kind] for end in (ratio.low, ratio.high)]
    by = Interval(min(found), max(found))
    return corners(lambda d, times: d * times, _d_from_t(box, setting), by)


def _d_of_a_model(box: Box, setting: Setting) -> Interval:
    """Return d beside a t whose standard error is at most three times that of plain groups."""
    return corners(lambda d, by: d * by, _d_from_t(box, setting), Interval(1.0 / 3.0, 3.0))


def _d_of_adjusted_means(box: Box, setting: Setting) -> Interval:
    """Return d of means adjusted for covariates: the test has fewer df than groups compared."""
    df = next((box[name] for name in ("df2", "df") if name in box), None)
    if df is None or ("df1" in box and not box["df1"].meets(point(1.0))):
        raise NotIdentifiedError("no test with covariates is printed")
    if {"n1", "n2"} <= set(box) and df.high >= pooled_df(box).low:
        raise NotIdentifiedError("the df are those of two groups compared as they are")
    most = magnitude(over(_average_sd)(box, setting)).high + _MOST_ADJUSTED
    return Interval(-most, most)


_MOST_ADJUSTED = 1.0  # SDs by which covariates may move a difference
_ADJUSTED_MEANS = "d is that of means adjusted for covariates"


def _signed(found: Interval, box: Box) -> Interval:
    """Give a size the sign of the printed d: F, chi-squared and p have none."""
    return found if "d" not in box or box["d"].high > 0.0 else Interval(-found.high, -found.low)


def _d_of_t_df(more: float) -> Image:
    return lambda box, _: corners(lambda t, df: 2.0 * t / np.sqrt(df + more), box["t"], box["df"])


def _d_of_f(more: float) -> Image:
    def image(box: Box, _: Setting) -> Interval:
        if not box["df1"].meets(point(1.0)):
            raise NotIdentifiedError("F compares more than two groups")
        return _signed(
            corners(lambda f, df: 2.0 * np.sqrt(f / (df + more)), box["f"], box["df2"]), box
        )

    return image


def _d_of_chi2(box: Box, _: Setting) -> Interval:
    n = size(box, "n")
    share = corners(lambda x: min(x / n, 1.0), box["chi2"])
    return _signed(corners(lambda s: 2.0 * np.sqrt(s / (1.0 - s)), share), box)


def _d_of_p(box: Box, setting: Setting) -> Interval:
    df = pooled_df(box).low
    tail = 2.0 if setting.tails == "two" else 1.0
    root = np.sqrt(1.0 / size(box, "n1") + 1.0 / size(box, "n2"))
    found = corners(lambda p: abs(stats.t.isf(p / tail, df)) * root, box["p_value"])
    return _signed(Interval(max(found.low, 0.0), found.high), box)


def _from_tests() -> tuple[Relation, ...]:
    """Return d from a test; without the groups' sizes they are taken to be equal."""
    sizes, alike = ("n1", "n2"), "the groups are of unequal size, or pairs"
    by_t = Relation("d_t", "d", ("t", *sizes), _d_from_t, "d = t sqrt(1/n1 + 1/n2)", _COHEN, "d t")
    firm = (
        Relation("d_t_df", "d", ("t", "df"), _d_of_t_df(2.0),
                 "d = 2 t / sqrt(df + 2) for groups of equal size", _COHEN, "d t", unless=sizes),
        Relation("d_f", "d", ("f", "df1", "df2"), _d_of_f(2.0),
                 "d = 2 sqrt(F / (df2 + 2)) for two groups of equal size", _COHEN, "d f",
                 unless=sizes),
        Relation("d_chi2", "d", ("chi2", "n"), _d_of_chi2,
                 "d = 2 sqrt(chi2 / (n - chi2))", _ROSENTHAL, "d chi2"),
        Relation("d_p", "d", ("p_value", *sizes), _d_of_p,
                 "d = t sqrt(1/n1 + 1/n2), t from the printed p", _ROSENTHAL, "d p",
                 unless=("t", "mean1")),
    )  # fmt: skip
    rosenthal = (
        Relation("d_t_df_rosenthal", "d", ("t", "df"), _d_of_t_df(0.0), "d = 2 t / sqrt(df)",
                 _ROSENTHAL, "d t", unless=sizes),
        Relation("d_f_rosenthal", "d", ("f", "df1", "df2"), _d_of_f(0.0), "d = 2 sqrt(F / df2)",
                 _ROSENTHAL, "d f", unless=sizes),
    )  # fmt: skip
    return (
        by_t,
        loosened(by_t, _d_from_welch_t, "t is Welch's, and the SDs differ", name="d_welch_t"),
        loosened(
            by_t,
            lambda box, setting: _d_from_welch_t(box, setting, 1),
            "t is Welch's, and d is in units of the average SD",
            name="d_average_welch_t",
        ),
        loosened(
            by_t,
            _d_of_a_model,
            "t is that of a model with clusters or covariates",
            name="d_t_of_a_model",
            also=("estimate",),
            is_exception=True,
        ),
        *firm,
        *rosenthal,
        *(_open(r, alike) for r in firm),
    )


_LINE = Interval(-np.inf, np.inf)


def _open(firm: Relation, said: str, image: Image | None = None) -> Relation:
    """Return a relation under which every value is possible, for the reason said."""
    return loosened(
        firm,
        image or (lambda box, setting: _LINE),  # noqa: ARG005
        said,
        name=f"{firm.name}_open",
        unless=firm.unless,
    )


def _beyond(firm: Relation, *, outwards: bool) -> Relation:
    """Return the reading that groups are unequal.

    d is then further from 0 than ``2 r / sqrt(1 - r^2)``, and r nearer to it.
    """

    def image(box: Box, setting: Setting) -> Interval:
        if {"n1", "n2"} <= set(box):
            raise NotIdentifiedError("the groups' sizes are printed")
        found = firm.image(box, setting)
        if not outwards:
            return Interval(min(found.low, 0.0), max(found.high, 0.0))
        return Interval(
            found.low if found.low > 0.0 else -np.inf, found.high if found.high < 0.0 else np.inf
        )

    return loosened(firm, image, _UNEQUAL, name=f"{firm.name}_unequal")


def _by_some_sd(box: Box, _: Setting) -> Interval:
    """Return d by an SD between those of the groups, corrected for small samples or not."""
    if {"n1", "n2"} <= set(box):
        raise NotIdentifiedError("the pooled SD follows from the groups' sizes")
    ends = [box[name] for name in ("sd1", "sd2")]
    sd = Interval(min(end.low for end in ends), max(end.high for end in ends))
    return corners(lambda d, j: d * j, quotient(difference(box), sd), Interval(0.9, 1.0))


def _by_change(box: Box, _: Setting) -> Interval:
    """Return d by the SD of change, whose size is open where the correlation is not printed."""
    gap = difference(box)
    return Interval(-np.inf if gap.low < 0.0 else 0.0, np.inf if gap.high > 0.0 else 0.0)


_UNEQUAL = "the groups are of unequal size, which is not printed"
_TWO_EFFECTS = "the two are other effects, or one was converted in another way"
_EQUAL, _SIZED = "for groups of equal size", "for groups of n1 and n2"
_CHINN = "Chinn 2000, doi:10.1002/1097-0258(20001130)19:22<3127::AID-SIM784>3.0.CO;2-M"
_D_R = Relation(
    "d_r", "d", ("r",), lambda box, _: _to_d(box["r"], point(4.0)),
    f"d = 2 r / sqrt(1 - r^2) {_EQUAL}", _BORENSTEIN, "d r",
)  # fmt: skip
_R_D = Relation(
    "r_d", "r", ("d",), lambda box, _: _to_r(box["d"], point(4.0)),
    f"r = d / sqrt(d^2 + 4) {_EQUAL}", _BORENSTEIN, "d r",
)  # fmt: skip
_D_OR = Relation(
    "d_odds_ratio", "d", ("odds_ratio",),
    lambda box, _: corners(lambda ratio: np.log(ratio) * np.sqrt(3.0) / np.pi, box["odds_ratio"]),
    "d = ln(OR) sqrt(3) / pi", _CHINN, "d or",
)  # fmt: skip
_OR_D = Relation(
    "odds_ratio_d", "odds_ratio", ("d",),
    lambda box, _: corners(lambda d: np.exp(d * np.pi / np.sqrt(3.0)), box["d"]),
    "OR = exp(d pi / sqrt(3))", _CHINN, "d or",
)  # fmt: skip
_CONVERSIONS: tuple[Relation, ...] = (
    _D_R,
    _R_D,
    _beyond(_D_R, outwards=True),
    _beyond(_R_D, outwards=False),
    Relation("d_r_sized", "d", ("r", "n1", "n2"),
             lambda box, _: _to_d(box["r"], _groups_factor(box)),
             f"d = r sqrt(a) / sqrt(1 - r^2) {_SIZED}, a = (n1 + n2)^2 / (n1 n2)", _BORENSTEIN,
             "d r"),
    Relation("r_d_sized", "r", ("d", "n1", "n2"),
             lambda box, _: _to_r(box["d"], _groups_factor(box)),
             f"r = d / sqrt(d^2 + a) {_SIZED}, a = (n1 + n2)^2 / (n1 n2)", _BORENSTEIN, "d r"),
    _D_OR,
    _OR_D,
    _open(_D_OR, _TWO_EFFECTS),
    _open(_OR_D, _TWO_EFFECTS),
)  # fmt: skip


def _corrected(correction: Callable[[float], float]) -> Image:
    def image(box: Box, _: Setting) -> Interval:
        low, high = box["df"].low, box["df"].high
        if low < 1.0:
            raise NotIdentifiedError("no degrees of freedom are left")
        shrink = Interval(*sorted((correction(low), correction(high))))
        return corners(lambda d, by: d * by, box["d"], shrink)

    return image


def _corrected_less(box: Box, setting: Setting) -> Interval:
    shrunk = _corrected(hedges_correction)(box, setting)
    ends = (shrunk.low, shrunk.high, box["d"].low, box["d"].high)
    return Interval(min(ends), max(ends))


_G_D_DF = Relation(
    "g_d_df", "g", ("d", "df"), _corrected(hedges_correction), "g = J(df) d", _HEDGES, path="g d"
)


def _over_sd(name: str) -> Image:
    return lambda box, _: quotient(difference(box), box[name])


_D_AVERAGE = Relation(
    "d_average_sd", "d", MOMENTS, over(_average_sd), "d = (M1 - M2) / sqrt((s1^2 + s2^2) / 2)",
    _COHEN, path="d means",
)  # fmt: skip

RELATIONS: tuple[Relation, ...] = (
    Relation("d_pooled", "d", GROUPS, over(pooled_sd), "d = (M1 - M2) / sp", _COHEN,
             path="d means"),
    _D_AVERAGE,
    *(
        loosened(_D_AVERAGE, _d_of_adjusted_means, _ADJUSTED_MEANS, name=f"d_adjusted_{df}",
                 also=(df,), is_exception=True)
        for df in ("df", "df2")
    ),
    loosened(_D_AVERAGE, _by_some_sd, "the SD is pooled over groups whose sizes are not printed",
             name="d_some_sd"),
    loosened(_D_AVERAGE, _by_change, "it is in units of the SD of change", name="d_some_change",
             unless=("n1", "n2", "r_paired")),
    Relation("d_sd1", "d", MOMENTS, _over_sd("sd1"), "d = (M1 - M2) / s1", _GLASS, path="d means"),
    Relation("d_sd2", "d", MOMENTS, _over_sd("sd2"), "d = (M1 - M2) / s2", _GLASS, path="d means"),
    Relation("d_corrected", "d", GROUPS, _g(hedges_correction), "d = J(df) (M1 - M2) / sp",
             _HEDGES, path="d means"),
    Relation("d_change", "d", (*MOMENTS, "r_paired"), over(change_sd),
             "d = (M1 - M2) / SD of change", _COHEN, path="d means"),
    *_from_tests(),
    *(
        Relation(f"{name}_{law}", "g", inputs, image, f"g = {correction} {what}", _HEDGES, path)
        for name, inputs, what, path, make in (
            ("g_means", GROUPS, "(M1 - M2) / sp", "g means", _g),
            ("g_d", ("d", "n1", "n2"), "d", "g d", _g_from_d),
            ("g_d_df", ("d", "df"), "d", "g d", _corrected),
        )
        for law, correction, image in (
            ("exact", "J(df)", make(hedges_correction)),
            ("approximate", "(1 - 3/(4 df - 1))", make(approximate_correction)),
        )
    ),
    loosened(
        _G_D_DF, _corrected_less, "df are not those of the pooled SD", name="g_d_df_other",
        unless=("n1", "n2"),
    ),
    *_CONVERSIONS,
)  # fmt: skip
