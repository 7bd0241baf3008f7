"""Frames and sentences that every mixed model's report is made of."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from alliance_stats.account import Phrase, Section
from alliance_stats.design.groupings import Grouping, back_transform
from alliance_stats.engine.criterion import Template
from alliance_stats.estimates import Array
from alliance_stats.formatting import decimals_needed

__all__ = [
    "boundary_sentences",
    "decimals_of",
    "effect_covariances",
    "random_effect_pars",
    "random_section",
    "tidy_frame",
]

COLUMNS = (
    "effect",
    "group",
    "level",
    "term",
    "estimate",
    "std_error",
    "statistic",
    "df",
    "p_value",
    "conf_low",
    "conf_high",
)


def tidy_frame(**columns: object) -> pd.DataFrame:
    """Put columns into the shared order, filling those that do not apply."""
    n = max(len(c) for c in columns.values() if isinstance(c, list | np.ndarray))
    texts = {"effect", "group", "level", "term"}
    empty: dict[str, object] = {c: [None if c in texts else np.nan] * n for c in COLUMNS}
    return pd.DataFrame({**empty, **columns})[list(COLUMNS)]


def effect_covariances(
    groupings: Sequence[Grouping], Lambda: Sequence[Array], sigma: float
) -> dict[str, pd.DataFrame]:
    """Covariance of each grouping factor's random effects, in the columns as given."""
    found = {}
    for grouping, factor in zip(groupings, Lambda, strict=True):
        half = back_transform(grouping.terms) @ factor * sigma
        found[grouping.name] = pd.DataFrame(
            half @ half.T, index=list(grouping.names), columns=list(grouping.names)
        )
    return found


def random_effect_pars(
    groupings: Sequence[Grouping], covariances: dict[str, pd.DataFrame]
) -> list[pd.DataFrame]:
    """SDs and correlations of the random effects, a frame a grouping factor."""
    frames = []
    for grouping in groupings:
        names, values = sds_and_correlations(grouping, covariances[grouping.name].to_numpy())
        frames.append(
            tidy_frame(effect="ran_pars", group=grouping.name, term=names, estimate=values)
        )
    return frames


def sds_and_correlations(grouping: Grouping, covariance: Array) -> tuple[list[str], list[float]]:
    """Names and values of a grouping factor's SDs and correlations, term by term."""
    names: list[str] = []
    values: list[float] = []
    start = 0
    for basis in grouping.terms:
        own = slice(start, start + len(basis.names))
        start = own.stop
        found = _of_one_term(basis.names, covariance[own, own])
        names += found[0]
        values += found[1]
    return names, values


def _of_one_term(names: tuple[str, ...], covariance: Array) -> tuple[list[str], list[float]]:
    sds = np.sqrt(np.diag(covariance))
    terms = [f"sd__{name}" for name in names]
    values = [float(sd) for sd in sds]
    for j in range(len(names)):
        for i in range(j + 1, len(names)):
            terms.append(f"cor__{names[j]}.{names[i]}")
            product = sds[i] * sds[j]
            defined = product > 0
            values.append(
                float(np.clip(covariance[i, j] / product, -1.0, 1.0)) if defined else np.nan
            )
    return terms, values


def random_section(
    groupings: Sequence[Grouping],
    covariances: dict[str, pd.DataFrame],
    residual: Sequence[tuple[Phrase, float, str]] = (),
) -> Section:
    """Return the random effects in words: SDs and correlations by grouping, then the residual."""
    rows: list[tuple[str | None, Phrase, float, str]] = []
    for grouping in groupings:
        _, values = sds_and_correlations(grouping, covariances[grouping.name].to_numpy())
        named = [pair for basis in grouping.terms for pair in _phrases(basis.names)]
        rows += [(grouping.name, *pair, value) for pair, value in zip(named, values, strict=True)]  # type: ignore[misc]
    frame = pd.DataFrame(
        [(group, phrase, value, kind) for group, phrase, kind, value in rows]
        + [(None, *parameter) for parameter in residual],
        columns=["group", "parameter", "estimate", "kind"],
    )
    return Section(
        "Random effects",
        frame,
        names=("group", "parameter"),
        measure="",
        kind="kind",
        lead="Random effects as standard deviations and correlations",
    )


def _phrases(names: tuple[str, ...]) -> list[tuple[Phrase, str]]:
    """Return SDs and correlations of one term in words, in the order of `_of_one_term`."""
    found = [(Phrase("SD of {}", (name,)), "number") for name in names]
    for j in range(len(names)):
        for i in range(j + 1, len(names)):
            found.append((Phrase("correlation of {} and {}", (names[j], names[i])), "bounded"))
    return found


def boundary_sentences(groupings: Sequence[Grouping], template: Template) -> list[str]:
    """Say, term by term, what sits on its boundary."""
    sentences = []
    ranks = [rank for ranks in template.ranks for rank in ranks]
    bases = [(g.name, basis) for g in groupings for basis in g.terms]
    for rank, (group, basis) in zip(ranks, bases, strict=True):
        q = len(basis.names)
        names = ", ".join(basis.names)
        if rank == 0:
            many = "the variances are" if q > 1 else "the variance is"
            sentences.append(f"{many} zero for {names} of '{group}'")
        elif rank < q:
            sentences.append(
                f"the {q} random effects {names} of '{group}' vary in {rank} "
                f"direction{'s' if rank > 1 else ''} only"
                + (" (a correlation is at -1 or +1, or a variance at zero)" if q == 2 else "")
            )
    return sentences


def decimals_of(row: Any) -> int:
    """Return how many decimals a row of fixed effects needs, so that no number prints as 0."""
    limits = (row.estimate, row.conf_low, row.conf_high)
    return decimals_needed(limits, std_error=row.std_error, at_least=3)
