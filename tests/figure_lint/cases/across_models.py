"""One finding under several models or rules."""

import functools

import numpy as np
import pandas as pd

from alliance_stats.figures import coefficients_figure, specification_figure
from alliance_stats.groups import Multiverse, classify_many, cut_point
from alliance_stats.multilevel import LinearMixedModel, lmm
from tests.figure_lint.cases.data import EASTERN, LONG, ratings


@functools.cache
def fitted(formula: str = "alliance ~ session") -> LinearMixedModel:
    rng = np.random.default_rng(3)
    data = ratings(therapists=6)
    for name in ("investment", "age"):
        data[name] = rng.normal(size=len(data))
    return lmm(f"{formula} + (1 | therapist)", data)


def models(*names: str) -> dict[str, LinearMixedModel]:
    more = "alliance ~ session + investment"
    made = (fitted(), fitted(more), fitted(f"{more} + age + role"))
    return dict(zip(names or ("Time", "Investment", "All"), made, strict=True))


@functools.cache
def multiverse(n: int = 6, name: str = "rule {}") -> Multiverse:
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"wai": rng.normal(5.0, 1.0, 60)})
    data["symptoms"] = 60.0 - 3.0 * data["wai"] + rng.normal(0.0, 8.0, 60)
    cuts = np.linspace(4.0, 6.0, n)
    rules = {
        name.format(i): cut_point("wai", cut, better="higher")
        for i, cut in enumerate(cuts, start=1)
    }
    return classify_many(data, rules).compare(outcomes="symptoms")


CASES = {
    coefficients_figure: {
        "coefficients across models": lambda: coefficients_figure(models()),
        "coefficients across models, one": lambda: coefficients_figure({"Time": fitted()}),
        "coefficients across models, long names": lambda: coefficients_figure(
            models(LONG, EASTERN[0], "b"), words={"investment": LONG}
        ),
    },
    specification_figure: {
        "specifications": lambda: specification_figure(multiverse(), outcome="symptoms"),
        "specifications, many": lambda: specification_figure(multiverse(80), outcome="symptoms"),
        "specifications, long names": lambda: specification_figure(
            multiverse(3, LONG + " {}"), outcome="symptoms"
        ),
    },
}
