"""Saved results: every class as plain JSON and back, and files that are refused."""

import copy
import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

import alliance_stats as als
from alliance_stats.archive.codec import FORMER, Reader, Writer, _fields_of, _today, records
from alliance_stats.archive.documents import FORMAT
from alliance_stats.design.formula import OwnColumn
from alliance_stats.errors import AllianceStatsWarning, DataError, WrongObjectError
from alliance_stats.family import (
    ControlChart,
    DropBelowRunningMean,
    expected_false_alarms,
    family_ruptures,
    rule_agreement,
    within_family_icc,
)
from alliance_stats.figures import forest_figure, kaplan_meier_figure
from alliance_stats.named import FUNCTIONS
from alliance_stats.power import (
    ArmDifference,
    ClusterTrial,
    power,
    power_sensitivity,
    smallest_design,
)
from tests.fuzz.frames import frames
from tests.fuzz.further_calls import FURTHER
from tests.fuzz.model_calls import MODELS
from tests.fuzz.question_calls import QUESTIONS
from tests.unit.test_result_contract import _results

SAME = 1e-8  # of a number: searches that start again from what was saved
SMALL = ClusterTrial(clusters=4, members=3)
PERSONS = {"person": "person", "session": "session", "score": "alliance", "family": "family"}


def _ruptures(data: Any, k: float) -> Any:
    rule = DropBelowRunningMean(k=k, sd="within", min_before=2)
    return als.ruptures(data, rule=rule, **PERSONS)


def _many(data: Any) -> Any:
    rules = {"low": als.cut_point("after", 16.0, better="lower"),
             "lower": als.cut_point("after", 14.0, better="lower")}  # fmt: skip
    return als.classify_many(data, rules)


def _sessions_calls() -> dict[str, tuple[str, Callable[[Any], object]]]:
    return {
        "rule_agreement": (
            "sessions",
            lambda d: rule_agreement(
                _ruptures(d, k=0.5), _ruptures(d, k=1.0), seed=1, n_resamples=20
            ),
        ),
        "family_ruptures": (
            "sessions",
            lambda d: family_ruptures(_ruptures(d, k=0.3), seed=1, n_resamples=20),
        ),
        "false_alarms": (
            "sessions",
            lambda d: expected_false_alarms(
                als.ruptures(d, rule=ControlChart(autocorrelation=0.2, min_before=2), **PERSONS),
                error=0.4, seed=1, n_resamples=50,
            ),
        ),
        "within_family_icc": ("sessions", lambda d: within_family_icc(d, **PERSONS)),
        "multiverse": ("forms", lambda d: _many(d).compare(outcomes="sessions")),
        "partition of events": (
            "sessions",
            lambda d: als.variance_partition(als.glmm("rupture ~ session + (1 | person)", d)),
        ),
        "brought": (
            "forms",
            lambda d: als.from_statsmodels(smf.ols("after ~ before + arm", d).fit(cov_type="HC3")),
        ),
        "brought logit": (
            "forms",
            lambda d: als.from_statsmodels(smf.logit("well ~ before", d).fit(disp=0)),
        ),
        "steps": ("forms", lambda d: als.ordinal("rated ~ before + (1 | site)", d)),
        "reproduce": ("forms", lambda _: als.reproduce(als.published()["record"].iloc[0])),
        "power": (
            "forms",
            lambda _: power(SMALL, ArmDifference(), n_studies=4, seed=1),
        ),
        "power_sensitivity": (
            "forms",
            lambda _: power_sensitivity(
                SMALL, ArmDifference(), vary={"icc": [0.1]}, n_studies=4, seed=1
            ),
        ),
        "smallest_design": (
            "forms",
            lambda _: smallest_design(
                ClusterTrial(clusters=4, members=3, effect=3.0), ArmDifference(),
                vary={"clusters": [4, 8]}, n_studies=20, batch=10, seed=1,
            ),
        ),
    }  # fmt: skip


CALLS = {**MODELS, **FURTHER, **QUESTIONS, **_sessions_calls()}


def _own(trial: pd.DataFrame) -> pd.DataFrame:
    return ArmDifference()(trial)


def _check(result: Any) -> set[str]:
    text = json.dumps(als.to_dict(result), allow_nan=False)
    loaded = als.from_dict(json.loads(text))
    assert type(loaded) is type(result)
    assert loaded.summary() == result.summary()
    assert loaded._repr_html_() == result._repr_html_()
    assert als.report(loaded) == als.report(result)
    for name in ("tidy", "glance"):
        if callable(getattr(result, name, None)):
            found, asked = getattr(loaded, name)(), getattr(result, name)()
            pd.testing.assert_frame_equal(found, asked, rtol=SAME, atol=1e-12)
    assert json.dumps(als.to_dict(loaded), allow_nan=False) == text
    return _opened_alike(result, loaded)


def _opened_alike(result: Any, loaded: Any) -> set[str]:
    """Open both; return what they answer, having been refused the rest in words."""
    answered = set()
    for what in ("design_matrix", "augment", "residuals", "random_effects", "draws"):
        try:
            frame = als.opened(result, what)
        except WrongObjectError as refused:
            said = str(refused)
            assert re.fullmatch(rf"{type(result).__name__} has no [a-z ]+: .{{12,}}\.", said), said
            with pytest.raises(WrongObjectError):
                als.opened(loaded, what)
            continue
        assert len(frame) > 0, (type(result), what)
        assert not any(isinstance(name, OwnColumn) for name in frame.columns), type(result)
        again = als.opened(loaded, what)
        pd.testing.assert_frame_equal(again, frame, rtol=SAME, atol=1e-12)
        answered.add(what)
    return answered


X, ROWS, LEFT, UNITS, DRAWS = "design_matrix", "augment", "residuals", "random_effects", "draws"
MIXED = {X, ROWS, LEFT, UNITS}
# what a class can be asked for; every other class refuses all of it in words
OPENED = {
    kind: asked
    for asked, kinds in (
        (MIXED, "LinearMixedModel GeneralizedLinearMixedModel EstimatedMeans SimpleSlopes "
                "Comparisons WithinBetween TrajectoryComparison FamilyBalance JohnsonNeyman "
                "StandardisedCoefficients PatternMixture SharedParameterModel MixedAnova "
                "LatentPartition DiscreteHazard"),
        ({X, ROWS, LEFT}, "LinearRegression GeneralizedRegression ResponseSurface CoxModel "
                          "FineGrayModel"),
        ({X, ROWS}, "LandmarkModel CompetingHazards LocationScaleModel OrderedRegression "
                    "BroughtModel FirthHazards"),
        ({X, ROWS, UNITS}, "OrdinalMixedModel"),
        ({ROWS, LEFT}, "MetaAnalysis"),
        ({UNITS}, "CrossLagged SeveralOutcomes"),
        ({LEFT}, "ResidualChecks"),
        ({DRAWS}, "Bootstrap Mediation CoderAgreement RuleAgreement"),
    )
    for kind in kinds.split()
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
def test_every_result_class_answers_after_loading_as_when_it_was_saved() -> None:
    tables = frames()
    saved, wrong = set(), {}
    answered: dict[str, set[str]] = {}
    for call, (base, function) in CALLS.items():
        result: Any = function(tables[base])
        if not hasattr(result, "account"):
            continue
        saved.add(type(result))
        try:
            asked = answered.setdefault(type(result).__name__, set())
            asked |= _check(result)
        except (AssertionError, DataError) as reason:
            wrong[call] = str(reason)[:300]
    # a result holds data and named functions (alliance_stats.named), no closures
    assert wrong == {}
    # what some call of the class has: a hazard has random effects only where it was given some
    found = {kind: asked for kind, asked in answered.items() if asked}
    assert {k: v ^ OPENED.get(k, set()) for k, v in found.items() if v != OPENED.get(k)} == {}
    assert set(OPENED) == set(found)
    # a new result class needs a call, here or in tests/fuzz
    assert {kind.__name__ for kind in set(_results()) - saved} == set()


def _lmm() -> Any:
    return als.lmm("symptoms ~ alliance * role + (1 | person)", frames()["sessions"])


def test_a_loaded_model_takes_every_further_question() -> None:
    model = _lmm()
    loaded = als.from_dict(als.to_dict(model))
    new = frames()["sessions"].head(7)
    pd.testing.assert_frame_equal(loaded.predict(new), model.predict(new))
    pd.testing.assert_frame_equal(loaded.anova(), model.anova())
    pd.testing.assert_frame_equal(loaded.augment(), model.augment())
    pd.testing.assert_frame_equal(
        als.estimated_means(loaded, "role").tidy(), als.estimated_means(model, "role").tidy()
    )
    pd.testing.assert_frame_equal(
        als.parametric_bootstrap(loaded, n_resamples=3, seed=1, workers=1).draws,
        als.parametric_bootstrap(model, n_resamples=3, seed=1, workers=1).draws,
    )


def test_a_figure_of_a_loaded_result_is_the_same_picture() -> None:
    curves = als.kaplan_meier(frames()["units"], time="time", event="event", strata="group")
    loaded = als.from_dict(als.to_dict(curves))
    assert kaplan_meier_figure(loaded).svg() == kaplan_meier_figure(curves).svg()
    model = _lmm()
    again = als.from_dict(als.to_dict(model))
    drawn = [forest_figure(m, estimate_label="b").svg() for m in (again, model)]
    assert drawn[0] == drawn[1]


def _columns() -> pd.DataFrame:
    moments = pd.date_range("2024-01-01", periods=3, tz="Europe/Zurich")
    return pd.DataFrame(
        {
            "number": [1.5, np.nan, -np.inf],
            "tiny": [1e-300, 5e-324, 0.1 + 0.2],
            "small": np.array([1, 2, 3], dtype=np.int8),
            "single": np.array([0.1, np.nan, 3.0], dtype=np.float32),
            "truth": [True, False, True],
            "text": ["a b", None, "ü"],
            "mixed": [1, "1", 1.0],
            "category": pd.Categorical(["x", None, "y"], categories=["y", "x"], ordered=True),
            "numbers": pd.Categorical([3, 1, 3]),
            "whole": pd.array([1, None, 3], dtype="Int64"),
            "real": pd.array([1.5, None, 3.0], dtype="Float64"),
            "maybe": pd.array([True, None, False], dtype="boolean"),
            "words": pd.array(["a", None, "c"], dtype="string"),
            "moment": moments,
            "day": moments.tz_localize(None),
            "span": pd.to_timedelta([1, 2, 3], unit="h"),
            ("pair", 1): [1, 2, 3],
            7: [1, 2, 3],
        },
        index=pd.Index(["p", "q", "r"], name="row"),
    )


def _through(value: object) -> Any:
    return Reader()(json.loads(json.dumps(Writer()(value), allow_nan=False)))


@pytest.mark.parametrize(
    "frame",
    [
        _columns(),
        _columns().set_index(["number", "text"]),
        _columns()[["number"]].reset_index(drop=True),
        _columns().set_index("moment"),
        pd.concat([_columns()[["truth"]]] * 2, axis="columns"),
        _columns().iloc[:0],
        pd.DataFrame(index=[3, 1]),
        _columns().T,
    ],
    ids=["types", "levels", "range", "moments", "twice", "no rows", "no columns", "turned"],
)
def test_frames_come_back_with_their_types_labels_and_digits(frame: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(_through(frame), frame, check_exact=True, check_freq=False)


def test_arrays_come_back_to_the_last_bit() -> None:
    rng = np.random.default_rng(1)
    for array in (
        rng.normal(size=(3, 4)),
        np.asfortranarray(rng.normal(size=(3, 4))),
        np.array(-0.0),
        np.array([], dtype=np.int64),
        np.array(["a", None, 2.5], dtype=object),
        np.array([np.nan, np.inf, -np.inf]),
    ):
        found = _through(array)
        assert found.dtype == array.dtype
        assert found.shape == array.shape
        assert found.flags.f_contiguous == array.flags.f_contiguous
        if array.dtype != object:
            assert found.tobytes() == array.tobytes()
    shared = rng.normal(size=3)
    a, b = _through((shared, shared))
    assert a is b


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": FORMAT + 1}, "Update alliance_stats"),
        ({"format": "1"}, "Update alliance_stats"),
        ({"result": {"is": "os.system", "of": {}}}, "does not know"),
        ({"result": {"is": "function", "of": "output.write_whole"}}, "not known"),
        ({"result": {"is": "dict", "of": {}}}, "no result"),
        ({"result": {"is": "array"}}, "not as to_dict wrote it"),
        ({"result": {"is": "same", "as": 3}}, "not as to_dict wrote it"),
    ],
)
def test_a_document_that_is_not_known_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        als.from_dict({**als.to_dict(_lmm()), **change})


def test_a_document_with_other_fields_is_refused() -> None:
    document = copy.deepcopy(als.to_dict(_lmm()))
    document["result"]["of"]["new"] = document["result"]["of"].pop("fit")
    with pytest.raises(DataError, match="other fields"):
        als.from_dict(document)
    with pytest.raises(DataError, match="no saved result"):
        als.from_dict({})


def _curves_document() -> dict[str, Any]:
    curves = als.kaplan_meier(frames()["units"], time="time", event="event", strata="group")
    found: dict[str, Any] = json.loads(json.dumps(als.to_dict(curves)))
    return found


def test_what_was_changed_by_hand_is_said() -> None:
    document = _curves_document()
    document["result"]["of"]["curves"][0]["of"]["survival"]["of"][2] = 0.99
    with pytest.warns(AllianceStatsWarning, match="KaplanMeier was changed after it was saved"):
        als.from_dict(document)


def test_a_field_that_an_older_version_did_not_have_is_said() -> None:
    document = als.to_dict(_lmm())
    document["versions"] = {**document["versions"], "alliance_stats": "0.0.1"}
    lost = _without_an_optional_field(document["result"])
    assert lost
    del document["sha256"]  # as older versions wrote
    with pytest.warns(AllianceStatsWarning, match=f"written by alliance_stats 0.0.1.*{lost}"):
        als.from_dict(document)


def _without_an_optional_field(document: Any) -> str:
    """Take out the first optional field of a record in a document; return its name."""
    if isinstance(document, list):
        return next(filter(None, map(_without_an_optional_field, document)), "")
    if not isinstance(document, dict):
        return ""
    kind = records().get(str(document.get("is")))
    if kind is not None:
        for name in sorted(_fields_of(kind)[1] & set(document["of"])):
            if document["of"][name] in (None, [], False, ""):  # nothing else refers into it
                del document["of"][name]
                return f"{kind.__name__}.{name}"
    return next(filter(None, map(_without_an_optional_field, document.values())), "")


def test_a_result_that_prints_otherwise_under_other_versions_is_said() -> None:
    document = _curves_document()
    document["versions"]["pandas"] = "1.0"
    als.from_dict(document)  # prints the same: nothing to say
    document["summary"] += " More."
    with pytest.warns(AllianceStatsWarning, match=r"prints otherwise .* pandas 1\.0 \(now"):
        als.from_dict(document)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda of: of.update(colour=1), "'colour' is not known here"),
        (lambda of: of.pop("curves"), "'curves' is missing"),
    ],
)
def test_a_field_too_many_or_too_few_is_named(change: Callable[[Any], Any], says: str) -> None:
    document = _curves_document()
    change(document["result"]["of"])
    with pytest.raises(DataError, match=says):
        als.from_dict(document)


def test_ids_dates_and_counts_of_a_result_come_back() -> None:
    """Text, categorical and number ids, dates, missing and infinite values in a model's rows."""
    data = frames()["sessions"].assign(
        seen=pd.date_range("2024-01-01", periods=len(frames()["sessions"])),
        person=lambda d: pd.Categorical(d["person"]),
        small=lambda d: d["session"].astype(np.int8),
        odd=np.where(np.arange(len(frames()["sessions"])) % 2, np.nan, np.inf),
    )
    model = als.lmm("symptoms ~ small + (1 | person)", data)
    loaded = als.from_dict(json.loads(json.dumps(als.to_dict(model), allow_nan=False)))
    pd.testing.assert_frame_equal(loaded.augment(), model.augment(), check_exact=True)
    assert loaded.random_effects()["level"].dtype == model.random_effects()["level"].dtype
    moments = pd.Series(data["seen"], index=data.index)
    pd.testing.assert_series_equal(_through(moments), moments)
    pd.testing.assert_frame_equal(_through(data), data, check_freq=False)
    for value in (np.int64(3), np.float32(0.1), np.bool_(True), pd.NaT, float("inf"), np.nan):
        assert repr(_through(value)) == repr(value)


def test_a_file_is_of_a_reasonable_size() -> None:
    data = frames()["sessions"]
    text = json.dumps(als.to_dict(als.lmm("symptoms ~ session + (1 | person)", data)))
    assert len(text) < 8 * len(data.to_csv()) + 40_000


def test_what_is_opened_is_what_the_class_gives_itself() -> None:
    model = _lmm()
    pd.testing.assert_frame_equal(als.opened(model, X), model.design_matrix())
    assert als.opened(model, LEFT)["residual"].equals(model.residuals().rename("residual"))
    steps = als.ordinal("rated ~ before + (1 | site)", frames()["forms"])
    rows = als.opened(steps, ROWS)
    assert rows["before"].equals(frames()["forms"].loc[rows.index, "before"])
    assert np.allclose(rows[[0, 1, 2]].sum(axis=1), 1.0)
    fixed = als.discrete_hazard(
        "barriers", frames()["periods"], session="session", event="left", unit="unit",
        random=None, baseline="polynomial",
    )  # fmt: skip
    with pytest.raises(WrongObjectError, match="DiscreteHazard has no random effects: none are"):
        als.opened(fixed, UNITS)
    with pytest.raises(WrongObjectError, match="OrdinalMixedModel has no residuals: its outcome"):
        als.opened(steps, LEFT)
    with pytest.raises(WrongObjectError, match="got DataFrame"):
        als.opened(rows, X)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="what"):
        als.opened(model, "resid")  # type: ignore[arg-type]


def test_only_results_are_saved(tmp_path: Any) -> None:
    with pytest.raises(WrongObjectError, match="got DataFrame"):
        als.to_dict(frames()["units"])
    with pytest.raises(DataError, match="function"):
        als.to_dict(power(SMALL, _own, n_studies=2, seed=1))
    file = als.save_result(_lmm(), tmp_path / "m.json")
    assert als.load_result(file).summary() == _lmm().summary()
    file.write_text(file.read_text(encoding="utf-8")[:-40], encoding="utf-8")
    with pytest.raises(DataError, match="no JSON"):
        als.load_result(file)


SAVED = sorted((Path(__file__).parent / "saved").glob("*.json"))


@pytest.mark.parametrize("path", SAVED, ids=lambda path: path.stem)
def test_what_was_saved_once_prints_what_it_printed_then(path: Path) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        loaded = als.load_result(path)
    # fields that came later have their default; what is printed is what was printed then
    assert all("the default of this version" in str(one.message) for one in said)
    assert type(loaded).__name__ == document["class"]
    assert loaded.summary() == document["summary"]
    assert len(loaded.tidy()) > 0


def test_what_moved_is_where_it_is_said_to_be() -> None:
    names = {*records(), *FUNCTIONS}
    today = names | {name.rpartition(".")[0] for name in names}
    assert set(FORMER.values()) <= today
    assert not set(FORMER) & today


def test_every_name_that_a_file_can_hold_is_still_known() -> None:
    once = (Path(__file__).parent / "saved" / "names.txt").read_text(encoding="utf-8").split()
    known = {*records(), *FUNCTIONS}
    assert len(once) > 350
    assert [name for name in once if _today(name) not in known] == []


def test_a_function_that_moved_is_found_under_its_former_name() -> None:
    former = {"is": "function", "of": "generalizability.ratio_limits"}
    assert Reader()(former) is FUNCTIONS["person_reliability.ratio_limits"]
