"""Tries every method of the census on the example study and writes ``docs/census.md``.

``data/census/studies.csv`` holds 100 quantitative studies of the field with the codes of the
methods that their abstracts name (``~`` marks what the wording implies). A method counts as held if
its call runs on the example study; a study is complete if all its methods are held.
``python -m docs.census``
"""

import csv
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

import alliance_stats as als
from alliance_stats.errors import AllianceStatsError
from alliance_stats.family import DropBelowRunningMean
from alliance_stats.figures import caterpillar_figure
from alliance_stats.groups import cut_point, reliable_change
from alliance_stats.multilevel import LinearMixedModel
from alliance_stats.scales import factor_model, measurement_invariance, reliability

FOLDER = Path(__file__).parent
STUDIES = FOLDER.parent / "data" / "census" / "studies.csv"
METHODS = STUDIES.with_name("methods.csv")

study = als.example_study()
sessions = study.sessions
last = sessions.sort_values("session").groupby("person").tail(1)
MIXED = "symptoms ~ alliance * experience + session + (1 | therapist/person)"


def _model() -> LinearMixedModel:
    return als.lmm(MIXED, sessions)


def _binary() -> pd.DataFrame:
    return last.assign(well=(last["symptoms"] < 50).astype(int))


def _surface(*, mixed: bool = False) -> object:
    formula = (
        "symptoms ~ alliance + therapist_alliance + I(alliance^2) + alliance:therapist_alliance"
        " + I(therapist_alliance^2)"
    )
    model = (
        als.lmm(f"{formula} + (1 | therapist)", last) if mixed else als.regression(formula, last)
    )
    return als.response_surface(model, "alliance", "therapist_alliance", origin=4)


def _meta(*, moderators: str | None = None, study: str | None = None) -> object:
    rng = np.random.default_rng(1)
    table = pd.DataFrame(
        {
            "estimate": rng.normal(0.3, 0.1, 12).round(3),
            "variance": rng.uniform(0.01, 0.04, 12).round(4),
            "study": np.repeat(list("abcdef"), 2),
            "year": np.arange(2000, 2012),
        }
    )
    return als.meta_analysis(
        table, estimate="estimate", variance="variance", moderators=moderators, study=study
    )


def _dyads() -> object:
    pairs = last[last["role"].isin(["mother", "child"])]
    whole = pairs.groupby("family")["role"].transform("nunique") == 2
    return als.apim(
        pairs[whole], dyad="family", member="role", outcome="symptoms", predictors="alliance"
    )


def _three_sessions() -> pd.DataFrame:
    return sessions[
        sessions["session"].isin([1, 4, 8]) & sessions["role"].isin(["mother", "child"])
    ]


def _items() -> pd.DataFrame:
    """Return six items of two factors, answered by 200 persons of two groups."""
    rng = np.random.default_rng(2)
    factors = rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], 200)
    items = 0.8 * factors[:, [0, 0, 0, 1, 1, 1]] + rng.normal(0.0, 0.6, (200, 6))
    frame = pd.DataFrame(items, columns=[f"i{k}" for k in range(1, 7)])
    return frame.assign(group=np.repeat(["a", "b"], 100))


FACTORS = {"task": ["i1", "i2", "i3"], "bond": ["i4", "i5", "i6"]}

CALLS: dict[str, tuple[str, Callable[[], object]]] = {
    "LMM": ("lmm", _model),
    "CORR": (
        "correlations",
        lambda: als.correlations(last, ["alliance", "symptoms", "experience"]),
    ),
    "PARTCORR": (
        "correlations(partial=)",
        lambda: als.correlations(last, ["alliance", "symptoms"], partial="experience"),
    ),
    "FISHERZ": (
        "correlation_difference",
        lambda: als.correlation_difference(
            last, ("alliance", "symptoms"), ("therapist_alliance", "symptoms")
        ),
    ),
    "OLS": (
        "regression",
        lambda: als.regression("symptoms ~ alliance * experience", last),
    ),
    "LOGIT": (
        'regression(family="logistic")',
        lambda: als.regression("well ~ alliance", _binary(), family="logistic"),
    ),
    "HIERREG": (
        "regression(steps=)",
        lambda: als.regression(
            "symptoms ~ experience + alliance", last, steps=["experience"]
        ).step_table(),
    ),
    "VIF": (
        "collinearity()",
        lambda: als.regression("symptoms ~ alliance + experience", last).collinearity(),
    ),
    "SIMPLESLOPES": (
        "simple_slopes",
        lambda: als.simple_slopes(
            als.regression("symptoms ~ alliance * experience", last), "alliance", by="experience"
        ),
    ),
    "ANOVA": (
        "anova",
        lambda: als.anova(
            _three_sessions(), outcome="alliance", between="role", within="session", person="person"
        ),
    ),
    "RSA": ("response_surface", _surface),
    "RSAML": (
        "response_surface(lmm(...))",
        lambda: _surface(mixed=True),
    ),
    "MOD": (
        "simple_slopes, johnson_neyman",
        lambda: als.johnson_neyman(_model(), "alliance", moderator="experience"),
    ),
    "MREG": (
        "meta_analysis(moderators=)",
        lambda: _meta(moderators="year"),
    ),
    "META": ("meta_analysis", _meta),
    "META3": ("meta_analysis(study=)", lambda: _meta(study="study")),
    "NONINF": ("meta_analysis", _meta),
    "MEDIATION": (
        "mediation",
        lambda: als.mediation(
            last,
            treatment="experience",
            mediator="alliance",
            outcome="symptoms",
            cluster="therapist",
            seed=1,
        ),
    ),
    "MODMED": (
        "mediation(moderator=)",
        lambda: als.mediation(
            last,
            treatment="experience",
            mediator="alliance",
            outcome="symptoms",
            moderator="investment",
            seed=1,
        ),
    ),
    "VPCG": (
        "variance_partition(glmm(...))",
        lambda: als.variance_partition(als.glmm("well ~ 1 + (1 | therapist)", _binary())),
    ),
    "ALPHA": (
        "reliability",
        lambda: reliability(_items(), items=FACTORS["task"]),
    ),
    "CFA": (
        "factor_model",
        lambda: factor_model(_items(), FACTORS),
    ),
    "INVAR": (
        "measurement_invariance",
        lambda: measurement_invariance(_items(), FACTORS, group="group"),
    ),
    "ICCR": (
        "coder_agreement",
        lambda: als.coder_agreement(
            last.assign(a=last["alliance"].round(), b=last["therapist_alliance"].round()).dropna(
                subset=["a", "b"]
            ),
            coders=["a", "b"],
            measurement="interval",
            n_resamples=50,
            seed=1,
        ),
    ),
    "VPC": (
        "variance_partition",
        lambda: als.variance_partition(
            als.lmm("symptoms ~ session + (1 | therapist/person)", sessions)
        ),
    ),
    "WB": (
        "within_between",
        lambda: als.within_between(
            sessions, outcome="symptoms", predictor="alliance", levels=["person"]
        ),
    ),
    "WBT": (
        "within_between",
        lambda: als.within_between(
            sessions, outcome="symptoms", predictor="alliance", levels=["therapist"]
        ),
    ),
    "TTEST": (
        "compare_groups",
        lambda: als.compare_groups(
            last[last["role"].isin(["mother", "father"])], outcomes=["symptoms"], group="role"
        ),
    ),
    "MWU": (
        'compare_groups(test="mann_whitney")',
        lambda: als.compare_groups(
            last[last["role"].isin(["mother", "father"])],
            outcomes=["symptoms"],
            group="role",
            test="mann_whitney",
        ),
    ),
    "CHI": (
        "compare_groups",
        lambda: als.compare_groups(
            _binary()[last["role"].isin(["mother", "father"]).to_numpy()],
            outcomes=["well"],
            group="role",
        ),
    ),
    "LAG": (
        "lag, lmm",
        lambda: als.lmm(
            "symptoms ~ alliance_lag1 + (1 | person)",
            als.lag(sessions, "alliance", person="person", session="session"),
        ),
    ),
    "COVADJ": (
        "formula",
        lambda: als.regression("symptoms ~ alliance + experience", last),
    ),
    "AICCMP": (
        "compare_models",
        lambda: als.compare_models(
            *(
                als.lmm(f"symptoms ~ {x} + (1 | person)", sessions, reml=False)
                for x in ("session", "session + role")
            )
        ),
    ),
    "LRT": (
        "likelihood_ratio_test",
        lambda: als.likelihood_ratio_test(
            *(
                als.lmm(f"symptoms ~ session + {x}", sessions)
                for x in ("(1 | therapist)", "(1 | therapist/person)")
            )
        ),
    ),
    "MLOGIT": (
        "glmm",
        lambda: als.glmm("well ~ alliance + (1 | therapist)", _binary()),
    ),
    "GROWTH": (
        "lmm",
        lambda: als.lmm("alliance ~ session + (1 + session | person)", sessions),
    ),
    "RANDSLOPE": (
        "lmm",
        lambda: als.lmm("symptoms ~ session + (1 + session | therapist)", sessions),
    ),
    "APIM": ("apim", _dyads),
    "CARRES": (
        "CAR1",
        lambda: als.lmm(
            "symptoms ~ session + (1 | person)",
            sessions,
            residual=als.CAR1("session", within="person"),
        ),
    ),
    "OWM": (
        "one_with_many",
        lambda: als.one_with_many(
            last.dropna(subset=["alliance", "therapist_alliance"]),
            therapist="therapist",
            client="person",
            by_client="alliance",
            by_therapist="therapist_alliance",
        ),
    ),
    "COX": (
        "cox_ph",
        lambda: als.cox_ph("investment", als.endings(study).units, time="time", event="event"),
    ),
    "MLSURV": (
        "cox_ph(frailty=)",
        lambda: als.cox_ph(
            "investment", als.endings(study).units, time="time", event="event", frailty="therapist"
        ),
    ),
    "CATERPILLAR": (
        "caterpillar_figure",
        lambda: caterpillar_figure(
            als.lmm("symptoms ~ session + (1 | therapist/person)", sessions), group="therapist"
        ),
    ),
    "DROPRULE": (
        "ruptures",
        lambda: als.ruptures(
            sessions.dropna(subset=["alliance"]),
            person="person",
            session="session",
            score="alliance",
            rule=DropBelowRunningMean(1.5, sd="within", min_before=2),
        ),
    ),
    "RCI": (
        "classify(reliable_change(...))",
        lambda: als.classify(
            _before_and_after(), reliable_change("before", "after", reliability=0.9, better="lower")
        ),
    ),
    "SENS": (
        "classify_many",
        lambda: als.classify_many(
            last, {str(cut): cut_point("symptoms", cut, better="lower") for cut in (45, 50, 55)}
        ),
    ),
    "RICLPM": (
        "cross_lagged",
        lambda: als.cross_lagged(
            sessions[sessions["session"] <= 6],
            outcomes=["alliance", "symptoms"],
            person="person",
            session="session",
        ),
    ),
}


WHY_NOT = {
    "latent variables and structural models: lavaan, Mplus and blavaan do them, with estimators "
    "that a package of observed scores would have to repeat": (
        "SEM", "MLSEM", "BSEM", "MASEM", "LDS", "LGC", "DYADLGC", "CTSEM", "DLCSEM", "EFA", "IRT",
        "ITEMSEL", "MLCFA",
    ),
    "classes that the data are to find: their number and meaning rest on choices that no interval "
    "covers; groups by a stated rule (classify) can be checked": (
        "LPA", "GMM", "CLUSTER", "WALDEQ", "CLUSTERPAT",
    ),
    "prediction and language: scikit-learn and spaCy do them, and no estimate of a study's "
    "question comes out": ("ML", "NLP", "SYNC"),
    "left out on purpose: what is selected by its p-value has no honest interval": ("STEPWISE",),
    "missing values of covariates: rows are set aside and counted, outcomes are handled by mixed "
    "models and dropout_sensitivity": ("MI", "EM", "FIML", "MCAR"),
    "not yet: they stand on what is held, and are open": (
        "IV", "PUBBIAS", "TRUTHBIAS", "APIML", "OWML", "GTHEORY", "IPD", "DETREND", "DYADMLM", "BF",
        "OUTLIER",
    ),
}  # fmt: skip


def _reasons(held: set[str], uses: Counter[str], names: dict[str, str]) -> list[str]:
    """Return the table of methods that stay out, each with its reason."""
    lines = ["", "## What stays out, and why", "", "| methods (studies) | reason |", "|---|---|"]
    for why, codes in WHY_NOT.items():
        out = [f"{names[code]} ({uses[code]})" for code in codes if code not in held]
        if out:
            lines.append(f"| {'; '.join(out)} | {why} |")
    return lines


def _before_and_after() -> pd.DataFrame:
    courses = sessions.sort_values("session").groupby("person")["symptoms"]
    return pd.DataFrame({"before": courses.first(), "after": courses.last()}).reset_index()


def main() -> None:
    """Try every call and write the table."""
    held: set[str] = set()
    for code, (_, tried) in CALLS.items():
        try:
            tried()
        except AllianceStatsError as refused:
            sys.stderr.write(f"{code}: {str(refused).splitlines()[0]}\n")
        else:
            held.add(code)
    with STUDIES.open(encoding="utf-8", newline="") as file:
        studies = [
            {code.strip("~") for code in row["methods"].split(";")} for row in csv.DictReader(file)
        ]
    with METHODS.open(encoding="utf-8", newline="") as file:
        names = {row["code"]: row["method"] for row in csv.DictReader(file)}
    uses = Counter(code for codes in studies for code in codes)
    silent = sorted(set(uses) - held - {code for codes in WHY_NOT.values() for code in codes})
    if silent:
        sys.stderr.write(f"no reason is given for {', '.join(silent)}\n")
    complete = sum(codes <= held for codes in studies)
    lines = [*_table(held, uses, names, complete), *_reasons(held, uses, names)]
    (FOLDER / "census.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    sys.stdout.write(f"{complete} of {len(studies)} studies complete\n")


def _table(
    held: set[str], uses: Counter[str], names: dict[str, str], complete: int
) -> Iterator[str]:
    """Yield the page's opening and a line a method, the most used ones first."""
    yield from (
        "# Statistics used in the field, and where they are here",
        "",
        f"Of 100 quantitative studies of the alliance (2005-2026; `data/census/studies.csv`), "
        f"{complete} use only methods that are held here. Most were read as abstracts, so that "
        "methods they do not name are missing from the counts. `python -m docs.census` tries every "
        "call on the example study and writes this page.",
        "",
        "| method | studies | held | call |",
        "|---|--:|---|---|",
    )
    for code, count in sorted(uses.items(), key=lambda item: (-item[1], item[0])):
        told = f"yes | `{CALLS[code][0]}` |" if code in held else "no | |"
        yield f"| {names[code]} | {count} | {told}"


if __name__ == "__main__":
    main()
