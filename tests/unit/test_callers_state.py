"""What is the caller's stays as it was: frames, random state, warnings, settings.

``tests/fuzz`` holds it for every public function that takes a frame, ``test_docstring_examples``
for every public function at all; here frames too stay as they were for those that take something
else, and for figures, tables and files.
"""

import io
import json
import threading
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from lifelines import CoxPHFitter
from threadpoolctl import threadpool_info, threadpool_limits

import alliance_stats as als
from alliance_stats import figures, tables
from alliance_stats.family import rule_agreement
from alliance_stats.provenance import numbers_from, record, verify
from alliance_stats.study import small_cells, suppressed
from tests.fuzz.driver import _written, changed_settings, settings
from tests.fuzz.frames import frames

F = frames()
UNITS, FORMS, SESSIONS = F["units"], F["forms"], F["sessions"]


def _curves() -> object:
    return als.kaplan_meier(UNITS, time="time", event="event", strata="group")


COUNTS = pd.DataFrame([[12, 6, 20], [9, 2, 14], [30, 11, 8]], list("abc"), list("xyz"))


def _curves_model() -> object:
    return als.cox_ph("barriers", UNITS, time="time", event="event")


CALLS: dict[str, Callable[[Path], object]] = {
    "example_study": lambda _: als.example_study(),
    "example_themes": lambda _: als.example_themes(),
    "published": lambda _: als.published(),
    "reproduce": lambda _: als.reproduce(als.published()["record"].iloc[0]),
    "recompute": lambda _: als.recompute("p_t", {"t": "2.00", "df": "30"}),
    "simulate_study": lambda _: als.simulate_study(
        therapists=3, families=9, interviewed=4, seed=1
    ),
    "from_statsmodels": lambda _: als.from_statsmodels(smf.ols("after ~ before", FORMS).fit()),
    "from_lifelines": lambda _: als.from_lifelines(
        CoxPHFitter().fit(UNITS[["time", "event", "barriers"]], "time", "event")
    ),
    "report": lambda _: als.report(_curves()),
    "methods_paragraph": lambda _: als.methods_paragraph({"curves": _curves()}),
    "to_dict": lambda _: als.from_dict(json.loads(json.dumps(als.to_dict(_curves())))),
    "save_result": lambda out: als.load_result(als.save_result(_curves(), out / "curves.json")),
    "save a figure": lambda out: figures.kaplan_meier_figure(_curves()).save(out),
    "save a table": lambda out: tables.tidy_table(
        _curves().tidy(), {"time": "Time"}, label="tbl-a", caption="A", note="B."
    ).save(out),
    "record": lambda out: verify(
        record(out, [figures.kaplan_meier_figure(_curves())], script="analyses").parent, run=False
    ),
    "cross_check": lambda _: als.cross_check(
        als.lmm("symptoms ~ alliance + (1 | person)", SESSIONS)
    ),
    "cross_check of groups": lambda _: als.cross_check(
        als.compare_groups(FORMS, outcomes=["before", "well"], group="arm")
    ),
    "opened": lambda _: als.opened(_curves_model(), "augment"),
    "numbers_from": lambda _: numbers_from((_curves(), UNITS), {"n": 40}),
    "small_cells": lambda _: small_cells(COUNTS, printed=suppressed(COUNTS), larger=[COUNTS + 9]),
    "deidentify": lambda _: als.Study.from_frame(
        SESSIONS, person="person", session="session", family="family"
    ).deidentify(),
    "rule_agreement": lambda _: rule_agreement(
        *(
            als.ruptures(
                SESSIONS, person="person", session="session", score="alliance",
                rule=als.DropBelowRunningMean(k=k, sd="within", min_before=2),
            )
            for k in (0.5, 1.0)
        ),
        seed=1, n_resamples=20,
    ),
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_the_callers_state_stays(call: str, tmp_path: Path) -> None:
    given = {name: frame.copy() for name, frame in F.items()}
    said = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        CALLS[call](tmp_path)  # what is imported on the first call may set up itself
        before, filters = settings(), warnings.filters[:]
        with redirect_stdout(said), redirect_stderr(said):
            CALLS[call](tmp_path)
        assert warnings.filters == filters
        assert changed_settings(before, settings()) == {}
    assert said.getvalue() == ""
    for name, frame in F.items():
        pd.testing.assert_frame_equal(frame, given[name])
        assert _written(frame) == _written(given[name])


def test_fits_at_once_leave_the_libraries_their_threads() -> None:
    """The first fit to end gave back one thread, while others still held it, for good."""
    fitted = []

    def fit() -> None:
        fitted.append(als.lmm("alliance ~ session + (1 | family/person)", SESSIONS).log_lik)

    with threadpool_limits(2):
        before = [pool["num_threads"] for pool in threadpool_info()]
        fits = [threading.Thread(target=fit) for _ in range(4)]
        for each in fits:
            each.start()
        for each in fits:
            each.join()
        assert [pool["num_threads"] for pool in threadpool_info()] == before
    assert len(fitted) == 4
    assert len(set(fitted)) == 1


def test_a_caller_who_has_numpy_raise_has_fits() -> None:
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"step": rng.integers(1, 4, 90), "x": rng.normal(size=90) * 40.0})
    data = data.assign(person=np.repeat(range(15), 6))
    with np.errstate(all="raise"):
        assert np.isfinite(als.ordinal("step ~ x + (1 | person)", data).tidy()["estimate"]).all()
