"""Session to session against lavaan: complete and missing data, 3 to 10 sessions, every variant."""

import numpy as np
import pandas as pd
import pytest
from scipy import linalg

from alliance_stats.engine.lag_criterion import evaluate
from alliance_stats.engine.lag_model import fit_model
from alliance_stats.engine.lag_parameters import LagOptions, squares, take
from alliance_stats.panel.cross_lagged import cross_lagged
from alliance_stats.panel.session_table import read_sessions
from tests.parity.reference import load_reference

LAVAAN = load_reference("panel_lavaan")
FITS = LAVAAN["fits"]
LOG_LIK = 1e-8  # nlminb's last step moves the log-likelihood by less
ESTIMATE = 1e-5  # in standard errors where these are large; lavaan's search ends there
STD_ERROR = (
    1e-4  # lavaan differentiates its gradient by Richardson's rule, we by central differences
)

IDS = {"person": "person", "session": "session"}


def long(kind: str, n_sessions: int) -> pd.DataFrame:
    """Return the wide ratings as a long table, a missing rating as a missing value."""
    wide = pd.DataFrame(LAVAAN[kind])
    return pd.concat(
        [
            pd.DataFrame(
                {"person": wide.index, "session": s, "group": wide["group"]}
                | {f"y{j}": wide[f"y{j}_{s}"].astype(float) for j in (1, 2, 3)}
            )
            for s in range(1, n_sessions + 1)
        ]
    )


def ours(found) -> dict[str, tuple[float, float]]:
    """Return estimates and standard errors under lavaan's labels."""
    values = {}
    several = len(found.model.table.groups) > 1
    place = {"family": "_g1", "individual": "_g2"}
    for row in found.tidy().to_dict("records"):
        name = f"p{row['outcome'][1]}{row['predictor'][1]}"
        name += f"_{row['session']}" if "session" in row else ""
        values[name + (place[row["strata"]] if several else "")] = row
    part = {"new at a session": "E", "first session": "F"}
    for row in found.residual_covariances().to_dict("records"):
        name = f"{part.get(row['part'], 'error')}{row['outcome'][1]}"
        name += row["other"][1] if row["part"] != "error" else ""
        values[name + (place[row["strata"]] if several else "")] = row
    for row in found.random_effects().to_dict("records"):
        name = "B_" + "_".join(
            ("t" if "per session" in row[which] else "b") + row[which][1]
            for which in ("outcome", "other")
        )
        values[name + (place[row["strata"]] if several else "")] = row
    return {name: (row["estimate"], row["std_error"]) for name, row in values.items()}


def check(found, reference, *, same_labels=True, std_errors=True):
    assert found.model.log_lik == pytest.approx(reference["log_lik"], rel=LOG_LIK)
    mine = ours(found)
    values = zip(reference["estimate"], reference["std_error"], strict=True)
    labels = dict(zip(reference["label"], values, strict=True))
    labels = {k: v for k, v in labels.items() if not k.startswith("m")}
    if same_labels:
        assert set(mine) == set(labels)
    for name, (estimate, std_error) in labels.items():
        if name in mine:
            assert mine[name][0] == pytest.approx(
                estimate, rel=ESTIMATE, abs=ESTIMATE * max(std_error, 1.0)
            ), name
            if std_errors:
                assert mine[name][1] == pytest.approx(std_error, rel=STD_ERROR), name


def check_means(found, reference):
    """Compare session means and their standard errors, outcomes within sessions."""
    table = found.means()
    means = table.set_index("y" + table["outcome"].str[1] + "_" + table["term"])
    names = list(dict.fromkeys(reference["mean_of"]))
    n = len(names)
    np.testing.assert_allclose(means.loc[names, "estimate"], reference["mean"][:n], rtol=ESTIMATE)
    np.testing.assert_allclose(
        means.loc[names, "std_error"], reference["mean_se"][:n], rtol=STD_ERROR
    )


@pytest.mark.parametrize("name", [name for name in FITS if name[:7] in ("complet", "missing")])
def test_sessions(name):
    kind, n = name.split("_")[0], int(name.split("_")[1])
    data = long("complete" if kind == "complete" else "incomplete", n)
    found = cross_lagged(data, outcomes=["y1", "y2"], **IDS)
    check(found, FITS[name])
    check_means(found, FITS[name])
    assert found.model.n_parameters == FITS[name]["n_parameters"]


@pytest.mark.parametrize("n", [4, 6])
def test_free_lags(n):
    found = cross_lagged(long("incomplete", n), outcomes=["y1", "y2"], lags="free", **IDS)
    check(found, FITS[f"free_lags_{n}"])
    assert found.model.n_parameters == FITS[f"free_lags_{n}"]["n_parameters"]


def test_two_groups():
    found = cross_lagged(long("incomplete", 5), outcomes=["y1", "y2"], group="group", **IDS)
    check(found, FITS["two_groups_5"])


@pytest.mark.parametrize("n", [6, 10])
def test_trends(n):
    found = cross_lagged(
        long("trending", n)[["person", "session", "y1", "y2"]],
        outcomes=["y1", "y2"],
        trends="linear",
        **IDS,
    )
    check(found, FITS[f"trends_{n}"])


def test_linear_means():
    found = cross_lagged(long("incomplete", 6), outcomes=["y1", "y2"], means="linear", **IDS)
    check(found, FITS["linear_means_6"])
    means = found.means().set_index(["term", "outcome"])
    reference = dict(
        zip(FITS["linear_means_6"]["label"], FITS["linear_means_6"]["estimate"], strict=True)
    )
    for j in (1, 2):
        first, slope = (
            means.loc[("(Intercept)", f"y{j}"), "estimate"],
            means.loc[("session", f"y{j}"), "estimate"],
        )
        assert first == pytest.approx(reference[f"m{j}_1"], rel=ESTIMATE)
        assert slope == pytest.approx(reference[f"m{j}_2"] - reference[f"m{j}_1"], rel=1e-4)


@pytest.mark.parametrize("n", [5, 10])
def test_three_outcomes(n):
    found = cross_lagged(long("incomplete", n), outcomes=["y1", "y2", "y3"], **IDS)
    check(found, FITS[f"three_outcomes_{n}"])
    check_means(found, FITS[f"three_outcomes_{n}"])


def test_one_outcome():
    check(cross_lagged(long("incomplete", 6), outcomes=["y1"], **IDS), FITS["one_outcome_6"])


def test_fixed_error_variances():
    table = read_sessions(long("incomplete", 6), outcomes=["y1", "y2"], **IDS)
    model = fit_model(table, LagOptions(errors=(0.2, 0.1)))
    plain = cross_lagged(long("incomplete", 6), outcomes=["y1", "y2"], **IDS)
    check(
        type(plain)(model, None, {"y1": 0.8, "y2": 0.9}), FITS["fixed_errors_6"], same_labels=False
    )


def test_estimated_error_variances():
    found = cross_lagged(long("complete", 10), outcomes=["y1", "y2"], reliability="estimate", **IDS)
    check(found, FITS["estimated_errors_10"])


def test_stationary_start():
    found = cross_lagged(long("incomplete", 6), outcomes=["y1", "y2"], start="stationary", **IDS)
    check(found, FITS["stationary_6"], same_labels=False, std_errors=False)
    # lavaan's standard errors under a constraint are those of the information without it, seen
    # along the constraint's tangent: what the constraint bends is left out, and ours have it
    flat, bent = stationary_std_errors(found.model)
    reference = dict(
        zip(FITS["stationary_6"]["label"], FITS["stationary_6"]["std_error"], strict=True)
    )
    theirs = [reference[name] for name in ("p11", "p12", "p21", "p22")]
    np.testing.assert_allclose(flat, theirs, rtol=STD_ERROR)
    np.testing.assert_allclose(found.tidy()["std_error"], bent, rtol=STD_ERROR)


def stationary_std_errors(still):
    """Return lagged effects' standard errors by the bordered information of the free start.

    Without the constraint's curvature, and with it (the Lagrangian's second derivatives).
    """
    table = still.table
    free = fit_model(table, LagOptions())
    low, parameters = np.tril_indices(2), free.scaled

    def symmetric(values):
        S = np.zeros((2, 2))
        S[low] = values
        return S + np.tril(S, -1).T

    def theta(m):
        out = np.zeros(parameters.size)
        out[parameters.phi[0, 0].ravel()] = m[:4]
        for at, index in (
            (4, parameters.innovation[0, 0]),
            (7, parameters.first[0]),
            (10, parameters.person[0]),
        ):
            out[index[low]] = np.linalg.cholesky(symmetric(m[at : at + 3]))[low]
        return out

    def constraint(m):
        phi, first = m[:4].reshape(2, 2), symmetric(m[7:10])
        return (first - phi @ first @ phi.T - symmetric(m[4:7]))[low]

    def jacobian(function, x, h):
        return np.array(
            [(function(x + h * e) - function(x - h * e)) / (2 * h) for e in np.eye(len(x))]
        ).T

    def gradient(x):
        coefficients = x[13:].reshape(still.fit.coefficients.shape)
        at = evaluate(free.problem, parameters, theta(x[:13])[None], coefficients[None])
        return np.r_[jacobian(theta, x[:13], 1e-6).T @ at.theta[0], at.coefficients[0].ravel()]

    residual = still.scaled.residual(still.fit.theta[None], 0)
    person = squares(take(still.fit.theta[None], still.scaled.person[0]))[0]
    covariances = (residual.innovation[0, 0], residual.first[0], person)
    m = np.concatenate([residual.phi[0, 0].ravel(), *(S[low] for S in covariances)])
    x = np.r_[m, still.fit.coefficients.ravel()]
    H = -jacobian(gradient, x, 1e-4)
    A = np.zeros((3, len(x)))
    A[:, :13] = jacobian(constraint, m, 1e-5)
    multipliers = np.linalg.lstsq(A.T, gradient(x), rcond=None)[0]
    curvature = np.zeros_like(H)
    curvature[:13, :13] = jacobian(lambda v: jacobian(constraint, v, 1e-4).T @ multipliers, m, 1e-4)
    Z = linalg.null_space(A)
    ratio = (free.sd[:, None] / free.sd).ravel()
    return [
        np.sqrt(np.diag(Z @ np.linalg.inv(Z.T @ (0.5 * (J + J.T)) @ Z) @ Z.T))[:4] * ratio
        for J in (H, H + curvature)
    ]


@pytest.mark.parametrize("n", [4, 6])
def test_accumulating_form(n):
    found = cross_lagged(long("incomplete", n), outcomes=["y1", "y2"], start="correlated", **IDS)
    reference = FITS[f"accumulating_{n}"]
    check(found, reference, same_labels=False)
    assert found.model.n_parameters == reference["n_parameters"]
