"""What is known by a session: running means, the first rating, the previous one."""

import numpy as np
import pandas as pd

from alliance_stats.checks import (
    check_frame,
    check_spelling,
    describe_rows,
    finite_or_missing,
    require_columns,
    require_present,
)
from alliance_stats.door import with_columns
from alliance_stats.errors import DataError
from alliance_stats.study.ratings import whole_sessions

__all__ = ["baseline", "lag", "running_mean"]

_SERIES, _SESSION, _SCORE = "series", "session", "score"


def running_mean(
    data: pd.DataFrame, column: str, *, person: str, session: str, rater: str | None = None
) -> pd.DataFrame:
    """Add the mean of all ratings up to and including each session, and the deviation from it.

    It uses nothing later than the session, so it may predict the dropout hazard in the interval
    after that session, whereas a mean of the whole course may not (see :func:`decompose`).

    Parameters
    ----------
    data
        Long table, a row per person x session (x rater), in any order; not changed.
    column
        Numeric score.
    person, session
        Id column and column of whole session numbers. `person` may be any unit with one row per
        session, such as the family in a :func:`person_period` table.
    rater
        If a session was rated by several, the column that identifies them; each rater's ratings
        have a separate mean.

    Returns
    -------
    DataFrame
        The caller's columns and, in the units of the score, ``<column>_running_mean`` (the mean of
        the ratings so far; a missing rating is ignored, and before the first rating the mean is
        missing) and ``<column>_deviation`` (score - running mean; missing where the score is).

    Raises
    ------
    DataError
        If a column does not exist, an id or session is missing, or a session appears twice.

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats import running_mean
    >>> data = pd.DataFrame({"person": "P1", "session": [1, 2, 3], "alliance": [4.0, 5.0, 3.0]})
    >>> running_mean(data, "alliance", person="person", session="session")
      person  session  alliance  alliance_running_mean  alliance_deviation
    0     P1        1       4.0                    4.0                 0.0
    1     P1        2       5.0                    4.5                 0.5
    2     P1        3       3.0                    4.0                -1.0
    """
    table = _ordered(data, column, person=person, session=session, rater=rater)
    total = table[_SCORE].fillna(0.0).groupby(table[_SERIES]).cumsum()
    n = table[_SCORE].notna().groupby(table[_SERIES]).cumsum()
    mean = (total / n.where(n > 0)).sort_index()
    return with_columns(
        data,
        {
            f"{column}_running_mean": mean.to_numpy(),
            f"{column}_deviation": (table[_SCORE].sort_index() - mean).to_numpy(),
        },
    )


def baseline(
    data: pd.DataFrame, column: str, *, person: str, session: str, rater: str | None = None
) -> pd.DataFrame:
    """Add each series' first rating, and the change since then.

    Parameters
    ----------
    data, column, person, session, rater
        As in :func:`running_mean`.

    Returns
    -------
    DataFrame
        The caller's columns and, in the units of the score, ``<column>_baseline`` (the first
        rating that is not missing; missing in earlier rows, where it is not yet known) and
        ``<column>_change`` (score - baseline; 0 at the baseline itself, missing where the score
        is).

    Raises
    ------
    DataError
        As :func:`running_mean`.

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats.transforms import baseline
    >>> data = pd.DataFrame({"person": "P1", "session": [1, 2], "alliance": [4.0, 5.0]})
    >>> baseline(data, "alliance", person="person", session="session")
      person  session  alliance  alliance_baseline  alliance_change
    0     P1        1       4.0                4.0              0.0
    1     P1        2       5.0                4.0              1.0
    """
    table = _ordered(data, column, person=person, session=session, rater=rater)
    so_far = table.groupby(_SERIES)[_SCORE].ffill()
    first = table.groupby(_SERIES)[_SCORE].transform("first").where(so_far.notna()).sort_index()
    return with_columns(
        data,
        {
            f"{column}_baseline": first.to_numpy(),
            f"{column}_change": (table[_SCORE].sort_index() - first).to_numpy(),
        },
    )


def lag(
    data: pd.DataFrame,
    column: str,
    *,
    person: str,
    session: str,
    rater: str | None = None,
    bridge_gaps: bool = False,
) -> pd.DataFrame:
    """Add the score of the previous session.

    Parameters
    ----------
    data, column, person, session, rater
        As in :func:`running_mean`.
    bridge_gaps
        False: the score at exactly ``session - 1``, missing where that session has no row or no
        rating. True: the latest earlier rating there is, however long ago.

    Returns
    -------
    DataFrame
        The caller's columns and ``<column>_lag1``, in the units of the score.

    Raises
    ------
    DataError
        As :func:`running_mean`.

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats import lag
    >>> data = pd.DataFrame({"person": "P1", "session": [1, 2, 4], "alliance": [4.0, 5.0, 3.0]})
    >>> lag(data, "alliance", person="person", session="session")
      person  session  alliance  alliance_lag1
    0     P1        1       4.0            NaN
    1     P1        2       5.0            4.0
    2     P1        4       3.0            NaN
    """
    table = _ordered(data, column, person=person, session=session, rater=rater)
    before = table.groupby(_SERIES)[_SCORE].shift()
    if bridge_gaps:
        before = before.groupby(table[_SERIES]).ffill()
    else:
        step = table.groupby(_SERIES)[_SESSION].diff()
        before = before.where(step == 1)
    return with_columns(data, {f"{column}_lag1": before.sort_index().to_numpy()})


def _ordered(
    data: pd.DataFrame, column: str, *, person: str, session: str, rater: str | None
) -> pd.DataFrame:
    """Return series number, session and score in order of time, indexed by row position."""
    data = check_frame(data)
    require_columns(data, [column, person, session, rater])
    units = [person, *([rater] if rater else [])]
    for unit in units:
        require_present(data, unit, why="to know whose rating a row is")
        check_spelling(data[unit], kind="unit")
    sessions = whole_sessions(data, session)
    series = data.groupby(units, observed=True, sort=False).ngroup().to_numpy()
    twice = pd.DataFrame({_SERIES: series, _SESSION: sessions}).duplicated(keep=False)
    if twice.any():
        first = data.loc[twice.to_numpy()].iloc[0]
        raise DataError(
            f"'{first[person]}' has several rows of session {first[session]} (of "
            f"{describe_rows(twice, data.index)}): the order in time is not defined. "
            "Name the column that tells raters apart with rater=, or average them first."
        )
    table = pd.DataFrame(
        {_SERIES: series, _SESSION: sessions.to_numpy(), _SCORE: finite_or_missing(data, column)},
        index=np.arange(len(data)),
    )
    return table.sort_values([_SERIES, _SESSION])
