"""What a fitted model says: effects, variances, units, regions, checks."""

import numpy as np
import pandas as pd

from alliance_stats.family import APIM, OneWithMany, apim, one_with_many
from alliance_stats.figures import (
    ReportFigure,
    actor_partner_figure,
    caterpillar_figure,
    estimated_means_figure,
    johnson_neyman_figure,
    leave_one_out_figure,
    one_with_many_figure,
    ranks_figure,
    residual_checks_figure,
    residual_figure,
    slopes_figure,
    step_figure,
    variance_partition_figure,
)
from alliance_stats.multilevel import (
    JohnsonNeyman,
    LinearMixedModel,
    ResidualChecks,
    StepMeans,
    estimated_means,
    johnson_neyman,
    leave_one_out,
    lmm,
    ordinal,
    residual_checks,
    simple_slopes,
    step_means,
    unit_ranks,
    variance_partition,
    within_between,
)
from tests.figure_lint.cases.data import EASTERN, LONG, OTHER_SCRIPTS, ratings


def fitted(
    *, therapists: int = 8, random: str = "(1 | therapist/person)", times: float = 1.0
) -> LinearMixedModel:
    data = ratings(therapists=therapists)
    data["alliance"] *= times
    return lmm(f"alliance ~ session + {random}", data)


def shares(*levels: str) -> ReportFigure:
    """Return the shares of four nested levels with bootstrap intervals, named `levels`."""
    data = ratings(sessions=8)
    data["family"] = data["person"].str.rsplit("-", n=1).str[0]
    fit = lmm("alliance ~ session + (1 | therapist/family/person)", data)
    found = variance_partition(fit, ci_method="bootstrap", n_resamples=20, seed=1)
    words = dict(zip(found.variances.index, levels, strict=False))
    return variance_partition_figure(found, outcome_label="alliance", words=words)


def residual_alone() -> ReportFigure:
    fit = lmm("alliance ~ session + (1 | person)", ratings(sessions=8))
    found = variance_partition(fit)
    return variance_partition_figure(found, words={"person": "person of 8 therapists"})


def slopes(*groups: str, times: float = 1.0) -> ReportFigure:
    """Return how symptoms go with the alliance in each of `groups`."""
    rng = np.random.default_rng(25)
    data = ratings(sessions=8).dropna()
    data["group"] = [groups[code % len(groups)] for code in pd.factorize(data["person"])[0]]
    steep = dict(zip(groups, np.linspace(-0.4, -1.1, len(groups)), strict=True))
    data["symptoms"] = data["group"].map(steep) * data["alliance"] + rng.normal(size=len(data))
    data["symptoms"] *= times
    fit = lmm("symptoms ~ alliance * group + (1 | person)", data)
    return slopes_figure(
        simple_slopes(fit, "alliance", by="group"),
        predictor_label="alliance (WAI points)",
        outcome_label="symptoms (0–100)",
        reach="sd",
    )


def levels() -> ReportFigure:
    """Return a slope within and a slope between persons."""
    data = ratings(sessions=8)
    found = within_between(data, outcome="alliance", predictor="session", levels=["person"])
    return slopes_figure(found, predictor_label="session", outcome_label="alliance (WAI points)")


def means(roles: tuple[str, ...], *at: float, times: float = 1.0, **options: str) -> ReportFigure:
    """Return means of roles, over sessions where there are several."""
    data = ratings(roles, sessions=8)
    data["alliance"] *= times
    fit = lmm("alliance ~ session * role + (1 | person)", data)
    found = (
        estimated_means(fit, "role", by="session", at={"session": at})
        if at
        else estimated_means(fit, "role")
    )
    return estimated_means_figure(found, **options)


def moderated(
    interaction: float = 0.5, *, adjust: str = "none", times: float = 1.0
) -> JohnsonNeyman:
    """Return where an invented effect can be told from zero, its moderator multiplied."""
    rng = np.random.default_rng(4)
    unit = np.repeat(np.arange(24), 8)
    m = np.round(rng.normal(size=24), 1)[unit]
    x = rng.normal(size=len(unit))
    y = interaction * x * m + rng.normal(size=24)[unit] + rng.normal(size=len(unit))
    data = pd.DataFrame({"y": y, "x": x, "m": times * m, "unit": unit})
    fit = lmm("y ~ x * m + (1 | unit)", data)
    return johnson_neyman(fit, "x", moderator="m", unit="unit", adjust=adjust)


def regions(result: JohnsonNeyman, moderator: str = "Experience (years)") -> ReportFigure:
    return johnson_neyman_figure(
        result,
        effect_label="Symptoms per point of alliance",
        moderator_label=moderator,
        units="therapists",
    )


def therapists(n: int = 12) -> pd.DataFrame:
    """Return invented ratings by clients and their therapists, a row per dyad."""
    rng = np.random.default_rng(2)
    t = rng.multivariate_normal([0, 0], [[0.5, 0.2], [0.2, 0.5]], n)
    y = 5 + t[:, None] + rng.normal(0, 1, (n, 4, 2)) + rng.normal(0, 0.6, (n, 4, 1))
    y = y.reshape(-1, 2)
    return pd.DataFrame(
        {"t": np.repeat(np.arange(n), 4), "c": np.arange(4 * n), "by_c": y[:, 0], "by_t": y[:, 1]}
    )


def many() -> OneWithMany:
    return one_with_many(
        therapists(), therapist="t", client="c", by_client="by_c", by_therapist="by_t"
    )


def couples(roles: tuple[str, str] = ("child", "mother")) -> APIM:
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"dyad": np.repeat(np.arange(30), 2), "role": list(roles) * 30})
    data["x"] = rng.normal(size=60)
    data["y"] = 0.5 * data["x"] + rng.normal(size=60)
    return apim(data, dyad="dyad", member="role", outcome="y", predictors="x")


def named(units: str) -> LinearMixedModel:
    """Fit a model whose therapists bear the name `units`, their number in it."""
    data = ratings(therapists=4)
    number = data["therapist"].str[1:]
    return lmm(
        "alliance ~ session + (1 | therapist)",
        data.assign(therapist=[units.format(n) for n in number]),
    )


def checked(times: float = 1.0) -> ResidualChecks:
    return residual_checks(fitted(times=times), n_resamples=40, seed=1)


def stepped(*by: str) -> StepMeans:
    data = ratings(therapists=8)
    data["alliance"] = data["alliance"].round().clip(3, 6)
    model = ordinal("alliance ~ session + role + (1 | person)", data)
    if by:
        return step_means(model, list(by))
    return step_means(model, ["session", "role"], at={"session": [1, 4, 8, 12, 16]})


def without_each(
    model: LinearMixedModel, *, term: str = "session", label: str = ""
) -> ReportFigure:
    return leave_one_out_figure(leave_one_out(model, "therapist"), term=term, effect_label=label)


def ranked(model: LinearMixedModel) -> ReportFigure:
    return ranks_figure(unit_ranks(model, "therapist", n_resamples=500, seed=1))


CASES = {
    ranks_figure: {
        "ranks": lambda: ranked(fitted()),
        "ranks, 200 therapists": lambda: ranked(fitted(therapists=200, random="(1 | therapist)")),
        "ranks, long names": lambda: ranked(named(LONG + " {}")),
    },
    caterpillar_figure: {
        "caterpillar": lambda: caterpillar_figure(fitted(), group="therapist"),
        "caterpillar, 200 therapists": lambda: caterpillar_figure(
            fitted(therapists=200, random="(1 | therapist)"), group="therapist"
        ),
        "caterpillar, long names": lambda: caterpillar_figure(
            named(LONG + " {}"), group="therapist", effect_label=LONG
        ),
        "caterpillar, eastern names": lambda: caterpillar_figure(
            named(EASTERN[0] + "{}"), group="therapist"
        ),
        "caterpillar, huge": lambda: caterpillar_figure(fitted(times=1e7), group="therapist"),
        "caterpillar, tiny": lambda: caterpillar_figure(fitted(times=1e-5), group="therapist"),
    },
    leave_one_out_figure: {
        "left out": lambda: without_each(fitted()),
        "left out, 150 therapists": lambda: without_each(
            fitted(therapists=150, random="(1 | therapist)")
        ),
        "left out, long names": lambda: without_each(named(LONG + " {}"), label=LONG),
        "left out, eastern names": lambda: without_each(named(EASTERN[0] + "{}"), label=EASTERN[3]),
        "left out, huge": lambda: without_each(fitted(times=1e7)),
        "left out, tiny": lambda: without_each(fitted(times=1e-5)),
    },
    residual_checks_figure: {
        "residual checks": lambda: residual_checks_figure(checked(), outcome_label="alliance"),
        "residual checks, long label": lambda: residual_checks_figure(
            checked(), outcome_label=LONG
        ),
        "residual checks, huge": lambda: residual_checks_figure(checked(times=1e7)),
    },
    step_figure: {
        "steps": lambda: step_figure(stepped(), outcome_label="Alliance", x_label="Session"),
        "steps, long label": lambda: step_figure(stepped(), outcome_label=LONG, x_label=LONG),
        "steps, one panel": lambda: step_figure(stepped("role"), outcome_label="Alliance"),
    },
    residual_figure: {
        "residuals": lambda: residual_figure(fitted(), outcome_label="alliance (WAI points)"),
        "residuals, slopes": lambda: residual_figure(
            fitted(random="(1 + session | therapist) + (1 | person)"),
            outcome_label="alliance (WAI)",
        ),
        "residuals, long label": lambda: residual_figure(fitted(), outcome_label=LONG),
        "residuals, huge": lambda: residual_figure(fitted(times=1e7), outcome_label="alliance"),
    },
    variance_partition_figure: {
        "variance": lambda: shares("therapist", "family", "person", "session (residual)"),
        "variance, no intervals": residual_alone,
        "variance, long and other names": lambda: shares(LONG, *OTHER_SCRIPTS),
        "variance, eastern names": lambda: shares(*EASTERN),
    },
    slopes_figure: {
        "slopes": levels,
        "slopes, two groups": lambda: slopes("mothers", "fathers"),
        "slopes, many": lambda: slopes("a", LONG, *OTHER_SCRIPTS, "b"),
        "slopes, eastern names": lambda: slopes(*EASTERN),
        "slopes, huge": lambda: slopes("within", "between", times=1e7),
        "slopes, tiny": lambda: slopes("within", "between", times=1e-5),
    },
    estimated_means_figure: {
        "means": lambda: means(("child", "father"), outcome_label="Alliance (WAI, 1–7)"),
        "means over sessions": lambda: means(("child", "father"), 1, 4, 8),
        "means along sessions": lambda: means(("child", "father"), *range(1, 15)),
        "means, long and other names": lambda: means((LONG, *OTHER_SCRIPTS), 1, 8),
        "means over sessions, long names": lambda: means(
            (LONG, *OTHER_SCRIPTS), 1, 4, 8, outcome_label=LONG
        ),
        "means, eastern names": lambda: means(EASTERN),
        "means over sessions, huge": lambda: means(("a", "b"), 1, 4, 8, times=1e7),
        "means, tiny": lambda: means(("a", "b"), times=1e-5),
    },
    johnson_neyman_figure: {
        "regions": lambda: regions(moderated()),
        "regions, none": lambda: regions(moderated(0.0)),
        "regions, strong": lambda: regions(moderated(3.0, adjust="fdr")),
        "regions, long name": lambda: regions(moderated(), LONG),
        "regions, eastern name": lambda: regions(moderated(3.0), EASTERN[3]),
        "regions, huge": lambda: regions(moderated(times=1e7)),
        "regions, tiny": lambda: regions(moderated(times=1e-5)),
    },
    one_with_many_figure: {
        "one with many": lambda: one_with_many_figure(many()),
        "one with many, intervals": lambda: one_with_many_figure(
            many(), intervals=many().bootstrap(seed=1, n_resamples=20)
        ),
    },
    actor_partner_figure: {
        "actor and partner": lambda: actor_partner_figure(
            couples(), outcome_label="Points per point"
        ),
        "actor and partner, long roles": lambda: actor_partner_figure(
            couples((LONG, "x")), outcome_label="Points per point"
        ),
        "actor and partner, eastern roles": lambda: actor_partner_figure(
            couples(EASTERN[:2]), outcome_label=EASTERN[3]
        ),
    },
}
