"""A correlation, its n, interval and p; differences of correlations."""

from dataclasses import replace

import numpy as np

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.evidence.printed.rank_relations import rank_alternatives
from alliance_stats.evidence.printed.relation import (
    Box,
    Image,
    Interval,
    Relation,
    Setting,
    Span,
    corners,
    enclose,
    loosened,
    no_df,
    p_relations,
    point,
    row_df,
    tail_probability,
)
from alliance_stats.evidence.printed.wald_relations import (
    OTHER_INTERVAL,
    ROBUST,
    WIDER,
    critical_value,
    midpoint_relations,
    robust,
    widened,
)

__all__ = ["FISHER", "RELATIONS", "fisher", "left"]

FISHER = "Fisher 1921, Metron 1:3-32"
_STUDENT = "Student 1908, doi:10.1093/biomet/6.2-3.302"
_BORENSTEIN = "Borenstein et al. 2009, doi:10.1002/9780470743386, ch. 7"
_STEIGER_1980 = "Steiger 1980, doi:10.1037/0033-2909.87.2.245"
_WILLIAMS = "Williams 1959, as recommended by Steiger 1980, doi:10.1037/0033-2909.87.2.245"


def left(n: Interval, taken: int, *, of: str = "r") -> Interval:
    """Return the degrees of freedom that remain after `taken`."""
    free = corners(lambda count: count - taken, n)
    if free.low <= 0.0:
        more = " Any two points lie on a line." if n.low == 2 and of == "r" else ""
        raise NotIdentifiedError(
            f"n = {n.low:.0f} leaves no degrees of freedom (n - {taken} must be positive).{more}"
        )
    return free


def fisher(r: Interval) -> Interval:
    """Return Fisher's z of a correlation."""
    return corners(np.arctanh, r)


def _t_of_r(box: Box, _: Setting) -> Interval:
    return _t_of_r_on(box["r"], left(box["n"], 2))


def _df_of_n(box: Box) -> Interval:
    return left(box["n"], 2)


def _t_of_r_on(r: Interval, df: Interval) -> Interval:
    if df.high <= 0.0:
        raise NotIdentifiedError("no degrees of freedom are left")
    free = Interval(max(df.low, 0.0), df.high)
    return corners(lambda x, nu: x * np.sqrt(nu) / np.sqrt(1.0 - x * x), r, free)


# A partial correlation loses a degree of freedom for each variable that is held constant; this
# many are taken to be possible where the df are not printed.
_MOST_HELD = 12


def _partial_df(box: Box) -> Interval:
    free = left(box["n"], 2)
    return Interval(max(free.low - _MOST_HELD, 1.0), free.high)


def _t_of_partial_r(box: Box, _: Setting) -> Interval:
    return _t_of_r_on(box["r"], _partial_df(box))


def _p_of_partial_r(box: Box, setting: Setting) -> Interval:
    """Return p for every number of variables held constant; it is monotone as t and df fall."""
    df = _partial_df(box)
    found = [
        tail_probability(_t_of_r_on(box["r"], point(nu)), point(nu), setting.tails)
        for nu in (df.low, df.high)
    ]
    return Interval(min(p.low for p in found), max(p.high for p in found))


def _z_of_r(box: Box, _: Setting) -> Interval:
    return corners(lambda z, free: z * np.sqrt(free), fisher(box["r"]), left(box["n"], 3))


def _limit_of_r(side: int, *, wide: bool = False, partial: bool = False) -> Image:
    def image(box: Box, setting: Setting) -> Interval:
        critical = critical_value(None, setting)
        free = left(box["n"], 3)
        if partial:
            free = Interval(max(free.low - _MOST_HELD, 1.0), free.high)
        return corners(
            lambda r, nu, q: np.tanh(np.arctanh(r) + side * q / np.sqrt(nu)),
            box["r"],
            free,
            widened(critical, times=_SKEWED) if wide else critical,
        )

    return image


# Bootstrapped limits of correlations of skewed scores lie so many times as far from r.
_SKEWED = 3.0


def _limit_from_z(side: int, *, on_z: bool, wide: bool = False) -> Image:
    """Limits where r and its z statistic are printed: SE = (r or Fisher's z of r) / z."""

    def image(box: Box, setting: Setting) -> Interval:
        if box["z"].low <= 0.0 <= box["z"].high:
            raise NotIdentifiedError("z may be 0, which leaves the standard error open")
        q = critical_value(None, setting)
        q = widened(q) if wide else q
        size = box["r"] if not on_z else fisher(box["r"])
        limit = corners(
            lambda x, z, c: x + side * c * abs(x / z), size, box["z"], q, turns=((0.0,),)
        )
        return corners(np.tanh, limit) if on_z else limit

    return image


def _fisher_midpoint(box: Box, _: Setting) -> Interval:
    low, high = (_as_correlation(box[name]) for name in ("conf_low", "conf_high"))
    return corners(lambda a, b: np.tanh((np.arctanh(a) + np.arctanh(b)) / 2.0), low, high)


def _fisher_mirror(other: str) -> Image:
    return lambda box, _: corners(
        lambda r, limit: np.tanh(2.0 * np.arctanh(r) - np.arctanh(limit)),
        box["r"],
        _as_correlation(box[other]),
    )


def _fisher_inside(box: Box, _: Setting) -> Interval:
    low, high = (_as_correlation(box[name]) for name in ("conf_low", "conf_high"))
    share = 1.0 / (1.0 + WIDER**2)
    return corners(
        lambda a, b, s: np.tanh(np.arctanh(a) + s * (np.arctanh(b) - np.arctanh(a))),
        low,
        high,
        Interval(share, 1.0 - share),
    )


def _as_correlation(limit: Interval) -> Interval:
    inside = limit.within(-1.0, 1.0)
    if inside is None:
        raise NotIdentifiedError("a limit outside -1 to 1 has no Fisher z")
    return inside


def _independent(box: Box, _: Setting) -> Interval:
    return corners(
        lambda r1, r2, f1, f2: (np.arctanh(r1) - np.arctanh(r2)) / np.sqrt(1 / f1 + 1 / f2),
        box["r1"],
        box["r2"],
        left(box["n1"], 3),
        left(box["n2"], 3),
    )


def williams_t(r12: Span, r13: Span, r23: Span, n: Span) -> Span:
    """Return Williams' t for r12 - r13, enclosed (numbers in, number out, for spans of width 0).

    ``t = (r12 - r13) sqrt((n - 1)(1 + r23) / (2 |R| (n - 1)/(n - 3) + m^2 (1 - r23)^3))`` with
    ``m = (r12 + r13) / 2`` and ``|R| = 1 - r12^2 - r13^2 - r23^2 + 2 r12 r13 r23``.
    """
    mean = (r12 + r13) * 0.5
    spread = determinant(r12, r13, r23).at_least(0.0) * 2.0 * ((n - 1.0) / (n - 3.0))
    below = spread + mean.square() * (1.0 - r23).cube()
    return (r12 - r13) * ((n - 1.0) * (1.0 + r23) / below).root()


def determinant(r12: Span, r13: Span, r23: Span) -> Span:
    """Return |R|, written so that few terms share a correlation and the enclosure is close."""
    return (1.0 - r12.square()) * (1.0 - r23.square()) - (r13 - r12 * r23).square()


def _dependent(box: Box, _: Setting) -> Interval:
    left(box["n"], 3)
    if enclose(determinant, box["r12"], box["r13"], box["r23"]).high < 0.0:
        raise NotIdentifiedError("no three variables can have these three correlations")
    return enclose(williams_t, box["r12"], box["r13"], box["r23"], box["n"])


def _dependent_df(box: Box) -> Interval:
    return left(box["n"], 3)


def steiger_z(*spans: Span) -> Span:
    """Return Steiger's Z for r12 - r34, from ``r12, r34, r13, r14, r23, r24, n``, enclosed.

    ``Z = (atanh r12 - atanh r34) sqrt(n - 3) / sqrt(2 - 2 s)``, s the correlation of the two
    Fisher z's with both r at their mean m:
    ``s = ((r13 - m r23)(r24 - r23 m) + (r14 - r13 m)(r23 - m r13) + (r13 - r14 m)(r24 - m r14)
    + (r14 - m r24)(r23 - r24 m)) / (2 (1 - m^2)^2)``.
    """
    r12, r34, r13, r14, r23, r24, n = spans
    m = (r12 + r34) * 0.5
    covariance = (
        (r13 - m * r23) * (r24 - r23 * m)
        + (r14 - r13 * m) * (r23 - m * r13)
        + (r13 - r14 * m) * (r24 - m * r14)
        + (r14 - m * r24) * (r23 - r24 * m)
    )
    s = covariance * 0.5 / (1.0 - m.square()).square()
    difference = r12.increasing(np.arctanh) - r34.increasing(np.arctanh)
    return difference * ((n - 3.0) / (2.0 - s * 2.0)).root()


_FOUR = ("r12", "r34", "r13", "r14", "r23", "r24", "n")


def _four_variables(box: Box, _: Setting) -> Interval:
    left(box["n"], 3)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = enclose(steiger_z, *(box[name] for name in _FOUR))
    return Interval(-np.inf, np.inf) if np.isnan([found.low, found.high]).any() else found


def _third(one: str, two: str) -> Image:
    """Return the range of a correlation given two others: ``cos(alpha -+ beta)`` of their angles.

    Each end is monotone in each angle, except for a turn where the two correlations are equal (the
    upper end is then 1) or opposite (the lower end is -1).
    """

    def image(box: Box, _: Setting) -> Interval:
        a, b = box[one], box[two]
        ends = [
            corners(
                lambda x, y, s: x * y + s * np.sqrt((1.0 - x * x) * (1.0 - y * y)), a, b, point(s)
            )
            for s in (-1.0, 1.0)
        ]
        low = -1.0 if a.meets(Interval(-b.high, -b.low)) else ends[0].low
        return Interval(low, 1.0 if a.meets(b) else ends[1].high)

    return image


_N = ("r", "n")
_R_DF = ("r", "df")
_HELD = f"it is a partial correlation, with up to {_MOST_HELD} variables held constant"
_ZERO_ORDER = "r is a zero-order correlation, and the test that of a coefficient"
_T_OF_R = Relation(
    "t_r", "t", _N, _t_of_r, "t = r sqrt(n - 2) / sqrt(1 - r^2)", _STUDENT, path="r n"
)
# beside these r is pooled over studies, and df are those of its test or of Q
_OF_STUDIES = ("k_studies", "n_effects", "q", "i_squared", "se_z", "n_total")
_T_OF_R_DF = Relation(
    "t_r_df", "t", _R_DF, lambda box, _: _t_of_r_on(box["r"], box["df"]),
    "t = r sqrt(df) / sqrt(1 - r^2)", _STUDENT, path="r n", unless=_OF_STUDIES,
)  # fmt: skip
_R_OF_T = Relation(
    "r_t", "r", ("t", "df"),
    lambda box, _: corners(lambda t, df: t / np.hypot(t, np.sqrt(df)), box["t"], box["df"]),
    "r = t / sqrt(t^2 + df)", _STUDENT, "r t", unless=_OF_STUDIES,
)  # fmt: skip
_Z_OF_R = Relation(
    "z_r", "z", _N, _z_of_r, "z = atanh(r) sqrt(n - 3)", FISHER, path="r n"
)  # fmt: skip
_ANY = Interval(-np.inf, np.inf)
_ANY_P = Interval(0.0, 1.0)


def _of_coefficient(
    firm: Relation, allowed: Interval, *, also: tuple[str, ...] = (), ending: str = "coefficient"
) -> Relation:
    """Return the reading that r is not the correlation that was tested.

    df of n - 2 indicate that it is.
    """

    def image(box: Box, _: Setting) -> Interval:
        if "n" in box and "df" in box and box["df"].meets(left(box["n"], 2)):
            raise NotIdentifiedError("df = n - 2 are those of r")
        return allowed

    return loosened(firm, image, _ZERO_ORDER, name=f"{firm.name}_{ending}", also=also)


def _tested() -> tuple[Relation, ...]:
    """Return t, z and p of a correlation: simple, partial, or not the one that was tested."""
    simple = p_relations(_T_OF_R, name="p_r", df=_df_of_n)
    on_df = p_relations(_T_OF_R_DF, name="p_r_df", df=row_df)
    fisher = p_relations(_Z_OF_R, name="p_r_fisher", df=no_df)
    return (
        _T_OF_R,
        _T_OF_R_DF,
        loosened(_T_OF_R, _t_of_partial_r, _HELD, name="t_r_partial", unless=("df",)),
        _of_coefficient(_T_OF_R, _ANY),
        _of_coefficient(_T_OF_R_DF, _ANY),
        _R_OF_T,
        _of_coefficient(_R_OF_T, Interval(-1.0, 1.0)),
        _Z_OF_R,
        loosened(_Z_OF_R, lambda box, setting: _ANY, _ZERO_ORDER,  # noqa: ARG005
                 name="z_r_coefficient", also=("estimate",)),
        *rank_alternatives(_Z_OF_R, simple),
        *simple,
        *on_df,
        *fisher,
        *(
            loosened(r, _p_of_partial_r, _HELD, name=f"{r.name}_partial", unless=("df",))
            for r in simple
        ),
        *(
            loosened(r, r.image, ROBUST, name=f"{r.name}_robust", unless=("t", "z", "df"),
                     also=("conf_low", "conf_high"), is_exception=True)
            for r in p_relations(
                replace(_T_OF_R, image=robust(_T_OF_R.image)), name="p_r", df=_df_of_n
            )
        ),
        *(
            _of_coefficient(r, _ANY_P, also=(other,), ending=f"beside_{other}")
            for r in (*simple, *on_df)
            for other in ("estimate", "std_error", "t", "f", "df")
            if other not in r.inputs
        ),
    )  # fmt: skip


_INDEPENDENT = Relation(
    "z_two_r", "z", ("r1", "n1", "r2", "n2"), _independent,
    "z = (atanh r1 - atanh r2) / sqrt(1/(n1 - 3) + 1/(n2 - 3))", FISHER, path="two r",
)  # fmt: skip
_DEPENDENT = Relation(
    "t_williams", "t", ("r12", "r13", "r23", "n"), _dependent,
    "Williams' t for r12 - r13 on n - 3 df", _WILLIAMS, path="dependent r", exact=False,
)  # fmt: skip
_STEIGER = Relation(
    "z_steiger", "z", _FOUR, _four_variables, "Steiger's Z for r12 - r34", _STEIGER_1980,
    path="dependent r", exact=False,
)  # fmt: skip
_LIMITS = (("conf_low", -1), ("conf_high", 1))


def _limits() -> tuple[Relation, ...]:
    found: list[Relation] = []
    for limit, side in _LIMITS:
        sign = "-" if side < 0 else "+"
        of_r = Relation(
            f"{limit}_r", limit, _N, _limit_of_r(side),
            f"tanh(atanh r {sign} z / sqrt(n - 3))", FISHER, path="r n",
        )  # fmt: skip
        by_z = Relation(
            f"{limit}_from_z", limit, ("r", "z"), _limit_from_z(side, on_z=True),
            f"tanh(atanh r {sign} 1.96 SE), SE = atanh(r) / z", _BORENSTEIN, path="r z",
        )  # fmt: skip
        found += [
            of_r,
            loosened(
                of_r, _limit_of_r(side, partial=True), _HELD, name=f"{limit}_r_partial",
                unless=("df",),
            ),
            loosened(
                of_r, _limit_of_r(side, wide=True), OTHER_INTERVAL, name=f"{limit}_r_other",
                about_interval=True,
            ),
            by_z,
            Relation(
                f"{limit}_from_z_raw", limit, ("r", "z"), _limit_from_z(side, on_z=False),
                f"r {sign} 1.96 SE, SE = r / z", _BORENSTEIN, path="r z",
            ),
            loosened(
                by_z, _limit_from_z(side, on_z=True, wide=True), OTHER_INTERVAL,
                name=f"{limit}_from_z_other", about_interval=True,
            ),
        ]  # fmt: skip
    return tuple(found)


def _between_limits() -> tuple[Relation, ...]:
    middle = Relation(
        "midpoint_fisher", "r", ("conf_low", "conf_high"), _fisher_midpoint,
        "r in the middle of its interval on Fisher's z scale", FISHER, path="midpoint r",
    )  # fmt: skip
    return (
        middle,
        loosened(
            middle, _fisher_inside, OTHER_INTERVAL, name="midpoint_fisher_other",
            about_interval=True,
        ),
        *(
            Relation(
                f"mirror_{end}_fisher", f"conf_{end}", ("r", f"conf_{other}"),
                _fisher_mirror(f"conf_{other}"),
                f"{end} = 2 r - {other} on Fisher's z scale", FISHER, path="mirror",
                fallback=True,
            )
            for end, other in (("low", "high"), ("high", "low"))
        ),
        *midpoint_relations("r"),
    )  # fmt: skip


RELATIONS: tuple[Relation, ...] = (
    *_tested(),
    _INDEPENDENT,
    *p_relations(_INDEPENDENT, name="p_two_r", df=no_df),
    _DEPENDENT,
    *p_relations(_DEPENDENT, name="p_williams", df=_dependent_df),
    _STEIGER,
    *p_relations(_STEIGER, name="p_steiger", df=no_df),
    *(
        Relation(
            f"{target}_of_three", target, others, _third(*others),
            f"{target} lies in {others[0]} {others[1]} -+ "
            f"sqrt((1 - {others[0]}^2)(1 - {others[1]}^2))",
            "definition: no correlation matrix has a negative determinant", path="three r",
            leaves_open=lambda box, setting: "the three correlations can stand together",  # noqa: ARG005
        )
        for target, others in (
            ("r12", ("r13", "r23")), ("r13", ("r12", "r23")), ("r23", ("r12", "r13")),
        )
    ),
    *_limits(),
    *_between_limits(),
)  # fmt: skip
