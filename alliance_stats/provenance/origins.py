"""What figures, tables and numbers were made from: call, data, seed, method, notes and ledger."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from functools import partial
from typing import Any

import pandas as pd

from alliance_stats.account import Accountable
from alliance_stats.arguments import kind_of
from alliance_stats.errors import WrongObjectError
from alliance_stats.figures.report_figure import ReportFigure
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger
from alliance_stats.study import Study
from alliance_stats.tables import ReportTable

__all__ = ["Number", "Origin", "numbers_from", "origin_of", "origin_of_part"]

_LONG = 80  # characters of a value that is written out in a call
_NOT_ASKED = ("notes", "remarks", "method")  # fields that say what was found, not what was asked


@dataclass(frozen=True, slots=True)
class Origin:
    """What a figure, a table or a number was made from.

    Attributes
    ----------
    call
        The call: the function and its arguments, or a result and its settings.
    data
        SHA-256 of the table it was read from, with numbers to six digits.
    seed
        Of random numbers in it; None where there are none.
    method, notes
        How it was computed, and what to know about it.
    rows
        The ledger: how many rows came in, were used, were set aside, and why.
    drawn
        Whether it depends on random draws, so that a seed belongs to it.
    """

    call: str
    data: str
    seed: int | None
    method: str
    notes: tuple[str, ...]
    rows: str
    drawn: bool = False

    def entry(self, seed: int | None = None) -> dict[str, Any]:
        """Return it as written in the log; `seed` is the report's, if it has only one."""
        own = self.seed if self.seed is not None or not self.drawn else seed
        return {**asdict(self), "notes": list(self.notes), "seed": own}


class Number(float):
    """A number of a report with its :class:`Origin`; everywhere else a plain float.

    Attributes
    ----------
    value
        The number as it was given: a count stays a whole number.
    origin
        What it was read from.
    """

    __slots__ = ("origin", "value")

    value: float
    origin: Origin

    def __new__(cls, value: float, origin: Origin) -> "Number":
        """Keep a number together with what it was read from."""
        number = super().__new__(cls, value)
        number.value, number.origin = value, origin
        return number

    def __getnewargs__(self) -> tuple[float, Origin]:  # type: ignore[override]
        """Allow it to be copied and sent to workers."""
        return self.value, self.origin


def numbers_from(
    source: object, numbers: Mapping[str, float], *, seed: int | None = None
) -> dict[str, Number]:
    """Return numbers of a report, each with what it was read from.

    Parameters
    ----------
    source
        A result; a row ledger, a study or a frame, if the numbers count its rows; or several of
        these, as a tuple or by name.
    numbers
        Name -> number that was read from it.
    seed
        Of random numbers in them.

    Returns
    -------
    dict
        Name -> :class:`Number`: a float, which :func:`record` writes with its origin.

    Raises
    ------
    WrongObjectError
        If numbers cannot have been read from `source`.

    Examples
    --------
    >>> from alliance_stats import example_study, lmm
    >>> from alliance_stats.provenance import numbers_from
    >>> model = lmm("alliance ~ session + (1 | person)", example_study().sessions)
    >>> slope = model.tidy().set_index("term").loc["session", "estimate"]
    >>> numbers = numbers_from(model, {"slope": slope})
    >>> numbers["slope"] == slope
    True
    >>> numbers["slope"].origin.call
    "LinearMixedModel(formula='alliance ~ session + (1 | person)')"
    """
    origin = origin_of(source, seed=seed)
    origin = replace(origin, method=origin.method or "computed from the rows")
    return {name: Number(value, origin) for name, value in numbers.items()}


def origin_of(source: object, *, seed: int | None = None) -> Origin:
    """Return what is read from a result, a ledger, a study, a frame, or several of these."""
    found = [_single(name, one) for name, one in _each(source)]
    if not found:
        raise WrongObjectError(f"Numbers are read from a result; got {source!r}.")
    return _together(found, seed)


def origin_of_part(part: ReportFigure | ReportTable) -> Origin:
    """Return what a figure or table was made from: its sources, or what its call was given."""
    made = part.again if isinstance(part.again, partial) else None
    given = () if made is None else (*made.args, *made.keywords.values())
    shown = part.data if isinstance(part, ReportFigure) else part.frame
    named = [(name, one) for name, one in _each(part.sources or given) if _is_source(one)]
    results = [pair for pair in named if not isinstance(pair[1], pd.DataFrame)]
    found = [_single(*pair) for pair in results or named or [("", shown)]]
    own, seed = _together(found, part.seed), part.seed
    if seed is None and made is not None and isinstance(made.keywords.get("seed"), int):
        seed = made.keywords["seed"]
    return replace(
        own,
        call=f"{part.label}, written by hand" if made is None else _call(made),
        data=_frame_hash(shown),
        seed=seed,
        method=own.method or part.note,
        notes=tuple(dict.fromkeys((part.caption, part.note, *own.notes))),
    )


def _frame_hash(frame: pd.DataFrame) -> str:
    """Return the SHA-256 of a frame as text, with numbers to six digits.

    The end of an optimisation varies in the ninth digit with the number of threads.
    """
    text = frame.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _each(source: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Yield sources one by one, each with the name that it was given under."""
    if isinstance(source, Mapping):
        for key, one in source.items():
            yield from _each(one, f"{key}: ")
    elif isinstance(source, list | tuple):
        for one in source:
            yield from _each(one, name)
    else:
        yield name, source


def _is_source(value: object) -> bool:
    return not isinstance(value, type) and isinstance(
        value, Accountable | RowLedger | Study | pd.DataFrame
    )


def _single(name: str, source: object) -> Origin:
    if isinstance(source, RowLedger):
        return Origin(
            "RowLedger", _frame_hash(source.tidy()), None, "rows counted", (), str(source)
        )
    if isinstance(source, Study):
        count = f"Study of {len(source.sessions)} rows"
        data = _frame_hash(source.sessions)
        return Origin(count, data, None, "", (), f"{name}{source.rows}")
    if isinstance(source, pd.DataFrame):
        # which of them were used is not known of a bare frame: a method leaves out what is missing
        came = f"{name}{plural(len(source), 'row')} came in."
        return Origin(_said(source), _frame_hash(source), None, "", (), came)
    if not _is_source(source) or not isinstance(source, Accountable):
        raise WrongObjectError(
            "Numbers are read from a result, a row ledger, a study or a frame; "
            f"got {kind_of(source)}."
        )
    account = source.account()
    tidy = getattr(source, "tidy", None)
    table = tidy() if callable(tidy) else pd.DataFrame(dict(account.sizes), index=[0])
    rows = account.rows or getattr(source, "rows", None)
    ledger = str(rows) if isinstance(rows, RowLedger) else f"{plural(len(table), 'row')} came in."
    notes = tuple(f"{name}{note}" for note in account.notes)
    method, ledger = f"{name}{account.method}", f"{name}{ledger}"
    return Origin(_asked(source), _frame_hash(table), None, method, notes, ledger, account.drawn)


def _together(found: list[Origin], seed: int | None) -> Origin:
    if len(found) == 1:
        return replace(found[0], seed=seed)
    data = hashlib.sha256("".join(one.data for one in found).encode("ascii")).hexdigest()
    call, method, rows = (
        " | ".join(dict.fromkeys(getattr(one, key) for one in found if getattr(one, key)))
        for key in ("call", "method", "rows")
    )
    notes = tuple(dict.fromkeys(note for one in found for note in one.notes))
    return Origin(call, data, seed, method, notes, rows, any(one.drawn for one in found))


def _asked(result: object) -> str:
    """Return a result's class with its formula and settings in words."""
    formula = getattr(result, "formula", None)
    settings: dict[str, object] = {"formula": formula} if isinstance(formula, str) else {}
    if is_dataclass(result):
        own = [field.name for field in fields(result) if field.name[0] != "_"]
        given = {name: getattr(result, name) for name in own if name not in _NOT_ASKED}
        settings |= {name: value for name, value in given.items() if _is_setting(value)}
    said = (f"{name}={value!r}" for name, value in settings.items())
    return f"{type(result).__name__}({', '.join(said)})"


def _is_setting(value: object) -> bool:
    if isinstance(value, tuple):
        return bool(value) and all(isinstance(one, str) for one in value)
    return isinstance(value, bool | str) and value != ""


def _call(made: partial[Any]) -> str:
    given = [_said(value) for value in made.args]
    given += [f"{name}={_said(value)}" for name, value in made.keywords.items()]
    return f"{getattr(made.func, '__name__', 'part')}({', '.join(given)})"


def _said(value: object) -> str:
    if isinstance(value, pd.DataFrame):
        return f"DataFrame of {value.shape[0]} rows ({_frame_hash(value)[:12]})"
    if isinstance(value, Accountable):
        return type(value).__name__
    if isinstance(value, Mapping) and any(isinstance(one, Accountable) for one in value.values()):
        return "{" + ", ".join(f"{key!r}: {_said(one)}" for key, one in value.items()) + "}"
    text = repr(value)
    return text if len(text) <= _LONG and " at 0x" not in text else type(value).__name__
