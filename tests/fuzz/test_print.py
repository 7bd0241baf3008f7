"""What every result prints, on data of three scales and in the shapes that studies come in."""

import re
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import pytest

import alliance_stats as als
from alliance_stats.account import Account, Column
from alliance_stats.account.rendering import section_cells
from alliance_stats.account.speaker import Speaker
from alliance_stats.errors import AllianceStatsError
from alliance_stats.figures import ReportFigure
from alliance_stats.tables import ReportTable
from tests.fuzz.calls import CALLS
from tests.fuzz.frames import frames

SCALES = (1e-4, 1e5)  # beside 1, the frames as they are
SCORES = {
    "sessions": ["alliance", "symptoms", "felt"],
    "units": ["barriers", "age"],
    "periods": ["barriers"],
    "themes": ["before", "after"],
    "studies": ["yi"],
    "forms": ["before", "after"],
}
DUST = 1e-8  # beside standard errors of 1e-6 and more
Shape = Callable[[pd.DataFrame], pd.DataFrame]
NO_NUMBER = re.compile(r"(?<![\w'`])(nan|NaN|NaT|inf|None|<NA>)(?![\w'`])")
NUMBER = r"−?[\d,]*\.?\d+"
INTERVAL = re.compile(rf"\[({NUMBER})%?[,;] ({NUMBER})%?\]")
WITH_ESTIMATE = re.compile(rf"(?<![\d.,×⁻])({NUMBER})%?,? (?:\d+% CI )?\[({NUMBER})%?[,;] ")
ALONE = re.compile(r"[–=],? (?:\d+% CI )?\[")
ZERO = re.compile(r"−?0?\.?0+%?")


def _only(**values: object) -> Shape:
    return lambda data: data.assign(**{k: v for k, v in values.items() if k in data.columns})


def _twelve(data: pd.DataFrame) -> pd.DataFrame:
    """Return as many groups as there are months, where there were two or three."""
    names = np.resize([f"group {i}" for i in range(12)], len(data))
    columns = [name for name in ("group", "site", "arm") if name in data]
    return data.assign(**dict.fromkeys(columns, names))


def _one_unit(data: pd.DataFrame) -> pd.DataFrame:
    first = next((n for n in ("person", "unit", "parent", "client", "study") if n in data), None)
    return data if first is None else data[data[first] == data[first].iloc[0]]


SHAPES: dict[str, Shape] = {
    "as it is": lambda data: data,
    "one group": _only(group="all", role="child", site="north", arm="a"),
    "twelve groups": _twelve,
    "one unit": _one_unit,
    "no event": _only(event=0, left=0, state="none", ended="none", ending="ongoing", rupture=0),
    "all the event": _only(event=1, state="dropout", ending="dropout", trust=1, well=1),
}


def _scaled(base: str, scale: float) -> pd.DataFrame:
    data = frames()[base]
    for name in SCORES.get(base, ()):
        data[name] = data[name] * scale
    return data.assign(vi=data["vi"] * scale**2) if base == "studies" else data


def _texts(result: object) -> Iterator[str]:
    """Yield what a result prints."""
    if isinstance(result, ReportFigure):
        yield from (result.caption, result.alt, result.note)
    elif isinstance(result, ReportTable):
        yield from (result.caption, result.note)
        yield from result.frame.astype(str).to_numpy().ravel()
    elif not isinstance(result, pd.DataFrame) and hasattr(result, "summary"):
        yield result.summary()
        if hasattr(result, "account"):
            yield als.report(result)


# rounding dust beside numbers of 1e-8 and more, a name in two pairs of brackets, one of several
UNREADABLE = (
    re.compile(r"× 10⁻(¹[⁴-⁹]|[²³][⁰¹²³⁴-⁹])"),
    re.compile(r"\(\([^()]*\)\)"),
    re.compile(
        r"(?<![\d.,−])1 (rows|units|cases|persons|families|sessions|events|studies|groups)\b"
    ),
)


def _decimals(number: str) -> int:
    return len(number.partition(".")[2])


def _faults(text: str) -> Iterator[str]:
    if found := NO_NUMBER.search(text):
        yield f"'{found[0]}' in print"
    if "−0.00 " in text or re.search(r"−0(\.0+)?(?![.\d])", text):
        yield "a negative zero"
    for low, high in INTERVAL.findall(text):
        if _decimals(low) != _decimals(high):
            yield f"[{low}, {high}] has limits of different decimals"
        if ZERO.fullmatch(low) and ZERO.fullmatch(high):
            yield f"[{low}, {high}] shows nothing"
    for estimate, low in WITH_ESTIMATE.findall(text):
        if _decimals(estimate) != _decimals(low):
            yield f"{estimate} has other decimals than its limit {low}"
    for pattern in UNREADABLE:
        if found := pattern.search(text):
            yield f"'{found[0]}' is not to be read"
    if ALONE.search(text):
        yield "an interval without its estimate"


def _zeros(account: Account) -> Iterator[str]:
    """Yield the cells that print a number as zero which is none."""
    speaker = Speaker.of(account, None, ".")
    for section in account.sections:
        if not len(section.frame):
            continue
        cells = section_cells(section, speaker)
        columns = {c.called: name for name, c in section.columns.items() if _is_number(c)}
        if not section.measure_by_row and "estimate" in section.frame:
            columns[section.measure or "estimate"] = "estimate"
        columns["SE"] = "std_error"
        for called, name in columns.items():
            if called not in cells or name not in section.frame:
                continue
            for cell, value in zip(cells[called], section.frame[name], strict=True):
                real = isinstance(value, float | np.floating) and abs(value) > DUST
                if real and np.isfinite(value) and ZERO.fullmatch(cell):
                    yield f"{called} prints {value} as {cell}"


def _is_number(column: Column) -> bool:
    return column.kind in ("number", "ratio") and isinstance(column.called, str)


def _looked_at(call: str, data: pd.DataFrame) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = CALLS[call][1](data)
        found = [f"{fault}: {text}" for text in _texts(result) for fault in _faults(text)]
        if not isinstance(result, ReportTable) and hasattr(result, "account"):
            found += _zeros(result.account())
    return found


# a scale has limits: numbers of another size are refused;
# a rule of success in points finds nobody or everybody in other units
LIMITED = {
    ("glmm beta", 1e5),
    ("score_study", 1e5),
    ("specification_figure", 1e-4),
    ("specification_figure", 1e5),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("scale", SCALES)
def test_numbers_of_any_size_are_read_in_print(call: str, scale: float) -> None:
    base = CALLS[call][0]
    if base not in SCORES or (call, scale) in LIMITED:
        pytest.skip("there is nothing to scale")
    found = _looked_at(call, _scaled(base, scale))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("shape", SHAPES)
def test_studies_of_any_shape_are_read_in_print_or_refused(call: str, shape: str) -> None:
    try:
        found = _looked_at(call, SHAPES[shape](frames()[CALLS[call][0]]))
    except (AllianceStatsError, ValueError):
        assert shape != "as it is"
        return
    assert not found, "\n".join(found)
