"""Studies of session to session with known lagged effects, and what each method makes of them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from alliance_stats.engine.lag_model import fit_model
from alliance_stats.estimates import Array
from alliance_stats.panel import CrossLagged, cross_lagged
from alliance_stats.panel.lag_refits import errors_from

PHI = np.array([[0.30, -0.15], [-0.25, 0.40]])
NAMES = {"outcomes": ["alliance", "symptoms"], "person": "person", "session": "session"}
STABLE = np.array([[0.6, -0.2], [-0.2, 0.6]])
ABOVE = np.array([[0.20, -0.08], [-0.08, 0.20]])
NEW = np.array([[1.0, -0.3], [-0.3, 1.0]])
EFFECTS = ("alliance -> symptoms", "symptoms -> symptoms")
BLOCK = 20
PROFILED = 4  # profile intervals in each fourth study
ERROR = 0.45  # variance, where there is error: within-person reliability about .73


class Cell(NamedTuple):
    """A kind of study: sessions, persons, therapists, and what is made difficult."""

    sessions: int
    persons: int
    therapists: int
    error: bool = False
    off_equilibrium: bool = False
    profile: bool = False

    @property
    def name(self) -> str:
        """The cell in words."""
        words = f"{self.sessions} sessions, {self.persons} persons, {self.therapists} therapists"
        words += ", error of measurement" if self.error else ""
        return words + (", started off equilibrium" if self.off_equilibrium else "")


def study(cell: Cell, seed: int) -> pd.DataFrame:
    """Draw ratings; who rated the alliance low and symptoms high at the last one leaves more."""
    rng = np.random.default_rng(seed)
    n = cell.persons
    therapist = np.arange(n) % cell.therapists
    level = _draw(rng, cell.therapists, ABOVE)[therapist] + _draw(rng, n, STABLE)
    w = 1.1 * _draw(rng, n, NEW)
    if cell.off_equilibrium:
        w = w - 0.5 * level + [-0.5, 1.0]
    there = np.ones(n, dtype=bool)
    parts = []
    for s in range(1, cell.sessions + 1):
        if s > 1:
            w = w @ PHI.T + _draw(rng, n, NEW)
        y = level + w
        if cell.error:
            y = y + np.sqrt(ERROR) * rng.normal(size=y.shape)
        seen = np.where(rng.random(y.shape) < 0.1, np.nan, y)
        frame = pd.DataFrame({"person": np.arange(n), "therapist": therapist, "session": s})
        parts.append(frame.assign(alliance=seen[:, 0], symptoms=seen[:, 1])[there])
        last = np.where(np.isfinite(seen), seen, 0.0)
        hazard = 1.0 / (1.0 + np.exp(2.6 + 0.5 * last[:, 0] - 0.5 * last[:, 1]))
        there = there & (rng.random(n) > hazard)
    return pd.concat(parts, ignore_index=True)


def _draw(rng: np.random.Generator, n: int, covariance: Array) -> Array:
    return np.asarray(rng.normal(size=(n, 2)) @ np.linalg.cholesky(covariance).T)


def centred_regression(data: pd.DataFrame) -> tuple[Array, Array]:
    """Regress symptoms, centred at persons' means, on both centred ratings of the session before.

    Returns estimates of alliance -> symptoms and symptoms -> symptoms and their standard errors.
    """
    wide = data.sort_values(["person", "session"])
    before = wide.groupby("person")[["session", "alliance", "symptoms"]].shift(1)
    rows = wide.assign(a=before["alliance"], s=before["symptoms"], gap=before["session"])
    rows = rows[rows["session"] - rows["gap"] == 1].dropna(subset=["a", "s", "symptoms"])
    columns = rows[["a", "s", "symptoms"]] - rows.groupby("person")[
        ["a", "s", "symptoms"]
    ].transform("mean")
    X, y = columns[["a", "s"]].to_numpy(), columns["symptoms"].to_numpy()
    b = np.linalg.solve(X.T @ X, X.T @ y)
    df = len(y) - rows["person"].nunique() - 2
    variance = ((y - X @ b) ** 2).sum() / df
    return b, np.sqrt(np.diag(variance * np.linalg.inv(X.T @ X)))


def one(cell: Cell, seed: int) -> list[dict[str, object]]:
    """Return each method's estimates of the two effects on symptoms in one study."""
    data = study(cell, seed)
    nested = {"nested_in": ["therapist"], **NAMES}
    found = {"likelihood": cross_lagged(data, **nested)}
    if cell.error:
        found["likelihood, reliability given"] = _with_reliability(found["likelihood"])
    if cell.off_equilibrium:
        found["likelihood, accumulating form"] = cross_lagged(data, start="correlated", **nested)
    tables = {method: model.tidy() for method, model in found.items()}
    if cell.profile and seed % PROFILED == 0:
        method, model = list(found.items())[-1]
        tables[f"{method}, profile interval"] = model.profile(on="symptoms")
    rows = []
    for method, table in tables.items():
        on_symptoms = table[table["outcome"] == "symptoms"]
        for effect, (_, row) in zip(EFFECTS, on_symptoms.iterrows(), strict=True):
            rows.append((effect, method, row["estimate"], row["conf_low"], row["conf_high"]))
    b, se = centred_regression(data)
    for i, effect in enumerate(EFFECTS):
        low, high = b[i] - 1.96 * se[i], b[i] + 1.96 * se[i]
        rows.append((effect, "regression of centred ratings", b[i], low, high))
    names = ("effect", "method", "estimate", "conf_low", "conf_high")
    return [{"cell": cell.name, "seed": seed, **dict(zip(names, row, strict=True))} for row in rows]


def studies(cells: Sequence[Cell], n: int, kept: Path) -> pd.DataFrame:
    """Return n studies of each cell, running those only that the file `kept` does not hold yet."""
    done = set()
    if kept.exists():
        done = set(pd.read_csv(kept)[["cell", "seed"]].itertuples(index=False, name=None))
    for start in range(0, n, BLOCK):  # so that all cells have as many when it is stopped
        for cell in cells:
            seeds = [s for s in range(start, min(start + BLOCK, n)) if (cell.name, s) not in done]
            rows = [row for seed in seeds for row in one(cell, seed)]
            if rows:
                pd.DataFrame(rows).to_csv(kept, mode="a", header=not kept.exists(), index=False)
    return pd.read_csv(kept)


def _with_reliability(plain: CrossLagged) -> CrossLagged:
    """Return what ``cross_lagged(reliability=...)`` gives, its fit without error being there."""
    given = dict.fromkeys(plain.outcomes, _reliability())
    errors = errors_from(plain.model, list(given.values()))
    options = replace(plain.model.options, errors=errors)
    return CrossLagged(fit_model(plain.model.table, options, near=plain.model), None, given)


def _reliability() -> float:
    """Return the within-person reliability that ratings with error have once in equilibrium."""
    V = np.eye(2)
    for _ in range(200):
        V = PHI @ V @ PHI.T + NEW
    variance = float(np.diag(V).mean())
    return variance / (variance + ERROR)
