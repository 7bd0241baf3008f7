"""Small frames of every kind that the calls are made on."""

import numpy as np
import pandas as pd

__all__ = ["frames"]


def frames(seed: int = 20) -> dict[str, pd.DataFrame]:
    """Return the small frames that the calls are made on."""
    rng = np.random.default_rng(seed)
    rows = [
        (f"T{t}", f"T{t}F{f}", f"T{t}F{f}{role[0]}", role, session)
        for t in range(4)
        for f in range(3)
        for role in ("mother", "child")
        for session in range(1, 6)
    ]
    sessions = pd.DataFrame(rows, columns=["therapist", "family", "person", "role", "session"])
    n = len(sessions)
    lift = sessions["person"].map({p: rng.normal() for p in sessions["person"].unique()})
    sessions["alliance"] = (4.0 + lift + rng.normal(size=n)).round(2)
    sessions["symptoms"] = (50.0 - 3.0 * sessions["alliance"] + rng.normal(size=n)).round(1)
    sessions["felt"] = (sessions["alliance"] + rng.normal(size=n)).round(2)
    sessions["missed"] = rng.poisson(1.0, size=n)
    sessions["rupture"] = rng.integers(0, 2, size=n)
    sessions["ending"] = sessions["family"].map(
        lambda family: ("dropout", "planned", "ongoing")[int(family[-1])]
    )
    sessions["experience"] = sessions["therapist"].map({f"T{t}": 2.0 * t + 1.0 for t in range(4)})
    units = pd.DataFrame(
        {
            "unit": [f"U{i}" for i in range(40)],
            "time": rng.integers(1, 9, size=40),
            "event": rng.integers(0, 2, size=40),
            "state": rng.choice(["none", "dropout", "planned"], size=40),
            "group": np.resize(["early", "late"], 40),
            "therapist": np.resize([f"T{t}" for t in range(8)], 40),
            "barriers": rng.normal(size=40).round(2),
            "age": rng.integers(20, 60, size=40),
        }
    )
    periods = units.loc[units.index.repeat(units["time"])].reset_index(drop=True)
    periods["session"] = periods.groupby("unit").cumcount() + 1
    last = periods["session"] == periods["time"]
    periods["left"] = np.where(last, periods["event"], 0)
    periods["ended"] = np.where(last, periods["state"], "none")
    periods = periods[["unit", "therapist", "session", "left", "ended", "barriers", "group"]]
    themes = pd.DataFrame(
        {
            "parent": [f"P{i}" for i in range(24)],
            "group": np.resize(["success", "failure"], 24),
            "trust": rng.integers(0, 2, size=24),
            "blame": rng.integers(0, 2, size=24),
            "early": rng.choice(["hope", "doubt"], size=24),
            "later": rng.choice(["hope", "doubt"], size=24),
            "coder_a": rng.integers(1, 4, size=24),
            "coder_b": rng.integers(1, 4, size=24),
            "before": rng.normal(20.0, 4.0, size=24).round(1),
            "after": rng.normal(16.0, 4.0, size=24).round(1),
        }
    )
    studies = pd.DataFrame(
        {
            "study": [f"S{i}" for i in range(9)],
            "r": rng.uniform(0.1, 0.5, size=9).round(2),
            "n": rng.integers(20, 200, size=9),
            "yi": rng.normal(0.3, 0.1, size=9).round(3),
            "vi": rng.uniform(0.01, 0.05, size=9).round(4),
            "year": rng.integers(1990, 2020, size=9),
        }
    )
    printed = pd.DataFrame(
        {
            "estimate": ["0.42", "0.30", "−0.21"],
            "std_error": ["0.15", "0.10", "0.10"],
            "t": ["2.80", "3.00", "−2.10"],
            "df": ["28", "40", "100"],
            "p": [".009", ".005", ".038"],
        }
    )
    trait = rng.normal(size=60)
    forms = pd.DataFrame(
        {f"q{i}": np.clip(np.round(3 + trait + rng.normal(size=60)), 1, 5) for i in range(1, 7)}
    ).astype(int)
    forms["client"] = [f"C{i}" for i in range(60)]
    forms["site"] = np.resize(["north", "south", "west"], 60)
    forms["arm"] = np.resize(["a", "b"], 60)
    forms["before"] = (20.0 + 2.0 * trait + rng.normal(size=60)).round(1)
    forms["after"] = (forms["before"] - 4.0 + 2.0 * rng.normal(size=60)).round(1)
    forms["sessions"] = rng.poisson(6.0, size=60)
    forms["well"] = (forms["after"] + 2.0 * rng.normal(size=60) < 16.0).astype(int)
    forms["rated"] = np.digitize(trait + rng.normal(size=60), [-0.7, 0.7])
    return {
        "forms": forms,
        "wide": _wide(rng),
        "redcap": _redcap(rng),
        "sessions": sessions,
        "units": units,
        "periods": periods,
        "themes": themes,
        "studies": studies,
        "printed": printed,
    }


def _wide(rng: np.random.Generator) -> pd.DataFrame:
    """Return a row per person, a column per rater, score and session."""
    data = pd.DataFrame({"id": [f"P{i}" for i in range(12)], "age": rng.integers(20, 60, size=12)})
    for rater in ("client", "therapist"):
        for session in (1, 2, 3):
            data[f"{rater}_date_s{session}"] = f"2024-0{session}-15"
            data[f"{rater}_wai_s{session}"] = rng.normal(4.0, 1.0, size=12).round(2)
            data[f"{rater}_phq_s{session}"] = rng.integers(0, 28, size=12)
    return data


def _redcap(rng: np.random.Generator) -> pd.DataFrame:
    """Return rows of persons and of two forms a session."""
    rows: list[dict[str, object]] = []
    for person in range(1, 9):
        rows.append({"id": person, "sex": "fm"[person % 2]})
        for session in (1, 2, 3):
            at = {"id": person, "instance": session, "date": f"{session}.3.2024"}
            rows.append({**at, "form": "client", "wai": round(rng.normal(4.0, 1.0), 2)})
            rows.append({**at, "form": "symptoms", "phq": int(rng.integers(0, 28))})
    return pd.DataFrame(rows)
