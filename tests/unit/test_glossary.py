"""Every column of every result stands in the glossary, and means there what it means everywhere."""

import inspect
import re

import pandas as pd
import pytest

from alliance_stats.glossary import GLOSSARY
from tests.fuzz.frames import frames
from tests.fuzz.further_calls import FURTHER
from tests.fuzz.model_calls import MODELS
from tests.fuzz.question_calls import QUESTIONS

CALLS = {**MODELS, **FURTHER, **QUESTIONS}
FRAMES = frames()
# Questions that need more, take long, or answer in the caller's own names.
UNASKED = {"account", "summary", "design_matrix", "profile", "sensitivity", "vcov", "frame"}
# Columns that carry the caller's own names: of the data, of levels and of terms.
OWN = {str(column) for frame in FRAMES.values() for column in frame.columns}


def tables(result: object) -> dict[str, pd.DataFrame]:
    """Return every frame that a result gives without being told more."""
    found = {}
    for name, method in inspect.getmembers(type(result), inspect.isfunction):
        given = inspect.signature(method).parameters.values()
        needs = [p for p in given if p.default is p.empty and p.name != "self"]
        if name.startswith("_") or needs or name in UNASKED:
            continue
        try:
            table = getattr(result, name)()
        except ValueError:  # refused for this result, with a reason
            continue
        if isinstance(table, pd.DataFrame):
            found[name] = table
    return found


@pytest.mark.filterwarnings("ignore::alliance_stats.errors.AllianceStatsWarning")
@pytest.mark.parametrize("called", CALLS)
def test_columns_stand_in_the_glossary(called):
    frame, call = CALLS[called]
    result = call(FRAMES[frame].copy())
    if not hasattr(result, "account"):
        pytest.skip("no result")
    unknown = {
        f"{question}: {column}"
        for question, table in tables(result).items()
        for column in map(str, table.columns)
        if column not in GLOSSARY and column not in OWN and not named_by_the_data(column)
    }
    assert not unknown


def named_by_the_data(column: str) -> bool:
    """Return whether the column is of a level, a term or an ending of the caller's."""
    own = "|".join(map(re.escape, OWN | {"dropout", "planned"}))
    sizes = re.fullmatch(rf"n_(event_)?({own})(:({own}))*", column)
    return bool(sizes) or "[" in column


def test_meanings_are_sentences_without_a_stop():
    for column, meaning in GLOSSARY.items():
        assert re.fullmatch(r"[a-z0-9_]+", column), column
        assert meaning == meaning.strip().rstrip("."), column
