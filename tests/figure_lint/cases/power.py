"""Figures of planned studies."""

import functools
from collections.abc import Mapping, Sequence

from alliance_stats.figures import (
    interval_width_figure,
    power_figure,
    power_map_figure,
    power_sensitivity_figure,
)
from alliance_stats.power import (
    ArmDifference,
    ClusterTrial,
    InterviewDesign,
    Power,
    ThemeDifference,
    power,
    power_sensitivity,
)

WORDS = {
    "clusters": "therapists in each arm of the trial that is planned",
    "members": "families of a therapist",
}


@functools.cache
def planned(**vary: tuple[object, ...]) -> Power:
    """Return the power of a small trial, along what is varied."""
    over: Mapping[str, Sequence[object]] = dict(vary)
    trial = ClusterTrial(clusters=6, members=5, icc=0.1, effect=0.8)
    return power(trial, ArmDifference(), vary=over, n_studies=24, seed=2)


@functools.cache
def voiced() -> Power:
    """Return the power of interviews, along what is no number."""
    shares = {"shares": ((0.85, 0.3), (0.7, 0.3), (0.5, 0.5))}
    return power(InterviewDesign(), ThemeDifference(), vary=shares, n_studies=24, seed=2)


TWO = {"clusters": (4, 8, 16), "members": (4, 12)}
MANY = {"clusters": (3, 5, 8, 12), "members": (2, 5, 10, 20)}

CASES = {
    power_figure: {
        "power": lambda: power_figure(planned(clusters=(3, 6, 12, 20))),
        "power, two varied": lambda: power_figure(planned(**TWO)),
        "power, long names": lambda: power_figure(planned(**TWO), words=WORDS),
        "power, null": lambda: power_figure(planned(effect=(0.0, 0.5), clusters=(4, 8)), aim=None),
        "power, no numbers": lambda: power_figure(voiced()),
        "power, one value": lambda: power_figure(planned(clusters=(6,))),
        "power, along the second": lambda: power_figure(planned(**MANY), along="members"),
    },
    interval_width_figure: {
        "interval width": lambda: interval_width_figure(planned(clusters=(3, 6, 12, 20))),
        "interval width, two varied": lambda: interval_width_figure(planned(**TWO), words=WORDS),
    },
    power_map_figure: {
        "power map": lambda: power_map_figure(planned(**MANY)),
        "power map, long names": lambda: power_map_figure(planned(**MANY), words=WORDS),
        "power map, low": lambda: power_map_figure(planned(clusters=(3, 4), members=(2, 3))),
    },
    power_sensitivity_figure: {
        "power sensitivity": lambda: power_sensitivity_figure(
            power_sensitivity(
                ClusterTrial(clusters=6, members=5, effect=0.8),
                ArmDifference(),
                vary={"icc": [0.0, 0.2], "members": [3, 10], "effect": [0.5]},
                n_studies=24,
                seed=2,
            )
        ),
        "power sensitivity, long names": lambda: power_sensitivity_figure(
            power_sensitivity(
                ClusterTrial(clusters=6, members=5, effect=0.8),
                ArmDifference(),
                vary={"icc": [0.0, 0.2], "members": [3, 10], "effect": [0.5]},
                n_studies=24,
                seed=2,
            ),
            words={
                "members": WORDS["members"],
                "icc": "share of variance between therapists of the trial that is planned",
            },
        ),
    },
}
