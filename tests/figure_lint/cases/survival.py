"""Time to an ending: curves, competing endings, hazards, tipping points."""

import numpy as np
import pandas as pd

from alliance_stats.datasets import example_study
from alliance_stats.estimates import Array
from alliance_stats.figures import (
    ReportFigure,
    adjusted_curves_figure,
    calibration_figure,
    cumulative_incidence_figure,
    curve_differences_figure,
    hazard_caterpillar_figure,
    hazard_figure,
    kaplan_meier_figure,
    landmark_figure,
    martingale_figure,
    predicted_curves_figure,
    restricted_mean_figure,
    schoenfeld_figure,
    tipping_point_figure,
    tipping_region_figure,
    varying_coefficient_figure,
)
from alliance_stats.ledger import RowLedger
from alliance_stats.survival import (
    CoxModel,
    DiscreteHazard,
    DropoutSensitivity,
    SensitivityByGroup,
    accuracy_of_risks,
    adjusted_curves,
    competing_hazards,
    cox_ph,
    cumulative_incidence,
    discrete_hazard,
    fine_gray,
    kaplan_meier,
    landmark_chance,
    restricted_mean,
    varying_coefficient,
)
from alliance_stats.survival import endings as endings_of
from alliance_stats.survival.unseen.completed_analyses import CompletedAnalyses
from alliance_stats.transforms import person_period
from tests.figure_lint.cases.data import EASTERN, LONG, OTHER_SCRIPTS, competing, endings

FOUR = ("a", LONG, "usual", OTHER_SCRIPTS[0])


def survival(data: pd.DataFrame, *, strata: str | None = "group") -> ReportFigure:
    return kaplan_meier_figure(kaplan_meier(data, time="time", event="event", strata=strata))


def incidence(data: pd.DataFrame) -> ReportFigure:
    return cumulative_incidence_figure(
        cumulative_incidence(data, time="time", event="ending", strata="group")
    )


def hazard(baseline: str = "dummies") -> DiscreteHazard:
    rows = endings_of(example_study()).periods()
    return discrete_hazard(
        "1", rows, session="session", event="event", unit="family", baseline=baseline
    )


def courses(
    n_therapists: int = 20, *, sd: float = 0.9, names: tuple[str, ...] = ()
) -> pd.DataFrame:
    """Return invented courses of eight families a therapist, a row per family and session."""
    rng = np.random.default_rng(8)
    rows = []
    for t in range(n_therapists):
        chance = -np.expm1(-np.exp(-1.5 + sd * rng.normal()))
        name = names[t] if t < len(names) else f"T{t:03}"
        for i in range(8):
            for session in range(1, 6):
                left = float(rng.random() < chance)
                rows.append((name, f"F{t}-{i}", session, left))
                if left:
                    break
    return pd.DataFrame(rows, columns=["therapist", "family", "session", "event"])


def hazard_of_therapists(data: pd.DataFrame, **options: object) -> DiscreteHazard:
    return discrete_hazard("1", data, session="session", event="event", unit="family", **options)


def hazards(data: pd.DataFrame) -> ReportFigure:
    model = hazard_of_therapists(data)
    return hazard_caterpillar_figure(model, group="therapist", units_label="families")


def with_covariate(groups: tuple[str, ...], n: int = 60, *, times: float = 1.0) -> pd.DataFrame:
    """Return invented endings of groups, with a covariate."""
    data = endings(groups, n)
    return data.assign(x=times * np.random.default_rng(3).normal(size=len(data)))


def cox(groups: tuple[str, ...] = ("trauma-informed", "usual"), *, times: float = 1.0) -> CoxModel:
    return cox_ph("x + group", with_covariate(groups, times=times), time="time", event="event")


def adjusted(groups: tuple[str, ...]) -> ReportFigure:
    return adjusted_curves_figure(adjusted_curves(cox(groups), variable="group"))


def profiles(names: tuple[str, ...], group: str) -> pd.DataFrame:
    x = np.linspace(-1.0, 1.0, len(names))
    return pd.DataFrame({"x": x, "group": group}, index=[*names])


def predicted(ending: str = "dropout") -> ReportFigure:
    data = competing(("a", "b"), (ending, "planned"))
    model = fine_gray("group", data, time="time", event="ending", cause=ending, censored="ongoing")
    who = pd.DataFrame({"group": ["a", "b"]}, index=["of group a", LONG])
    return predicted_curves_figure(model, who)


def predicted_by_session() -> ReportFigure:
    rows = person_period(
        example_study().sessions, unit="family", session="session", ending="ending"
    )
    model = competing_hazards(
        "parent_trauma", rows, session="session", event="ending_code", unit="family", random=None,
        baseline="polynomial", labels={1: "dropout", 2: "planned", 3: "transferred"},
    )  # fmt: skip
    who = pd.DataFrame({"parent_trauma": [0, 1]}, index=["no trauma", "trauma"])
    return predicted_curves_figure(model, who)


def landmarks(names: tuple[str, ...], form: str = "polynomial") -> ReportFigure:
    rows = person_period(
        example_study().sessions, unit="family", session="session", ending="ending"
    )
    model = landmark_chance(
        "investment", rows, session="session", event="ending_code", unit="family", horizon=4,
        landmarks=range(1, 10), cluster="therapist", form=form,
    )  # fmt: skip
    who = pd.DataFrame({"investment": np.linspace(-1.5, 1.5, len(names))}, index=[*names])
    return landmark_figure(model, who)


def calibration(times: tuple[float, ...], *, groups: int = 4) -> ReportFigure:
    data = with_covariate(("a", "b"))
    data = data.assign(risk=1.0 / (1.0 + np.exp(-data["x"])))
    found = accuracy_of_risks(data, risks=dict.fromkeys(times, "risk"), time="time", event="event")
    return calibration_figure(found, groups=groups)


def differences(groups: tuple[str, ...], times: tuple[float, ...] | None = None) -> ReportFigure:
    curves = kaplan_meier(endings(groups), time="time", event="event", strata="group")
    return curve_differences_figure(curves, times=times)


def mean_times(data: pd.DataFrame, until: float = 12.0) -> ReportFigure:
    strata = "group" if len(set(data["group"])) > 1 else None
    return restricted_mean_figure(
        restricted_mean(data, time="time", event="event", until=until, strata=strata)
    )


def sensitivity(slope: float = 0.1, *, times: float = 1.0) -> DropoutSensitivity:
    """Return an invented sensitivity analysis, estimates multiplied by `times`."""
    deltas = np.array([-10.0, -5.0, 0.0, 5.0, 10.0])
    rng = np.random.default_rng(1)
    return DropoutSensitivity(
        deltas=deltas,
        scale="points",
        sd=8.0,
        completed=completed(
            times * (-1.0 + slope * deltas[:, None] + rng.normal(0, 0.1, 20)), times
        ),
        seen=pd.Series({"estimate": -1.0 * times}),
    )


def completed(estimates: Array, times: float = 1.0) -> CompletedAnalyses:
    """Return invented analyses of imputed data."""
    return CompletedAnalyses(
        term="arm",
        variance="rubin",
        estimates=estimates,
        variances=np.full(estimates.shape, 0.09) * times**2,
        df=np.full(len(estimates), 60.0),
        n_seen=200,
        n_unseen=40,
        left_out=("", 0),
        rows=RowLedger.start(pd.DataFrame({"x": [1]})),
    )


def by_arm(
    arms: tuple[str, str] = ("usual", "new"), *, slope: float = 0.15, times: float = 1.0
) -> ReportFigure:
    """Draw an invented sensitivity analysis of two arms."""
    deltas = np.array([-10.0, -5.0, 0.0, 5.0, 10.0])
    rng = np.random.default_rng(1)
    first, second = (grid.ravel()[:, None] for grid in np.meshgrid(deltas, deltas, indexing="ij"))
    estimates = times * (-1.0 + slope * (second - 0.7 * first) + rng.normal(0, 0.1, 20))
    result = SensitivityByGroup(
        group="arm", arms=arms, deltas=(deltas, deltas), scale="points", sd=8.0,
        completed=completed(estimates, times), n_unseen=(18, 22),
    )  # fmt: skip
    return tipping_region_figure(
        result, estimate_label="Arms apart (points)", shift_label="Shift of unseen scores (points)"
    )


def tipping(
    result: DropoutSensitivity,
    *,
    estimate_label: str = "Arms apart (points)",
    shift_label: str = "Shift of unseen scores (points)",
) -> ReportFigure:
    return tipping_point_figure(result, estimate_label=estimate_label, shift_label=shift_label)


CASES = {
    adjusted_curves_figure: {
        "adjusted curves": lambda: adjusted(("trauma-informed", "usual")),
        "adjusted curves, long and other names": lambda: adjusted(FOUR),
        "adjusted curves, eastern names": lambda: adjusted(EASTERN),
    },
    predicted_curves_figure: {
        "predicted survival": lambda: predicted_curves_figure(
            cox(), profiles(("low", "middle", "high"), "usual")
        ),
        "predicted incidence": predicted,
        "predicted incidence, long ending": lambda: predicted(LONG),
        "predicted incidence by session": predicted_by_session,
        "predicted survival, eastern names": lambda: predicted_curves_figure(
            cox(), profiles(EASTERN, "usual")
        ),
    },
    landmark_figure: {
        "landmarks": lambda: landmarks(("little", "middling", "much")),
        "landmarks, a level each, one profile": lambda: landmarks(("all",), "dummies"),
        "landmarks, long and other names": lambda: landmarks((LONG, *OTHER_SCRIPTS[:2])),
        "landmarks, eastern names": lambda: landmarks(EASTERN),
    },
    calibration_figure: {
        "calibration": lambda: calibration((8.0,)),
        "calibration, six times": lambda: calibration((4.0, 6.0, 8.0, 10.0, 12.0, 14.0)),
        "calibration, ten parts": lambda: calibration((6.0, 12.0), groups=10),
    },
    curve_differences_figure: {
        "differences at times": lambda: differences(("a", "b"), (4, 8, 12)),
        "differences all along": lambda: differences(("a", "b")),
        "differences of three groups": lambda: differences((LONG, *EASTERN[:2])),
        "differences of each ending": lambda: curve_differences_figure(
            cumulative_incidence(
                competing(("a", LONG)), time="time", event="ending", strata="group"
            ),
            times=[4, 8, 12],
        ),
        "differences of adjusted curves": lambda: curve_differences_figure(
            adjusted_curves(cox(), variable="group")
        ),
    },
    restricted_mean_figure: {
        "mean times": lambda: mean_times(endings(("trauma-informed", "usual"))),
        "mean times, one group": lambda: mean_times(endings(("all",))),
        "mean times, long and other names": lambda: mean_times(endings(FOUR)),
        "mean times lost to an ending": lambda: restricted_mean_figure(
            restricted_mean(
                competing(FOUR),
                time="time",
                event="ending",
                cause="dropout",
                until=12,
                strata="group",
            )
        ),
        "mean times, eastern names": lambda: mean_times(endings(EASTERN)),
        "mean times, long clock": lambda: mean_times(
            endings(("a", "b")).assign(time=lambda d: d.time * 10000), 120000.0
        ),
    },
    varying_coefficient_figure: {
        "a coefficient over time": lambda: varying_coefficient_figure(
            varying_coefficient(cox(), term="x")
        ),
        "a spline over time, tiny unit": lambda: varying_coefficient_figure(
            varying_coefficient(cox(times=1e-5), term="x", form="spline")
        ),
        "a coefficient over time, long labels": lambda: varying_coefficient_figure(
            varying_coefficient(cox(), term="x", form="linear"),
            time_label=EASTERN[2],
            words={"x": LONG},
        ),
    },
    schoenfeld_figure: {
        "schoenfeld": lambda: schoenfeld_figure(cox()),
        "schoenfeld, long and other names": lambda: schoenfeld_figure(cox(FOUR)),
        "schoenfeld, huge unit": lambda: schoenfeld_figure(cox(times=1e5)),
    },
    martingale_figure: {
        "martingale": lambda: martingale_figure(cox(), over="x"),
        "martingale, own predictor": lambda: martingale_figure(cox(), residual="deviance"),
        "martingale, long name": lambda: martingale_figure(
            cox(times=1e5), over="x", words={"x": LONG}
        ),
    },
    kaplan_meier_figure: {
        "survival": lambda: survival(endings(("trauma-informed", "usual"))),
        "survival, chosen times": lambda: kaplan_meier_figure(
            kaplan_meier(endings(("a", "b")), time="time", event="event", strata="group"),
            times=(0, 6, 12, 18),
        ),
        "survival, one group": lambda: survival(endings(("all",)), strata=None),
        "survival, all censored": lambda: survival(endings(("a", "b")).assign(event=0)),
        "survival, none censored": lambda: survival(endings(("a", "b")).assign(event=1)),
        "survival, n = 1": lambda: survival(endings(("a",)).head(1)),
        "survival, thousands": lambda: survival(endings(("a", "b"), 3000)),
        "survival, eight groups": lambda: survival(endings((*FOUR, *OTHER_SCRIPTS[1:], "y", "z"))),
        "survival, eastern names": lambda: survival(endings(EASTERN)),
        "survival, all leave at once": lambda: survival(
            endings(("a", "b")).assign(time=3.0, event=1)
        ),
        "survival, short clock": lambda: survival(
            endings(("a", "b")).assign(time=lambda d: d.time / 90)
        ),
        "survival, long clock": lambda: survival(
            endings(("a", "b")).assign(time=lambda d: d.time * 1000)
        ),
    },
    cumulative_incidence_figure: {
        "incidence": lambda: incidence(competing(("trauma-informed", "usual"))),
        "incidence, one group": lambda: incidence(competing(("all",))),
        "incidence, long and other names": lambda: incidence(
            competing(FOUR, (LONG, OTHER_SCRIPTS[1]))
        ),
        "incidence, eastern names": lambda: incidence(competing(EASTERN[:2], EASTERN[2:])),
    },
    hazard_figure: {
        "hazard": lambda: hazard_figure(hazard()),
        "hazard, spline": lambda: hazard_figure(hazard("spline")),
        "hazard, long labels": lambda: hazard_figure(hazard(), time_label=LONG, event_label=LONG),
        "hazard, eastern labels": lambda: hazard_figure(
            hazard(), time_label=EASTERN[1], event_label=EASTERN[0]
        ),
    },
    hazard_caterpillar_figure: {
        "hazards of twenty therapists": lambda: hazards(courses()),
        "hazards of two hundred therapists": lambda: hazards(courses(200)),
        "hazards, long and other names": lambda: hazards(courses(names=(LONG, *OTHER_SCRIPTS))),
        "hazards, eastern names": lambda: hazards(courses(names=EASTERN)),
        "hazards of six therapists": lambda: hazards(courses(6)),
        "hazards of too many to name": lambda: hazards(courses(46)),
    },
    tipping_region_figure: {
        "tipping region": by_arm,
        "no tipping region": lambda: by_arm(slope=0.01),
        "tipping region, long names": lambda: by_arm((LONG, OTHER_SCRIPTS[0])),
        "tipping region, tiny": lambda: by_arm(times=1e-5),
        "tipping region, huge": lambda: by_arm(EASTERN[:2], times=1e7),
    },
    tipping_point_figure: {
        "tipping point": lambda: tipping(sensitivity()),
        "no tipping point": lambda: tipping(sensitivity(0.0)),
        "tipping point, long labels": lambda: tipping(
            sensitivity(), estimate_label=LONG, shift_label=EASTERN[3]
        ),
        "tipping point, huge": lambda: tipping(sensitivity(times=1e7)),
        "tipping point, tiny": lambda: tipping(sensitivity(times=1e-5)),
    },
}
