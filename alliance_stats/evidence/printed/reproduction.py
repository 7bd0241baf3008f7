"""Recompute the registry: one verdict per printed number."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pandas as pd

from alliance_stats.account import Account, html_of, summary_of
from alliance_stats.checks import did_you_mean
from alliance_stats.errors import DataError
from alliance_stats.estimates import one_line
from alliance_stats.evidence.printed.consistency import (
    METHOD,
    conventions_of,
    verdict_section,
)
from alliance_stats.evidence.printed.path_verdicts import (
    HOLDS_ONLY_IF,
    NOT_REPRODUCED,
    Verdict,
    count_verdicts,
    finding,
    verdict_columns,
)
from alliance_stats.evidence.printed.published_records import PublishedRecord, load_registry
from alliance_stats.evidence.printed.verdicts import judge_row
from alliance_stats.ledger import RowLedger

__all__ = ["Reproduction", "published", "reproduce"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Reproduction:
    """Which printed numbers of the registry follow from those printed with them.

    Attributes
    ----------
    records
        The records examined.
    verdicts
        For each record, a verdict for each of its printed numbers.
    rows
        How many records there are, and how many hold a printed number.
    """

    records: tuple[PublishedRecord, ...]
    verdicts: tuple[tuple[Verdict, ...], ...]
    rows: RowLedger

    __repr__ = one_line

    @property
    def all_follow(self) -> bool:
        """Whether no printed number is called not reproduced."""
        return not any(verdict.verdict == NOT_REPRODUCED for verdict in self._flat())

    def tidy(self) -> pd.DataFrame:
        """Return one row per printed number.

        Returns
        -------
        DataFrame
            ``record``, then as in :meth:`ConsistencyCheck.tidy`: ``quantity, relation, printed,
            feasible_low, feasible_high, verdict, reason, gap, rounding``; then ``because`` (what
            was assumed and why) and ``doi``.
        """
        rows = [
            {
                "record": record.key,
                **verdict_columns(verdict),
                "because": record.because,
                "doi": record.source.doi,
            }
            for record, verdicts in zip(self.records, self.verdicts, strict=True)
            for verdict in verdicts
        ]
        return pd.DataFrame(rows)

    def glance(self) -> pd.DataFrame:
        """Return one row: records, printed numbers, and how many have each verdict."""
        return pd.DataFrame([{"n_records": len(self.records), **count_verdicts(self._flat())}])

    @property
    def method(self) -> str:
        """What was done, in a phrase."""
        return METHOD

    notes: ClassVar[tuple[str, ...]] = ()

    def account(self, *, conf_level: float = 0.95) -> Account:  # noqa: ARG002
        """Return the verdicts as data, each number that does not simply follow with its source."""
        remarks = [
            f"{record.key}, {finding(verdict)} ({record.source.citation}; {record.source.where})"
            for record, verdicts in zip(self.records, self.verdicts, strict=True)
            for verdict in verdicts
            if verdict.verdict in (NOT_REPRODUCED, HOLDS_ONLY_IF)
        ]
        verdicts = self._flat()
        sizes = {"records": len(self.records), "numbers": len(verdicts)}
        section = verdict_section(verdicts)
        return Account.of(self, sizes, (section,), remarks)

    summary = summary_of
    _repr_html_ = html_of

    def _flat(self) -> Sequence[Verdict]:
        return [verdict for verdicts in self.verdicts for verdict in verdicts]


def published(*, folder: str | Path | None = None) -> pd.DataFrame:
    """List the published comparisons.

    Parameters
    ----------
    folder
        Folder of the records; by default the package's own.

    Returns
    -------
    DataFrame
        One row per record: ``record`` (source/name), ``about``, ``sample``, ``design``, ``effect``
        (the quantity that is its effect size), ``printed`` (all its printed numbers), ``citation``,
        ``doi``, ``edition``, ``where``, ``note``, ``file``.

    Raises
    ------
    DataError
        If a record is not valid; the message names file, record and field.

    Examples
    --------
    >>> from alliance_stats import published
    >>> published().shape[1] > 5
    True
    """
    return pd.DataFrame([_listed(record) for record in load_registry(folder)])


def _listed(record: PublishedRecord) -> dict[str, str]:
    source = record.source
    return {
        "record": record.key,
        "about": record.about,
        "sample": record.sample,
        "design": source.design,
        "effect": record.effect,
        "printed": record.printed_as(),
        "citation": source.citation,
        "doi": source.doi,
        "edition": source.edition,
        "where": source.where,
        "note": record.note,
        "file": source.file,
    }


def reproduce(
    name: str | None = None, *, folder: str | Path | None = None, rounding: str = "either"
) -> Reproduction:
    """Recompute the printed numbers of the registry from the numbers printed with them.

    Parameters
    ----------
    name
        A record (``"welmers2018/level"``), a source (``"welmers2018"``) or a file
        (``"welmers2018_overall"``); by default all.
    folder
        Folder of the records; by default the package's own.
    rounding
        As in :func:`consistency_check`.

    Returns
    -------
    Reproduction

    Raises
    ------
    DataError
        If a record is not valid, or nothing is called `name`.

    Examples
    --------
    >>> from alliance_stats import reproduce
    >>> reproduce().glance().iloc[:, :2]
       n_records  n_printed
    0        113        384
    """
    conventions = conventions_of(rounding)
    records = _chosen(load_registry(folder), name)
    listed = pd.DataFrame({"record": [record.key for record in records]})
    has_number = [bool(record.printed_as()) for record in records]
    _, rows = RowLedger.start(listed).keep(listed, has_number, reason="no number was printed")
    verdicts = tuple(
        tuple(judge_row(record.readings(), conventions=conventions, assumed=record.assumed))
        for record in records
    )
    return Reproduction(records, verdicts, rows)


def _chosen(records: Sequence[PublishedRecord], name: str | None) -> tuple[PublishedRecord, ...]:
    if name is None:
        return tuple(records)
    chosen = tuple(record for record in records if name in record.names)
    if not chosen:
        known = dict.fromkeys(part for record in records for part in record.names[1:])
        raise DataError(
            f"The registry has no record, source or file '{name}'. {did_you_mean(name, known)}"
        )
    return chosen
