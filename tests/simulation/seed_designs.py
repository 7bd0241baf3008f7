"""What designs as small as three qualitative studies show: ``docs/coverage/seed_designs.md``.

Run as ``python -m tests.simulation.seed_designs [STUDIES [FOLDER]]``; what FOLDER holds is not
drawn again. The studies themselves are interviews
and estimate nothing; simulated here are designs that would test what they describe, with as many
families or therapists. Assumed are the shares of themes and the sizes of effects.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from alliance_stats.multilevel import lmm
from alliance_stats.power import InterviewDesign, ModelEffect, Power, StudyDesign, power, varied
from alliance_stats.power.assumptions import assumption_table
from alliance_stats.simulate.truth import EXPERIENCE_YEARS

TABLE = Path(__file__).parents[2] / "docs" / "coverage" / "seed_designs.md"
STUDIES = 1000
MEAN_YEARS = sum(EXPERIENCE_YEARS) / 2
NUMBERS = ["estimate", "p_value", "conf_low", "conf_high"]
RATING = ModelEffect(
    formula="alliance ~ session + role + experience + (1 | therapist/family/person)",
    term="experience",
    parameter="alliance.experience",
)
# shares of a theme among parents with a successful and with an unsuccessful alliance
THEMES = ((0.85, 0.30), (0.90, 0.20), (0.95, 0.10), (0.50, 0.50))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeratedDesign:
    """Experience changes what a better session does to symptoms, beside what therapists differ in.

    ``symptoms = ... + (moderation * (years - 13) + v) * deviation from the person's mean``, v of SD
    `sd_slope` between therapists.
    """

    study: StudyDesign
    moderation: float = 0.0
    sd_slope: float = 0.7
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def truth(self) -> Mapping[str, float]:
        return {**self.study.truth, "moderation": self.moderation}

    def draw(self, rng: np.random.Generator) -> pd.DataFrame:
        data = self.study.draw(rng).sessions
        therapists = data["therapist"].unique()
        own = dict(
            zip(therapists, self.sd_slope * rng.standard_normal(len(therapists)), strict=True)
        )
        mean = data.groupby("person")["alliance"].transform("mean")
        data["level"], data["within"] = mean - mean.mean(), data["alliance"] - mean
        data["years"] = data["experience"] - MEAN_YEARS
        slope = self.moderation * data["years"] + data["therapist"].map(own)
        data["symptoms"] += (slope * data["within"]).fillna(0.0)
        return data

    def closed_form(self, alpha: float) -> Mapping[str, float]:  # noqa: ARG002
        return {}

    def assumptions(self) -> pd.DataFrame:
        return assumption_table(self, self.sources)


def moderation(data: pd.DataFrame) -> pd.DataFrame:
    """Estimate the moderation, the slope varying between therapists."""
    model = lmm(
        "symptoms ~ session + within * years + level + (1 + within | therapist) + (1 | family) "
        "+ (1 | person)",
        data,
    )
    found = model.tidy().set_index("term").loc[["within:years"], NUMBERS].reset_index()
    return found.assign(parameter="moderation", singular=model.singular)


def shares(row: pd.Series, name: str = "estimate", stem: str = "conf") -> str:
    """Return a share in per cent with its Monte Carlo interval."""
    values = [100 * row[key] for key in (name, f"{stem}_low", f"{stem}_high")]
    return "{:.0f} [{:.0f}, {:.0f}]".format(*values) if np.isfinite(values).all() else "–"


def rows_of(found: Power, names: list[str]) -> Iterator[str]:
    """Yield the lines of a table."""
    for _, row in found.tidy().iterrows():
        type_m = f"{row['type_m']:.1f}" if np.isfinite(row["type_m"]) else "–"
        cells = [f"{row[name]:g}" for name in names]
        cells += [shares(row), shares(row, "coverage", "coverage"), type_m]
        cells += [shares(row, "type_s", "type_s"), shares(row, "singular_share", "singular")]
        yield f"| {' | '.join(cells)} |"


def page(n: int, folder: Path | None = None) -> str:
    """Simulate all, and return the page."""
    kept = {name: folder and folder / name for name in ("rating", "slopes")}
    design = StudyDesign.of_shares(therapists=15, families=60, dropout=0.03)
    years = {"families": [60, 150], "alliance.experience": [0.0, 0.01, 0.03, 0.05]}
    rating = power(design, RATING, vary=years, n_studies=n, seed=24, store=kept["rating"])
    moderated = ModeratedDesign(study=varied(design, {"families": 120}))
    over = {"study.therapists": [15, 60], "moderation": [0.0, 0.05, 0.15]}
    slopes = power(moderated, moderation, vary=over, n_studies=n, seed=24, store=kept["slopes"])
    head = "power or error, % | coverage, % | type M | type S, % | singular, % |"
    return "\n".join(
        [
            "# What designs as small as three interview studies can show",
            "",
            "Three qualitative studies (17 parents, 13 of them followed up; therapists of "
            "different experience; 15 therapists) describe and estimate nothing. The tables are of "
            "designs that would test what they describe with as many families or therapists, under "
            "assumed effects; nothing in them is a result of theirs. In brackets: 95% interval of "
            "the Monte Carlo error. Written by `tests/simulation/seed_designs.py`.",
            "",
            "## 13 families followed up: a theme, 7 successful and 6 unsuccessful alliances",
            "",
            "Fisher's exact test over all tables that can come (no simulation); 0.0006 is the "
            "smallest p-value that the design has.",
            "",
            "| share among successful | share among unsuccessful | power or error, % | with 13 in "
            "each group, % | with 26 in each group, % |",
            "|--:|--:|--:|--:|--:|",
            *map(theme_row, THEMES),
            "",
            "## 15 therapists: does experience go with the alliance?",
            "",
            f"{n:,} simulated studies per row, families of 2 to 4 members who may drop out; "
            "experience of 1 to 25 years, effect in points of a 1-7 score per year (0.03 is 0.2 "
            "points between therapists one SD, 7 years, apart). Mixed model, Satterthwaite's df.",
            "",
            f"| families | effect per year | {head}",
            "|--:|--:|--:|--:|--:|--:|--:|",
            *rows_of(rating, ["families", "alliance.experience"]),
            "",
            "## Experience as a moderator: does a better session do more with some therapists?",
            "",
            f"{n:,} simulated studies per row of 120 families; a better session (a point of "
            "alliance) goes with 3 symptom points less, SD 0.7 between therapists, changed by "
            "the stated points for each year of experience. Random slope of therapists, "
            "Satterthwaite's df.",
            "",
            f"| therapists | points per year | {head}",
            "|--:|--:|--:|--:|--:|--:|--:|",
            *rows_of(slopes, ["study.therapists", "moderation"]),
            "",
        ]
    )


def theme_row(pair: tuple[float, float]) -> str:
    """Return the power of Fisher's test for one pair of shares, in three sizes."""
    powers = [
        InterviewDesign(first=first, second=second, shares=pair).closed_form(0.05)["difference"]
        for first, second in ((7, 6), (13, 13), (26, 26))
    ]
    return (
        "| " + " | ".join([*(f"{p:g}" for p in pair), *(f"{100 * p:.0f}" for p in powers)]) + " |"
    )


if __name__ == "__main__":
    n = int(sys.argv[1]) if len(sys.argv) > 1 else STUDIES
    kept = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    TABLE.write_text(page(n, kept), encoding="utf-8")
