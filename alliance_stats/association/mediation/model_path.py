"""The indirect path through two models fitted separately: mixed, hazard, regression."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import pandas as pd

from alliance_stats.association.mediation.paths import Paths
from alliance_stats.checks import check_conf_level, did_you_mean
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array
from alliance_stats.seeds import Seed

__all__ = ["indirect_path"]

Weights = str | Mapping[str, float]


class Tabled(Protocol):
    """A fitted model with a table of coefficients."""

    def tidy(self) -> pd.DataFrame:
        """Return one row per coefficient."""
        ...

    def vcov(self) -> pd.DataFrame:
        """Return the covariance of the coefficients."""
        ...


def indirect_path(
    first: Tabled,
    to_mediator: Weights,
    second: Tabled,
    to_outcome: Weights,
    *,
    conf_level: float = 0.95,
    n_resamples: int = 50_000,
    seed: Seed = None,
) -> pd.DataFrame:
    """Multiply the path to a mediator in one model by the path from it in another model.

    Parameters
    ----------
    first, second
        Fitted models of mediator and outcome: ``lmm``, ``glmm``, ``regression``,
        ``discrete_hazard``, ``cox_ph`` or an imported one.
    to_mediator, to_outcome
        Name of a coefficient; or names -> weights, for a path at a value of a moderator
        (``{"x": 1, "x:w": 2}``).
    conf_level
        Coverage.
    n_resamples, seed
        Draws and seed of the Monte Carlo interval.

    Returns
    -------
    DataFrame
        Rows ``to mediator``, ``to outcome`` and ``indirect``: ``term, estimate, std_error,
        conf_low, conf_high``. The product is on the scale of the second model's link (log odds,
        log hazards): a path of two models, not a natural effect on a probability.

    Raises
    ------
    DataError
        A name that is not a coefficient of its model.

    Notes
    -----
    Both models' errors are assumed independent, which they are if the second holds constant what
    the first explains (MacKinnon, Lockwood & Williams 2004, doi:10.1207/s15327906mbr3901_4); draws
    are normal, or t where the model gives few df.

    Examples
    --------
    >>> from alliance_stats import example_study, indirect_path, lmm
    >>> sessions = example_study().sessions
    >>> a = lmm("alliance ~ experience + (1 | therapist/person)", sessions)
    >>> b = lmm("symptoms ~ alliance + experience + (1 | therapist/person)", sessions)
    >>> list(indirect_path(a, "experience", b, "alliance", seed=1)["term"])
    ['to mediator', 'to outcome', 'indirect']
    """
    check_conf_level(conf_level)
    rng = np.random.default_rng(seed)
    (a, drawn_a), (b, drawn_b) = (
        _drawn(model, weights, n_resamples, rng)
        for model, weights in ((first, to_mediator), (second, to_outcome))
    )
    parts = {"to mediator": (a, drawn_a), "to outcome": (b, drawn_b)}
    parts["indirect"] = (a * b, drawn_a * drawn_b)
    alpha = (1.0 - conf_level) / 2.0
    return pd.DataFrame(
        [
            {
                "term": name,
                "estimate": estimate,
                "std_error": float(draws.std(ddof=1)),
                "conf_low": float(np.quantile(draws, alpha)),
                "conf_high": float(np.quantile(draws, 1.0 - alpha)),
            }
            for name, (estimate, draws) in parts.items()
        ]
    )


def _drawn(
    model: Tabled, weights: Weights, n: int, rng: np.random.Generator
) -> tuple[float, Array]:
    """Return a path and draws of it."""
    given = {weights: 1.0} if isinstance(weights, str) else dict(weights)
    table = model.tidy()
    if "effect" in table:
        table = table[~table["effect"].isin(["ran_pars", "ran_vals", "threshold", "baseline"])]
    table = table.set_index("term")
    for name in given:
        if name not in table.index:
            known = [str(term) for term in table.index]
            raise DataError(
                f"'{name}' is no coefficient of the {type(model).__name__}. "
                f"{did_you_mean(name, known)}"
            )
    names = list(given)
    own = table.loc[names]
    df = own["df"].to_numpy(dtype=np.float64) if "df" in own else np.full(len(own), np.inf)
    estimate = own["estimate"].to_numpy(dtype=np.float64)
    V = np.diag(own["std_error"].to_numpy(dtype=np.float64) ** 2)
    if len(names) > 1:
        V = model.vcov().loc[names, names].to_numpy(dtype=np.float64)
    w = np.array([given[name] for name in names])
    draws = Paths(estimate, V, df).draws(n, rng)
    return float(estimate @ w), np.asarray(draws @ w)
