"""Test statistics: their p, their stars and their squares."""

import math
from dataclasses import replace

import numpy as np
from scipy import special, stats

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.evidence.printed.relation import (
    Box,
    Image,
    Interval,
    Relation,
    Setting,
    any_df,
    corners,
    loosened,
    point,
    stars_twin,
    tail_probability,
)
from alliance_stats.formatting import format_interval

__all__ = ["P_OF_CHI2", "P_OF_FOURFOLD", "P_OF_Z", "RELATIONS", "chi2_tail", "f_tail"]

_SOURCE = "distribution function"

# F's tail is not monotone in its degrees of freedom. A df printed with decimals is narrow, so the
# tail is smooth across it: this many places and this much to spare enclose what lies between.
_DF_PLACES = 33
_TO_SPARE = 1e-6


def _t(box: Box, setting: Setting) -> Interval:
    return tail_probability(box["t"], box["df"], setting.tails)


def _t_beside_f(box: Box, setting: Setting) -> Interval:
    return tail_probability(box["t"], box["df2"], setting.tails)


def _z(box: Box, setting: Setting) -> Interval:
    return tail_probability(box["z"], None, setting.tails)


def _places(df: Interval) -> np.ndarray:
    if df.high <= 0.0:
        raise NotIdentifiedError("no degrees of freedom are left")
    return np.unique(np.linspace(max(df.low, np.finfo(float).tiny), df.high, _DF_PLACES))


def f_tail(f: Interval, df1: Interval, df2: Interval) -> Interval:
    """Return the feasible set of ``P(F(df1, df2) > f)``."""
    grid1, grid2 = np.meshgrid(_places(df1), _places(df2))
    low = float(np.min(special.fdtrc(grid1, grid2, f.high)))
    high = float(np.max(special.fdtrc(grid1, grid2, f.low)))
    spare = 0.0 if grid1.size == 1 else _TO_SPARE
    return Interval(low * (1.0 - spare), min(1.0, high * (1.0 + spare)))


def _f(box: Box, _: Setting) -> Interval:
    return f_tail(box["f"], box["df1"], box["df2"])


_EPSILONS = 201


def _epsilons(box: Box) -> np.ndarray:
    """Return the corrections for non-sphericity that whole df allow, from 1 to the lower bound.

    The df of a within factor of m + 1 levels are multiples of m, those of its error too.
    """
    df1, df2 = box["df1"].low, box["df2"].low
    whole = all(df.low == df.high and df.low.is_integer() for df in (box["df1"], box["df2"]))
    levels = math.gcd(int(df1), int(df2)) if whole else 1
    if levels < _LEAST_WITHIN or ("n" in box and box["n"].meets(point(df1 + df2 + 1.0))):
        raise NotIdentifiedError("F is not one of repeated measures")
    return np.linspace(1.0 / levels, 1.0, _EPSILONS)


_LEAST_WITHIN = 2  # on one df within persons there is nothing to correct


def _corrected(box: Box) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return epsilon, and the least and greatest p under it."""
    epsilon = _epsilons(box)
    df1, df2 = epsilon * box["df1"].low, epsilon * box["df2"].low
    low, high = (special.fdtrc(df1, df2, f) for f in (box["f"].high, box["f"].low))
    return epsilon, low, high


def _f_corrected(box: Box, setting: Setting) -> Interval:  # noqa: ARG001
    _, low, high = _corrected(box)
    return Interval(float(low.min()), float(high.max()))


def _which_epsilon(box: Box, setting: Setting) -> str:  # noqa: ARG001
    epsilon, low, high = _corrected(box)
    p_value = box.get("p_value", box.get("stars", Interval(0.0, 1.0)))
    agree = epsilon[(high >= p_value.low) & (low <= p_value.high)]
    among = f", epsilon {format_interval(agree[0], agree[-1], 2)}" if len(agree) else ""
    return (
        "it does not follow from F on the printed df; it holds only if they were corrected for "
        f"non-sphericity (Greenhouse-Geisser, Huynh-Feldt or the lower bound{among})"
    )


def _f_rounded(box: Box, setting: Setting) -> Interval:  # noqa: ARG001
    """Return the p that corrected df allow which were rounded to the printed whole ones."""
    df1, df2 = box["df1"], box["df2"]
    if any(df.low != df.high or not df.low.is_integer() for df in (df1, df2)):
        raise NotIdentifiedError("the df were not printed as whole numbers")
    if "n" in box and box["n"].meets(point(df1.low + df2.low + 1.0)):
        raise NotIdentifiedError("F is not one of repeated measures")
    first, second = (Interval(max(1.0, df.low - 0.5), df.low + 0.5) for df in (df1, df2))
    return f_tail(box["f"], first, second)


_ROUNDED_DF = "the df are corrected ones (Greenhouse-Geisser, Satterthwaite), printed as whole ones"


def _f_one_tailed(box: Box, setting: Setting) -> Interval:
    if box["df1"] != point(1.0):
        raise NotIdentifiedError("F on more than one numerator df is no squared t")
    two = _f(box, setting)
    return Interval(two.low / 2.0, two.high / 2.0)


def chi2_tail(chi2: Interval, df: Interval) -> Interval:
    """Return the feasible set of ``P(chi2(df) > x)``, which rises with df and falls with x."""
    if df.high <= 0.0:
        raise NotIdentifiedError("no degrees of freedom are left")
    return corners(stats.chi2.sf, chi2, Interval(max(df.low, np.finfo(float).tiny), df.high))


def _chi2(box: Box, _: Setting) -> Interval:
    return chi2_tail(box["chi2"], box["df"])


def _at_the_boundary(box: Box, _: Setting) -> Interval:
    """Return p of a variance that was tested at zero: half on df, half on one df fewer."""
    df = box["df"]
    fewer = Interval(df.low - 1.0, df.high - 1.0)
    if df.low < 1.0 or not float(df.low).is_integer() or df.low != df.high:
        raise NotIdentifiedError("the df of a likelihood ratio are whole")
    halves = [chi2_tail(box["chi2"], df)]
    halves += [chi2_tail(box["chi2"], fewer)] if fewer.low >= 1.0 else []
    return Interval(sum(p.low for p in halves) / 2.0, sum(p.high for p in halves) / 2.0)


def _chi2_of_fourfold(box: Box, _: Setting) -> Interval:
    return chi2_tail(box["chi2"], point(1.0))


def _chi2_any_df(box: Box, _: Setting) -> Interval:
    # of a variance at its boundary p is half of that on 1 df
    return Interval(chi2_tail(box["chi2"], point(1.0)).low / 2.0, 1.0)


def _wald(box: Box, _: Setting) -> Interval:
    return chi2_tail(box["wald"], box.get("df", point(1.0)))


_MOST_DF = 100_000


def _any_df(box: Box, setting: Setting) -> Interval:
    return tail_probability(box["t"], any_df(box), setting.tails)


def agreeing_df(box: Box, setting: Setting) -> str:
    """Say for which whole df the printed t and p agree.

    Both ends of p's feasible set are monotone in df, so the df that agree are a run of
    numbers.
    """
    grid = np.arange(1, _MOST_DF + 1, dtype=np.float64)
    size = corners(abs, box["t"], turns=((0.0,),))
    p_value = box["p_value"]
    if setting.tails == "other":
        least, most = stats.t.cdf(size.low, grid), stats.t.cdf(size.high, grid)
    else:
        factor = 2.0 if setting.tails == "two" else 1.0
        least, most = factor * stats.t.sf(size.high, grid), factor * stats.t.sf(size.low, grid)
    agree = grid[(most >= p_value.low) & (least <= p_value.high)]
    if not len(agree):
        return f"df not printed; t and p agree only above {_MOST_DF} df (normal)"
    last = "or more" if agree[-1] == _MOST_DF else f"to {agree[-1]:.0f}"
    return f"df not printed; t and p agree for df {agree[0]:.0f} {last}"


def _square(name: str) -> Image:
    return lambda box, _: corners(lambda x: x * x, box[name], turns=((0.0,),))


def _f_of_t(box: Box, setting: Setting) -> Interval:
    if "df1" in box and not box["df1"].meets(point(1.0)):
        raise NotIdentifiedError("F on more than one numerator df is no squared t")
    if {"df", "df2"} <= set(box) and not box["df"].meets(box["df2"]):
        raise NotIdentifiedError("t and F are on different degrees of freedom")
    return _square("t")(box, setting)


def _p(box: Box, _: Setting) -> Interval:
    return box["p_value"]


def _p_and_stars(
    name: str, inputs: tuple[str, ...], image: Image, formula: str
) -> tuple[Relation, Relation]:
    relation = Relation(name, "p_value", inputs, image, formula, _SOURCE, path=name)
    return relation, stars_twin(relation)


_SOME_DF = Relation(
    "p_t_any_df", "p_value", ("t",), _any_df, "p from t on some df", _SOURCE,
    path="t without df", leaves_open=agreeing_df, unless=("df",),
)  # fmt: skip
_F_T = Relation("f_t", "f", ("t", "df1"), _f_of_t, "F = t squared, on 1 and df", _SOURCE, "square")
_CHI2_Z = Relation("chi2_z", "chi2", ("z",), _square("z"), "chi-squared = z squared", _SOURCE,
                   "square")  # fmt: skip
_ALL = Interval(0.0, np.inf)


def _another(
    firm: Relation,
    said: str,
    name: str,
    *,
    also: tuple[str, ...] = (),
    unless: tuple[str, ...] = (),
) -> Relation:
    return loosened(firm, lambda box, setting: _ALL, said, name=name, also=also, unless=unless)  # noqa: ARG005


_P_F = _p_and_stars("p_f", ("f", "df1", "df2"), _f, "p from F on df1 and df2 degrees of freedom")
P_OF_Z = _p_and_stars("p_z", ("z",), _z, "p from z")
P_OF_CHI2 = _p_and_stars(
    "p_chi2", ("chi2", "df"), _chi2, "p from chi-squared on df degrees of freedom"
)
P_OF_FOURFOLD = tuple(
    replace(relation, unless=("df",))
    for relation in _p_and_stars(
        "p_chi2_fourfold", ("chi2", "events1", "events2"), _chi2_of_fourfold,
        "p from chi-squared of a 2 x 2 table, on 1 df",
    )
)  # fmt: skip
_OF_COEFFICIENT = "p is that of the coefficient, and F that of the model"
_NO_REPEATED_MEASURES = ("k", "std_error")

RELATIONS: tuple[Relation, ...] = (
    *_p_and_stars("p_t", ("t", "df"), _t, "p from t on df degrees of freedom"),
    *(
        replace(r, unless=("df",))
        for r in _p_and_stars("p_t_df2", ("t", "df2"), _t_beside_f, "p from t on df2")
    ),
    *P_OF_Z,
    *_P_F,
    *(
        replace(
            loosened(r, _f_corrected, "df were corrected for non-sphericity",
                     name=f"{r.name}_corrected", unless=_NO_REPEATED_MEASURES, is_exception=True),
            source="Greenhouse & Geisser 1959, doi:10.1007/BF02289823",
            leaves_open=_which_epsilon,
        )
        for r in _P_F
    ),
    *(
        loosened(r, _f_rounded, _ROUNDED_DF, name=f"{r.name}_rounded_df", is_exception=True,
                 unless=("k",))
        for r in _P_F
    ),
    *(
        loosened(r, _f_one_tailed, "p is one-tailed, of the t whose square F is",
                 name=f"{r.name}_one_tailed", is_exception=True, unless=("k",))
        for r in _P_F
    ),
    *(
        loosened(r, lambda box, setting: Interval(0.0, 1.0), _OF_COEFFICIENT,  # noqa: ARG005
                 name=f"{r.name}_beside_{shown}", also=(shown,), unless=("t",), is_exception=True)
        for r in _P_F
        for shown in ("estimate", "std_error", "conf_low", "conf_high")
    ),
    *P_OF_CHI2,
    *(
        replace(relation, path=path)
        for relation, path in zip(
            _p_and_stars("p_chi2_boundary", ("chi2", "df"), _at_the_boundary,
                         "p from half chi-squared on df and half on df - 1, as of a variance"),
            ("p_chi2", "p_chi2"), strict=True,
        )
    ),
    *P_OF_FOURFOLD,
    *(
        loosened(r, _chi2_any_df, "chi-squared is on some df, which are not printed",
                 name=f"{r.name}_any_df", unless=("df", "events1"))
        for r in _p_and_stars("p_chi2", ("chi2",), _chi2_of_fourfold, "p from chi-squared on 1 df")
    ),
    *_p_and_stars("p_wald", ("wald",), _wald, "p from Wald chi-squared (1 df if none printed)"),
    _SOME_DF,
    loosened(
        stars_twin(_SOME_DF), _any_df, "t is on some df, which are not printed",
        name="stars_from_p_t_any_df", unless=("df",),
    ),
    Relation("stars_p", "stars", ("p_value",), _p, "stars for the printed p",
             "the table's legend", "p"),
    _F_T,
    _another(_F_T, "F and t are those of two tests", "f_another_test", unless=("df",)),
    Relation("wald_z", "wald", ("z",), _square("z"), "Wald = z squared", _SOURCE, "square"),
    _CHI2_Z,
    *(
        _another(_CHI2_Z, "z is Wald's, and chi-squared that of a likelihood ratio",
                 f"chi2_beside_{model}", also=(model,))
        for model in ("estimate", "std_error", "odds_ratio", "hazard_ratio", "exp_b")
    ),
)  # fmt: skip
