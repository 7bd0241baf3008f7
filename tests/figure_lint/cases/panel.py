"""Figures of session-to-session models."""

import functools

import numpy as np
import pandas as pd

from alliance_stats.figures import (
    deviations_figure,
    impulse_response_figure,
    lagged_paths_figure,
    reliability_figure,
)
from alliance_stats.panel import CrossLagged, cross_lagged

LONGER = ("alliance as the client rates it", "symptoms in the week after")


@functools.cache
def lagged(names: tuple[str, str] = ("alliance", "symptoms"), times: float = 1.0) -> CrossLagged:
    """Return a fit to 60 persons in 5 sessions, in which alliance lowers symptoms."""
    rng = np.random.default_rng(7)
    rows = []
    for person in range(60):
        level, state = rng.normal(0.0, 1.0, 2), rng.normal(0.0, 1.0, 2)
        for session in range(1, 6):
            rows.append((f"P{person}", session, *(times * (level + state))))
            state = np.array([[0.3, 0.0], [-0.3, 0.3]]) @ state + rng.normal(0.0, 1.0, 2)
    data = pd.DataFrame(rows, columns=["person", "session", *names])
    return cross_lagged(data, outcomes=list(names), person="person", session="session")


CASES = {
    deviations_figure: {
        "deviations": lambda: deviations_figure(lagged()),
        "deviations, long names": lambda: deviations_figure(lagged(LONGER)),
        "deviations, huge": lambda: deviations_figure(lagged(times=1e5)),
        "deviations, tiny": lambda: deviations_figure(lagged(times=1e-4)),
    },
    lagged_paths_figure: {
        "lagged paths": lambda: lagged_paths_figure(lagged()),
        "lagged paths, long names": lambda: lagged_paths_figure(lagged(LONGER)),
        "lagged paths, huge": lambda: lagged_paths_figure(lagged(times=1e5)),
    },
    impulse_response_figure: {
        "impulse responses": lambda: impulse_response_figure(lagged()),
        "impulse responses, long names": lambda: impulse_response_figure(lagged(LONGER)),
        "impulse responses, far": lambda: impulse_response_figure(lagged(), horizon=12),
    },
    reliability_figure: {
        "reliabilities": lambda: reliability_figure(lagged(), reliabilities=(1.0, 0.9, 0.8)),
        "reliabilities, long names": lambda: reliability_figure(
            lagged(LONGER), reliabilities=(1.0, 0.9)
        ),
    },
}
