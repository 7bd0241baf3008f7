"""Shares of variance: R squared with its F and p, of a whole model or of its last step."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.evidence.printed.count_relations import exact
from alliance_stats.evidence.printed.relation import (
    Box,
    Image,
    Interval,
    Relation,
    Setting,
    corners,
    loosened,
    point,
    stars_twin,
)
from alliance_stats.evidence.printed.statistic_relations import f_tail

__all__ = ["RELATIONS"]

_COHEN = "Cohen et al. 2003, doi:10.4324/9780203774441"


def _f_of_r_squared(box: Box, _: Setting) -> Interval:
    k, free = exact(box, "k"), _free(box)
    return corners(lambda r2: (r2 / k) / ((1.0 - r2) / free), box["r_squared"])


def _free(box: Box) -> float:
    n, k = exact(box, "n"), exact(box, "k")
    if n - k - 1 <= 0:
        raise NotIdentifiedError(f"n = {n:.0f} and k = {k:.0f} leave no degrees of freedom")
    return n - k - 1.0


def _p_of_r_squared(box: Box, setting: Setting) -> Interval:
    f = _f_of_r_squared(box, setting)
    return f_tail(f, point(exact(box, "k")), point(_free(box)))


def _f_on_df(box: Box, _: Setting) -> Interval:
    if box["df1"].low <= 0.0:
        raise NotIdentifiedError("no degrees of freedom are left")
    return corners(
        lambda r2, df1, df2: (r2 / df1) / ((1.0 - r2) / df2),
        box["r_squared"], box["df1"], box["df2"],
    )  # fmt: skip


def _r_squared_of_f(box: Box, _: Setting) -> Interval:
    return corners(lambda f, df1, df2: f * df1 / (f * df1 + df2), box["f"], box["df1"], box["df2"])


def _adjusted_of_f(box: Box, _: Setting) -> Interval:
    """Return adjusted R squared, which is epsilon squared of the F test as well."""
    return corners(
        lambda f, df1, df2: max(1.0 - (df1 + df2) / (f * df1 + df2), 0.0),
        box["f"], box["df1"], box["df2"],
    )  # fmt: skip


def _omega_of_f(box: Box, _: Setting) -> Interval:
    return corners(
        lambda f, df1, df2: max(df1 * (f - 1.0) / (df1 * (f - 1.0) + df1 + df2 + 1.0), 0.0),
        box["f"], box["df1"], box["df2"],
    )  # fmt: skip


def _plain_of_adjusted(share: float, df1: float, df2: float) -> float:
    return 1.0 - (1.0 - share) * df2 / (df1 + df2)


def _plain_of_omega(share: float, df1: float, df2: float) -> float:
    f = 1.0 + share * (df1 + df2 + 1.0) / (df1 * (1.0 - share))
    return f * df1 / (f * df1 + df2)


def _if_shrunk(image: Image, plain_of: Callable[[float, float, float], float]) -> Image:
    """Return F or p from a share of variance that was shrunk: 0 for each F of at most 1."""

    def of_plain(box: Box, setting: Setting) -> Interval:
        if {"df1", "df2"} <= set(box):
            df1, df2 = box["df1"], box["df2"]
        else:
            df1, df2 = point(exact(box, "k")), point(_free(box))
        plain = corners(plain_of, box["r_squared"], df1, df2)
        low = 0.0 if box["r_squared"].low <= 0.0 else plain.low
        return image({**box, "r_squared": Interval(low, min(plain.high, 1.0))}, setting)

    return of_plain


def _p_on_df(box: Box, setting: Setting) -> Interval:
    return f_tail(_f_on_df(box, setting), box["df1"], box["df2"])


def _of_a_step(allowed: Interval) -> Image:
    """Return what a test of the last step, not of the whole model, allows.

    df1 = k says that it is the whole model's.
    """

    def image(box: Box, _: Setting) -> Interval:
        if "k" in box and "df1" in box and box["df1"].meets(box["k"]):
            raise NotIdentifiedError("df1 = k are those of the whole model")
        return allowed

    return image


def _whole_model() -> tuple[Relation, ...]:
    """Return F and p of R squared: of the whole model, unless a step was tested."""
    step = "the test is that of a step, and R2 that of the whole model"
    said = "F = (R2 / k) / ((1 - R2) / (n - k - 1))"
    on_df = "F = (R2 / df1) / ((1 - R2) / df2)"
    f = Relation("f_r_squared", "f", ("r_squared", "k", "n"), _f_of_r_squared, said, _COHEN, "R2")
    f_df = Relation("f_r_squared_df", "f", ("r_squared", "df1", "df2"), _f_on_df, on_df, _COHEN,
                    "R2")  # fmt: skip
    p = Relation("p_r_squared", "p_value", ("r_squared", "k", "n"), _p_of_r_squared,
                 f"p from {said}", _COHEN, "R2")  # fmt: skip
    p_df = Relation("p_r_squared_df", "p_value", ("r_squared", "df1", "df2"), _p_on_df,
                    f"p from {on_df}", _COHEN, "R2")  # fmt: skip
    back = Relation("r_squared_f", "r_squared", ("f", "df1", "df2"), _r_squared_of_f,
                    "R2 = F df1 / (F df1 + df2)", _COHEN, "R2")  # fmt: skip
    df1 = Relation("df1_k", "df1", ("r_squared", "k"), lambda box, _: box["k"], "df1 = k", _COHEN,
                   path="df1")  # fmt: skip
    df2 = Relation("df2_n_k", "df2", ("r_squared", "k", "n"), lambda box, _: point(_free(box)),
                   "df2 = n - k - 1", _COHEN, path="df2")  # fmt: skip
    of_plain = (f, f_df, p, p_df, stars_twin(p), stars_twin(p_df))
    shrunk = (
        *(
            replace(r, name=f"{r.name}_{law}", image=_if_shrunk(r.image, plain_of),
                    formula=f"{r.formula}, R2 from {said}", exact=False)
            for law, said, plain_of in (("adjusted", "the adjusted one", _plain_of_adjusted),
                                        ("omega", "omega squared", _plain_of_omega))
            for r in of_plain
        ),
        replace(back, name="r_squared_f_adjusted", image=_adjusted_of_f, exact=False,
                formula="adjusted R2 or epsilon squared = 1 - (df1 + df2) / (F df1 + df2)"),
        replace(back, name="omega_squared_f", image=_omega_of_f, exact=False,
                formula="omega squared = df1 (F - 1) / (df1 (F - 1) + df1 + df2 + 1)"),
    )  # fmt: skip
    firm = (*of_plain, back, *shrunk)
    ends = {"f": Interval(0.0, np.inf)}
    return (
        *firm,
        *(
            loosened(r, _of_a_step(ends.get(r.target, Interval(0.0, 1.0))), step,
                     name=f"{r.name}_step")
            for r in firm
        ),
        df1,
        loosened(df1, lambda box, _: Interval(0.0, box["k"].high), step, name="df1_step"),
        df2,
    )  # fmt: skip


RELATIONS: tuple[Relation, ...] = _whole_model()
