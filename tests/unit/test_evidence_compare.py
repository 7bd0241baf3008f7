"""An estimate of your own among published ones."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from alliance_stats.errors import DataError, NotIdentifiedError, WrongObjectError
from alliance_stats.evidence.meta.beside_published import compare_with, published_effects
from alliance_stats.ledger import RowLedger


@dataclass(frozen=True)
class Own:
    """A result with one or two terms, on the scale of Fisher's z."""

    terms: tuple[str, ...] = ("alliance",)

    @property
    def rows(self) -> RowLedger:
        return RowLedger.start(pd.DataFrame({"x": [1]}))

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        q = {0.95: 1.959963984540054, 0.90: 1.6448536269514722}[conf_level]
        return pd.DataFrame(
            {
                "term": self.terms,
                "estimate": 0.2,
                "conf_low": 0.2 - q * 0.1,
                "conf_high": 0.2 + q * 0.1,
            }
        )

    def glance(self) -> pd.DataFrame:
        return pd.DataFrame()

    def summary(self) -> str:
        return ""


def test_own_and_published_stand_on_one_scale() -> None:
    found = compare_with(
        Own(), scale="fisher_z", records=["welmers2018/split", "friedlander2018/split"]
    )
    tidy = found.tidy().set_index("label")
    assert tidy.loc["This study", "estimate"] == pytest.approx(np.tanh(0.2))
    assert tidy.loc["welmers2018/split", "estimate"] == 0.106
    assert tidy.loc["welmers2018/split", "interval"] == "printed"
    assert tidy.loc["friedlander2018/split", "interval"] == "no interval on the page that was read"
    assert np.isnan(tidy.loc["friedlander2018/split", "conf_low"])
    assert found.glance().to_dict("records") == [
        {"on": "r", "n_published": 2, "n_with_interval": 1}
    ]


def test_the_difference_has_an_interval_of_its_own() -> None:
    row = compare_with(Own(), scale="fisher_z", records=["welmers2018/split"]).tidy().iloc[1]
    se = (np.arctanh(0.327) - np.arctanh(-0.124)) / (2 * 1.959963984540054)
    difference = 0.2 - np.arctanh(0.106)
    half = 1.959963984540054 * np.hypot(0.1, se)
    assert row["difference"] == pytest.approx(difference, abs=1e-12)
    assert row["difference_low"] == pytest.approx(difference - half, abs=1e-12)
    assert row["difference_high"] == pytest.approx(difference + half, abs=1e-12)


def test_another_level_of_the_own_interval_leaves_the_printed_ones_at_95() -> None:
    row = compare_with(
        Own(), scale="fisher_z", records=["welmers2018/split"], conf_level=0.90
    ).tidy().iloc[1]  # fmt: skip
    se = (np.arctanh(0.327) - np.arctanh(-0.124)) / (2 * 1.959963984540054)
    half = 1.6448536269514722 * np.hypot(0.1, se)
    assert row["difference_high"] - row["difference"] == pytest.approx(half, abs=1e-12)


def test_the_summary_speaks_of_the_difference() -> None:
    text = compare_with(
        Own(), scale="fisher_z", records=["welmers2018/split", "friedlander2018/split"]
    ).summary()
    own = next(line for line in text.splitlines() if line.startswith("This study"))
    assert own.split()[2:5] == [".197", "[.004,", ".377]"]
    assert (
        "friedlander2018/split: no interval on the page that was read; "
        "your own interval contains it." in text
    )
    assert "is no sign that they differ" in text


def test_r_d_and_odds_ratio_convert_and_come_back() -> None:
    on_d = published_effects(on="d", records=["fluckiger2018/overall"]).iloc[0]
    assert on_d["estimate"] == pytest.approx(2 * 0.278 / np.sqrt(1 - 0.278**2))
    on_or = published_effects(on="odds_ratio", records=["fluckiger2018/overall"]).iloc[0]
    assert on_or["estimate"] == pytest.approx(np.exp(on_d["estimate"] * np.pi / np.sqrt(3)))
    on_z = published_effects(on="fisher_z", records=["fluckiger2018/overall"]).iloc[0]
    assert on_z["conf_low"] == pytest.approx(np.arctanh(0.256))


def test_hazard_ratios_stand_apart() -> None:
    found = published_effects(on="hazard_ratio", records=["brat2014"])
    assert set(found["estimate"]) >= {0.98, 0.90}
    with pytest.raises(NotIdentifiedError, match="hazard ratios stand apart from r, d and odds"):
        compare_with(Own(), scale="hazard_ratio", on="r")
    with pytest.raises(
        NotIdentifiedError, match=r"'brat2014/null-intercept' has no effect size that"
    ):
        published_effects(on="r", records=["brat2014"])


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(DataError, match="The result has several terms; name one with term="):
        compare_with(Own(("a", "b")), scale="d")
    with pytest.raises(DataError, match="The term 'c' is not in the result"):
        compare_with(Own(("a", "b")), scale="d", term="c")
    with pytest.raises(WrongObjectError, match="takes a result of this package"):
        compare_with(0.3, scale="d")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="scale must be one of 'r', 'fisher_z'"):
        compare_with(Own(), scale="raw")
    with pytest.raises(DataError, match="The registry has no record 'welmers'"):
        published_effects(records=["welmers"])
