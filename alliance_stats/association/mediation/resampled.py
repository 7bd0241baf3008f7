"""Bootstrap of whole rows, persons, families or therapists: resampled, and everything refitted."""

import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd

from alliance_stats.checks import group_codes
from alliance_stats.errors import ConvergenceWarning, NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.formatting import format_count

__all__ = ["resampled", "said_of_lost"]

_MOST_LOST = 0.5


def resampled(
    frame: pd.DataFrame,
    refit: Callable[[pd.DataFrame], Array],
    *,
    by: str | None,
    units: str | None,
    n: int,
    rng: np.random.Generator,
) -> tuple[Array, int]:
    """Draw clusters with replacement and evaluate each resample.

    Parameters
    ----------
    frame
        The rows.
    refit
        Rows -> the quantities wanted.
    by
        Column of the units drawn; None for rows.
    units
        Column of units within `by`: a unit that is drawn twice becomes two.
    n
        Resamples.
    rng
        Draws.

    Returns
    -------
    draws, lost
        (kept, k), and how many resamples could not be fitted.

    Raises
    ------
    NotIdentifiedError
        If half of the resamples cannot be fitted.
    """
    codes = np.arange(len(frame)) if by is None else group_codes(frame[by])[0]
    order = np.argsort(codes, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(codes))[:-1])
    ids = None if units is None else group_codes(frame[units])[0]
    G, found, lost = len(rows), [], 0
    for _ in range(n):
        drawn = [rows[k] for k in rng.integers(0, G, G)]
        place = np.concatenate(drawn)
        copy = np.repeat(np.arange(G), [len(own) for own in drawn])
        again = frame.iloc[place].reset_index(drop=True)
        if by is not None:
            again[by] = copy
        if ids is not None and units is not None:
            again[units] = copy * (int(ids.max()) + 1) + ids[place]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", ConvergenceWarning)
                found.append(refit(again))
        except (NotIdentifiedError, ConvergenceWarning, np.linalg.LinAlgError):
            lost += 1
    if lost > _MOST_LOST * n:
        raise NotIdentifiedError(
            f"{format_count(lost)} of {format_count(n)} resamples could not be fitted: a bootstrap "
            "has nothing to stand on. Ask for ci_method='monte_carlo'."
        )
    return np.array(found), lost


def said_of_lost(lost: int, n: int) -> tuple[str, ...]:
    """Say how many resamples are missing from the intervals."""
    if lost == 0:
        return ()
    return (
        f"{format_count(lost)} of {format_count(n)} resamples could not be fitted and are left "
        "out of the intervals.",
    )
