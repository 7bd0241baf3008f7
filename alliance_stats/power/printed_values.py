"""Assumptions from published numbers, each with its source."""

from alliance_stats.checks import did_you_mean
from alliance_stats.errors import DataError
from alliance_stats.evidence.printed.numerals import read_printed
from alliance_stats.evidence.printed.published_records import load_registry
from alliance_stats.power.assumptions import check_count, check_share

__all__ = ["PrintedValue", "hazard_of_dropout", "printed_value"]


class PrintedValue(float):
    """A number that knows its source: ``value.source``."""

    source: str

    def __new__(cls, value: float, source: str) -> "PrintedValue":
        """Return the number with its source."""
        made = super().__new__(cls, value)
        made.source = source
        return made

    def __reduce__(self) -> tuple[type, tuple[float, str]]:
        """Return what a worker rebuilds it from."""
        return type(self), (float(self), self.source)


def printed_value(record: str, quantity: str) -> PrintedValue:
    """Return a number of the registry of published comparisons, with its source.

    Parameters
    ----------
    record
        ``"source/record"``, as :func:`~alliance_stats.published` lists them.
    quantity
        Which of its printed numbers: ``"icc"``, ``"proportion"``, ``"estimate"``, ``"sd1"``.

    Returns
    -------
    PrintedValue
        A float, on the scale that was printed. Given to
        :meth:`~alliance_stats.power.StudyDesign.of_shares`, it adds its source to the table of
        assumptions. For a range (".23 to .31"), its midpoint.

    Raises
    ------
    DataError
        If there is no such record, or it prints no such number.

    Examples
    --------
    >>> from alliance_stats.power import printed_value
    >>> shared = printed_value("welmers-ch4-icc/T1", "icc")
    >>> float(shared), shared.source.split(",")[0]
    (0.12, 'Welmers-van de Poll')
    """
    records = {found.key: found for found in load_registry()}
    if record not in records:
        raise DataError(
            f"The registry has no record '{record}'. {did_you_mean(record, list(records))}"
        )
    found = records[record]
    if quantity not in found.texts:
        raise DataError(
            f"'{record}' prints no '{quantity}'. {did_you_mean(quantity, list(found.texts))}"
        )
    text = found.texts[quantity]
    printed = read_printed(text)
    if printed.sign:
        raise DataError(
            f"'{record}' prints {quantity} {text}: a limit, and no number to plan with."
        )
    place = found.source
    doi = "" if place.doi == "not printed" else f", doi:{place.doi}"
    where = f"{place.citation}{doi}, {place.where}: {quantity} = {text}"
    return PrintedValue(float((printed.first + printed.last) / 2), where)


def hazard_of_dropout(share: float, *, sessions: int) -> PrintedValue:
    """Return the hazard per session that gives a share of dropouts over so many sessions.

    ``1 - (1 - share)^(1 / sessions)``: if no family ends treatment otherwise.

    Parameters
    ----------
    share
        Share that has dropped out by that session, as :func:`printed_value` gives it.
    sessions
        After how many sessions.

    Raises
    ------
    DataError
        If the share is none.

    Examples
    --------
    >>> from alliance_stats.power import hazard_of_dropout
    >>> round(hazard_of_dropout(0.197, sessions=12), 4)
    0.0181
    """
    check_share("share", share, open_ended=True)
    check_count("sessions", sessions, 1)
    source = getattr(share, "source", f"a share of {share:g}")
    found = 1.0 - (1.0 - share) ** (1.0 / sessions)
    return PrintedValue(found, f"{source}, spread evenly over {sessions} sessions")
