"""Every figure the package makes, on ordinary data and on the hard cases."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from alliance_stats.figures.estimation import estimation_figure
from alliance_stats.figures.flow import flow_figure
from alliance_stats.figures.report import ReportFigure
from alliance_stats.figures.survival import kaplan_meier_figure
from alliance_stats.figures.trajectories import trajectory_figure
from alliance_stats.groups import compare_groups
from alliance_stats.ledger import RowLedger
from alliance_stats.survival.kaplan_meier import kaplan_meier

LONG = "Großmutter väterlicherseits, nach der zweiten Eheschließung im Haushalt lebend, §4"
OTHER_SCRIPTS = ("Ωμέγα μητέρα", "отец ребёнка", "mère & père <$5>")
WAI = "WAI mean item score (1–7)"


def ratings(
    roles: tuple[str, ...] = ("child", "father", "mother"),
    *,
    therapists: int = 8,
    sessions: int = 16,
) -> pd.DataFrame:
    """Return invented ratings of five families a therapist, of decreasing length."""
    rng = np.random.default_rng(20)
    rows = [
        (f"T{t}", f"T{t}-{f}-{role}", role, session)
        for t in range(therapists)
        for f in range(5)
        for role in roles
        for session in range(1, 1 + int(rng.integers(1, sessions + 1)))
    ]
    data = pd.DataFrame(rows, columns=["therapist", "person", "role", "session"])
    score = 4.6 + 0.04 * data["session"] + rng.normal(0, 0.8, len(data))
    data["alliance"] = score.clip(1, 7).where(rng.random(len(data)) > 0.1)
    return data


def endings(groups: tuple[str, ...], n: int = 90) -> pd.DataFrame:
    """Return invented endings of `n` units in each group."""
    rng = np.random.default_rng(21)
    group = np.repeat(np.arange(len(groups)), n)
    event = 1 + rng.geometric(0.05 + 0.03 * group / len(groups))
    censor = np.minimum(1 + rng.geometric(0.04, len(group)), 24)
    return pd.DataFrame(
        {
            "group": np.asarray(groups, dtype=object)[group],
            "time": np.minimum(event, censor).astype(float),
            "event": (event <= censor).astype(int),
        }
    )


def scores(groups: tuple[str, ...], n: int = 30) -> pd.DataFrame:
    """Return invented scores of `n` units in each group."""
    rng = np.random.default_rng(22)
    return pd.DataFrame(
        {
            "group": np.repeat(np.asarray(groups, dtype=object), n),
            "pair": np.tile(np.arange(n), len(groups)),
            "alliance": rng.normal(4.8, 0.9, n * len(groups)).clip(1, 7),
        }
    )


def ledger(*reasons: str) -> RowLedger:
    """Return a ledger that sets rows aside for each of `reasons`."""
    data = pd.DataFrame({"row": np.arange(6000)})
    data["family"], data["person"] = data["row"] % 240, data["row"] % 650
    rows = RowLedger.start(data, {"family": ("family",), "person": ("person",)})
    for number, reason in enumerate(reasons):
        data, rows = rows.keep(data, data["person"] > 10 * (number + 1), reason=reason)
    return rows


def trajectories(data: pd.DataFrame, *, role: str | None = "role") -> ReportFigure:
    return trajectory_figure(
        data, session="session", score="alliance", person="person", role=role, score_label=WAI
    )


def survival(data: pd.DataFrame, *, strata: str | None = "group") -> ReportFigure:
    return kaplan_meier_figure(kaplan_meier(data, time="time", event="event", strata=strata))


def estimation(data: pd.DataFrame, *, paired: str | None = None) -> ReportFigure:
    compared = compare_groups(data, outcomes="alliance", group="group", paired=paired)
    return estimation_figure(compared, outcome="alliance", outcome_label=WAI)


FOUR = ("a", LONG, "usual", OTHER_SCRIPTS[0])

CASES: Mapping[str, Callable[[], ReportFigure]] = {
    "trajectories": lambda: trajectories(ratings()),
    "trajectories, one panel": lambda: trajectories(ratings(), role=None),
    "trajectories, 200 therapists": lambda: trajectories(ratings(("child",), therapists=200)),
    "trajectories, long and other names": lambda: trajectories(
        ratings((LONG, *OTHER_SCRIPTS, "child", "x"), sessions=40)
    ),
    "trajectories, n = 1": lambda: trajectories(ratings().dropna().head(1)),
    "trajectories, one session": lambda: trajectories(ratings().query("session == 1")),
    "survival": lambda: survival(endings(("trauma-informed", "usual"))),
    "survival, one group": lambda: survival(endings(("all",)), strata=None),
    "survival, all censored": lambda: survival(endings(("a", "b")).assign(event=0)),
    "survival, n = 1": lambda: survival(endings(("a",)).head(1)),
    "survival, thousands": lambda: survival(endings(("a", "b"), 3000)),
    "survival, eight groups": lambda: survival(endings((*FOUR, *OTHER_SCRIPTS[1:], "y", "z"))),
    "survival, short clock": lambda: survival(
        endings(("a", "b")).assign(time=lambda d: d.time / 90)
    ),
    "estimation": lambda: estimation(scores(("successful", "unsuccessful"))),
    "estimation, pairs": lambda: estimation(scores(("first", "last"), 13), paired="pair"),
    "estimation, four groups": lambda: estimation(scores(FOUR)),
    "estimation, n = 1": lambda: estimation(scores(("a", "b"), 5).iloc[4:]),
    "estimation, large": lambda: estimation(scores(("a", "b"), 800)),
    "flow": lambda: flow_figure(ledger("no rating", "after the planned ending")),
    "flow, nothing set aside": lambda: flow_figure(ledger()),
    "flow, long reasons": lambda: flow_figure(ledger(LONG * 3, *OTHER_SCRIPTS, "x" * 120)),
}
