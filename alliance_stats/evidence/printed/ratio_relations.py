"""Odds ratios, hazard ratios and other exponentiated coefficients."""

from dataclasses import replace

import numpy as np

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
    no_df,
    p_relations,
    quotient,
)
from alliance_stats.evidence.printed.wald_relations import (
    ALTMAN,
    OTHER_INTERVAL,
    WALD,
    WIDER,
    critical_value,
    widened,
)

__all__ = ["RATIOS", "RELATIONS"]

RATIOS = ("odds_ratio", "hazard_ratio", "exp_b")
_LOG = "definition"
_LIMITS = (("conf_low", -1), ("conf_high", 1))
_NAMES = ("conf_low", "conf_high")


def _log(interval: Interval, *, what: str = "a ratio") -> Interval:
    if interval.high <= 0.0:
        raise NotIdentifiedError(f"{what} printed as zero or less has no logarithm")
    return corners(np.log, Interval(max(interval.low, 0.0), interval.high))


def _log_limits(box: Box) -> tuple[Interval, Interval]:
    low, high = (_log(box[name], what="a limit") for name in _NAMES)
    return low, high


def _exp(box: Box, _: Setting) -> Interval:
    return corners(np.exp, box["estimate"])


def _log_of(ratio: str) -> Image:
    return lambda box, _: _log(box[ratio])


def _log_width(box: Box, setting: Setting) -> Interval:
    low, high = _log_limits(box)
    critical = critical_value(None, setting)
    se = corners(lambda a, b, q: (b - a) / (2.0 * q), low, high, critical)
    return Interval(max(se.low, 0.0), max(se.high, 0.0))


def _delta_error(ratio: str, box: Box) -> Interval:
    """Return the SE on the log scale of a ratio whose SE was printed on its own scale."""
    return quotient(box["std_error"], Interval(max(box[ratio].low, 0.0), box[ratio].high))


def _middle(share: Interval) -> Image:
    def image(box: Box, _: Setting) -> Interval:
        low, high = _log_limits(box)
        return corners(lambda a, b, s: np.exp(a + s * (b - a)), low, high, share)

    return image


def _mirror(ratio: str, other: str, times: Interval) -> Image:
    return lambda box, _: corners(
        lambda b, limit, s: np.exp(b - s * (limit - b)),
        _log(box[ratio]),
        _log(box[other], what="a limit"),
        times,
    )


_HALF, _ONCE = Interval(0.5, 0.5), Interval(1.0, 1.0)
_SHARE = Interval(1.0 / (1.0 + WIDER**2), WIDER**2 / (1.0 + WIDER**2))
_SKEWED = Interval(WIDER**-2, WIDER**2)


def _other(firm: Relation, image: Image) -> Relation:
    found = loosened(firm, image, OTHER_INTERVAL, name=f"{firm.name}_other", about_interval=True)
    return replace(found, fallback=firm.fallback)


def _places(ratio: str) -> tuple[Relation, ...]:
    """Return how a ratio lies in its interval: in the middle, on the log scale."""
    middle = Relation(
        f"midpoint_{ratio}", ratio, _NAMES, _middle(_HALF), f"{ratio} = sqrt(low high)", ALTMAN,
        path=f"midpoint {ratio}",
    )  # fmt: skip
    low = Relation(
        f"mirror_low_{ratio}", "conf_low", (ratio, "conf_high"),
        _mirror(ratio, "conf_high", _ONCE), f"low = {ratio}^2 / high", ALTMAN, path="mirror",
        fallback=True,
    )  # fmt: skip
    high = Relation(
        f"mirror_high_{ratio}", "conf_high", (ratio, "conf_low"),
        _mirror(ratio, "conf_low", _ONCE), f"high = {ratio}^2 / low", ALTMAN, path="mirror",
        fallback=True,
    )  # fmt: skip
    return (
        middle,
        low,
        high,
        _other(middle, _middle(_SHARE)),
        _other(low, _mirror(ratio, "conf_high", _SKEWED)),
        _other(high, _mirror(ratio, "conf_low", _SKEWED)),
    )


def _limits(ratio: str) -> tuple[Relation, ...]:
    def limit(side: int, *, delta: bool = False, wide: bool = False) -> Image:
        def image(box: Box, setting: Setting) -> Interval:
            q = critical_value(None, setting)
            return corners(
                lambda b, se, c: np.exp(b + side * c * se),
                _log(box[ratio]),
                _delta_error(ratio, box) if delta else box["std_error"],
                widened(q) if wide else q,
            )

        return image

    found: list[Relation] = []
    for name, side in _LIMITS:
        firm = Relation(
            f"{name}_{ratio}_se", name, (ratio, "std_error"), limit(side),
            f"{ratio} exp({side:+d} z SE), SE on the log scale", WALD, path="wald",
        )  # fmt: skip
        delta = replace(
            firm,
            name=f"{name}_{ratio}_delta",
            image=limit(side, delta=True),
            formula=f"{ratio} exp({side:+d} z SE / {ratio}), SE on the scale of {ratio}",
        )
        found += [firm, delta, _other(firm, limit(side, wide=True)),
                  _other(delta, limit(side, delta=True, wide=True))]  # fmt: skip
    return tuple(found)


def _errors(ratio: str) -> tuple[Relation, ...]:
    def of_wald(box: Box, _: Setting) -> Interval:
        size = corners(abs, _log(box[ratio]), turns=((0.0,),))
        return quotient(size, corners(np.sqrt, box["wald"]))

    def times_ratio(image: Image) -> Image:
        return lambda box, setting: corners(lambda se, by: se * by, image(box, setting), box[ratio])

    inputs = (ratio, *_NAMES)
    firm = Relation(
        f"se_{ratio}_interval", "std_error", inputs, _log_width, "SE = ln(high / low) / (2 z)",
        ALTMAN, path="interval",
    )  # fmt: skip
    chi2 = Relation(
        f"se_{ratio}_wald", "std_error", (ratio, "wald"), of_wald,
        f"SE = |ln({ratio})| / sqrt(Wald)", WALD, path="wald chi2",
    )  # fmt: skip
    delta = tuple(
        replace(
            r,
            name=f"{r.name}_delta",
            image=times_ratio(r.image),
            formula=f"{r.formula}, times {ratio}",
        )
        for r in (firm, chi2)
    )
    wide = _other(firm, lambda box, setting: widened(_log_width(box, setting)))
    wide_delta = _other(
        delta[0], lambda box, setting: widened(times_ratio(_log_width)(box, setting))
    )
    return firm, chi2, *delta, wide, wide_delta


def _tests(ratio: str) -> tuple[Relation, ...]:
    """Return z and p, from the interval and from the standard error."""
    by_interval = Relation(
        f"z_{ratio}", "z", (ratio, *_NAMES),
        lambda box, setting: quotient(_log(box[ratio]), _log_width(box, setting)),
        f"z = ln({ratio}) / SE, SE from the interval's width on the log scale", ALTMAN,
        path="log interval",
    )  # fmt: skip
    wide = replace(
        by_interval,
        image=lambda box, setting: quotient(_log(box[ratio]), widened(_log_width(box, setting))),
    )
    by_se = Relation(
        f"z_{ratio}_se", "z", (ratio, "std_error"),
        lambda box, _: quotient(_log(box[ratio]), box["std_error"]),
        f"z = ln({ratio}) / SE, SE on the log scale", WALD, path="log SE",
    )  # fmt: skip
    by_delta = replace(
        by_se,
        name=f"z_{ratio}_delta",
        image=lambda box, _: quotient(_log(box[ratio]), _delta_error(ratio, box)),
        formula=f"z = {ratio} ln({ratio}) / SE, SE on the scale of {ratio}",
    )
    return (
        *p_relations(by_interval, name=f"p_{ratio}", df=no_df),
        *p_relations(by_se, name=f"p_{ratio}_se", df=no_df),
        *p_relations(by_delta, name=f"p_{ratio}_delta", df=no_df),
        *(
            loosened(r, r.image, OTHER_INTERVAL, name=r.name, about_interval=True)
            for r in p_relations(wide, name=f"p_{ratio}_other_interval", df=any_df)
        ),
        by_interval,
        loosened(
            by_interval,
            wide.image,
            OTHER_INTERVAL,
            name=f"z_{ratio}_other_interval",
            about_interval=True,
        ),
        by_se,
        by_delta,
    )


def _of(ratio: str) -> tuple[Relation, ...]:
    return (
        Relation(f"{ratio}_b", ratio, ("estimate",), _exp, f"{ratio} = exp(b)", _LOG, "exp b"),
        Relation(f"b_{ratio}", "estimate", (ratio,), _log_of(ratio), f"b = ln({ratio})", _LOG,
                 f"ln {ratio}"),
        *_places(ratio),
        *_limits(ratio),
        *_errors(ratio),
        *_tests(ratio),
    )  # fmt: skip


def _under_estimate() -> tuple[Relation, ...]:
    """Return p where a ratio and its limits are printed as an estimate and its interval."""
    firm = Relation(
        "", "z", ("estimate", *_NAMES), lambda box, _: box["estimate"],
        "z = estimate / SE, SE from the interval's width", ALTMAN, path="interval",
    )  # fmt: skip
    by_log = p_relations(
        replace(
            firm,
            image=lambda box, setting: quotient(_log(box["estimate"]), _log_width(box, setting)),
        ),
        name="p_interval_ratio",
        df=no_df,
    )
    return tuple(
        loosened(r, r.image, "the estimate and its limits are ratios, such as odds ratios",
                 name=r.name, unless=("std_error", *RATIOS), is_exception=True)
        for r in by_log
    )  # fmt: skip


RELATIONS: tuple[Relation, ...] = (
    *(relation for ratio in RATIOS for relation in _of(ratio)),
    *_under_estimate(),
)
