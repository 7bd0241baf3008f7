"""Outcomes that a family cannot have, and units of which nothing can be told."""

import numpy as np
import numpy.typing as npt

from alliance_stats.checks import describe_rows
from alliance_stats.design.design import Design
from alliance_stats.engine.families import Family
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array

__all__ = ["check_outcome", "check_units_vary", "successes_of"]

# What a share times its trials may be off a whole number: shares are printed to some digits.
ROUNDED = 1e-3


def successes_of(design: Design, trials: Array, weights: str) -> Array:
    """Return successes among trials, of shares too: an outcome that is nowhere above 1.

    Raises
    ------
    DataError
        If shares times their trials are not whole numbers.
    """
    y, name = design.y, design.formula.response
    if (y == np.floor(y)).all() or not ((y >= 0) & (y <= 1)).all():
        return y
    counts = np.round(y * trials)
    _refuse(
        design,
        np.abs(y * trials - counts) > ROUNDED * np.maximum(counts, 1.0),
        f"'{name}' must be a share of its trials '{weights}' (a whole number of successes), or a "
        "count of successes",
    )
    return counts


def check_outcome(design: Design, family: Family, trials: Array, weights: str | None) -> None:
    """Refuse an outcome that the family cannot have, or that never varies."""
    y, name = design.y, design.formula.response
    if family.support == "trials":
        _check_trials(design, family, trials, weights)
        return
    if family.support in ("counts", "positive counts"):
        least = 0.0 if family.support == "counts" else 1.0
        words = "(0, 1, 2, ...)" if least == 0 else "of at least 1, since zeros are not seen"
        _refuse(design, (y < least) | (y != np.floor(y)), f"'{name}' must be a count {words}")
        if (y == least).all():
            raise NotIdentifiedError(
                f"'{name}' is {least:g} in all {len(y)} rows used: no rate is known."
            )
        return
    if family.support == "positive":
        _refuse(design, y <= 0.0, f"'{name}' must be above 0 for the gamma family")
    else:
        _refuse(
            design,
            (y <= 0.0) | (y >= 1.0),
            f"'{name}' must lie between 0 and 1, both left out, for the beta family (a share of a "
            "scale of k steps is beta-binomial with weights= k; a few 0 or 1 are moved inwards by "
            "(y (n - 1) + 0.5) / n: Smithson & Verkuilen 2006)",
        )
    if np.ptp(y) == 0.0:
        raise NotIdentifiedError(
            f"'{name}' is {y[0]:g} in all {len(y)} rows used: nothing distinguishes them."
        )


def _check_trials(design: Design, family: Family, trials: Array, weights: str | None) -> None:
    y, name = design.y, design.formula.response
    if weights is None:
        _refuse(
            design,
            (y != 0) & (y != 1),
            f"'{name}' must be 0 or 1 (counts of successes need weights= for their trials)",
        )
    else:
        bad = (trials < 1) | (trials != np.floor(trials))
        _refuse(design, bad, f"'{weights}' must be a number of trials (1, 2, ...)")
        whole = (y >= 0) & (y == np.floor(y))
        _refuse(design, ~whole, f"'{name}' must be a count of successes, or a share of '{weights}'")
        _refuse(design, y > trials, f"'{name}' must not exceed its trials '{weights}'")
    for value, never in ((y == 0, "0"), (y == trials, "1" if weights is None else "all trials")):
        if value.all():
            raise NotIdentifiedError(
                f"'{name}' is {never} in all {len(y)} rows used: nothing distinguishes them."
            )
    if family.dispersion is not None and (trials == 1.0).all():
        raise NotIdentifiedError(
            f"Every row of '{name}' is one trial, of which nothing can hang together: a "
            "beta-binomial outcome is then a binomial one. Give the trials by weights=, or use "
            "family='binomial'."
        )


def _refuse(design: Design, bad: npt.NDArray[np.bool_], what: str) -> None:
    if bad.any():
        raise DataError(f"{what}; it is not in {describe_rows(bad, design.index)}.")


def check_units_vary(design: Design, family: Family, trials: Array) -> None:
    """Refuse units whose effect and whose rows' own randomness are the same thing.

    Those are units of one row each, with a 0/1 outcome or a dispersion. Where no unit of a 0/1
    outcome varies within, the likelihood rises without end as the variance does.
    """
    yes_or_no = family.name == "binomial" and not (trials > 1).any()
    if not yes_or_no and family.dispersion is None:
        return
    for grouping in design.groupings:
        n_units = len(grouping.labels)
        sizes = np.bincount(grouping.codes, minlength=n_units)
        if sizes.max() == 1:
            beside = "chance" if yes_or_no else "the dispersion of the rows"
            kind = "0/1" if yes_or_no else family.name
            raise NotIdentifiedError(
                f"Every unit of '{grouping.name}' has one row: with a {kind} outcome its variance "
                f"cannot be told from {beside}. Leave the term out."
            )
        if not yes_or_no:
            continue
        hits = np.bincount(grouping.codes, weights=design.y, minlength=n_units)
        if ((hits == 0) | (hits == sizes)).all():
            raise NotIdentifiedError(
                f"'{design.formula.response}' never varies within a unit of '{grouping.name}' "
                f"({n_units} units): their variance would grow without end. If the rows of a unit "
                "are copies of one event, keep one row a unit and leave the term out."
            )
