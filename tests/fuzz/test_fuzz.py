"""No call on any frame ends in a library's error, hangs, or changes the caller's settings."""

import inspect
import re
from types import ModuleType

import pytest

import alliance_stats as als
from alliance_stats import figures, tables
from tests.fuzz import figure_calls, further_calls, model_calls, question_calls
from tests.fuzz.calls import CALLS
from tests.fuzz.driver import one, run

N_CALLS = 5_000
SHARDS = 20  # so that the calls run on several cores


@pytest.mark.parametrize("call", CALLS)
def test_the_plain_frame_is_taken(call: str) -> None:
    outcome = one(call, "as it is", 1)
    assert outcome.kind == "right", outcome.detail


# no frame goes in: a file, a seed, printed numbers, or a model that another library made
OTHERS = {
    "compare_with", "comparison_figure", "example_study", "example_themes", "from_lifelines",
    "from_statsmodels", "instrument", "published", "recompute",
    "interval_width_figure", "power_figure", "power_map_figure", "power_sensitivity_figure",
    "from_dict", "load_result", "opened", "reliability_figure", "report",
    "themed",
    "reproduce", "save_result", "to_dict", "simulate_study", "tidy_table",
}  # fmt: skip


@pytest.mark.parametrize("room", [als, figures, tables])
def test_every_public_function_is_called(room: ModuleType) -> None:
    files = (model_calls, further_calls, question_calls, figure_calls)
    called = {word for file in files for word in re.findall(r"\w+", inspect.getsource(file))}
    public = {name for name in room.__all__ if inspect.isfunction(getattr(room, name))}
    drawing = {name for name in public if name.startswith("draw_")}  # by the figures
    assert public - drawing - called - OTHERS == set()


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS))
def test_every_mutated_frame_is_right_or_refused(shard: int) -> None:
    each = N_CALLS // SHARDS
    bad = [o for o in run(each, seed=0, skip=shard * each) if o.kind not in {"right", "refused"}]
    assert not bad, "\n".join(f"{o.call} on {o.mutation} ({o.seed}): {o.detail}" for o in bad)
