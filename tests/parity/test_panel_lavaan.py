"""Session to session against lavaan: complete and missing data, 3 to 10 sessions, every variant."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.panel.cross_lagged import cross_lagged
from alliance_stats.panel.lagged_model import LagOptions, fit_model
from alliance_stats.panel.session_table import read_sessions
from tests.parity.reference import load_reference

LAVAAN = load_reference("panel_lavaan")
FITS = LAVAAN["fits"]
LOG_LIK = 1e-8  # nlminb's last step moves the log-likelihood by less
ESTIMATE = 1e-5  # in standard errors where these are large; lavaan's search ends there
STD_ERROR = (
    1e-4  # lavaan differentiates its gradient by Richardson's rule, we by central differences
)
# lavaan's information under a constraint leaves the constraint's own curvature out, ours has it
CONSTRAINED = 0.03

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


def check(found, reference, *, same_labels=True, std_error_tolerance=STD_ERROR):
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
            assert mine[name][1] == pytest.approx(std_error, rel=std_error_tolerance), name


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
    check(found, FITS["stationary_6"], same_labels=False, std_error_tolerance=CONSTRAINED)


@pytest.mark.parametrize("n", [4, 6])
def test_accumulating_form(n):
    found = cross_lagged(long("incomplete", n), outcomes=["y1", "y2"], start="correlated", **IDS)
    reference = FITS[f"accumulating_{n}"]
    check(found, reference, same_labels=False)
    assert found.model.n_parameters == reference["n_parameters"]
