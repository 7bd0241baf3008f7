"""Rows that leave open how they are meant: each admissible reading is tried before a verdict."""

import pandas as pd
import pytest

from alliance_stats.errors import DataError
from alliance_stats.evidence.printed.consistency import consistency_check, recompute
from alliance_stats.evidence.printed.numerals import read_cell, read_printed


def check(row: dict[str, str], **options: object) -> pd.DataFrame:
    return consistency_check(pd.DataFrame([row]), **options).tidy().set_index("quantity")


def findings(row: dict[str, str], **options: object) -> list[str]:
    found = check(row, **options)
    return list(found.index[found["verdict"] == "not reproduced"])


RIGHT = [
    # t on 28 df, which are not printed
    {"estimate": ".42", "std_error": ".15", "t": "2.80", "p_value": ".009"},
    # partial correlation: df printed, or not
    {"r": ".45", "n": "30", "df": "22", "t": "2.36", "p_value": ".027"},
    {"r": ".45", "n": "30", "t": "2.36", "p_value": ".027"},
    # F of the last step beside R2 of the whole model
    {"r_squared": ".24", "k": "3", "n": "100", "df1": "1", "df2": "96", "f": "5.05"},
    # zero-order r beside a coefficient's t
    {"r": ".30", "n": "100", "t": "2.10", "df": "95", "p_value": ".038"},
    {"r": ".30", "n": "100", "t": "2.10", "p_value": ".038"},
    # d of unequal groups whose sizes are not printed
    {"r": ".30", "d": ".80"},
    {"p_value": ".07", "stars": "none"},
    {"q": "12.85", "k_studies": "7", "i_squared": "53.3", "p_value": ".045"},
    {"q": "12.85", "df": "6", "i_squared": "0.533", "p_value": ".045"},
    # I2 by REML
    {"q": "12.85", "k_studies": "7", "i_squared": "61.0%"},
    # a percentage below 1
    {"events": "1", "n": "125", "proportion": "0.8"},
    # its limits are then in per cent too, though none is above 1
    {"events": "4", "n": "243", "proportion": "1.6", "conf_low": "0.6"},
    # p < .05 without a star beside p < .10 with a plus; stars of economics
    {"p_value": ".07", "stars": "+"},
    {"p_value": ".08", "stars": "*"},
    {"p_value": ".0004", "stars": "**"},
    # Welch's df, rounded to a whole number
    {"t": "9.000", "df": "2", "p_value": ".008"},
    # an interval that was bootstrapped, profiled, made from another standard error
    {"estimate": ".42", "std_error": ".15", "z": "2.80", "conf_low": ".16", "conf_high": ".80"},
    {"odds_ratio": "2.50", "conf_low": "1.35", "conf_high": "4.97", "p_value": ".005"},
    # the second minus the first
    {"mean1": "8.5", "sd1": "2.9", "n1": "32", "mean2": "10.2", "sd2": "3.1", "n2": "30",
     "t": "2.23", "d": ".57"},
    {"mean1": "0.0", "sd1": "1.0", "mean2": "0.8", "sd2": "2.0", "d": "-.80"},
]  # fmt: skip


@pytest.mark.parametrize("row", RIGHT, ids=lambda row: " ".join(f"{k}={row[k]}" for k in row))
def test_a_row_that_is_right_in_one_reading_is_not_accused(row: dict[str, str]) -> None:
    assert findings(row) == []


ONE_TAIL = [
    {"t": "-1.86", "df": "18", "p_value": ".960"},
    {"z": "-1.20", "p_value": ".885"},
    {"r": "-.200", "n": "50", "p_value": ".918"},
    {"estimate": "-0.50", "std_error": "0.30", "p_value": ".952"},
    {"t": "-2.50", "df": "30", "stars": "none"},
    {"odds_ratio": "0.50", "conf_low": "0.25", "conf_high": "1.00", "p_value": ".975"},
    {"t": "-2.50", "df": "30", "p_value": ">.05"},
]


@pytest.mark.parametrize("row", ONE_TAIL, ids=lambda row: next(iter(row)))
def test_a_one_tailed_p_can_be_of_either_tail(row: dict[str, str]) -> None:
    p = check({**row, "tails": "one"}).iloc[-1]
    assert p["verdict"] == "reproduced"
    assert "(read: the p of the other tail)" in p["reason"]


def test_the_reading_is_named() -> None:
    t = check({"r": ".45", "n": "30", "t": "2.36", "p_value": ".027"})
    assert "partial correlation" in t.loc["t", "reason"]
    assert t.loc["p_value", "reason"] == "df not printed; t and p agree for df 22 to 25"
    f = check(RIGHT[3]).loc["f", "reason"]
    assert "the test is that of a step" in f
    stars = check({"p_value": ".08", "stars": "*"}).loc["stars", "reason"]
    assert "(read: stars as * p < 0.1, ** p < 0.05, *** p < 0.01)" in stars


def test_a_legend_must_hold_the_symbols_of_the_whole_table() -> None:
    table = pd.DataFrame({"p_value": [".08", ".07"], "stars": ["*", "+"]})
    found = consistency_check(table).tidy()
    assert list(found.loc[found["verdict"] == "not reproduced", "row"]) == [0]
    given = consistency_check(table.head(1), star_levels={"*": 0.05}).tidy()
    assert "not reproduced" in set(given["verdict"])


@pytest.mark.parametrize(
    "row",
    [
        {"estimate": ".42", "std_error": ".15", "t": "2.80", "p_value": ".001"},  # on no df
        {"r": ".45", "n": "30", "p_value": ".001"},  # holding variables raises p
        {"r": ".45", "n": "30", "df": "28", "t": "2.36"},  # df of n - 2: the simple one
        {"r_squared": ".24", "k": "3", "n": "100", "df1": "3", "df2": "96", "f": "5.05"},
        {"r": ".30", "d": ".40"},  # unequal groups move d out, not in
        {"p_value": ".20", "stars": "+"},
        {"t": "<2.2", "df": "28", "p_value": ".02"},
        {"r12": ".10", "r13": ".90", "r23": ".80"},
        {"estimate": ".42", "std_error": ".15", "conf_low": ".13", "conf_high": "1.71"},
        {"estimate": "-.42", "std_error": ".04", "conf_low": "-.50", "conf_high": ".34"},
        {"n1": "30", "n2": "32", "n": "65"},
        {"events1": "12", "n1": "40", "events2": "5", "n2": "38", "p_value": ".01"},
        {"mean1": "10.2", "n1": "30", "mean2": "8.5", "n2": "32", "mean": "9.9"},
        {"t": "2.00", "df": "30", "f": "4.40", "df1": "1", "df2": "30"},
        {"t": "2.00", "df": "30", "p_value": "<.000"},
    ],
    ids=lambda row: " ".join(f"{k}={row[k]}" for k in row),
)
def test_what_fails_in_every_reading_is_one_finding(row: dict[str, str]) -> None:
    assert len(findings(row)) == 1


def test_one_misprint_is_one_finding_and_told_where_the_rest_agrees() -> None:
    row = {"estimate": ".24", "std_error": ".15", "z": "2.80", "p_value": ".005"}
    found = check(row)
    assert findings(row) == ["z"]
    assert "it may be estimate or std_error" in found.loc["z", "reason"]
    assert found.loc["p_value", "verdict"] == "reproduced"
    p = {"estimate": ".42", "std_error": ".15", "z": "2.80", "p_value": ".04", "stars": "**"}
    assert findings(p) == ["p_value"]


def test_an_interval_said_to_come_from_the_standard_error_must() -> None:
    row = {"estimate": ".42", "std_error": ".15", "z": "2.80", "conf_low": ".13",
           "conf_high": ".77"}  # fmt: skip
    assert findings(row) == []
    assert "bootstrapped, profiled" in check(row).loc["conf_high", "reason"]
    assert findings(row, interval_from="se") == ["conf_high"]
    assert findings({**row, "interval_from": "se"}) == ["conf_high"]
    with pytest.raises(ValueError, match="interval_from must be one of 'se'"):
        consistency_check(pd.DataFrame([row]), interval_from="boot")


def test_grim_has_no_power_where_every_mean_is_possible() -> None:
    found = check({"mean": "3.45", "n": "200", "items": "1"}).loc["mean"]
    assert found["verdict"] == "not checkable"
    assert "the test has no power here" in found["reason"]


@pytest.mark.parametrize(
    ("column", "text", "parts"),
    [
        ("p_value", ".036*", {"p_value": ".036", "stars": "*"}),
        ("p_value", "ns", {"p_value": ">0.05"}),
        ("t", "ns", {}),
        ("t", "NA", {}),
        ("r", "-", {}),
        ("r", "\u2013", {}),
        ("p_value", "**", {"stars": "**"}),
        ("estimate", "0.42 (0.15)", {"estimate": "0.42", "std_error": "0.15"}),
        ("estimate", "0.42** (0.15)", {"estimate": "0.42", "stars": "**", "std_error": "0.15"}),
        (
            "odds_ratio",
            "1.90 [1.10, 3.28]",
            {"odds_ratio": "1.90", "conf_low": "1.10", "conf_high": "3.28"},
        ),
        ("mean1", "3.45 (0.80)", {"mean1": "3.45", "sd1": "0.80"}),
        ("events", "12 (40%)", {"events": "12", "proportion": "40%"}),
        ("t", "t(28) = 2.20", {"df": "28", "t": "2.20"}),
        ("f", "F(1, 96) = 5.05", {"df1": "1", "df2": "96", "f": "5.05"}),
        ("chi2", "\u03c72(2, N = 100) = 5.30", {"df": "2", "n": "100", "chi2": "5.30"}),
        ("p_value", "p < .001", {"p_value": "< .001"}),
    ],
)
def test_cells_are_read_as_they_are_meant(column, text, parts) -> None:
    assert read_cell(column, text) == parts


def test_parentheses_beside_an_estimate_can_hold_a_t() -> None:
    found = check({"estimate": "0.42 (2.80)", "p_value": ".009"})
    assert (found["verdict"] != "not reproduced").all()
    with pytest.raises(DataError, match=r"field 'r': what is in parentheses in '.45 \(.02\)'"):
        check({"r": ".45 (.02)", "n": "20"})


def test_a_decimal_comma_is_refused_unless_it_is_said() -> None:
    row = {"estimate": "0,123", "std_error": "0,050", "z": "2,460", "p_value": "0,014"}
    with pytest.raises(DataError, match=r"'0,123' is not a printed number.*say decimal=','"):
        check(row)
    found = check(row, decimal=",")
    assert set(found["verdict"]) == {"reproduced", "not checkable"}
    assert recompute("p_t", {"t": "0,984", "df": "30"}, decimal=",").low == pytest.approx(
        0.33274, abs=1e-5
    )
    assert float(read_printed("1.301,5", decimal=",").first) == 1301.5
    with pytest.raises(DataError, match="is not a printed number"):
        read_printed("0.42", decimal=",")


@pytest.mark.parametrize("text", ["1 1 .25", "0,415", "1 301", "2. 5"])
def test_blanks_and_commas_among_digits_are_refused(text: str) -> None:
    with pytest.raises(DataError, match="is not a printed number"):
        read_printed(text)


def test_thin_blanks_between_thousands_are_read() -> None:
    assert float(read_printed("1\u2009301").first) == 1301.0
    assert read_printed("\u2212 1.27").first == read_printed("-1.27").first


MEANS = {"mean1": "10.2", "sd1": "3.1", "n1": "20", "mean2": "12.0", "sd2": "3.4", "n2": "20"}


@pytest.mark.parametrize(
    "row",
    [
        {**MEANS, "t": "2.9", "df": "37", "p_value": ".006"},  # one covariate
        {**MEANS, "p_value": ".004"},  # a rank test, or a model's
        {**MEANS, "t": "2.9", "p_value": ".006"},
        {"events1": "10", "n1": "40", "events2": "20", "n2": "40", "odds_ratio": "0.25",
         "conf_low": "0.08", "conf_high": "0.78", "p_value": ".017"},
        {"chi2": "3.00", "df": "1", "p_value": ".042"},  # a variance at its boundary
        {"chi2": "5.14", "df": "2", "p_value": ".050"},  # a slope and its covariance
    ],
)  # fmt: skip
def test_another_test_than_that_of_the_numbers_beside_it_is_not_accused(row):
    assert "not reproduced" not in set(consistency_check(pd.DataFrame([row])).tidy()["verdict"])


@pytest.mark.parametrize(
    "row",
    [
        {**MEANS, "t": "2.9", "df": "38", "p_value": ".006"},  # t -1.75, by means and df
        {**MEANS, "t": "1.75", "df": "35", "p_value": ".088"},  # the t of the means has 38 df
        {"events1": "10", "n1": "40", "events2": "20", "n2": "40", "odds_ratio": "0.25"},
        {"chi2": "3.00", "df": "1", "p_value": ".030"},
    ],
)
def test_what_the_row_determines_is_still_found(row):
    assert "not reproduced" in set(consistency_check(pd.DataFrame([row])).tidy()["verdict"])


# Right if something uncommon was done that the row does not say: the values are those of R 4.4,
# pf(), fisher.test(), chisq.test(), mcnemar.exact by binom.test(), p.adjust(), ptukey()
# and wilcox.test(exact = TRUE).
HOLDS_ONLY_IF = [
    # F(2, 58) with epsilon .81 of Greenhouse and Geisser; the lower bound; an interaction
    ({"f": "4.90", "df1": "2", "df2": "58", "p_value": ".016"}, "non-sphericity"),
    ({"f": "3.33", "df1": "2", "df2": "160", "p_value": ".072"}, "non-sphericity"),
    ({"f": "3.10", "df1": "6", "df2": "174", "n": "60", "p_value": ".023"}, "non-sphericity"),
    # chi-squared of 3/15 and 9/17, and Fisher's p: with their sizes, their total, neither
    ({"chi2": "3.69", "df": "1", "n1": "15", "n2": "17", "p_value": ".076"}, "Fisher's exact"),
    ({"chi2": "3.69", "df": "1", "n": "32", "p_value": ".076"}, "Fisher's exact"),
    ({"chi2": "3.69", "df": "1", "p_value": ".076"}, "Fisher's exact"),
    ({"chi2": "3.69", "df": "1", "n": "32", "p_value": ".120"}, "Yates' correction"),
    ({"chi2": "5.00", "df": "1", "n": "80", "p_value": ".041"}, "exact"),
    ({"chi2": "11.20", "df": "6", "n": "48", "p_value": ".079"}, "Monte Carlo"),
    ({"events1": "3", "n1": "15", "events2": "9", "n2": "17", "p_value": ".0514"}, "mid-p"),
    # Sidak's p of three tests, where it is not Bonferroni's: 1 - (1 - .2)^3
    ({"z": "1.2816", "p_value": ".4880"}, "adjusted for 3 tests"),
    # three times the p of t; its Sidak and Tukey twins
    ({"t": "2.61", "df": "87", "p_value": ".032"}, "adjusted for 3 tests"),
    ({"z": "2.31", "p_value": ".042"}, "adjusted for 2 tests"),
    # 4 * 2 * pt(-1.717, 10) of a contrast whose df are not printed
    ({"estimate": "0.79", "std_error": "0.46", "p_value": ".467"}, "adjusted for"),
    ({"t": "2.48", "df": "87", "p_value": ".040"}, "pairs of 3 groups (Tukey)"),
    ({"z": "-2.02", "n": "6", "p_value": ".063"}, "exact p of a rank test"),
    # 31 of the 79 who answered
    ({"events": "31", "n": "84", "proportion": "39.2%"}, "those who answered"),
    ({"t": "-2.48", "df": "80", "n1": "40", "n2": "42", "d": "0.55"}, "without its sign"),
]


@pytest.mark.parametrize(("row", "words"), HOLDS_ONLY_IF, ids=lambda case: str(case)[:60])
def test_a_row_that_holds_under_a_condition_is_told_and_not_accused(
    row: dict[str, str], words: str
) -> None:
    found = consistency_check(pd.DataFrame([row]))
    tidy = found.tidy()
    assert not (tidy["verdict"] == "not reproduced").any()
    told = tidy[tidy["verdict"] == "holds only if"]
    assert len(told) == 1
    assert words in told.iloc[0]["reason"]
    assert "holds only if" in told.iloc[0]["reason"]
    assert f"Row 0, {told.iloc[0]['reason']}" in found.summary().replace(
        f"{told.iloc[0]['quantity']} {told.iloc[0]['printed']}: ", ""
    )
    assert found.glance().loc[0, "n_holds_only_if"] == 1


# What no such condition allows stays a finding.
STILL_WRONG = [
    # t(165) = 0.86 has p = .391: three times that is above 1 and Sidak's is .774, nothing between
    {"t": "-0.86", "df": "165", "p_value": ".931"},
    {"t": "-0.86", "df": "165", "p_value": ".931", "tests": "3"},
    # ten times the p of r: neither adjusted, nor a partial correlation, and not both at once
    {"r": "-.28", "n": "56", "p_value": ".370"},
    # df of F that no within factor has; df that are n - 1 - df1; beyond the lower bound
    {"f": "4.90", "df1": "2", "df2": "57", "p_value": ".024"},
    {"f": "4.90", "df1": "2", "df2": "58", "n": "61", "p_value": ".016"},
    {"f": "4.90", "df1": "2", "df2": "58", "p_value": ".004"},
    {"f": "4.90", "df1": "2", "df2": "58", "p_value": ".041"},
    {"f": "4.90", "df1": "1", "df2": "58", "p_value": ".040"},
    # no table of 32 persons has this p; beyond every table; the counts say which table it is
    {"chi2": "3.69", "df": "1", "n": "32", "p_value": ".094"},
    {"chi2": "3.69", "df": "1", "p_value": ".600"},
    {"events1": "3", "n1": "15", "events2": "9", "n2": "17", "chi2": "3.69", "df": "1",
     "p_value": ".090"},
    {"chi2": "11.20", "df": "6", "p_value": ".079"},
    {"chi2": "4.10", "df": "1", "n": "1", "p_value": ".900"},
    {"chi2": "14.10", "df": "6", "n": "30", "p_value": ".0001"},
    # less than the p of t, or much more, or by no whole factor
    {"t": "2.61", "df": "87", "p_value": ".004"},
    {"t": "2.61", "df": "87", "p_value": ".11"},
    {"t": "2.61", "df": "87", "p_value": ".016"},
    {"t": "2.61", "df": "87", "p_value": ".2"},
    {"events": "31", "n": "84", "proportion": "35.2%"},
]  # fmt: skip


@pytest.mark.parametrize("row", STILL_WRONG, ids=lambda row: " ".join(f"{k}={row[k]}" for k in row))
def test_no_condition_excuses_what_it_does_not_allow(row: dict[str, str]) -> None:
    assert len(findings(row)) == 1


def test_the_number_of_tests_can_be_said() -> None:
    row = {"t": "2.61", "df": "87", "p_value": ".016"}  # 3/2 of .0107: Benjamini and Hochberg
    found = check({**row, "tests": "3"}).loc["p_value"]
    assert found["verdict"] == "reproduced"
    assert "adjusted for 3 tests (Benjamini and Hochberg)" in found["reason"]
    assert findings({"t": "2.61", "df": "87", "p_value": ".22", "tests": "21"}) == []
    assert findings({"t": "2.61", "df": "87", "p_value": ".09", "tests": "3"}) == ["p_value"]
    with pytest.raises(DataError, match="Row 0, field 'tests': 'three' is not a number of tests"):
        check({**row, "tests": "three"})


def test_d_by_the_sd_of_one_group_is_not_measured_by_its_t() -> None:
    row = {"mean1": "5.43", "sd1": "0.91", "n1": "34", "mean2": "4.87", "sd2": "1.35", "n2": "29",
           "t": "1.95", "df": "61", "d": "0.41"}  # fmt: skip
    found = check(row).loc["d"]  # Glass's delta, though t has the pooled SD
    assert found["verdict"] == "holds only if"
    assert "d = (M1 - M2) / s2, in units of another SD than the test's" in found["reason"]
    alone = {name: text for name, text in row.items() if name not in {"t", "df"}}
    assert check(alone).loc["d", "verdict"] == "reproduced"
    assert check({**row, "d": "0.49"}).loc["d", "verdict"] == "reproduced"
    assert findings({**row, "d": "0.46"}) == ["d"]


GROUPS_TESTED = {"mean1": "5.43", "sd1": "0.91", "n1": "34", "mean2": "4.87", "sd2": "1.35",
                 "n2": "29"}  # fmt: skip
UNSTATED = [
    ({**GROUPS_TESTED, "t": "1.95", "df": "61", "p_value": ".047"}, "p_value", "permutation"),
    ({"estimate": "0.42", "std_error": "0.15", "t": "2.80", "df": "96", "conf_low": "0.14",
      "conf_high": "0.72", "p_value": ".014"}, "p_value", "bootstrap"),
    ({**GROUPS_TESTED, "t": "1.61", "df": "61", "p_value": ".113"}, "t", "clusters"),
    ({"r": ".29", "n": "182", "conf_low": ".11", "conf_high": ".45", "p_value": ".002"},
     "p_value", "clusters"),
    ({"estimate": "0.60", "std_error": "0.25", "t": "2.40", "df": "38", "p_value": ".021",
      "d": "0.34", "n1": "30", "n2": "30"}, "d", "clusters"),
    ({"f": "4.90", "df1": "3", "df2": "65", "p_value": ".005"}, "p_value", "whole ones"),
    ({"t": "2.60", "df": "80", "p_value": ".03"}, "p_value", "adjusted for 3 tests"),
    ({"estimate": ".71", "std_error": ".08", "z": "6.41"}, "z", "null hypothesis"),
    # kappa of 45, 1, 2, 52 agreements and not: the error at kappa .94 is a third of the other
    ({"estimate": ".94", "std_error": ".034", "z": "9.40", "p_value": "<.001"}, "z",
     "null hypothesis"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "name", "said"), UNSTATED, ids=lambda case: str(case)[:40])
def test_an_unstated_procedure_is_a_condition_not_an_error(
    row: dict[str, str], name: str, said: str
) -> None:
    assert findings(row) == []
    found = check(row).loc[name]
    assert found["verdict"] == "holds only if"
    assert said in found["reason"]


def test_a_p_may_be_that_of_the_coefficient_or_the_interval_beside_the_test() -> None:
    row = {"estimate": "2.31", "std_error": "0.84", "p_value": ".007", "f": "4.02", "df1": "3",
           "df2": "96"}  # fmt: skip
    assert check(row).loc["p_value", "verdict"] == "reproduced"
    ratio = {"events1": "14", "n1": "40", "events2": "25", "n2": "41", "odds_ratio": "0.34",
             "conf_low": "0.11", "conf_high": "1.06"}  # fmt: skip
    assert findings({**ratio, "p_value": ".062"}) == []  # of the interval, wider by clusters
    assert findings({**ratio, "p_value": ".035"}) == ["p_value"]


@pytest.mark.parametrize(("share", "said"), [(".15", "adjusted R2"), (".151", "omega squared")])
def test_a_shrunken_share_of_variance_follows_from_f(share: str, said: str) -> None:
    row = {"f": "6.21", "df1": "3", "df2": "84", "k": "3", "n": "88"}
    found = check({**row, "r_squared": share}).loc["r_squared"]
    assert found["verdict"] == "reproduced"
    assert said in found["reason"]
    assert len(findings({**row, "r_squared": ".25"})) == 1


def test_the_conditional_odds_ratio_stands_beside_fishers_test() -> None:
    """R 4.4: fisher.test of 3/15 and 9/17, odds ratio 0.2335046, p 0.0758677; crude 0.2222."""
    counts = {"events1": "3", "n1": "15", "events2": "9", "n2": "17"}
    found = check({**counts, "odds_ratio": ".2335", "p_value": ".076"})
    assert set(found["verdict"]) <= {"reproduced", "not checkable"}
    assert findings({**counts, "odds_ratio": ".252"}) == ["odds_ratio"]
    fisher = {**counts, "odds_ratio": ".2335", "conf_low": ".033", "conf_high": "1.31"}
    assert findings({**fisher, "p_value": ".076"}) == []
    assert findings({**fisher, "p_value": ".086"}) == ["p_value"]


@pytest.mark.parametrize(
    "row",
    [
        {"t": "\uff0d2.31", "df": "41", "p_value": ".026"},
        {"t": "\u20102.31", "df": "41", "p_value": ".026\u1d47"},
        {"t": "2\u00b731", "df": "41", "p_value": "0\u00b7026"},
        {"t": "2.31a", "df": "(41)", "p_value": ".026 a,b"},
        {"t": "4.98", "df": "41", "p_value": "1.2 \u00d7 10\u22125"},
        {"t": "4.98", "df": "41", "p_value": "1.2 x 10\u207b\u2075"},
        {"estimate": "0.42", "std_error": "(0.15)**", "t": "2.80", "df": "28"},
        # the square of t(40) = 1.76, tested one-tailed
        {"f": "3.10", "df1": "1", "df2": "40", "p_value": ".043"},
        # standard errors in the columns of SDs: 1.1 / sqrt(.22^2 + .27^2) = 3.16
        {"mean1": "5.1", "sd1": "0.22", "n1": "30", "mean2": "4.0", "sd2": "0.27", "n2": "30",
         "t": "3.16", "df": "58"},
    ],
)  # fmt: skip
def test_signs_letters_and_unstated_ways_of_a_right_row_accuse_nobody(row: dict[str, str]) -> None:
    assert not findings(row)


@pytest.mark.parametrize(
    "row",
    [
        # 1 - (42 / 37)(1 - .0785) = -.046: adjusted R squared below 0
        {"r_squared": "-.05", "k": "5", "n": "43", "f": "0.63", "df1": "5", "df2": "37"},
        # Wilcoxon's r = z / sqrt(n) = 2.90 / sqrt(17), its sign dropped
        {"z": "-2.90", "p_value": "0.004", "n": "17", "r": "0.70"},
        {"r": "0.70", "p_value": "0.004", "n": "17"},
        # the exact p of U of 6 and 8 persons, of whom the table counts one group
        {"z": "-2.71", "p_value": ".005", "n2": "6", "n": "14"},
        {"z": "-1.51", "p_value": "0.164", "n2": "4"},
        # Welch's t beside a d in units of sqrt((1.20^2 + 1.81^2) / 2)
        {"sd1": "1.20", "n1": "37", "sd2": "1.81", "n2": "10", "t": "-1.44", "d": "-0.57"},
        # ln(1.20) / (ln(2.24 / 0.65) / 3.92) = 0.58: an odds ratio as the estimate
        {"estimate": "1.20", "conf_low": "0.65", "conf_high": "2.24", "p_value": "0.56"},
        # Bonferroni over more tests than 1 / .157
        {"t": "1.43", "df": "74", "p_value": "1.000"},
        # ln OR = .412, SE = .332: Woolf's p beside Pearson's chi-squared
        {"events1": "30", "n1": "75", "events2": "27", "n2": "88", "odds_ratio": "1.51",
         "p_value": ".215", "chi2": "1.55", "df": "1"},
    ],
)  # fmt: skip
def test_right_rows_of_other_tests_accuse_nobody(row: dict[str, str]) -> None:
    assert not findings(row)
