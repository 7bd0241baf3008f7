"""What is asked after a fit: budgets before work, wrong objects, labels of several kinds."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats import contrasts, cox_ph, estimated_means, johnson_neyman, lmm
from alliance_stats.errors import DataError


def many(levels: int) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    n = levels * 4
    return pd.DataFrame(
        {
            "unit": rng.integers(0, max(n // 8, 2), n),
            "ward": np.repeat([f"w{i:03d}" for i in range(levels)], 4),
            "y": rng.normal(size=n),
        }
    )


def test_contrasts_of_hundreds_of_levels_are_refused_with_what_to_do():
    means = estimated_means(lmm("y ~ ward + (1 | unit)", many(150)), "ward", df_method="normal")
    with pytest.raises(DataError, match="150 means have 11175 of these contrasts, more than 5000"):
        contrasts(means)
    assert len(contrasts(means, "reference").tidy()) == 149
    some = estimated_means(lmm("y ~ ward + (1 | unit)", many(40)), "ward", df_method="normal")
    with pytest.raises(DataError, match="adjust='tukey'"):
        contrasts(some)
    assert len(contrasts(some, adjust="tukey").tidy()) == 780


def test_wrong_objects_get_a_sentence():
    data = many(6)
    model = lmm("y ~ ward + (1 | unit)", data)
    leaving = data.assign(time=np.arange(1.0, 25.0), left=1)
    cox = cox_ph("y", leaving, time="time", event="left")
    for wrong in (model, cox, None):
        with pytest.raises(DataError, match=r"contrasts\(estimated_means\(model, 'arm'\)\)"):
            contrasts(wrong)
    with pytest.raises(DataError, match="is needed; got CoxModel"):
        johnson_neyman(cox, "y", moderator="y")
    with pytest.raises(DataError, match="is needed; got CoxModel"):
        estimated_means(cox, "y")


def test_labels_of_several_kinds():
    data = many(4)
    mixed = pd.Series(np.repeat(np.array([1, "b", 2, "a"], dtype=object), 4))
    model = lmm("y ~ ward + (1 | unit)", data.assign(ward=mixed.astype(str)))
    with_types = lmm("y ~ C(ward) + (1 | unit)", data.assign(ward=pd.Categorical(mixed)))
    assert len(estimated_means(with_types, "ward").tidy()) == 4
    assert estimated_means(with_types, "ward").tidy()["estimate"].sum() == pytest.approx(
        estimated_means(model, "ward").tidy()["estimate"].sum()
    )
