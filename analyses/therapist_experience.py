"""Two cross-level interactions: therapists' experience, and a framework for barriers.

On the example study, which is simulated. Two qualitative studies describe what is modelled here:
more experienced therapists speak of an alliance with the family as a system, less experienced ones
of an alliance with each member (Perkins, Glass & D'Aniello 2019); and therapists of traumatised
children describe a trauma-informed framework as moderating barriers between them and parents
(Joffe & Dwarika 2025). Neither estimates anything; these are designs that would test it.
"""

from pathlib import Path

import pandas as pd

from alliance_stats.datasets import example_study
from alliance_stats.figures.forest import forest_figure
from alliance_stats.figures.johnson_neyman import johnson_neyman_figure
from alliance_stats.figures.levels import slopes_figure
from alliance_stats.figures.report_figure import ReportFigure
from alliance_stats.formatting import (
    format_count,
    format_df,
    format_interval,
    format_number,
    format_p,
    p_phrase,
)
from alliance_stats.multilevel import (
    LinearMixedModel,
    SimpleSlopes,
    johnson_neyman,
    lmm,
    simple_slopes,
)
from alliance_stats.provenance import numbers_from
from alliance_stats.simulate import AllianceTruth, SymptomTruth
from alliance_stats.study import Study
from alliance_stats.tables import ReportTable, model_table
from alliance_stats.tables.report_table import remembers_call
from alliance_stats.transforms import decompose
from analyses.chapter import Chapter, Numbers, Section, with_limits
from analyses.simulated import LEVELS, ROLES, SOURCE, called_simulated, chance, rated

NAME = "therapist_experience"
NESTED = ["person", "family", "therapist"]
PARTS = {"shared": "Alliance shared by the family", "own": "Member’s own alliance"}
BARRIERS = {
    "investment": "Parents’ investment",
    "parent_trauma": "Parental trauma",
    "therapist_emotion": "Therapist’s emotion",
}
FRAMEWORKS = ["usual", "trauma-informed"]
INTERACTION = ":framework[T.trauma-informed]"
# who leaves the slope out takes it for the same under every therapist, and the interaction's
# standard error is too small where it is not (Heisig & Schaeffer 2019, doi:10.1093/esr/jcy053)
SHARED_MODEL = (
    "symptoms ~ (shared + own) * experience + alliance_person_in_family"
    " + alliance_family_in_therapist + alliance_therapist_mean + session + role"
    " + (1 + shared + own || therapist) + (1 | therapist:family) + (1 | therapist:family:person)"
)
BARRIER_MODEL = (
    f"alliance ~ ({' + '.join(BARRIERS)}) * framework + experience + session + role"
    f" + (1 + {' + '.join(BARRIERS)} || therapist)"
    " + (1 | therapist:family) + (1 | therapist:family:person)"
)


def load() -> Study:
    """Return the simulated example study."""
    return example_study()


def main(data: Study, out: Path) -> Chapter:
    """Analyse `data`, write everything into `out` and return what the page shows."""
    experience, experience_numbers = experience_and_family(data)
    barriers, barrier_numbers = barriers_and_framework(data)
    chapter = Chapter(
        name=NAME,
        title="Therapists’ experience, barriers and framework",
        data="simulated",
        source=(
            f"{SOURCE} The questions come from two interview studies that estimate nothing "
            "(Perkins, Glass & D’Aniello 2019, doi:10.1007/s10591-019-09500-1; Joffe & Dwarika "
            "2025, doi:10.1080/00049530.2025.2528346); no number here is a result of theirs."
        ),
        sections=(experience, barriers),
        numbers={**experience_numbers, **barrier_numbers},
        headline=(
            "parental trauma and the alliance, trauma-informed minus usual: "
            f"{format_number(barrier_numbers['parent_trauma_interaction'])}, 95% CI "
            + format_interval(
                barrier_numbers["parent_trauma_interaction_low"],
                barrier_numbers["parent_trauma_interaction_high"],
            )
            + " (simulated)"
        ),
    )
    chapter.save(out)
    return chapter


def shared_and_own(data: Study) -> pd.DataFrame:
    """Split each rating's deviation from the person's mean: shared by the family, and own.

    ``shared`` is the mean deviation of the members who rated the session, ``own`` what a member
    deviates from that; the stable differences between persons, families and therapists are the
    other components.
    """
    sessions = decompose(rated(data).sessions, "alliance", levels=NESTED)
    visit = sessions["family"].astype(str) + ", session " + sessions["session"].astype(str)
    within = "alliance_within_person"
    split = decompose(sessions.assign(visit=visit), within, levels=["visit"])
    names = {f"{within}_visit_mean": "shared", f"{within}_within_visit": "own"}
    return _coded(split.rename(columns=names))


def shared_model(data: Study) -> LinearMixedModel:
    """Fit symptoms on both parts of the alliance, each moderated by experience."""
    return lmm(SHARED_MODEL, shared_and_own(data))


def barrier_model(data: Study) -> LinearMixedModel:
    """Fit the alliance on barriers, each moderated by the therapist's framework."""
    return lmm(BARRIER_MODEL, _coded(rated(data).sessions))


def _coded(sessions: pd.DataFrame) -> pd.DataFrame:
    return sessions.assign(
        role=pd.Categorical(sessions["role"], list(ROLES)),
        framework=pd.Categorical(sessions["framework"], FRAMEWORKS),
    )


def experience_and_family(data: Study) -> tuple[Section, Numbers]:
    """Ask whether what goes with the family's and the members' alliance depends on experience."""
    fit = shared_model(data)
    fixed = fit.tidy().set_index("term")
    made = {part: simple_slopes(fit, part, by="experience", unit="therapist") for part in PARTS}
    slopes = {part: found.tidy() for part, found in made.items()}
    interaction = {part: fixed.loc[f"{part}:experience"] for part in PARTS}
    few, many = slopes["shared"].iloc[0], slopes["shared"].iloc[-1]
    text = (
        "When a family rates a session better, all of its members together, do symptoms follow, "
        "and does that depend on the therapist’s experience? Each rating’s deviation from the "
        "person’s mean is split into what the members of a family share at a session and what is "
        f"a member’s own. With a therapist of {format_number(few['experience'], 1)} years (one SD "
        "below the mean) a point more of shared alliance went with "
        f"{format_number(few['estimate'])} points of symptoms, 95% CI "
        f"{format_interval(few['conf_low'], few['conf_high'])}, with one of "
        f"{format_number(many['experience'], 1)} years with {format_number(many['estimate'])}, "
        f"95% CI {format_interval(many['conf_low'], many['conf_high'])} (@fig-experience-slopes). "
        f"With each year of experience this changed by {_per_year(interaction['shared'])}, and "
        f"what went with a member’s own part by {_per_year(interaction['own'])} "
        "(@tbl-experience-slopes). The simulation used "
        f"{format_number(SymptomTruth().within)} for both parts under every therapist: no "
        f"interaction was built in{chance(*interaction.values())}.\n\n"
        "@fig-experience-region follows the effect over all years of experience in the study. An "
        "effect that can be told from zero in one region and not in another need not differ "
        "between them: whether it does is what the interaction says."
    )
    parts = (
        called_simulated(_experience_slopes(made["shared"]), made["shared"]),
        called_simulated(
            johnson_neyman_figure(
                johnson_neyman(fit, "shared", moderator="experience", unit="therapist"),
                effect_label="Symptoms per point of shared alliance",
                moderator_label="Therapist’s experience (years)",
                units="therapists",
                label="fig-experience-region",
            )
        ),
        _slope_table(slopes, interaction, fit),
    )
    numbers: Numbers = {}
    for part, found in made.items():
        numbers |= numbers_from(fit, with_limits(f"{part}_interaction", interaction[part]))
        numbers |= numbers_from(found, with_limits(f"{part}_at_mean", slopes[part].iloc[1]))
    title = "Experience and the family’s alliance"
    return Section("sec-experience-family", title, text, parts), numbers


def _per_year(row: pd.Series) -> str:
    interval = format_interval(row["conf_low"], row["conf_high"], 3)
    return f"{format_number(row['estimate'], 3)} (95% CI {interval}, {p_phrase(row['p_value'])})"


def _experience_slopes(slopes: SimpleSlopes) -> ReportFigure:
    words = {
        f"experience = {years:g}": f"Experience {format_number(years, 1)} years"
        for years in slopes.tidy()["experience"]
    }
    return slopes_figure(
        slopes,
        predictor_label="alliance shared by the family (points)",
        outcome_label="symptoms (points)",
        reach="sd",
        words=words,
        label="fig-experience-slopes",
    )


@remembers_call
def _slope_table(
    slopes: dict[str, pd.DataFrame], interaction: dict[str, pd.Series], fit: LinearMixedModel
) -> ReportTable:
    rows, sections = [], []
    for part, words in PARTS.items():
        for _, row in slopes[part].iterrows():
            years = f"At {format_number(row['experience'], 1)} years"
            rows.append({"Slope": years, **_cells(row, 2)})
        rows.append({"Slope": "Difference per year", **_cells(interaction[part], 3)})
        sections += [words] * (len(slopes[part]) + 1)
    return ReportTable(
        pd.DataFrame(rows),
        label="tbl-experience-slopes",
        caption="Symptoms per point of alliance by therapists’ experience in the simulated study.",
        note=f"Linear mixed model by REML of {format_count(fit.nobs)} rated sessions, with slopes "
        f"that vary between therapists; df by Satterthwaite. {_boundary(fit)}Adjusted for the "
        "alliance of persons, families and therapists, session and role.",
        sections=tuple(sections),
    )


def _cells(row: pd.Series, digits: int) -> dict[str, str]:
    return {
        "Estimate": format_number(row["estimate"], digits),
        "95% CI": format_interval(row["conf_low"], row["conf_high"], digits),
        "df": format_df(row["df"]),
        "p": format_p(row["p_value"]),
    }


def _boundary(fit: LinearMixedModel) -> str:
    """Name the slopes whose variance was estimated as zero."""
    spread = fit.tidy(effects="ran_pars")
    flat = [
        term.removeprefix("sd__")
        for term, value in zip(spread["term"], spread["estimate"], strict=True)
        if term.startswith("sd__") and value < 1e-6 * fit.sigma
    ]
    if not flat:
        return ""
    names = PARTS | BARRIERS
    said = ", ".join(names.get(term, term).replace("Therapist", "therapist") for term in flat)
    return f"The variance between therapists was estimated as zero for: {said}. "


def barriers_and_framework(data: Study) -> tuple[Section, Numbers]:
    """Ask whether a trauma-informed framework weakens what barriers do to the alliance."""
    fit = barrier_model(data)
    fixed = fit.tidy().set_index("term")
    slopes = {barrier: simple_slopes(fit, barrier, by="framework") for barrier in BARRIERS}
    trauma = slopes["parent_trauma"].tidy().set_index("framework")
    usual, informed = (trauma.loc[framework] for framework in FRAMEWORKS)
    interaction = {barrier: fixed.loc[f"{barrier}{INTERACTION}"] for barrier in BARRIERS}
    built = AllianceTruth()
    text = (
        "Compared with other families, those with a traumatised parent rated the alliance "
        f"{_lower(usual)} under usual treatment, and {_lower(informed)} under a trauma-informed "
        "framework (@fig-barrier-slopes). "
        "The difference, which is what moderation means, was "
        f"{_difference(interaction['parent_trauma'])} (@tbl-barrier-model); "
        f"{format_number(built.parent_trauma_by_trauma_informed)} was built in. For parents’ "
        "investment and the therapist’s emotion nothing was built in; found were "
        f"{_difference(interaction['investment'])}, and "
        f"{_difference(interaction['therapist_emotion'])}"
        f"{chance(interaction['investment'], interaction['therapist_emotion'])}.\n\n"
        "Framework is a property of therapists who chose it, not of families at random: in a real "
        "study this contrast would hold all else that sets these therapists apart. "
        "@fig-barrier-region shows where on parents’ investment the two frameworks can be told "
        "apart among families with a traumatised parent."
    )
    region = johnson_neyman_figure(
        johnson_neyman(
            fit, "framework", moderator="investment", unit="family", at={"parent_trauma": 1}
        ),
        effect_label="Alliance, trauma-informed − usual (points)",
        moderator_label="Parents’ investment (standardised)",
        units="families",
        label="fig-barrier-region",
    )
    parts = (
        called_simulated(_barrier_forest(slopes), slopes),
        called_simulated(region),
        _barrier_table(fit),
    )
    numbers: Numbers = {}
    for barrier, row in interaction.items():
        numbers |= numbers_from(fit, with_limits(f"{barrier}_interaction", row))
    numbers |= numbers_from(
        slopes["parent_trauma"],
        {"trauma_usual": usual["estimate"], "trauma_informed": informed["estimate"]},
    )
    title = "Barriers and a trauma-informed framework"
    return Section("sec-experience-barriers", title, text, parts), numbers


def _difference(row: pd.Series) -> str:
    interval = format_interval(row["conf_low"], row["conf_high"])
    return f"{format_number(row['estimate'])}, 95% CI {interval}, {p_phrase(row['p_value'])}"


def _lower(row: pd.Series) -> str:
    points, side = format_number(abs(row["estimate"])), "lower" if row["estimate"] < 0 else "higher"
    interval = format_interval(row["conf_low"], row["conf_high"])
    return f"{points} points {side} (95% CI of the difference {interval})"


def _barrier_forest(slopes: dict[str, SimpleSlopes]) -> ReportFigure:
    rows = pd.concat([found.tidy() for found in slopes.values()], ignore_index=True)
    rows["term"] = [
        f"{BARRIERS[row.term]}, {row.framework}" for row in rows.itertuples(index=False)
    ]
    return forest_figure(
        rows[["term", "estimate", "conf_low", "conf_high"]],
        estimate_label="Points of alliance per unit of the barrier",
        method="Simple slopes of a linear mixed model by REML, df by Satterthwaite. Parental "
        "trauma is yes or no; the other barriers are standardised",
        scale="difference",
        label="fig-barrier-slopes",
    )


def _barrier_table(fit: LinearMixedModel) -> ReportTable:
    other = "trauma-informed"
    return model_table(
        fit,
        words={
            "(Intercept)": "Mother, session 0, usual, all else 0",
            **BARRIERS,
            "framework[T.trauma-informed]": "Trauma-informed − usual",
            **{f"{barrier}{INTERACTION}": f"{words} × {other}" for barrier, words in
               BARRIERS.items()},
            "experience": "Therapist’s experience (year)",
            "session": "Session",
            **{f"role[T.{role}]": f"{name} − mother" for role, name in ROLES.items()},
            **LEVELS,
        },
        label="tbl-barrier-model",
        caption="Linear mixed model of the alliance with barriers and framework in the simulated "
        "study.",
        note="Points of the 1–7 score. Barriers without an interaction term beside them are "
        f"those of usual treatment. {_boundary(fit)}".strip(),
        digits=3,
    )  # fmt: skip
