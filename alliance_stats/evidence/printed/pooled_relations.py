"""Meta-analyses: pooled correlations, Q and its implications for heterogeneity, mean sizes."""

from collections.abc import Callable

import numpy as np

from alliance_stats.evidence.printed.correlation_relations import FISHER, fisher, left
from alliance_stats.evidence.printed.count_relations import exact
from alliance_stats.evidence.printed.relation import (
    OWNERS,
    Box,
    Image,
    Interval,
    Relation,
    Setting,
    any_df,
    corners,
    loosened,
    no_df,
    p_relations,
    point,
    quotient,
    stars_twin,
)
from alliance_stats.evidence.printed.statistic_relations import chi2_tail
from alliance_stats.evidence.printed.wald_relations import (
    OTHER_INTERVAL,
    any_critical_value,
    critical_value,
    widened,
)

__all__ = ["RELATIONS"]

_OF_EFFECT = "it is the p of the pooled effect, not that of Q"
_THREE_LEVEL = "Assink & Wibbelink 2016, doi:10.20982/tqmp.12.3.p154"

_HIGGINS = "Higgins & Thompson 2002, doi:10.1002/sim.1186"


def _effects_df(box: Box) -> Interval | None:
    return left(box["n_effects"], 1, of="the pooled estimate") if "n_effects" in box else None


def _pooled_statistic(box: Box, _: Setting) -> Interval:
    return quotient(fisher(box["r"]), box["se_z"])


def _limit(side: int, critical: Callable[[Box, Setting], Interval]) -> Image:
    return lambda box, setting: corners(
        lambda r, se, q: np.tanh(np.arctanh(r) + side * q * se),
        box["r"],
        box["se_z"],
        critical(box, setting),
    )


def _limits() -> tuple[Relation, ...]:
    def by_z(_: Box, setting: Setting) -> Interval:
        return critical_value(None, setting)

    found: list[Relation] = []
    for limit, side in (("conf_low", -1), ("conf_high", 1)):
        sign = "-" if side < 0 else "+"
        on_z = Relation(
            f"{limit}_pooled_z", limit, ("r", "se_z"), _limit(side, by_z),
            f"tanh(atanh r {sign} z SE)", FISHER, path="pooled",
        )  # fmt: skip
        on_t = Relation(
            f"{limit}_pooled_t", limit, ("r", "se_z", "n_effects"),
            _limit(side, lambda box, setting: critical_value(_effects_df(box), setting)),
            f"tanh(atanh r {sign} t(n_effects - 1) SE)", _THREE_LEVEL, path="pooled",
        )  # fmt: skip
        few = _limit(side, lambda _, setting: any_critical_value(setting))
        other = _limit(side, lambda box, setting: widened(by_z(box, setting)))
        found += [
            on_t,
            on_z,
            loosened(on_z, few, "it is t on few df, which are not printed",
                     name=f"{limit}_pooled_any_df"),
            loosened(on_z, other, OTHER_INTERVAL, name=f"{limit}_pooled_other",
                     about_interval=True),
        ]  # fmt: skip
    return tuple(found)


_POOLED_T = Relation(
    "", "t", ("r", "se_z", "n_effects"), _pooled_statistic,
    "t = atanh(r) / SE on n_effects - 1", _THREE_LEVEL, path="pooled",
)  # fmt: skip


_POOLED_Z = Relation(
    "z_pooled", "z", ("r", "se_z"), _pooled_statistic, "z = atanh(r) / SE", FISHER, path="pooled"
)


def _pooled_tests() -> tuple[Relation, ...]:
    some_df = "the test was a t test on few df, which are not printed"
    return (
        *p_relations(_POOLED_T, name="p_pooled_t", df=_effects_df),
        *p_relations(_POOLED_Z, name="p_pooled_z", df=no_df),
        *(
            loosened(r, r.image, some_df, name=r.name, unless=("z",))
            for r in p_relations(_POOLED_Z, name="p_pooled_any_df", df=any_df)
        ),
    )


def _q_df(box: Box) -> list[Interval]:
    """Return the possible df of Q: printed, studies - 1, effects - 1."""
    if "df" in box:
        return [box["df"]]
    named = ("k_studies", "n_effects")
    return [point(exact(box, name) - 1.0) for name in named if name in box]


def _over_q_df(formula: Callable[[Interval, Interval], Interval], place: int) -> Image:
    def image(box: Box, _: Setting) -> Interval:
        df = _q_df(box)
        return formula(box["q"], df[min(place, len(df) - 1)])

    return image


def _i_squared(q: Interval, df: Interval) -> Interval:
    if q.high <= 0.0:
        return point(0.0)
    return corners(lambda x, nu: max(0.0, (x - nu) / x) if x > 0 else 0.0, q, df)


def _of_q(
    name: str, target: str, formula: Callable[[Interval, Interval], Interval], said: str
) -> tuple[Relation, ...]:
    """Return a relation of Q by each count that can give its df."""
    df = (("k_studies", "studies - 1", ""), ("n_effects", "effects - 1", "_effects"),
          ("df", "df", "_df"))  # fmt: skip
    return tuple(
        Relation(f"{name}{end}", target, ("q", count), _over_q_df(formula, int(end == "_effects")),
                 f"{said} on {words}", _HIGGINS, path=said)
        for count, words, end in df
    )  # fmt: skip


def _heterogeneity() -> tuple[Relation, ...]:
    tau2 = "it was computed from an estimate of tau squared (REML, for one), not from Q"
    share = _of_q("i_squared", "i_squared", _i_squared, "I2 = (Q - df) / Q")
    p_value = _of_q("p_q", "p_value", chi2_tail, "p from Q")
    return (
        *share,
        *(
            loosened(r, lambda box, setting: Interval(0.0, 1.0), tau2,  # noqa: ARG005
                     name=f"{r.name}_tau2")
            for r in share
        ),
        *p_value,
        *(stars_twin(r) for r in p_value),
        *(
            loosened(r, lambda box, setting: Interval(0.0, 1.0), _OF_EFFECT,  # noqa: ARG005
                     name=f"{r.name}_of_{effect}", also=(effect,), is_exception=True)
            for own in p_value
            for r in (own, stars_twin(own))
            for effect in (*OWNERS, "conf_low", "conf_high")
        ),
    )  # fmt: skip


def _mean_n(box: Box, _: Setting) -> Interval:
    return point(exact(box, "n_total") / exact(box, "k_studies"))


RELATIONS: tuple[Relation, ...] = (
    _POOLED_Z,
    *_pooled_tests(),
    *_limits(),
    *_heterogeneity(),
    Relation(
        "mean_n", "mean_n", ("n_total", "k_studies"), _mean_n, "mean n = total n / studies",
        "definition", path="mean n",
    ),
)  # fmt: skip
