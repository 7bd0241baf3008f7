"""What a design assumes: assumptions, published numbers that give them, their uncertainty.

A design is a frozen record that can draw a study of its kind. What is varied is named by its field,
with a point before fields of a truth: ``"therapists"``, ``"alliance.experience"``.
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Protocol, TypeVar

import numpy as np
import pandas as pd

from alliance_stats.checks import did_you_mean
from alliance_stats.errors import DataError, WrongObjectError
from alliance_stats.evidence.printed.numerals import read_printed
from alliance_stats.evidence.printed.published_records import load_registry

__all__ = [
    "Design",
    "PrintedValue",
    "UncertainDesign",
    "assumption_table",
    "changed",
    "check_count",
    "check_finite",
    "check_share",
    "hazard_of_dropout",
    "printed_value",
    "settled",
    "varied",
]

_D = TypeVar("_D")


class Design(Protocol):
    """What can be planned: it draws a study and knows its true values."""

    @property
    def truth(self) -> Mapping[str, float]:
        """Name of a parameter -> its true value."""
        ...

    def draw(self, rng: np.random.Generator) -> Any:
        """Draw one study of this design."""
        ...

    def closed_form(self, alpha: float) -> Mapping[str, float]:
        """Return the power of terms for which there is a formula."""
        ...

    def assumptions(self) -> pd.DataFrame:
        """Return ``assumption, value, source``."""
        ...


def varied(design: _D, changes: Mapping[str, object]) -> _D:
    """Return the design with other values of some assumptions.

    Raises
    ------
    DataError
        If the design has no such assumption, or is impossible with that value.
    """
    if not is_dataclass(design) or isinstance(design, type):
        raise WrongObjectError(
            f"Assumptions are varied in a design, a dataclass; got {type(design).__name__}."
        )
    for name, value in changes.items():
        head, _, rest = name.partition(".")
        own = [one.name for one in fields(design)]
        if head not in own:
            raise DataError(f"The design has no '{name}' to vary. {did_you_mean(name, own)}")
        design = replace(design, **{head: _changed(getattr(design, head), head, rest, value)})
    return design


def _changed(held: object, head: str, rest: str, value: object) -> object:
    if not rest:
        return value
    if isinstance(held, Mapping):
        return {**held, rest: value}
    if not is_dataclass(held):
        raise DataError(f"'{head}' is one value and has no '{rest}'.")
    return varied(held, {rest: value})


def assumption_table(record: Any, sources: Mapping[str, str]) -> pd.DataFrame:
    """Return ``assumption, value, source``, a row per field of the record and of the truths in it.

    Raises
    ------
    DataError
        If a source is named for anything that is not an assumption.
    """
    rows = _assumptions(record, sources)
    known = {str(row["assumption"]) for row in rows}
    known |= {name.rpartition(".")[0] for name in known if "." in name}
    for name in sources:
        if name not in known:
            near = did_you_mean(name, sorted(known))
            raise DataError(f"sources= has '{name}', which is no assumption. {near}")
    return pd.DataFrame(rows)


def _assumptions(record: Any, sources: Mapping[str, str], prefix: str = "") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for one in fields(record):
        if one.name == "sources":
            continue
        called, value = f"{prefix}{one.name}", getattr(record, one.name)
        if is_dataclass(value):
            rows += _assumptions(value, sources, f"{called}.")
            continue
        above = called.rpartition(".")[0]
        source = sources.get(called, sources.get(above, "assumed"))
        shown = float(value) if isinstance(value, float) else value
        rows.append({"assumption": called, "value": shown, "source": source})
    return rows


def check_count(name: str, value: object, least: int) -> None:
    """Refuse anything but a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise DataError(f"{name} must be a whole number, at least {least}; got {value!r}.")


def check_share(name: str, value: float, *, open_ended: bool = False, closed: bool = False) -> None:
    """Refuse a number below 0 (or 0, if `open_ended`) or above 1 (or 1, unless `closed`)."""
    _check_number(name, value)
    low = value > 0.0 if open_ended else value >= 0.0
    if not (low and (value <= 1.0 if closed else value < 1.0)):
        raise DataError(f"{name} is a share and must lie between 0 and 1; got {value}.")


def check_finite(name: str, value: float, *, positive: bool = False) -> None:
    """Refuse anything but a finite number; if it has to be positive, also 0 and below."""
    _check_number(name, value)
    if not math.isfinite(value) or (positive and value <= 0.0):
        raise DataError(
            f"{name} must be a {'positive' if positive else 'finite'} number; got {value}."
        )


def _check_number(name: str, value: object) -> None:
    if isinstance(value, bool | str | Sequence) or not isinstance(value, int | float | np.number):
        raise DataError(f"{name} must be a number; got {value!r}.")


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


_FEWEST = 2  # sets


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class UncertainDesign:
    """A design, and sets of assumptions that are equally credible.

    The power of such a design is the expected one (O'Hagan, Stevens & Campbell 2005, "assurance",
    doi:10.1002/pst.175): the share of studies that find what is there, while what is there is known
    as far as a pilot or the literature knows it.

    Attributes
    ----------
    design
        The design at the best guess.
    sets
        A row per set, a column per assumption by its name, as ``"alliance.sd_therapist"``.

    Raises
    ------
    DataError
        If there are fewer than two sets, a value is missing, or a set makes a design that cannot
        be.

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats.power import ClusterTrial, UncertainDesign
    >>> trial = ClusterTrial(clusters=10, members=6)
    >>> open_icc = UncertainDesign(trial, pd.DataFrame({"icc": [0.01, 0.05, 0.15]}))
    >>> open_icc.assumptions()[["assumption", "conf_low", "conf_high"]].iloc[2].tolist()
    ['icc', 0.012, 0.14500000000000002]
    """

    design: Design
    sets: pd.DataFrame

    def __post_init__(self) -> None:
        if len(self.sets) < _FEWEST or self.sets.shape[1] == 0:
            raise DataError(
                f"sets= needs at least {_FEWEST} rows and one assumption; got {self.sets.shape}."
            )
        missing = [str(name) for name in self.sets if self.sets[name].isna().any()]
        if missing:
            raise DataError(f"sets= has missing values in '{missing[0]}'.")
        for place in range(len(self.sets)):
            self._at(place)

    def __repr__(self) -> str:
        """Return the design and a mark of its sets, the same in every run."""
        mark = hashlib.sha256(self.sets.to_csv(index=False).encode()).hexdigest()[:12]
        return f"UncertainDesign({self.design!r}, {len(self.sets)} sets {mark})"

    @property
    def truth(self) -> Mapping[str, float]:
        """Name of a parameter -> its value at the best guess."""
        return self.design.truth

    def settle(self, rng: np.random.Generator) -> Design:
        """Return the design at one of the sets, drawn with equal probability."""
        return self._at(int(rng.integers(len(self.sets))))

    def draw(self, rng: np.random.Generator) -> Any:
        """Draw one study, of a set of its own."""
        return self.settle(rng).draw(rng)

    @property
    def closed_form_name(self) -> str:
        """Name of the closed form."""
        return f"{getattr(self.design, 'closed_form_name', '')}, mean over the sets"

    def closed_form(self, alpha: float) -> Mapping[str, float]:
        """Return the mean over the sets of the power by formula."""
        return self.mean_over_sets(lambda design: design.closed_form(alpha))

    def mean_over_sets(self, power: Callable[[Design], Mapping[str, float]]) -> Mapping[str, float]:
        """Return the mean over the sets of what a function says of the design at each."""
        found = pd.DataFrame([power(self._at(place)) for place in range(len(self.sets))])
        return {str(term): float(value) for term, value in found.mean().items()}

    def assumptions(self) -> pd.DataFrame:
        """Return ``assumption, value, source, conf_low, conf_high``.

        The limits hold 95% of the sets; missing, where an assumption is taken for known.
        """
        table = self.design.assumptions()
        limits = {
            str(name): np.quantile(self.sets[name].to_numpy(dtype=np.float64), [0.025, 0.975])
            for name in self.sets
        }
        own = [limits.get(str(name), (np.nan, np.nan)) for name in table["assumption"]]
        return table.assign(conf_low=[low for low, _ in own], conf_high=[high for _, high in own])

    def _at(self, place: int) -> Design:
        values: Sequence[object] = self.sets.iloc[place].tolist()
        return varied(self.design, dict(zip(map(str, self.sets), values, strict=True)))


def settled(design: Design, rng: np.random.Generator) -> Design:
    """Return the design that one study is of."""
    return design.settle(rng) if isinstance(design, UncertainDesign) else design


def changed(design: Design, changes: Mapping[str, object]) -> Design:
    """Return the design with other values of some assumptions; what is changed is known."""
    if not isinstance(design, UncertainDesign):
        return varied(design, changes)
    left = design.sets.drop(columns=[name for name in changes if name in design.sets])
    inner = varied(design.design, changes)
    return UncertainDesign(inner, left) if left.shape[1] else inner
