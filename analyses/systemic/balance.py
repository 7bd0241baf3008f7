"""Level and balance: experience and framework beside how far members lie apart."""

import numpy as np
import pandas as pd

from alliance_stats.family import FamilyBalance, family_balance
from alliance_stats.formatting import format_number, p_phrase
from alliance_stats.provenance import numbers_from
from alliance_stats.study import Study
from alliance_stats.tables import ReportTable
from alliance_stats.tables.report_table import remembers_call
from analyses.chapter import Numbers, Section, with_limits
from analyses.simulated import ROLES, chance
from analyses.systemic.wording import points

__all__ = ["BARRIERS", "FRAMEWORKS", "balance", "balance_model"]

FRAMEWORKS = ["usual", "trauma-informed"]
BARRIERS = "investment + parent_trauma * framework + therapist_emotion"
STRATA = "experience_group"


def balance_model(data: Study, *, spread_by: str) -> FamilyBalance:
    """Fit members' ratings with a spread of their own in each stratum of families."""
    sessions = data.sessions
    years = sessions.drop_duplicates("therapist")["experience"].median()
    groups = np.where(sessions["experience"] <= years, "less experienced", "more experienced")
    table = sessions.assign(
        role=pd.Categorical(sessions["role"], list(ROLES)),
        experience=sessions["experience"] - years,
        framework=pd.Categorical(sessions["framework"], FRAMEWORKS),
        **{STRATA: groups},
    )
    return family_balance(
        f"alliance ~ session + role * experience + {BARRIERS}",
        table,
        family="family",
        person="person",
        therapist="therapist",
        spread_by=spread_by,
    )


def balance(data: Study) -> tuple[Section, Numbers]:
    """Ask whether experience or framework go with level and balance of families' alliances."""
    fits = {by: balance_model(data, spread_by=by) for by in (STRATA, "framework")}
    deviations = {by: fit.deviations().set_index("term") for by, fit in fits.items()}
    lasting, momentary = (deviations[STRATA].loc[term] for term in ("lasting", "momentary"))
    test = fits[STRATA].test()
    fixed = fits[STRATA].model.tidy().set_index("term")
    level, child = fixed.loc["experience"], fixed.loc["role[T.child]:experience"]
    text = (
        "With each year of the therapist’s experience mothers’ ratings of the alliance changed by "
        f"{points(level, 3)}, and the difference of children from mothers by {points(child, 3)}. "
        "How far members lie from one another is modelled as their spread around the family, and "
        "no rating is subtracted from another (@tbl-systemic-spread). Mean absolute deviations "
        "with more experienced therapists, less those with less experienced ones: "
        f"{points(lasting)} between members’ own levels, {points(momentary)} from session to "
        f"session. The simulation built in no such difference{chance(lasting, momentary)}. "
        "A likelihood-ratio test of equal "
        f"variances says χ²({test.df}) = {format_number(test.statistic)}, "
        f"{p_phrase(test.p_value)}; it takes ratings for normal, which ruptures and split families "
        "are not, and rejects too often."
    )
    by_experience = {
        **with_limits("experience_level", level),
        **with_limits("experience_gap", child),
        "spread_experience_p": test.p_value,
        **with_limits("lasting_experience", lasting),
        **with_limits("momentary_experience", momentary),
    }
    momentary = deviations["framework"].loc["momentary", "estimate"]
    numbers = numbers_from(fits[STRATA], by_experience) | numbers_from(
        fits["framework"], {"momentary_framework": momentary}
    )
    title = "Level and balance"
    return Section("sec-systemic-balance", title, text, (_spread_table(fits),)), numbers


@remembers_call
def _spread_table(fits: dict[str, FamilyBalance]) -> ReportTable:
    rows = [
        {
            "Stratum": str(stratum).capitalize(),
            "Lasting SD": format_number(own.loc["lasting"]),
            "Momentary SD": format_number(own.loc["momentary"]),
        }
        for fit in fits.values()
        for stratum, own in fit.tidy()
        .pivot_table(index="level", columns="term", values="estimate", sort=False)
        .loc[list(fit.strata)]
        .iterrows()
    ]
    return ReportTable(
        pd.DataFrame(rows),
        label="tbl-systemic-spread",
        caption="Spread of the members of a family, points of the alliance, in the simulated "
        "study.",
        note="Lasting: between members’ own levels; momentary: of a rating around its member’s "
        "level, with measurement error. REML, given session, role, experience and barriers. "
        "Standard deviations carry no interval here.",
    )
