"""Old names of arguments are refused with the new one in the message."""

import ast
import importlib
from pathlib import Path

import pandas as pd
import pytest

import alliance_stats as als
from alliance_stats import evidence, family, figures, groups
from alliance_stats.renaming import renamed

OLD = [
    (als.parametric_bootstrap, "n", "n_resamples"),
    (als.variance_partition, "n", "n_resamples"),
    (als.comparisons, "draws", "n_resamples"),
    (als.likelihood_ratio_test, "bootstrap", "n_resamples"),
    (als.compare_groups, "n_permutations", "n_resamples"),
    (als.log_rank, "n_permutations", "n_resamples"),
    (als.coder_agreement, "n_bootstrap", "n_resamples"),
    (als.coder_agreement, "level", "measurement"),
    (groups.krippendorff_alpha, "level", "measurement"),
    (family.expected_false_alarms, "draws", "n_resamples"),
    (family.family_ruptures, "shuffles", "n_resamples"),
    (family.rule_agreement, "n", "n_resamples"),
    (als.dropout_sensitivity, "m", "n_imputations"),
    (als.pattern_mixture, "arm", "group"),
    (als.competing_hazards, "none", "censored"),
    (als.competing_hazards, "df", "baseline_df"),
    (als.discrete_hazard, "df", "baseline_df"),
    (als.shared_parameter, "df", "baseline_df"),
    (als.reference_imputation, "arm", "group"),
    (als.unit_ranks, "group", "unit"),
    (als.contrasts, "within", "by"),
    (als.adjusted_curves, "by", "variable"),
    (als.johnson_neyman, "levels", "values"),
    (als.johnson_neyman, "control", "adjust"),
    (groups.adjusted_p, "method", "adjust"),
    (figures.meta_forest_figure, "on", "scale"),
    (als.mediation, "intervals", "ci_method"),
    (als.comparisons, "compare", "scale"),
    (evidence.leave_one_study_out, "on", "scale"),
    (als.landmark_chance, "within", "horizon"),
    (als.person_period, "event", "cause"),
    (als.last_session, "event", "cause"),
    (als.reliable_change, "cut", "cut_off"),
    (als.simulate_study, "n_families", "families"),
    (als.simulate_study, "n_therapists", "therapists"),
    (als.simulate_study, "n_interviewed", "interviewed"),
]


@pytest.mark.parametrize(("function", "old", "new"), OLD)
def test_an_old_name_is_answered_with_the_new_one(function, old, new):
    said = f"{function.__name__}\\(\\) has no argument '{old}' any more: it is called '{new}' now"
    with pytest.raises(TypeError, match=said):
        function(pd.DataFrame(), **{old: 1})


def test_other_names_pass_and_the_signature_stays():
    @renamed(draws="n_resamples")
    def simulate(*, n_resamples: int = 10) -> int:
        """Say how many."""
        return n_resamples

    assert simulate(n_resamples=3) == 3
    assert simulate.__doc__ == "Say how many."
    with pytest.raises(TypeError, match="unexpected keyword argument 'other'"):
        simulate(other=1)


def test_no_two_public_classes_share_a_name():
    named: dict[str, set[type]] = {}
    for room in ("family", "groups", "scales", "survival", "multilevel", "evidence", "association"):
        module = importlib.import_module(f"alliance_stats.{room}")
        for name in module.__all__:
            if isinstance(getattr(module, name), type):
                named.setdefault(name, set()).add(getattr(module, name))
    assert [name for name, classes in named.items() if len(classes) > 1] == []


def _renamed() -> list[tuple[str, str, str]]:
    """Return (function, old name, new name) of every decorator in the package."""
    found = []
    for path in sorted(Path(als.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for made in getattr(node, "decorator_list", ()):
                if isinstance(made, ast.Call) and getattr(made.func, "id", "") == "renamed":
                    found += [(node.name, word.arg, word.value.value) for word in made.keywords]
    return found


@pytest.mark.parametrize(("function", "old", "new"), _renamed())
def test_the_page_of_names_lists_every_changed_name(function, old, new):
    page = Path(__file__).parents[2] / "docs" / "names.md"
    rows = [row.split("|") for row in page.read_text(encoding="utf-8").splitlines()]
    listed = [row for row in rows if len(row) == 5 and function in row[1]]
    assert any(f"`{old}=`" in row[2] and f"`{new}=`" in row[3] for row in listed)


def test_settings_of_a_question_are_asked_of_tidy():
    sessions = als.example_study().sessions.query("session <= 3")
    model = als.lmm("alliance ~ session + (1 | family/person)", sessions)
    with pytest.raises(TypeError, match=r"no argument 'df_method': it belongs to tidy\(df_method"):
        model.summary(df_method="kenward-roger")
    with pytest.raises(TypeError, match=r"no argument 'adjust': nor has tidy\(\) of this"):
        model.summary(adjust="holm")
