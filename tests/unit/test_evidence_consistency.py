"""Verdicts on small tables, what they rest on, and what is refused."""

import pandas as pd
import pytest

from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.evidence.printed.catalogue import quantity_named
from alliance_stats.evidence.printed.consistency import consistency_check, recompute, relations


def check(row: dict[str, str], **options: object) -> pd.DataFrame:
    return consistency_check(pd.DataFrame([row]), **options).tidy().set_index("quantity")


def test_each_printed_value_has_a_row_with_its_verdict() -> None:
    table = pd.DataFrame(
        {
            "term": ["alliance", "age"],
            "estimate": ["2.04", "0.03"],
            "std_error": ["0.99", ""],
            "p_value": ["0.04", None],
        },
        index=["a", "b"],
    )
    before = table.copy()
    found = consistency_check(table)
    tidy = found.tidy()
    assert list(tidy.columns[:8]) == [
        "row", "quantity", "relation", "printed", "feasible_low", "feasible_high", "verdict",
        "reason",
    ]  # fmt: skip
    assert list(tidy["row"]) == ["a", "a", "a", "b"]
    assert list(tidy["verdict"]) == ["not checkable"] * 2 + ["reproduced", "not checkable"]
    assert tidy.loc[0, "reason"] == "taken as given: p_value can be computed from it"
    assert found.not_read == ("term",)
    assert found.glance().to_dict("records") == [
        {
            "n_printed": 4, "n_reproduced": 1, "n_holds_only_if": 0, "n_not_reproduced": 0,
            "n_not_checkable": 3,
        }
    ]  # fmt: skip
    assert found.summary().split("\n\n") == [
        "Printed numbers recomputed from those printed beside them.",
        "Verdict         numbers\n"
        "reproduced            1\n"
        "not reproduced        0\n"
        "not checkable         3",
        "4 numbers.",
        "Columns without a known quantity: term.",
        "2 rows came in. 2 used.",
    ]
    pd.testing.assert_frame_equal(table, before)


def test_a_number_that_does_not_follow_is_told_with_its_distance_and_possible_reasons() -> None:
    p = check({"t": "2.10", "df": "30", "p_value": ".062"}).loc["p_value"]
    assert p["verdict"] == "not reproduced"
    assert p["relation"] == "p_t"
    assert p["reason"] == (
        ".062 stands for [0.06150, 0.06250]; p from t on df degrees of freedom allows "
        "[0.04377, 0.04472], 0.01678 away. Transcription, rounding of the inputs or an unstated "
        "method may be the reason."
    )
    assert p["gap"] == pytest.approx(0.0615 - p["feasible_high"])


def test_the_other_tail_is_named_where_it_would_give_the_number() -> None:
    open_tails = check({"z": "1.533", "p_value": ".063"}).loc["p_value"]
    assert open_tails["verdict"] == "reproduced"
    assert open_tails["reason"] == "p from z (read: a one-tailed p)"
    two = check({"z": "1.533", "p_value": ".063"}, tails="two").loc["p_value"]
    assert two["verdict"] == "not reproduced"
    assert "It would be as a one-tailed p." in two["reason"]
    assert check({"z": "1.533", "p_value": ".063", "tails": "one"}).loc["p_value", "verdict"] == (
        "reproduced"
    )
    assert check({"z": "1.533", "p_value": ".063"}, tails="one").loc["p_value", "verdict"] == (
        "reproduced"
    )


def test_a_t_distribution_on_unprinted_df_is_named_where_it_would_give_the_number() -> None:
    row = {"estimate": "1.00", "std_error": "0.50", "conf_high": "2.15"}
    high = check(row).loc["conf_high"]
    assert high["verdict"] == "not checkable"
    assert high["reason"] == (
        "it does not follow under estimate + z SE; it could if it is one of t on few df, which are "
        "not printed"
    )
    assert check({**row, "df": "8"}).loc["conf_high", "verdict"] == "reproduced"


def test_df_rounded_for_print_are_named_where_they_would_give_the_number() -> None:
    p = check({"t": "9.000", "df": "2", "p_value": ".008"}).loc["p_value"]
    assert p["verdict"] == "reproduced"
    assert p["reason"].endswith("(read: with df that were rounded to a whole number)")


def test_cut_off_digits_are_admitted_and_named() -> None:
    row = {"estimate": "-0.1096", "exp_b": "0.89"}  # exp(-0.1096) = 0.8962
    either = check(row).loc["exp_b"]
    assert (either["verdict"], either["rounding"]) == ("reproduced", "truncated")
    assert either["reason"] == "exp_b = exp(b), if digits were cut off, not rounded"
    assert check(row, rounding="nearest").loc["exp_b", "verdict"] == "not reproduced"
    assert check(row, rounding="truncated").loc["exp_b", "verdict"] == "reproduced"


def test_ends_belong_to_what_a_number_stands_for() -> None:
    # (low + high) / 2 may be 0.105 at most, and .11 stands for 0.105 at least
    row = {"estimate": ".11", "conf_low": ".10", "conf_high": ".10", "std_error": ".00"}
    assert check(row, rounding="nearest").loc["estimate", "verdict"] == "reproduced"


def test_df_that_agree_are_listed_where_none_is_printed() -> None:
    p = check({"t": "1.797", "p_value": "0.083"}).loc["p_value"]
    assert p["verdict"] == "not checkable"
    assert p["reason"] == "df not printed; t and p agree for df 27 to 29"
    beyond = check({"t": "1.000", "p_value": "0.100"}).loc["p_value"]
    assert beyond["verdict"] == "not reproduced"  # normal: .317, less on no df


def test_statistic_is_f_beside_two_df_t_beside_one_else_z() -> None:
    f = check({"statistic": "4.00", "df1": "2", "df2": "30", "p_value": ".029"})
    assert f.loc["p_value", "relation"] == "p_f"
    t = check({"statistic": "2.00", "df": "30", "p_value": ".055"})
    assert t.loc["p_value", "relation"] == "p_t"
    z = check({"statistic": "2.00", "p_value": ".046"})
    assert z.loc["p_value", "relation"] == "p_z"
    assert set(f["verdict"]) == {"reproduced", "not checkable"}
    with pytest.raises(DataError, match="Row 0: both 'statistic' and 't' are printed"):
        check({"statistic": "2.00", "t": "2.00", "df": "30"})


@pytest.mark.parametrize(
    ("row", "quantity", "reason"),
    [
        ({"r": "1.20", "n": "30"}, "r", "r (a correlation) lies between -1 and 1; 1.20 is outside"),
        ({"std_error": "-0.5", "estimate": "1.0"}, "std_error", "is not below 0; -0.5 is outside"),
        ({"mean1": "2.0", "sd1": "-1.0"}, "sd1", "is not below 0"),
        ({"t": "2.0", "df": "30", "p_value": "1.4"}, "p_value", "lies between 0 and 1"),
        (
            {"estimate": "1.0", "conf_low": "2.0", "conf_high": "0.5"},
            "conf_low",
            "the lower limit 2.0 lies above the upper limit 0.5",
        ),
    ],
)
def test_impossible_values_get_a_verdict(row, quantity, reason) -> None:
    found = check(row).loc[quantity]
    assert found["verdict"] == "not reproduced"
    assert found["relation"] == "possible values"
    assert reason in found["reason"]


def test_nothing_follows_from_an_impossible_value() -> None:
    p = check({"r": "1.20", "n": "30", "p_value": ".001"}).loc["p_value"]
    assert p["verdict"] == "not checkable"
    assert p["reason"] == "r cannot be what it is called, so nothing follows from it"


def test_two_points_always_lie_on_a_line() -> None:
    found = check({"r": "1.000", "n": "2", "stars": "**"}).loc["stars"]
    assert found["verdict"] == "not checkable"
    assert found["reason"] == (
        "n = 2 leaves no degrees of freedom (n - 2 must be positive). Any two points lie on a line."
    )


def test_an_interval_without_its_estimate() -> None:
    found = check({"conf_low": ".10", "conf_high": ".30"})
    assert set(found["verdict"]) == {"not checkable"}
    assert set(found["reason"]) == {"an interval is printed without the estimate it belongs to"}


def test_whose_interval_it_is_can_be_said() -> None:
    row = {"r": ".278", "d": ".579", "conf_low": ".256", "conf_high": ".299"}
    assert set(check(row)["verdict"]) == {"reproduced"}
    other = check({**row, "interval_of": "d"})
    assert other.loc["d", "verdict"] == "reproduced"  # it follows from r
    limits = other.loc[["conf_low", "conf_high"], "verdict"]
    assert sorted(limits) == ["not checkable", "not reproduced"]  # one finding
    with pytest.raises(DataError, match="field 'interval_of': 'n' cannot have an interval here"):
        check({**row, "interval_of": "n"})


def test_digits_too_few_to_say_anything() -> None:
    found = check({"estimate": "0.0", "std_error": "0.0", "p_value": ".30"}).loc["p_value"]
    assert found["verdict"] == "not checkable"
    assert "the printed digits are too few" in found["reason"]


def test_a_mean_of_whole_scores_has_only_certain_values() -> None:
    impossible = check({"mean": "3.45", "n": "19", "items": "1"}).loc["mean"]
    assert impossible["verdict"] == "not reproduced"
    assert check({"mean": "3.47", "n": "19", "items": "1"}).loc["mean", "verdict"] == "reproduced"
    assert check({"mean": "3.45", "n": "19", "items": "3"}).loc["mean", "verdict"] == "reproduced"


def test_assumed_columns_serve_without_a_verdict() -> None:
    table = pd.DataFrame([{"estimate": "2.04", "std_error": ".99", "p_value": ".04", "df": "669"}])
    found = consistency_check(table, assumed=["df"]).tidy()
    assert "df" not in set(found["quantity"])
    assert found.set_index("quantity").loc["p_value", "relation"] == "p_wald_t"


def test_rows_without_a_printed_number_are_counted() -> None:
    found = consistency_check(pd.DataFrame({"r": [".30", ""], "n": ["50", None]}))
    assert (found.rows.n_in, found.rows.n_used) == (2, 1)
    assert "no printed number in the row" in str(found.rows)


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        ({"r": [0.3]}, {}, r"Column 'r' holds numbers \(float64\), not the text that was printed"),
        ({"r": [0.3, ".30"]}, {}, r"Column 'r' holds numbers \(object\), not the text"),
        ({"r": ["about .3"]}, {}, r"Row 0, field 'r': 'about .3' is not a printed number"),
        (
            {"n": ["50.5"]},
            {},
            r"Row 0, field 'n': '50.5' is not a whole number, but 'n' is a count",
        ),
        ({"stars": ["!"]}, {}, r"Row 0, field 'stars': '!' is not a known significance symbol"),
        ({"beta": [".3"]}, {}, "No column of the table goes by the name of a printed quantity"),
        ({"r": [".3"], "tails": ["both"]}, {}, "field 'tails': must be 'one' or 'two'; got 'both'"),
        ({"r": [".3"], "conf_level": ["95"]}, {}, "field 'conf_level': '95' is not a coverage"),
        ({"r": [".3"], "conf_level": ["x"]}, {}, "field 'conf_level': 'x' is not a printed number"),
        (
            {"r": [".3"], "relation": ["p_tt"]},
            {},
            "there is no relation 'p_tt'. Did you mean 'p_t'?",
        ),
        ({"r": [".3"]}, {"assumed": ["df"]}, "table has no column 'df'"),
    ],
)
def test_what_cannot_be_read_is_refused_with_row_and_column(table, options, message) -> None:
    with pytest.raises(DataError, match=message):
        consistency_check(pd.DataFrame(table), **options)


def test_arguments_are_checked() -> None:
    with pytest.raises(
        ValueError, match="rounding must be one of 'either', 'nearest', 'truncated'"
    ):
        consistency_check(pd.DataFrame({"r": [".3"]}), rounding="up")
    with pytest.raises(DataError, match="table must be a pandas DataFrame; got dict"):
        consistency_check({"r": [".3"]})  # type: ignore[arg-type]


def test_counts_may_be_whole_numbers() -> None:
    table = pd.DataFrame({"r": [".30"], "n": [103], "p_value": [".002"]})
    assert set(consistency_check(table).tidy()["verdict"]) == {"reproduced", "not checkable"}


def test_recompute_one_relation() -> None:
    found = recompute("p_t", {"statistic": "2.00", "df": "30"})
    assert (found.low, found.high) == (
        pytest.approx(0.054059108, abs=1e-9),
        pytest.approx(0.055196166, abs=1e-9),
    )
    assert found.exact
    exact = recompute("exp_b_b", {"estimate": "<0"})
    assert (exact.low, exact.high) == (0.0, 1.0)


def test_recompute_refuses_what_it_cannot_do() -> None:
    with pytest.raises(DataError, match="There is no relation 'p_from_t'"):
        recompute("p_from_t", {})
    with pytest.raises(DataError, match=r"Relation 'p_t' .* needs t, df; 'df' is not given"):
        recompute("p_t", {"t": "2.0"})
    with pytest.raises(DataError, match=r"field 'r': r \(a correlation\) lies"):
        recompute("p_r", {"r": "1.2", "n": "20"})
    with pytest.raises(NotIdentifiedError, match=r"Relation 'p_r' .*n = 2 leaves no degrees"):
        recompute("p_r", {"r": "1.0", "n": "2"})
    with pytest.raises(NotIdentifiedError, match="no three variables can have these"):
        recompute("t_williams", {"r12": "-.20", "r13": ".60", "r23": ".70", "n": "40"})
    with pytest.raises(NotIdentifiedError, match="an empty cell leaves the odds ratio"):
        recompute("odds_ratio_counts", {"events1": "5", "n1": "5", "events2": "2", "n2": "5"})


def test_every_relation_is_listed_with_its_source() -> None:
    listed = relations()
    assert listed["relation"].is_unique
    assert (listed[["formula", "source"]] != "").all(axis=None)


def test_columns_under_the_names_of_tables_are_read_and_told() -> None:
    printed = pd.DataFrame(
        {"Predictor": ["a"], "B": ["0.11"], "SE": ["0.06"], "T": ["1.83"], "DF": ["28"],
         "p": [".008"], "beta": [".20"]}
    )  # fmt: skip
    found = consistency_check(printed)
    assert found.glance()["n_not_reproduced"].item() == 1
    assert found.read_as == {
        "B": "estimate", "SE": "std_error", "T": "t", "DF": "df", "p": "p_value"
    }  # fmt: skip
    assert found.not_read == ("Predictor", "beta")
    unread, named = found.notes
    assert unread.startswith("NOT READ, and so not checked: beta. Name the quantity, one of est")
    assert "'p' as p_value" in named
    # what is supposed goes by either name
    assert "p_value" not in set(consistency_check(printed, assumed=["p"]).tidy()["quantity"])


@pytest.mark.parametrize(
    ("column", "quantity"),
    [("R2", "r_squared"), ("r2", "r2"), ("P-Value", "p_value"), ("conf.low", "conf_low"),
     ("95% CI", None), ("R", None), ("Odds Ratio", "odds_ratio"), ("χ²", "chi2"), ("beta", None)],
)  # fmt: skip
def test_the_quantity_that_a_name_stands_for(column: str, quantity: str | None) -> None:
    assert quantity_named(column) == quantity


def test_two_columns_of_one_quantity_are_refused() -> None:
    printed = pd.DataFrame({"p": [".04"], "p_value": [".04"], "t": ["2.1"], "df": ["30"]})
    with pytest.raises(DataError, match=r"mean one quantity: 'p' \(p_value\), 'p_value'"):
        consistency_check(printed)


def test_a_column_of_words_is_no_quantity_whatever_its_name() -> None:
    printed = pd.DataFrame(
        {"Coefficient": ["Intercept", "Alliance"], "T": ["Time 1", "Time 2"],
         "Sig": ["yes", "no"], "B": ["0.42", "0.10"], "SE": ["0.15", "0.05"],
         "z": ["2.80", "2.00"]}
    )  # fmt: skip
    found = consistency_check(printed)
    assert found.not_read == ("Coefficient", "T", "Sig")
    assert found.numbers_not_read == ("T",)
    assert found.glance()["n_reproduced"].item() == 2


def test_errors_name_the_column_as_the_table_does() -> None:
    printed = pd.DataFrame({"B": ["0.42", "0.10"], "SE": ["0.15", "0.05"], "P": [".01", "abc"]})
    with pytest.raises(DataError, match=r"Row 1, column 'P' \(read as p_value\): 'abc' is not"):
        consistency_check(printed)
    with pytest.raises(DataError, match=r"Column 'P' holds numbers \(float64\)"):
        consistency_check(printed.assign(P=[0.01, 0.05]))


def test_what_is_supposed_goes_by_the_name_of_the_quantity_too() -> None:
    printed = pd.DataFrame({"B": ["0.42"], "SE": ["0.15"], "p": [".005"]})
    found = consistency_check(printed, assumed=["estimate", "SE"]).tidy()
    assert found["quantity"].tolist() == ["p_value"]


def _verdict_on(name: str, row: dict[str, str]) -> str:
    found = consistency_check(pd.DataFrame([row])).tidy()
    return str(found.set_index("quantity").loc[name, "verdict"])


_WELCH = {"mean1": "54.7", "sd1": "9.78", "n1": "82", "mean2": "44.5", "sd2": "13.2", "n2": "32",
          "t": "4.0", "df": "44.9", "p_value": "<0.001"}  # fmt: skip
_GROUPS = {"mean1": "33.9", "sd1": "6.04", "n1": "100", "mean2": "29.4", "sd2": "8.031",
           "n2": "84", "t": "4.3", "df": "182", "p_value": "<0.01"}  # fmt: skip


@pytest.mark.parametrize("t", ["3.7", "4.3", "4.5"])
@pytest.mark.parametrize("df", ["44.9", "45"])
def test_t_beside_the_df_of_welch_is_welchs(t: str, df: str) -> None:
    # neither adjusted, nor pooled (4.5), nor by a standard error over clusters
    assert _verdict_on("t", {**_WELCH, "df": df}) == "reproduced"
    assert _verdict_on("t", {**_WELCH, "df": df, "t": t}) == "not reproduced"


def test_df_of_covariates_near_those_of_the_groups_leave_t_open() -> None:
    # n1 + n2 - 3 are those of one covariate, and Welch's as well, rounded
    alike = {**_GROUPS, "sd2": "6.50", "df": "181"}
    assert _verdict_on("t", {**alike, "t": "5.6", "p_value": "<.001"}) == "not checkable"


def test_t_of_groups_is_accused_where_its_p_is_that_of_the_means() -> None:
    row = {"mean1": "3.626", "sd1": "11.70", "n1": "11", "mean2": "2.642", "sd2": "9.31",
           "n2": "82", "df": "91", "p_value": ".7504"}  # fmt: skip
    assert _verdict_on("t", {**row, "t": "0.32"}) == "reproduced"
    assert _verdict_on("t", {**row, "t": "0.38"}) == "not reproduced"
    # a p that is its own, as by a standard error over clusters, or that fits both
    assert _verdict_on("t", {**row, "t": "0.38", "p_value": ".7048"}) == "holds only if"
    assert _verdict_on("t", {**row, "t": "0.38", "p_value": "ns"}) == "holds only if"
    adjusted = {**row, "t": "0.38", "p_value": "1.00", "tests": "3"}
    assert _verdict_on("t", adjusted) == "holds only if"


def test_z_is_accused_where_its_p_is_that_of_estimate_and_standard_error() -> None:
    row = {"estimate": "0.654", "std_error": "0.290", "p_value": ".024"}
    assert _verdict_on("z", {**row, "z": "2.26"}) == "reproduced"
    assert _verdict_on("z", {**row, "z": "2.56"}) == "not reproduced"
    # as SPSS prints kappa: its standard error, and a z with its p by the one under the null
    kappa = {"estimate": "0.20", "std_error": "0.09", "z": "2.5", "p_value": ".012"}
    assert _verdict_on("z", kappa) == "holds only if"
    assert _verdict_on("p_value", kappa) == "reproduced"


@pytest.mark.parametrize(("f", "verdict"), [
    ("10.4", "reproduced"), ("10.1", "not reproduced"), ("13.0", "not checkable"),
])  # fmt: skip
def test_a_share_of_repeated_measures_is_at_most_the_partial_one(f: str, verdict: str) -> None:
    # 40 persons, 4 times: F on 3 and 117; eta squared of all the variance may be less, not more
    row = {"df1": "3", "df2": "117", "n": "40", "r_squared": "0.2105", "p_value": "<0.001"}
    assert _verdict_on("f", {**row, "f": f}) == verdict
    # of 140 persons it may be the test of a step
    assert _verdict_on("f", {**row, "f": "10.1", "n": "140"}) == "not checkable"


def test_the_p_of_repeated_measures_may_be_on_corrected_df() -> None:
    row = {"f": "3.406", "df1": "2", "df2": "10", "n": "6", "r_squared": "0.4052",
           "p_value": "0.078"}  # fmt: skip
    assert not (consistency_check(pd.DataFrame([row])).tidy()["verdict"] == "not reproduced").any()
