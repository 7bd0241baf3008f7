"""Cluster-robust standard errors of hazard models, and their correction for few clusters.

A hazard model's score is a sum over clusters, ``U = sum U_c``, and so is its information, ``I = sum
I_c``. The robust covariance is ``I^-1 sum U_c U_c' I^-1`` (Lin & Wei 1989,
doi:10.1080/01621459.1989.10478874). With few clusters it is too small, since each cluster pulls the
estimate towards itself. Bias-reduced linearisation undoes that: with ``I_c = L L'`` the scores are
multiplied by ``L (1 - L' I^-1 L)^(-1/2) L^-1``, which makes the covariance unbiased were the rows
independent, and the t quantiles have Satterthwaite's degrees of freedom (Bell & McCaffrey 2002;
Pustejovsky & Tipton 2018, doi:10.1080/07350015.2016.1247004; for Cox models, with the risk sets'
means in place of coefficients of time, Wang, Turner & Li 2023, doi:10.1002/bimj.202200113).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
import pandas as pd
from scipy import linalg

from alliance_stats.checks import check_choice, group_codes
from alliance_stats.engine.sandwich import ClusterRobust, cr2
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array, Integers
from alliance_stats.formatting import format_count, format_percent
from alliance_stats.spelling import check_spelling
from alliance_stats.survival.rows.time_at_risk import few_clusters_warning

__all__ = [
    "ClusterErrors",
    "bias_reduced",
    "check_errors",
    "cluster_sums",
    "few_cluster_notes",
    "read_clusters",
    "rejection_rates",
]

_ERRORS = ("robust", "CR2")
# Clusters beyond which nothing was simulated, and how much larger the largest of unequal ones is.
MOST, UNEVEN = 30, 4.0
# Eigenvalues of a cluster's information under this share of the largest are none.
_RANK = 1e-12


def check_errors(vcov: str, cluster: object) -> None:
    """Refuse a kind of standard errors that there is not, or that needs clusters."""
    check_choice(vcov, _ERRORS, name="vcov")
    if vcov != "robust" and cluster is None:
        raise ValueError(f"vcov={vcov!r} is a covariance over clusters: give cluster= as well.")


def read_clusters(column: pd.Series) -> tuple[Integers, int]:
    """Return the number of each row's cluster, and how many there are: two or more."""
    check_spelling(column, kind="cluster")
    codes, labels = group_codes(column)
    if len(labels) < 2:
        raise DataError(f"Column '{column.name}' holds one value: clusters must be at least two.")
    return codes, len(labels)


@dataclass(frozen=True, slots=True, eq=False)
class ClusterErrors:
    """A covariance over clusters.

    Attributes
    ----------
    covariance
        (p, p) of the coefficients.
    df
        (p,) degrees of freedom of each; infinite for the robust covariance.
    n_clusters
        Clusters.
    cluster
        (n,) number of each row's cluster, in the order of the fit's frame.
    reduced
        What joint tests of CR2 need; None for the robust covariance.
    """

    covariance: Array
    df: Array
    n_clusters: int
    cluster: Integers
    reduced: ClusterRobust | None

    @property
    def words(self) -> str:
        """What the errors are, as a phrase's end."""
        return "" if self.reduced is None else ", bias-reduced (CR2) with Satterthwaite df"


def rejection_rates() -> pd.DataFrame:
    """Return the simulated table, one row per cell.

    ``therapists, sizes, effect, model, method, studies, rejected, undefined``: how often tests at
    .05 rejected a true null hypothesis, of a therapist's covariate (``experience``) and of one
    within therapists (``treated``); written by ``tests/simulation/hazards_of_few_therapists.py``.
    """
    table = files("alliance_stats.survival.cox") / "hazard_type_one_errors.csv"
    with table.open(encoding="utf-8") as file:
        return pd.read_csv(file)


def few_cluster_notes(errors: ClusterErrors, model: str, sizes: Integers | None) -> Iterator[str]:
    """Say how reliable tests with few clusters are, by simulated studies with as many.

    Parameters
    ----------
    errors
        The covariance over clusters.
    model
        ``"Cox"`` or ``"discrete"``.
    sizes
        (c,) how many end in each cluster; None where rows have weights, of which nothing was
        simulated.
    """
    n, reduced = errors.n_clusters, errors.reduced is not None
    plain = "" if reduced else " ".join(few_clusters_warning(n))
    if n > MOST or sizes is None:
        yield from [plain] if plain else []
        return
    uneven = bool(sizes.max() >= UNEVEN * sizes.min())
    table = rejection_rates()
    table = table[
        (table["model"] == model) & (table["sizes"] == ("2 to 20" if uneven else "equal"))
    ]
    nearest = min(table["therapists"].unique(), key=lambda known: abs(np.log(known / n)))
    cells = table[table["therapists"] == nearest].set_index(["method", "effect"])
    rates = cells["rejected"] / (cells["studies"] - cells["undefined"])

    def told(method: str) -> str:
        own, within = (format_percent(rates[method, e], 1) for e in ("experience", "treated"))
        return f"{own} of tests of clusters' own covariates and {within} of those within them"

    studies = format_count(int(cells.loc["robust", "studies"].min()))
    of = f"{studies} simulated studies of {nearest} clusters of {'un' * uneven}equal size"
    if reduced:
        yield f"Under CR2 {told('CR2')} rejected true null hypotheses at .05 in {of}."
    else:
        yield (
            f"{plain} At .05, {told('robust')} rejected true null hypotheses in {of}; under "
            f"vcov='CR2' {told('CR2')}.".strip()
        )


def bias_reduced(scores: Array, informations: Array, information: Array) -> ClusterRobust:
    """Return CR2 from clusters' scores (p, c) and informations (c, p, p).

    Parameters
    ----------
    information
        (p, p) of the fit: the clusters' are brought to add up to it exactly, from which Efron's
        treatment of ties parts them a little.
    """
    total = informations.sum(axis=0)
    T = linalg.cholesky(information, lower=True) @ linalg.inv(linalg.cholesky(total, lower=True))
    columns, residuals, spreads = [], [], []
    for score, own in zip(scores.T, informations, strict=True):
        values, vectors = linalg.eigh(T @ own @ T.T)
        kept = values > _RANK * max(float(np.trace(information)), np.finfo(np.float64).tiny)
        root = vectors[:, kept] * np.sqrt(values[kept])
        if kept.any():
            columns.append(root.T)
            residuals.append((vectors[:, kept] / np.sqrt(values[kept])).T @ score)
            spreads.append(np.eye(int(kept.sum())))
    return cr2(columns, residuals, spreads)


def cluster_sums(cluster: Integers | None, rows: Array) -> Array:
    """Sum (k, n) over clusters, giving (k, c); without clusters each row is its own."""
    if cluster is None:
        return rows
    summed = [np.bincount(cluster, weights=row) for row in rows]
    return np.asarray(np.stack(summed), dtype=np.float64)
