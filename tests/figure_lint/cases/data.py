"""Invented data for figures: ratings, endings, scores, row ledgers, and names that are hard."""

import numpy as np
import pandas as pd

from alliance_stats.ledger import RowLedger

LONG = "Großmutter väterlicherseits, nach der zweiten Eheschließung im Haushalt lebend, §4"
OTHER_SCRIPTS = ("Ωμέγα μητέρα", "отец ребёнка", "mère & père <$5>")
EASTERN = (
    "母亲张丽华",
    "العائلة الكبيرة",
    "어머니",
    "第二次婚姻之后住在同一家庭的祖母与外祖母" * 3,
)
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
    own = data["therapist"].map({f"T{t}": rng.normal(0, 0.4) for t in range(therapists)})
    score = 4.6 + 0.04 * data["session"] + own + rng.normal(0, 0.8, len(data))
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


def competing(
    groups: tuple[str, ...], names: tuple[str, str] = ("dropout", "planned")
) -> pd.DataFrame:
    """Return invented endings of two kinds, some of them unseen."""
    data = endings(groups)
    other = np.where(data["time"] % 3 == 0, names[1], "ongoing")
    data["ending"] = np.where(data["event"] == 1, names[0], other)
    return data


def hazard_ratios(*terms: str) -> pd.DataFrame:
    """Return invented ratios from 0.6 to 1.7 with their limits."""
    ratio = np.linspace(0.6, 1.7, len(terms))
    width = np.linspace(1.2, 2.0, len(terms))
    limits = {"conf_low": ratio / width, "conf_high": ratio * width}
    return pd.DataFrame({"term": terms, "estimate": ratio, **limits})
