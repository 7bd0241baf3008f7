"""The table of correlations, means and standard deviations."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from alliance_stats.account.speaker import named_words
from alliance_stats.arguments import require_kind
from alliance_stats.association import Correlations
from alliance_stats.checks import check_choice
from alliance_stats.formatting import (
    MISSING,
    decimals_of_spread,
    format_bounded,
    format_count,
    format_number,
    format_p,
)
from alliance_stats.tables.report_table import PRINTED_BY, ReportTable, remembers_call

__all__ = ["correlation_table"]

_STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))


@remembers_call
def correlation_table(
    found: Correlations,
    *,
    label: str,
    caption: str,
    note: str = "",
    words: Mapping[str, str] | None = None,
    p_values: str = "stars",
) -> ReportTable:
    """Print correlations as in papers: n, M and SD of each variable, r below the diagonal.

    Parameters
    ----------
    found
        From :func:`~alliance_stats.association.correlations`. With correlations within and between
        units, those within are below the diagonal and those between above it.
    note
        Text to add to the method, n and the meaning of stars, which are always given.
    words
        Variable -> label to print.
    p_values
        ``"stars"`` (of .05, .01 and .001) or ``"exact"`` (in brackets).

    Returns
    -------
    ReportTable
        One row per variable, numbered; reliabilities, if given, on the diagonal.

    Examples
    --------
    >>> from alliance_stats import correlations, example_study
    >>> from alliance_stats.tables import correlation_table
    >>> first = example_study().sessions.query("session == 1")
    >>> found = correlations(first, ["alliance", "symptoms"])
    >>> correlation_table(found, label="tbl-r", caption="Correlations").frame.shape
    (2, 5)
    """
    require_kind(
        found, Correlations, asked="correlation_table prints correlations", instead=PRINTED_BY
    )
    check_choice(p_values, ("stars", "exact"), name="p_values")
    names = named_words(words)
    variables = list(found.variables)
    levels = list(dict.fromkeys(pair[0] for pair in found.pairs))
    square = np.full((len(variables), len(variables)), "", dtype=object)
    for level, one, other, r in found.pairs:
        i, j = sorted((variables.index(one), variables.index(other)))
        cell = _cell(r.r, r.p_value, p_values)
        place = (j, i) if level == levels[0] else (i, j)
        square[place] = cell
    moments = found.moments.set_index("term")
    for i, name in enumerate(variables):
        reliability = float(moments.loc[name, "reliability"])
        square[i, i] = MISSING if np.isnan(reliability) else f"({format_bounded(reliability)})"
    rows = []
    for i, name in enumerate(variables):
        own = moments.loc[name]
        digits = decimals_of_spread(float(own["sd"]))
        rows.append(
            {
                "Variable": f"{i + 1}. {names.get(name, name)}",
                "n": format_count(float(own["n"])),
                "M": format_number(float(own["mean"]), digits),
                "SD": format_number(float(own["sd"]), digits),
                **{str(j + 1): square[i, j] for j in range(len(variables))},
            }
        )
    frame = pd.DataFrame(rows)
    if len(levels) == 1:
        frame = frame.drop(columns=str(len(variables))) if _empty_last(frame, variables) else frame
    return ReportTable(frame, label, caption, _note(found, levels, p_values, note))


def _cell(r: float, p: float, p_values: str) -> str:
    text = format_bounded(r)
    if p_values == "exact":
        return f"{text} ({format_p(p)})"
    return text + next((stars for limit, stars in _STARS if p < limit), "")


def _empty_last(frame: pd.DataFrame, variables: list[str]) -> bool:
    return set(frame[str(len(variables))]) <= {"", MISSING}


def _note(found: Correlations, levels: list[str], p_values: str, note: str) -> str:
    sizes = sorted({pair[3].n for pair in found.pairs})
    n = format_count(sizes[0])
    if len(sizes) > 1:
        n = f"{n} to {format_count(sizes[-1])} pairs"
    said = [f"{found.method}; n = {n}."]
    if len(levels) > 1:
        said.append(f"Below the diagonal {levels[0]}, above it {levels[1]}.")
    if found.moments["reliability"].notna().any():
        said.append("Reliabilities stand in the diagonal.")
    said.append("* p < .05, ** p < .01, *** p < .001." if p_values == "stars" else "p in brackets.")
    return " ".join([*found.notes, *said, note]).strip()
