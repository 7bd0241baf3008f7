"""Imputation under the nested model, shifts, tipping points and pattern mixtures."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from alliance_stats.design.groupings import back_transform
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.multilevel import AR1, LinearMixedModel, lmm
from alliance_stats.survival import (
    SensitivityByGroup,
    dropout_sensitivity,
    pattern_mixture,
    sensitivity_by_group,
)
from alliance_stats.survival.unseen.completed_analyses import pool
from alliance_stats.survival.unseen.dropout_sensitivity import (
    DropoutSensitivity,
    crossings,
    finding_margins,
    first_crossing,
)
from alliance_stats.survival.unseen.outcome_imputation import OutcomeImputer, imputations
from tests.parity.reference import load_reference

MICE = load_reference("survival_pooling")["pooled"]
FORMULA = "y ~ time * arm + (1 | therapist/person)"


def study(seed: int = 4) -> pd.DataFrame:
    """12 therapists x 5 persons x 5 times; who does badly tends to leave."""
    rng = np.random.default_rng(seed)
    rows = []
    for t in range(12):
        v = rng.normal(0, 1.0)
        for i in range(5):
            u, arm, gone = rng.normal(0, 1.5), i % 2, False
            for time in range(5):
                y = 10 - 0.5 * time - 0.8 * arm * time + v + u + rng.normal(0, 1.5)
                rows.append((f"T{t}", f"T{t}-{i}", arm, time, np.nan if gone else y))
                gone = gone or rng.random() < 1 / (1 + np.exp(4.0 - 0.25 * y))
    return pd.DataFrame(rows, columns=["therapist", "person", "arm", "time", "y"])


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return study()


@pytest.fixture(scope="module")
def model(data: pd.DataFrame) -> LinearMixedModel:
    return lmm(FORMULA, data.dropna())


@pytest.fixture(scope="module")
def unseen(data: pd.DataFrame) -> pd.DataFrame:
    return data[data["y"].isna()].drop(columns="y")


@pytest.fixture(scope="module")
def found(model: LinearMixedModel, unseen: pd.DataFrame) -> DropoutSensitivity:
    return dropout_sensitivity(
        model,
        unseen,
        term="time:arm",
        deltas=np.arange(-8, 9, 2),
        seed=7,
        n_imputations=40,
        shift="arm",
    )


def test_effects_are_drawn_from_their_exact_posterior(
    model: LinearMixedModel, unseen: pd.DataFrame
) -> None:
    imputer = OutcomeImputer(model, unseen)
    rng = np.random.default_rng(1)

    def drawn() -> tuple[np.ndarray, list[np.ndarray]]:
        counts = [len(grouping.labels) for grouping in model.design.groupings]
        prior = [
            model.sigma * L @ rng.standard_normal((len(L), n))
            for L, n in zip(model.fit.Lambda, counts, strict=True)
        ]
        noise = model.sigma * rng.standard_normal(len(model.design.y))
        return imputer._solved(model.fit.Lambda, prior, noise)

    draws = [drawn() for _ in range(1500)]
    beta = np.array([b for b, _ in draws])
    errors = np.sqrt(np.diag(model.vcov()))
    # 4 Monte Carlo standard errors
    assert_allclose((beta.mean(axis=0) - model.beta) / errors, 0.0, atol=4 / np.sqrt(1500))
    covariance = np.cov(beta.T) / np.outer(errors, errors)
    assert_allclose(covariance, model.vcov() / np.outer(errors, errors), atol=0.1)
    # predicted effects with the SDs of Henderson's equations: those of X beta + Z b
    rows = unseen.iloc[:8]
    expected = model.predict(rows, level="conditional", interval="confidence")
    part = OutcomeImputer(model, rows)
    values = []
    for b, effects in draws:
        y = part.rows.X @ b
        for f in range(2):
            back = back_transform(model.design.groupings[f].terms)[0, 0]
            y = y + back * effects[f][0, part.units[f]]
        values.append(y)
    assert_allclose(np.mean(values, axis=0), expected["estimate"], atol=0.1)
    assert_allclose(np.std(values, axis=0), expected["std_error"], rtol=0.06)


def test_imputations_are_seeded_and_hold_the_residual(
    model: LinearMixedModel, unseen: pd.DataFrame
) -> None:
    first, again = ([d.y for d in imputations(model, unseen, m=m, seed=5)] for m in (3, 2))
    assert_allclose(first[:2], again)
    assert np.abs(first[0] - first[1]).mean() > 0.5


def test_a_unit_that_was_never_seen_gets_an_effect_of_its_own(model: LinearMixedModel) -> None:
    new = pd.DataFrame(
        {"therapist": "T0", "person": ["new"] * 2 + ["other"] * 2, "arm": 0, "time": [0, 1] * 2}
    )
    drawn = np.array([d.y for d in imputations(model, new, m=120, seed=1)])
    same = np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1]
    between = np.corrcoef(drawn[:, 0], drawn[:, 2])[0, 1]
    assert same > between + 0.2


def test_without_a_shift_it_is_the_complete_likelihood(found: DropoutSensitivity) -> None:
    at_zero = found.tidy().query("delta == 0").iloc[0]
    estimates = found.completed.estimates[found.deltas == 0]
    monte_carlo = np.sqrt(estimates.var(ddof=1) / estimates.shape[1])
    assert abs(at_zero["estimate"] - found.seen["estimate"]) < 3 * monte_carlo
    assert_allclose(at_zero["std_error"], found.seen["std_error"], rtol=0.12)
    assert at_zero["df"] < found.completed.df[found.deltas == 0].item()
    assert 0 < at_zero["missing_information"] < 1


def test_shifts_move_the_estimate_in_a_line_and_the_tipping_point_is_where_the_limit_is_zero(
    found: DropoutSensitivity, model: LinearMixedModel, unseen: pd.DataFrame
) -> None:
    table = found.tidy()
    assert found.seen["conf_high"] < 0
    steps = np.diff(table["estimate"])
    assert (steps > 0).all()
    assert_allclose(steps, steps.mean(), rtol=0.15)
    tips = found.tipping_points().set_index("direction")["delta"]
    assert np.isnan(tips["below 0"])
    at_tip = dropout_sensitivity(
        model,
        unseen,
        term="time:arm",
        deltas=[tips["above 0"]],
        seed=7,
        n_imputations=40,
        shift="arm",
    ).tidy()
    assert abs(at_tip["conf_high"].iloc[-1]) < 0.03
    assert "Shifts below 0: not overturned up to −8.00" in found.summary()
    assert "Shifts above 0: overturned from" in found.summary()


def test_a_direction_that_was_not_asked_for_is_not_said_to_hold(
    model: LinearMixedModel, unseen: pd.DataFrame
) -> None:
    one_sided = dropout_sensitivity(
        model, unseen, term="time:arm", deltas=[1, 2], seed=7, n_imputations=2, shift="arm"
    )
    lines = one_sided.summary().splitlines()
    assert "Shifts below 0: none was tried." in lines
    assert any(line.startswith("Shifts above 0: ") for line in lines)
    below = one_sided.tipping_points().set_index("direction").loc["below 0"]
    assert np.isnan(below["delta"])
    assert below["searched_to"] == 0.0


def test_pooling_equals_mice() -> None:
    """Five estimates pooled by mice: ``pool.scalar(Q, U, n = 41, k = 1)``: 40 df complete."""
    Q = np.array([[1.2, 1.5, 0.9, 1.4, 1.1]])
    U = np.array([[0.20, 0.22, 0.18, 0.21, 0.19]])
    pooled = pool(Q, U, np.array([40.0]))
    reference = MICE
    assert_allclose(pooled.estimate, reference["qbar"], rtol=1e-12)
    assert_allclose(pooled.std_error**2, reference["t"], rtol=1e-12)
    assert_allclose(pooled.df, reference["df"], rtol=1e-12)
    assert_allclose(pooled.missing_information, reference["fmi"], rtol=1e-12)


def test_crossings_by_hand() -> None:
    assert first_crossing(np.array([0.0, 1.0, 2.0]), np.array([2.0, 1.0, -1.0])) == 1.5
    assert np.isnan(first_crossing(np.array([0.0, -1.0]), np.array([2.0, 1.0])))


def test_each_limit_is_interpolated_by_itself() -> None:
    """A finding that is not significant is overturned where a limit is 0, on any grid."""

    def tips(deltas: np.ndarray) -> list[float]:  # limits 0.1 delta - 1 and 0.1 delta + 0.4
        table = pd.DataFrame({"conf_low": 0.1 * deltas - 1.0, "conf_high": 0.1 * deltas + 0.4})
        at_none = int(np.flatnonzero(deltas == 0)[0])
        return crossings(deltas, finding_margins(table, at_none), at_none)["delta"].tolist()

    assert_allclose(tips(np.array([-20.0, 0.0, 20.0])), [-4.0, 10.0])
    assert_allclose(tips(np.arange(-20.0, 21.0, 2.0)), [-4.0, 10.0])


def test_a_shift_in_sds_and_one_by_a_factor(model, unseen) -> None:
    options = {"term": "time:arm", "seed": 7, "n_imputations": 3, "shift": "arm"}
    sd = float(model.design.y.std(ddof=1))
    points = dropout_sensitivity(model, unseen, deltas=[0.5 * sd], **options)
    sds = dropout_sensitivity(model, unseen, deltas=[0.5], scale="sd", **options)
    assert_allclose(sds.completed.estimates, points.completed.estimates)
    assert "SDs (of the outcomes seen: " in sds.notes[0]
    # a factor in the arm alone: its outcomes, and those of no one else
    factor = dropout_sensitivity(model, unseen, deltas=[1.25], scale="factor", **options)
    drawn = [d.y for d in imputations(model, unseen, m=3, seed=7)]
    by_hand = []
    for y in drawn:
        whole = pd.concat([model.design.frame, unseen], ignore_index=True)
        times = np.where(unseen["arm"] == 1, 1.25, 1.0)
        whole["y"] = np.concatenate([model.design.y, y * times])
        by_hand.append(lmm(FORMULA, whole).beta["time:arm"])
    assert_allclose(factor.completed.estimates[1], by_hand, rtol=1e-4)  # two optimisers
    assert factor.tipping_points()["direction"].tolist() == ["below 1", "above 1"]


@pytest.fixture(scope="module")
def by_arm(model: LinearMixedModel, unseen: pd.DataFrame) -> SensitivityByGroup:
    return sensitivity_by_group(
        model, unseen, term="time:arm", group="arm", deltas={0: [-3.0, 3.0], 1: [-8.0, 8.0]},
        seed=7, n_imputations=5,
    )  # fmt: skip


def test_two_arms_with_shifts_of_their_own(by_arm, model, unseen) -> None:
    table = by_arm.tidy()
    assert len(table) == 9
    alone = dropout_sensitivity(
        model, unseen, term="time:arm", deltas=[-8.0, 8.0], seed=7, n_imputations=5, shift="arm"
    )
    held = table[table["delta[0]"] == 0.0]
    assert_allclose(held["delta[1]"], alone.deltas)
    assert_allclose(held["estimate"], alone.tidy()["estimate"], rtol=1e-5)
    tips = by_arm.tipping_points()
    own = tips[(tips["group"] == 1) & (tips["held"] == 0.0)].reset_index(drop=True)
    pd.testing.assert_frame_equal(
        own[["direction", "delta", "searched_to"]], alone.tipping_points(), rtol=1e-4
    )
    assert f"Unseen: {by_arm.n_unseen[0]} outcomes of 0" in by_arm.summary()


def test_arms_that_are_not_there_and_arms_that_nobody_left(model, unseen) -> None:
    options = {"term": "time:arm", "group": "arm", "seed": 1, "n_imputations": 2}
    with pytest.raises(DataError, match="Column 'arm' has no 2 among the outcomes seen"):
        sensitivity_by_group(model, unseen, deltas={0: [1.0], 2: [1.0]}, **options)
    with pytest.raises(ValueError, match="shifts of two arms"):
        sensitivity_by_group(model, unseen, deltas={0: [1.0]}, **options)
    of_one = unseen[unseen["arm"] == 1]
    found = sensitivity_by_group(model, of_one, deltas={0: [1.0], 1: [1.0]}, **options)
    assert found.notes[1] == "Nothing is unseen in arm = 0: its shifts change nothing."
    nobody = unseen.iloc[:0]
    with pytest.raises(DataError, match="unseen has no rows"):
        sensitivity_by_group(model, nobody, deltas={0: [1.0], 1: [1.0]}, **options)


def test_a_conditional_mean_without_a_shift_is_the_likelihoods_own(model, unseen) -> None:
    found = dropout_sensitivity(
        model, unseen, term="time:arm", deltas=[2.0], seed=1, variance="conditional mean"
    )
    row = found.tidy().iloc[0]
    assert_allclose(row["estimate"], model.beta["time:arm"], rtol=1e-8)
    # twelve therapists know an SD within a fifth
    assert_allclose(row["std_error"], found.seen["std_error"], rtol=0.4)
    assert row["df"] == 11
    assert "jackknife's, over 12 values of 'therapist'" in found.notes[1]


@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        (lambda d: d.assign(y=1.0), {}, DataError, "the outcome 'y' is there in rows"),
        (lambda d: d.drop(columns="arm"), {}, DataError, "unseen has no column 'arm'"),
        (lambda d: d.assign(arm=np.nan), {}, DataError, "'arm' is missing in rows"),
        (lambda d: d.assign(time=0), {}, DataError, "equal rows whose outcome was seen"),
        (lambda d: d, {"term": "arms"}, FormulaError, "no coefficient 'arms'. Did you mean 'arm'"),
        (lambda d: d, {"n_imputations": 1}, ValueError, "at least 2 imputations"),
        (lambda d: d, {"deltas": [np.inf]}, ValueError, "deltas must be finite"),
        (lambda d: d, {"shift": "years"}, DataError, "unseen has no column 'years'"),
    ],
)
def test_what_cannot_be_imputed_is_refused(model, unseen, change, options, error, message) -> None:  # noqa: PLR0917 - parametrised
    with pytest.raises(error, match=message):
        dropout_sensitivity(
            model,
            change(unseen),
            **{"term": "time:arm", "deltas": [1.0], "seed": 1, "n_imputations": 2} | options,
        )


def test_residual_structures_are_refused(data: pd.DataFrame, unseen: pd.DataFrame) -> None:
    fading = lmm("y ~ time + (1 | person)", data.dropna(), residual=AR1("time", within="person"))
    with pytest.raises(DataError, match="equal, independent residuals"):
        dropout_sensitivity(fading, unseen, term="time", deltas=[1.0], seed=1)


def test_pattern_mixture_by_hand(data: pd.DataFrame) -> None:
    """With patterns fully apart, the averages are those of separate coefficients."""
    seen = data.dropna()
    last = seen.groupby("person")["time"].transform("max")
    seen = seen[last > 0].assign(when=np.where(last[last > 0] < 4, "left", "stayed"))
    found = pattern_mixture("y ~ time + (1 | person)", seen, pattern="when", unit="person")
    own = lmm("y ~ 0 + when + when:time + (1 | person)", seen)
    by = found.by_pattern().set_index(["pattern", "term"])
    slopes = own.tidy().set_index("term")
    for name in ("left", "stayed"):
        reference = slopes.loc[
            f"when[{name}]:time" if f"when[{name}]:time" in slopes.index else f"when[T.{name}]:time"
        ]
        assert_allclose(by.loc[(name, "time"), "estimate"], reference["estimate"], rtol=1e-6)
        assert_allclose(by.loc[(name, "time"), "std_error"], reference["std_error"], rtol=1e-5)
    share = found.patterns.set_index("pattern")["share"]
    b1, b2 = by.loc[("left", "time"), "estimate"], by.loc[("stayed", "time"), "estimate"]
    row = found.tidy().set_index("term").loc["time"]
    assert_allclose(row["estimate"], share["left"] * b1 + share["stayed"] * b2)
    s1, s2 = by.loc[("left", "time"), "std_error"], by.loc[("stayed", "time"), "std_error"]
    n = found.patterns["n_units"].sum()
    between = share["left"] * share["stayed"] * (b1 - b2) ** 2 / n
    V = own.vcov()
    cross = V.to_numpy()[-2, -1]
    expected = share["left"] ** 2 * s1**2 + share["stayed"] ** 2 * s2**2 + between
    expected += 2 * share["left"] * share["stayed"] * cross
    assert_allclose(row["std_error"], np.sqrt(expected), rtol=1e-5)


def test_pattern_mixture_refusals(data: pd.DataFrame) -> None:
    seen = data.dropna()
    last = seen.groupby("person")["time"].transform("max")
    by_last = seen.assign(when=last.astype(str), one="all", moving=seen["time"].astype(str))
    formula = "y ~ time + (1 | person)"
    with pytest.raises(NotIdentifiedError, match="someone who left after one session has no slope"):
        pattern_mixture(formula, by_last, pattern="when", unit="person")
    with pytest.raises(NotIdentifiedError, match="'one' has one value"):
        pattern_mixture(formula, by_last, pattern="one", unit="person")
    with pytest.raises(DataError, match="has several values of 'moving': a unit leaves once"):
        pattern_mixture(formula, by_last, pattern="moving", unit="person")
    nameless = by_last.assign(person=by_last["person"].where(by_last["person"] != "T0-1"))
    with pytest.raises(DataError, match="'person' is missing in"):
        pattern_mixture(formula, nameless, pattern="when", unit="person")


def test_no_column_of_the_caller_meets_the_pattern_added(data: pd.DataFrame) -> None:
    seen = data.dropna()
    last = seen.groupby("person")["time"].transform("max")
    seen = seen.assign(half=np.where(last < 4, "early", "stayed"))
    options = {"pattern": "half", "unit": "person"}
    plain = pattern_mixture("y ~ time + (1 | person)", seen, **options).tidy()
    renamed = seen.rename(columns={"time": "time_of_leaving"})
    found = pattern_mixture("y ~ time_of_leaving + (1 | person)", renamed, **options).tidy()
    assert_allclose(found["estimate"], plain["estimate"], rtol=1e-12)  # the same arithmetic


def leaving_by_arm() -> pd.DataFrame:
    """60% leave one arm and 20% the other; who leaves has slope 0, who stays slope -1."""
    rng = np.random.default_rng(5)
    unit = np.arange(240)
    arm = unit % 2
    left = rng.random(240) < np.where(arm == 1, 0.2, 0.6)
    level = rng.normal(size=240)
    rows = [
        (i, arm[i], "left" if left[i] else "stayed", t, level[i] - (not left[i]) * t)
        for i in unit
        for t in range(3 if left[i] else 7)
    ]
    frame = pd.DataFrame(rows, columns=["id", "arm", "when", "time", "y"])
    return frame.assign(y=frame["y"] + rng.normal(size=len(frame)))


def test_pattern_mixture_averages_each_arm_by_its_own_shares() -> None:
    frame = leaving_by_arm()
    formula = "y ~ time * arm + (1 | id)"
    found = pattern_mixture(formula, frame, pattern="when", unit="id")
    share = pd.crosstab(*[frame.drop_duplicates("id")[c] for c in ("arm", "when")])
    share = share.div(share.sum(axis=1), axis=0)
    within = found.by_pattern().pivot(index="pattern", columns="term", values="estimate")
    slope = [share.loc[a] @ (within["time"] + a * within["time:arm"]) for a in (0, 1)]
    estimate = found.tidy().set_index("term")["estimate"]
    assert_allclose(estimate["time"], slope[0], rtol=1e-9)  # linear algebra on 1,000 rows
    assert_allclose(estimate["time:arm"], slope[1] - slope[0], rtol=1e-9)
    assert found.group == ("arm",)
    assert "each arm's own shares" in found.summary()
    # the shares are of units, who have three rows or seven
    counts = found.shares.set_index(["arm", "pattern"])["n_units"]
    assert counts.sum() == 240
    pooled = pattern_mixture(formula, frame, pattern="when", unit="id", group=())
    assert "pooled" in pooled.method
    own = pooled.patterns["share"].to_numpy() @ within["time:arm"].to_numpy()
    assert_allclose(pooled.tidy().set_index("term")["estimate"]["time:arm"], own, rtol=1e-9)


def test_pattern_mixture_by_arm_stands_up_to_resampled_units() -> None:
    frame = leaving_by_arm()
    formula = "y ~ time * arm + (1 | id)"
    found = pattern_mixture(formula, frame, pattern="when", unit="id").tidy().set_index("term")
    rng = np.random.default_rng(11)
    units = dict(list(frame.groupby("id")))
    estimates = []
    for _ in range(40):
        drawn = rng.integers(0, 240, size=240)
        again = pd.concat([units[i].assign(id=k) for k, i in enumerate(drawn)])
        fit = pattern_mixture(formula, again, pattern="when", unit="id").tidy().set_index("term")
        estimates.append(fit["estimate"]["time:arm"])
    # 40 bootstrap samples know a standard error within about 11%: three of those
    assert_allclose(found["std_error"]["time:arm"], np.std(estimates, ddof=1), rtol=0.35)


def test_pattern_mixture_says_where_arms_cannot_be_averaged_apart() -> None:
    frame = leaving_by_arm()
    formula = "y ~ time + arm + (1 | id)"
    with pytest.raises(NotIdentifiedError, match="does not cross every term"):
        pattern_mixture(formula, frame, pattern="when", unit="id", group="arm")
    found = pattern_mixture(formula, frame, pattern="when", unit="id")
    assert found.notes[0].startswith("The averages stand on an assumption")
    assert found.notes[1].startswith("Shares are pooled")


def test_pattern_mixture_counts_the_rows_that_came_in() -> None:
    frame = leaving_by_arm()
    frame.loc[frame.index[:7], "y"] = np.nan
    found = pattern_mixture("y ~ time * arm + (1 | id)", frame, pattern="when", unit="id")
    assert (found.rows.n_in, found.rows.n_used) == (len(frame), len(frame) - 7)


def test_pattern_mixture_keeps_back_ticks() -> None:
    frame = leaving_by_arm().assign(site=lambda d: d["id"] % 3, nr=1)
    named = frame.assign(**{"site:nr": frame["id"]})
    options = {"pattern": "when", "unit": "id"}
    ticked = pattern_mixture("y ~ time * arm + (1 | `site:nr`)", named, **options).tidy()
    plain = pattern_mixture("y ~ time * arm + (1 | id)", frame, **options).tidy()
    assert_allclose(ticked["estimate"], plain["estimate"], rtol=1e-12)


def test_row_labels_that_repeat_do_not_multiply_a_pattern_mixtures_rows(data: pd.DataFrame) -> None:
    seen = data.dropna()
    last = seen.groupby("person")["time"].transform("max")
    seen = seen.assign(half=np.where(last < 4, "early", "stayed"))
    repeated = seen.set_axis(np.arange(len(seen)) // 2)
    options = {"pattern": "half", "unit": "person"}
    one = pattern_mixture("y ~ time + (1 | person)", seen, **options)
    other = pattern_mixture("y ~ time + (1 | person)", repeated, **options)
    pd.testing.assert_frame_equal(one.tidy(), other.tidy())
    assert other.rows.n_used == len(seen)


@pytest.mark.parametrize("dtype", [object, "string"])
def test_unseen_rows_without_an_id_are_refused(
    model: LinearMixedModel, unseen: pd.DataFrame, dtype: object
) -> None:
    holed = unseen.assign(person=unseen["person"].mask(np.arange(len(unseen)) == 1).astype(dtype))
    with pytest.raises(DataError, match="'person' is missing in row .*to know whose outcome it is"):
        dropout_sensitivity(model, holed, term="time:arm", deltas=[1.0], seed=1, n_imputations=2)


def _with_arms(data: pd.DataFrame) -> pd.DataFrame:
    """Arms in words whose order is not the alphabet's, and one that nobody is in."""
    words = pd.Categorical.from_codes(data["arm"], ["usual", "new", "never begun"])
    return data.assign(arm=words, age=20.0 + 3.0 * data["therapist"].str[1:].astype(int))


# The completed fit starts elsewhere, and stops within about 1e-6 of its variances.
SAME_FIT = 1e-4


@pytest.mark.parametrize("variance", ["rubin", "conditional mean"])
@pytest.mark.parametrize("kind", ["as seen", "text", "only the used"])
def test_a_coefficient_means_the_same_whatever_the_type_of_the_unseen_arms(
    data, kind, variance
) -> None:
    """The reference arm stays the model's: it is not learned anew with the unseen rows."""
    numbers = data.assign(arm=1.0 * data["arm"])
    options = {"term": "time", "deltas": [2.0], "seed": 3, "n_imputations": 5, "variance": variance}
    frames = [numbers, _with_arms(data)]
    models = [lmm(FORMULA, frame.dropna()) for frame in frames]
    missed = [frame[frame["y"].isna()].drop(columns="y") for frame in frames]
    if kind == "text":
        missed[1] = missed[1].astype({"arm": str})
    if kind == "only the used":
        missed[1]["arm"] = missed[1]["arm"].cat.remove_unused_categories().cat.as_ordered()
    expected, found = (
        dropout_sensitivity(m, u, **options).tidy() for m, u in zip(models, missed, strict=True)
    )
    for column in ("estimate", "std_error", "df"):
        assert_allclose(found[column], expected[column], rtol=SAME_FIT)


@pytest.mark.parametrize("variance", ["rubin", "conditional mean"])
def test_a_mean_is_not_learned_anew_with_the_unseen_rows(data, variance) -> None:
    aged = _with_arms(data)
    aged["centred"] = aged["age"] - aged.loc[aged["y"].notna(), "age"].mean()
    options = {"term": "time", "deltas": [2.0], "seed": 3, "n_imputations": 5, "variance": variance}
    found = [
        dropout_sensitivity(
            lmm(f"y ~ time * {age} + (1 | therapist/person)", aged.dropna()),
            aged[aged["y"].isna()],
            **options,
        ).tidy()
        for age in ("center(age)", "centred")
    ]
    for column in ("estimate", "std_error"):
        assert_allclose(found[0][column], found[1][column], rtol=SAME_FIT)


@pytest.mark.parametrize("variance", ["rubin", "conditional mean"])
def test_an_offset_is_added_to_what_is_imputed(data, variance) -> None:
    """It equals the model of the outcome less the offset, which no column spans."""
    more = data.assign(o=5.0 * (data["time"] - 1.0) ** 2, less=lambda d: d["y"] - d["o"])
    options = {"term": "time", "deltas": [2.0], "seed": 3, "n_imputations": 5, "variance": variance}
    found = [
        dropout_sensitivity(
            lmm(formula, more.dropna()),
            more[more["y"].isna()].drop(columns=["y", "less"]),
            **options,
        ).tidy()
        for formula in (
            "y ~ time * arm + offset(o) + (1 | therapist/person)",
            "less ~ time * arm + (1 | therapist/person)",
        )
    ]
    for column in ("estimate", "std_error"):
        assert_allclose(found[0][column], found[1][column], rtol=SAME_FIT)


def test_a_jackknife_refuses_a_reference_level_of_one_unit(data) -> None:
    """Without it another level would be the reference, and the coefficient another one."""
    sites = data.assign(site=np.where(data["therapist"] == "T3", "alone", "the others"))
    model = lmm("y ~ time * site + (1 | therapist/person)", sites.dropna())
    unseen = sites[sites["y"].isna()].drop(columns="y")
    with pytest.raises(NotIdentifiedError, match="Without 'T3' of 'therapist'"):
        dropout_sensitivity(
            model, unseen, term="time", deltas=[1.0], seed=1, variance="conditional mean"
        )
