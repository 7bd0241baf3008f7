"""Methods that refit a model many times: the parametric bootstrap and profile likelihood."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alliance_stats.checks import check_choice
from alliance_stats.errors import DataError
from alliance_stats.multilevel.generalized_mixed_model import GeneralizedLinearMixedModel
from alliance_stats.multilevel.generalized_profiles import profile_generalized
from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel, require_linear
from alliance_stats.multilevel.model_profiles import Profile, profile_fit
from alliance_stats.multilevel.ordinal_mixed_model import OrdinalMixedModel
from alliance_stats.multilevel.refits import Fit
from alliance_stats.multilevel.refitted_intervals import Bootstrap, all_parameters, bootstrap_fit
from alliance_stats.renaming import renamed
from alliance_stats.seeds import Seed

__all__ = ["parametric_bootstrap", "profile"]

Model = LinearMixedModel | GeneralizedLinearMixedModel | OrdinalMixedModel
Statistic = Callable[[Any], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class _OfModel:
    """A statistic of the model as a function of its fit; a class, so that it can be pickled."""

    statistic: Statistic
    kind: type[Any]

    def __call__(self, fit: Fit) -> Mapping[str, float]:
        return self.statistic(self.kind(fit))


def _require_model(model: object, *, asked: str) -> None:
    if not isinstance(model, GeneralizedLinearMixedModel | OrdinalMixedModel):
        require_linear(model, asked=asked, fitted="lmm, glmm or ordinal")


@renamed(n="n_resamples", n_jobs="workers")
def parametric_bootstrap(
    model: Model,
    statistic: Statistic | None = None,
    *,
    n_resamples: int = 1000,
    seed: Seed,
    workers: int | None = None,
    progress: bool = False,
) -> Bootstrap:
    """Simulate from the fit, refit, and record a statistic each time.

    Parameters
    ----------
    model
        A fit of ``lmm``, ``glmm`` or ``ordinal`` to simulate from; new random effects are drawn
        each time.
    statistic
        Function from a fitted model to named numbers; by default all coefficients, SDs and
        correlations.
    n_resamples
        Number of simulated data sets.
    seed
        Every data set has its own random stream (children of this seed), so the draws do not depend
        on the number of workers or on the joblib backend. Draws are made row by row, so the same
        rows in another order give other draws.
    workers
        Number of workers; None uses the setting of ``joblib.parallel_config``, one by default.
    progress
        Show a progress bar on standard error.

    Returns
    -------
    Bootstrap
        Draws, with ``tidy(conf_level=...)`` for percentile intervals.

    Examples
    --------
    >>> from alliance_stats import example_study, lmm, parametric_bootstrap
    >>> sessions = example_study().sessions
    >>> model = lmm("alliance ~ session + (1 | family/person)", sessions)
    >>> table = parametric_bootstrap(model, n_resamples=20, seed=1).tidy()
    >>> table[["term", "estimate"]].round(2).head(2)
              term  estimate
    0  (Intercept)      4.35
    1      session      0.03
    """
    _require_model(model, asked="parametric_bootstrap simulates from")
    measure = all_parameters if statistic is None else _OfModel(statistic, type(model))
    return bootstrap_fit(
        model.fit, measure, n=n_resamples, seed=seed, workers=workers, progress=progress
    )


def profile(
    model: Model,
    *,
    terms: Sequence[str] | None = None,
    likelihood: str | None = None,
) -> Profile:
    """Profile the deviance of SDs, correlations and coefficients.

    Parameters
    ----------
    model
        A fitted ``lmm`` without residual structure, ``glmm`` or ``ordinal``.
    terms
        Names of parameters: coefficients as in ``tidy()``; random parameters as
        ``"group|sd__(Intercept)"``, the residual SD as ``"Residual|sd__Observation"``; for other
        families the coefficients of the log dispersion as ``"dispersion|(Intercept)"``, for ordinal
        models the thresholds as ``"2|3"``. By default all that can be profiled.
    likelihood
        ``"ML"`` or ``"REML"``. By default the fit's own for random parameters; coefficients have an
        ML profile only (the restricted likelihood is free of them), and a REML fit is refitted by
        ML for them. (lme4's ``profile`` of a REML fit is the ML profile.) For ``glmm`` and
        ``ordinal`` it is the likelihood that was maximised, by Laplace approximation or quadrature.

    Returns
    -------
    Profile
        With ``tidy(conf_level=...)``.

    Raises
    ------
    DataError
        An unknown parameter; a coefficient under REML.
    NotIdentifiedError
        A model with a residual structure, known variances, or a term of three or more correlated
        effects; a correlation of a generalized model, or a dispersion at its limit: ask for a
        parametric bootstrap. A profile that finds a better fit.

    Examples
    --------
    >>> from alliance_stats import example_study, lmm, profile
    >>> sessions = example_study().sessions
    >>> model = lmm("alliance ~ session + (1 | family/person)", sessions)
    >>> profile(model).tidy()[["term", "estimate", "conf_low", "conf_high"]].round(2)
                                term  estimate  conf_low  conf_high
    0         family|sd__(Intercept)      0.44      0.38       0.50
    1  family:person|sd__(Intercept)      0.44      0.40       0.47
    2       Residual|sd__Observation      0.44      0.43       0.44
    """
    _require_model(model, asked="profile takes")
    if likelihood is not None:
        check_choice(likelihood, ("ML", "REML"), name="likelihood")
    if isinstance(terms, str):
        raise TypeError(f"terms takes a list of names, as [{terms!r}]; got {terms!r}.")
    if isinstance(model, LinearMixedModel):
        return profile_fit(model.fit, terms=terms, likelihood=likelihood)
    if likelihood == "REML":
        raise DataError("There is no restricted likelihood of a generalized model: leave it out.")
    return profile_generalized(model.fit, terms=terms)
