"""A scale as its key defines it, and the resulting scores."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import is_numeric_dtype

from alliance_stats.checks import (
    check_choice,
    check_frame,
    describe_rows,
    did_you_mean,
    finite_or_missing,
    require_columns,
)
from alliance_stats.door import with_columns
from alliance_stats.errors import AllianceStatsWarning, DataError, warn
from alliance_stats.estimates import Array
from alliance_stats.study import Study

__all__ = ["INSTRUMENTS", "Scale", "instrument", "keyed_answers", "score", "score_study"]

_ANSWERS_FOR_A_RANGE = 100  # fewer answers may miss the top of a scale by chance
_WORDS_SHOWN = 5
_FORMS_FOR_A_KEY = 30  # fewer forms may turn a correlation by chance


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Which items form a score, and how.

    Attributes
    ----------
    name
        What the scores are called: ``<name>``, and ``<name>_<subscale>``.
    items
        Columns of the items.
    limits
        Lowest and highest answer, the same for all items.
    reversed
        The items on which a high answer means a low score; they count as low + high - answer.
    subscales
        Name -> its items.
    total
        ``"mean"`` of the items, or ``"sum"``. A sum with gaps is the mean of the answered items
        times the number of items: it never shrinks for a missing answer.
    least_answered
        Share of the items that must be answered for a score, in the scale and in each subscale.
    whole_numbers
        Whether a sum with gaps is rounded to the next whole number, halves rounded up.
    total_of
        The subscales whose sum is the total, where it is not that of all items; missing where one
        of them is.
    answers
        Values of answers given in words or codes, as in ``{"A1": 1, "never": 1}``; numbers keep
        their value.
    """

    name: str
    items: tuple[str, ...]
    limits: tuple[float, float]
    reversed: tuple[str, ...] = ()
    subscales: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    total: Literal["mean", "sum"] = "mean"
    least_answered: float = 0.8
    whole_numbers: bool = False
    total_of: tuple[str, ...] = ()
    answers: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_choice(self.total, ("mean", "sum"), name="total")
        if len(self.items) < 2 or len(set(self.items)) < len(self.items):
            raise DataError(f"A scale has two or more items, each once; got {list(self.items)}.")
        low, high = self.limits
        if not low < high:
            raise DataError(f"limits must be (low, high) with low < high; got {self.limits!r}.")
        if not 0 < self.least_answered <= 1:
            raise DataError(f"least_answered is a share in (0, 1]; got {self.least_answered!r}.")
        named = [*self.reversed, *(item for part in self.subscales.values() for item in part)]
        for item in named:
            if item not in self.items:
                raise DataError(f"'{item}' is no item of the scale '{self.name}'.")
        for part in self.total_of:
            if part not in self.subscales:
                raise DataError(f"total_of names '{part}', which is no subscale of '{self.name}'.")


def score(data: pd.DataFrame, scale: Scale) -> pd.DataFrame:
    """Add the scores of a scale, and how many of its items were answered.

    Parameters
    ----------
    data
        One row per form; not changed.
    scale
        The key.

    Returns
    -------
    DataFrame
        The caller's columns and ``<name>``, ``<name>_<subscale>`` ..., ``<name>_answered``. A form
        with fewer answers than `least_answered` requires has no score, nor does a blank one.

    Raises
    ------
    DataError
        If an item is missing, holds words for which `answers` has no number, or lies outside
        the scale's limits.

    Warns
    -----
    AllianceStatsWarning
        If no answer of 100 or more reaches the upper quarter of the scale (another response
        format?), or an item correlates against its key over 30 or more forms (reversed already?).

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats.scales import Scale, score
    >>> forms = pd.DataFrame({"q1": [5, 1], "q2": [1, 4], "q3": [4, None]})
    >>> bond = Scale(name="bond", items=("q1", "q2", "q3"), limits=(1, 5), reversed=("q2",),
    ...              least_answered=0.6)
    >>> score(forms, bond)[["bond", "bond_answered"]].values.tolist()
    [[4.666666666666667, 3.0], [1.5, 2.0]]
    """
    frame = check_frame(data)
    require_columns(frame, list(scale.items))
    answers = _answers(frame, scale)
    keyed = _keyed(answers, scale)
    _warn_of_another_range(answers, scale)
    _warn_of_turned_items(keyed, scale)
    parts = {
        name: _scored(keyed[:, [scale.items.index(item) for item in items]], scale)
        for name, items in scale.subscales.items()
    }
    whole = (
        np.sum([parts[name] for name in scale.total_of], axis=0)
        if scale.total_of
        else _scored(keyed, scale)
    )
    new: dict[str, npt.NDArray[np.generic]] = {scale.name: whole}
    new |= {f"{scale.name}_{name}": values for name, values in parts.items()}
    new[f"{scale.name}_answered"] = (~np.isnan(answers)).sum(axis=1)
    return with_columns(data, new)


def score_study(study: Study, scale: Scale, *, role: str | None = None) -> Study:
    """Return a study with the scores of a scale, from its items in ``study.sessions``.

    Parameters
    ----------
    study
        A study whose table has the items (see ``Study.from_file(..., wide="{item}_s{session}")``).
    scale
        The key.
    role
        ``"alliance"`` or ``"outcome"``: the role of the total in the study. Without it the total is
        an additional score, as the subscales always are.

    Returns
    -------
    Study
        Rechecked, with score ranges that follow from the key.

    Raises
    ------
    DataError
        As :func:`score`; if the study has another column in that role.

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats import Study
    >>> from alliance_stats.scales import Scale, score_study
    >>> forms = pd.DataFrame({"person": ["A", "B"], "session": 1, "q1": [5, 2], "q2": [4, 3]})
    >>> study = Study.from_frame(forms, person="person", session="session")
    >>> bond = Scale(name="bond", items=("q1", "q2"), limits=(1, 5))
    >>> score_study(study, bond).sessions["bond"].tolist()
    [4.5, 2.5]
    """
    roles = study.roles
    if role is not None:
        check_choice(role, ("alliance", "outcome"), name="role")
        if role in roles:
            raise DataError(
                f"The study's {role} is '{roles[role]}' already; leave it out, or role=."
            )
    low, high = scale.limits
    known = score(study.sessions, scale)
    new: dict[str, tuple[float, float] | None] = dict.fromkeys(study.scores)
    for name, items in {"": scale.items, **scale.subscales}.items():
        times = 1 if scale.total == "mean" else len(items)
        new[f"{scale.name}_{name}" if name else scale.name] = (low * times, high * times)
    if scale.total_of:
        new[scale.name] = None  # the sum of some subscales has a range of its own
    named: dict[str, Any] = dict(roles)
    if role is not None:
        named[role] = scale.name
        own = new.pop(scale.name)
        named["score_range"] = None if own is None else {role: own}
    again = Study.from_frame(known, **named, scores=new, unit=study.unit)
    return replace(again, notes=(*study.notes, *again.notes))


def keyed_answers(frame: pd.DataFrame, scale: Scale) -> Array:
    """Return the answers, (forms, items), reversed items recoded, NaN where missing."""
    return _keyed(_answers(frame, scale), scale)


def _keyed(answers: Array, scale: Scale) -> Array:
    keyed = answers.copy()
    turned = [scale.items.index(item) for item in scale.reversed]
    keyed[:, turned] = sum(scale.limits) - keyed[:, turned]
    return keyed


def _answers(frame: pd.DataFrame, scale: Scale) -> Array:
    """Return the answers, (forms, items), NaN where missing."""
    low, high = scale.limits
    answers = np.column_stack([_numbers(frame, item, scale) for item in scale.items])
    for place, item in enumerate(scale.items):
        outside = (answers[:, place] < low) | (answers[:, place] > high)
        if outside.any():
            shown = ", ".join(f"{v:g}" for v in np.unique(answers[outside, place])[:3])
            raise DataError(
                f"Item '{item}' of the scale '{scale.name}' is outside {low:g} to {high:g} in "
                f"{describe_rows(outside, frame.index)} ({shown}). Is it another response format, "
                "or a code for a missing answer? Correct the limits, or set the code to missing."
            )
    return answers


def _numbers(frame: pd.DataFrame, item: str, scale: Scale) -> Array:
    """Return the answers to an item, words and codes replaced by their values."""
    values = frame[item]
    if is_numeric_dtype(values.dtype):
        return finite_or_missing(frame, item)
    meaning = {word.strip(): float(number) for word, number in scale.answers.items()}
    cells = values.astype(object)
    text = np.fromiter((isinstance(v, str) for v in cells), dtype=bool, count=len(cells))
    words = cells[text].str.strip()
    numbers = words.map(meaning).fillna(pd.to_numeric(words, errors="coerce"))
    unknown = np.zeros(len(cells), dtype=bool)
    unknown[text] = numbers.isna() & (words != "")
    if unknown.any():
        shown = list(dict.fromkeys(cells[unknown]))
        listed = ", ".join(map(repr, shown[:_WORDS_SHOWN])) + ", ..." * (len(shown) > _WORDS_SHOWN)
        raise DataError(
            f"Item '{item}' of the scale '{scale.name}' holds {listed} in "
            f"{describe_rows(unknown, frame.index)}. Say which number each such answer stands for, "
            f"as in Scale(..., answers={{{shown[0]!r}: NUMBER, ...}}), or set them to missing."
        )
    replaced = cells.where(~text, np.nan)
    replaced[text] = numbers
    return finite_or_missing(replaced.infer_objects().to_frame(item), item)


def _scored(keyed: Array, scale: Scale) -> Array:
    answered = (~np.isnan(keyed)).sum(axis=1)
    n_items = keyed.shape[1]
    enough = (answered > 0) & (answered >= scale.least_answered * n_items - 1e-9)  # 0.6 of 5 is 3
    mean = np.nansum(keyed, axis=1) / np.where(enough, answered, 1)
    values = mean if scale.total == "mean" else mean * n_items
    if scale.whole_numbers:
        values = np.floor(values + 0.5)
    return np.where(enough, values, np.nan)


def _warn_of_another_range(answers: Array, scale: Scale) -> None:
    low, high = scale.limits
    given = answers[~np.isnan(answers)]
    if len(given) >= _ANSWERS_FOR_A_RANGE and given.max() <= low + 0.75 * (high - low):
        warn(
            f"No answer to the scale '{scale.name}' is above {given.max():g}, though it is said to "
            f"run from {low:g} to {high:g}. Was another response format used?",
            AllianceStatsWarning,
        )


def _warn_of_turned_items(keyed: Array, scale: Scale) -> None:
    complete = keyed[~np.isnan(keyed).any(axis=1)]
    if len(complete) < _FORMS_FOR_A_KEY:
        return
    rest = complete.sum(axis=1)[:, None] - complete
    x, y = complete - complete.mean(axis=0), rest - rest.mean(axis=0)
    against = [
        f"'{item}'" for item, r in zip(scale.items, (x * y).sum(axis=0), strict=True) if r < 0
    ]
    if against:
        warn(
            f"Of the scale '{scale.name}', {', '.join(against)} "
            f"correlate{'s' * (len(against) == 1)} negatively with "
            "the other items as keyed. Was it reversed before, or is the key "
            "another edition's?",
            AllianceStatsWarning,
        )


@cache
def _registry() -> dict[str, dict[str, Any]]:
    folder = files("alliance_stats.scales") / "instruments"
    return {
        file.name.removesuffix(".toml"): tomllib.loads(file.read_text(encoding="utf-8"))
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".toml")
    }


INSTRUMENTS: tuple[str, ...] = tuple(_registry())
"""The instruments whose whole key was verified: in each file stand edition, source and address."""


def instrument(
    name: str, *, items: Sequence[str], answers: Mapping[str, float] | None = None
) -> Scale:
    """Return the scoring key of a questionnaire, for columns with its items in the form's order.

    Parameters
    ----------
    name
        One of :data:`INSTRUMENTS`. Their keys were taken in full from the address stated in the
        file; for others, write a :class:`Scale` from your form.
    items
        Columns of the items 1, 2, ... of the form.
    answers
        Values of answers given in words or codes, as in :class:`Scale`.

    Raises
    ------
    DataError
        If the name does not exist, or the number of items differs.

    Examples
    --------
    >>> from alliance_stats.scales import INSTRUMENTS, instrument
    >>> "sdq" in INSTRUMENTS
    True
    """
    if name not in INSTRUMENTS:
        raise DataError(
            f"There is no verified key of '{name}'. {did_you_mean(name, INSTRUMENTS)} Short names "
            "stand for several editions with different keys (WAI, WAI-12); write a Scale from your "
            "form."
        )
    key = _registry()[name]
    if len(items) != key["n_items"]:
        raise DataError(
            f"'{name}' ({key['edition']}) has {key['n_items']} items; got {len(items)}."
        )
    return Scale(
        name=name,
        items=tuple(items),
        limits=(float(key["limits"][0]), float(key["limits"][1])),
        reversed=tuple(items[number - 1] for number in key["reversed"]),
        subscales={
            part: tuple(items[number - 1] for number in numbers)
            for part, numbers in key.get("subscales", {}).items()
        },
        total=key["total"],
        least_answered=float(key["least_answered"]),
        whole_numbers=key.get("whole_numbers", False),
        total_of=tuple(key.get("total_of", ())),
        answers=dict(answers or {}),
    )
