"""Members beside each other: matrices of family sessions, and what they say at once."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.estimates import Array

__all__ = ["attendance", "index_columns", "member_matrices"]


def member_matrices(
    rated: pd.DataFrame, codes: npt.NDArray[np.int64], n_cells: int
) -> tuple[Array, Array, npt.NDArray[np.object_]]:
    """Lay members beside each other, lowest first, ties by error and then by id."""
    names = rated["person"].astype(str).to_numpy()
    error = rated["error"].to_numpy()
    order = np.lexsort([names, error, rated["score"].to_numpy(), codes])
    own = codes[order]
    place = np.arange(len(own)) - np.searchsorted(own, own)
    shape = (n_cells, int(place.max(initial=0)) + 1)
    scores, sems = np.full(shape, np.nan), np.full(shape, np.nan)
    persons = np.full(shape, None, dtype=object)
    scores[own, place] = rated["score"].to_numpy()[order]
    sems[own, place] = error[order]
    persons[own, place] = rated["person"].to_numpy(dtype=object)[order]
    return scores, sems, persons


def index_columns(
    cells: pd.DataFrame, scores: Array, persons: npt.NDArray[np.object_]
) -> pd.DataFrame:
    """Return the cells with their indices, NaN where too few members are there for one."""
    m = np.isfinite(scores).sum(axis=1)
    some, several = m > 0, m > 1
    last = np.maximum(m - 1, 0)
    at = np.arange(len(m))
    low, high = scores[:, 0], scores[at, last]
    level = np.divide(np.nansum(scores, axis=1), m, out=np.full(len(m), np.nan), where=some)
    squares = np.nansum((scores - level[:, None]) ** 2, axis=1)
    variance = np.divide(squares, m - 1, out=np.full(len(m), np.nan), where=several)
    pair = [
        f"{persons[i, 0]} / {persons[i, last[i]]}" if several[i] else None for i in range(len(m))
    ]
    return cells.assign(
        n_members=m,
        level=level,
        weakest=low,
        strongest=high,
        range=np.where(several, high - low, np.nan),
        sd=np.sqrt(variance),
        pair=pd.Series(pair, index=cells.index, dtype=object),
    )


def attendance(
    cells: pd.DataFrame, persons: npt.NDArray[np.object_]
) -> dict[str, list[str] | list[bool] | list[int]]:
    """Say who is in each cell, and how that differs from what was seen of the family before."""
    names: list[str] = []
    changed: list[bool] = []
    absent: list[int] = []
    series: tuple[object, object] | None = None
    before: frozenset[object] = frozenset()
    seen: set[object] = set()
    for unit, row in zip(zip(cells["rater"], cells["family"], strict=True), persons, strict=True):
        if unit != series:
            series, before, seen = unit, frozenset(), set()
        present = frozenset(name for name in row if name is not None)
        seen |= present
        names.append(", ".join(sorted(str(name) for name in present)))
        changed.append(bool(before and present and present != before))
        absent.append(len(seen) - len(present))
        before = present or before
    return {"members": names, "changed": changed, "n_absent": absent}
