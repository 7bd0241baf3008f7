"""Episodes of rupture, looking back: how deep, how long, repaired or not."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.errors import DataError
from alliance_stats.estimates import Array
from alliance_stats.family.ruptures.rupture_rule import Scan

__all__ = ["Repair", "find_episodes"]

_ROUNDING = 1e-9
_COLUMNS = (
    "series",
    "onset",
    "known_at",
    "end",
    "length",
    "n_flagged",
    "level",
    "extreme",
    "depth",
    "repaired",
)


@dataclass(frozen=True, slots=True)
class Repair:
    """When an episode counts as repaired.

    Attributes
    ----------
    share
        Share of the fall from the level before to the score at the onset that must be regained
        (1 for a full return).
    within
        Sessions after the onset in which it must happen.
    """

    share: float
    within: int

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 1.0:
            raise DataError(f"share of the fall lies above 0 and up to 1; got {self.share}.")
        if self.within < 1:
            raise DataError(f"within counts sessions and is at least 1; got {self.within}.")

    @property
    def words(self) -> str:
        """The criterion in words."""
        return f"{self.share:.0%} of the fall regained within {self.within} sessions"


def find_episodes(
    scores: Array, scan: Scan, *, sign: int, repair: Repair | None, last: npt.NDArray[np.int64]
) -> pd.DataFrame:
    """Return a row an episode, sessions as columns of `scores`.

    An episode begins at an onset. With a criterion of repair it lasts until it is fulfilled, or
    until the criterion's time is over; without one as long as the next rating is flagged too.
    Onsets within an episode belong to it.

    Parameters
    ----------
    scores, scan
        The ratings and what the rule says of them.
    sign
        1 where falls are flagged, -1 where rises are.
    repair
        The criterion.
    last
        Column of each series' last session.
    """
    found: list[dict[str, Any]] = []
    flagged = np.argwhere(scan.flag == 1.0)
    onsets = scan.onset[flagged[:, 0], flagged[:, 1]]
    order = np.lexsort([flagged[:, 1], onsets, flagged[:, 0]])
    series_before, end_before = -1, -1
    for series, known_at, onset in np.column_stack([flagged, onsets])[order]:
        if series == series_before and onset <= end_before:
            found[-1]["n_flagged"] += 1
            continue
        own = scores[series]
        level = float(scan.level[series, known_at])
        stop = int(last[series])
        until = stop if repair is None else min(stop, onset + repair.within)
        later = (t for t in range(onset + 1, until + 1) if np.isfinite(own[t]))
        if repair is None:
            more = scan.flag[series] == 1.0 if known_at == onset else np.zeros(len(own), dtype=bool)
            end, repaired = _flagged_run(onset, later, more), None
        else:
            gap = sign * (level - own)
            end, repaired = _repaired(repair, gap, onset, list(later), last=stop)
        span = own[onset : end + 1]
        extreme = float(sign * np.nanmin(sign * span))
        found.append(
            {
                "series": series,
                "onset": onset,
                "known_at": known_at,
                "end": end,
                "length": end - onset + (repaired is not True),
                "n_flagged": 1,
                "level": level,
                "extreme": extreme,
                "depth": sign * (level - extreme),
                "repaired": repaired,
            }
        )
        series_before, end_before = series, end
    frame = pd.DataFrame(found, columns=list(_COLUMNS))
    whole = ["series", "onset", "known_at", "end", "length", "n_flagged"]
    return frame.astype({**dict.fromkeys(whole, "int64"), "repaired": object})


def _flagged_run(onset: int, later: Iterable[int], flagged: npt.NDArray[np.bool_]) -> int:
    """Last of the ratings that are flagged one after the other from the onset on."""
    end = onset
    for t in later:
        if not flagged[t]:
            break
        end = t
    return end


def _repaired(
    repair: Repair, gap: Array, onset: int, later: list[int], *, last: int
) -> tuple[int, bool | None]:
    """Last column of the episode (of the repair, if it was), and whether it was repaired.

    `later` are the rated columns in the criterion's time; without any it cannot be said. `gap` is
    the distance from the level before, which must shrink to what the criterion leaves of it.
    """
    left = (1.0 - repair.share + _ROUNDING) * gap[onset]
    for t in later:
        if gap[t] <= left:
            return t, True
    if later and last >= onset + repair.within:
        return onset + repair.within, False
    return max([onset, *later]), None
