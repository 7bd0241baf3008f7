"""One account, three media: text, sentences, HTML; words and decimal sign as the reader wants."""

import math

import numpy as np
import pandas as pd
import pytest

from alliance_stats.account import (
    Account,
    Column,
    Phrase,
    Section,
    as_html,
    as_sentences,
    as_text,
    method_and_notes,
)
from alliance_stats.formatting import (
    localised,
    printable,
    term_parts,
    with_interval,
    write_estimate,
)
from alliance_stats.ledger import RowLedger

NAN, INF = math.nan, math.inf


@pytest.fixture
def account() -> Account:
    fixed = pd.DataFrame(
        {
            "term": ["session", "role[T.father]"],
            "estimate": [0.214, NAN],
            "std_error": [0.045, NAN],
            "statistic": [4.755, NAN],
            "df": [43.21, NAN],
            "p_value": [0.00002, NAN],
            "conf_low": [0.12, NAN],
            "conf_high": [0.302, NAN],
        }
    )
    spread = pd.DataFrame(
        {
            "group": ["therapist", None],
            "parameter": [Phrase("SD of {}", ("session",)), Phrase("residual")],
            "estimate": [0.42, 1.1],
        }
    )
    return Account(
        "linear mixed model (y ~ session)",
        ("Boundary (singular) fit.",),
        {"rows": 1240, "therapist": 1},
        (
            Section("Fixed effects", fixed, names=("term",), measure="b"),
            Section("Spread", spread, names=("group", "parameter"), measure="", lead="Random"),
        ),
        (Phrase("From {} {} on they differ.", ("session", 4.0)),),
        RowLedger.start(pd.DataFrame({"y": np.arange(1240)})),
    )


def test_text_has_notes_method_tables_sizes_remarks_and_rows(account):
    assert as_text(account) == (
        "Boundary (singular) fit.\n\n"
        "Linear mixed model (y ~ session).\n\n"
        "Fixed effects      b    SE    df     t       p        95% CI\n"
        "session         0.21  0.04  43.2  4.76  < .001  [0.12, 0.30]\n"
        "role[T.father]     –     –     –     –       –             –\n\n"
        "Spread         parameter  estimate\n"
        "therapist  SD of session      0.42\n"
        "                residual      1.10\n\n"
        "1,240 rows, 1 unit of therapist.\n\n"
        "From session 4.00 on they differ.\n\n"
        "1,240 rows came in. 1,240 used."
    )


def test_sentences_say_a_row_each_or_all_in_one(account):
    assert as_sentences(account) == (
        "Boundary (singular) fit. Linear mixed model (y ~ session); n = 1,240 rows, 1 unit of "
        "therapist. session: b = 0.21, 95% CI [0.12, 0.30], t(43.2) = 4.76, p < .001. "
        "role: father: not estimable. Random: therapist, SD of session 0.42; residual 1.10. "
        "From session 4.00 on they differ."
    )


def test_words_and_the_decimal_sign_reach_every_number_and_name(account):
    words = {"session": "Sitzung", "father": "Vater", "role": "Rolle", "therapist": "Therapeuten"}
    text = as_sentences(account, words=words, decimal=",")
    assert "Sitzung: b = 0,21, 95% CI [0,12; 0,30], t(43,2) = 4,76, p < 0,001." in text
    assert "Rolle: Vater: not estimable." in text
    assert "Therapeuten, SD of Sitzung 0,42" in text
    assert "n = 1.240 rows, 1 Therapeuten" in text
    assert "From Sitzung 4,00 on" in text
    table = as_text(account, words=words, decimal=",")
    assert "Rolle: Vater" in table
    assert "SD of Sitzung" in table


def test_words_for_nothing_are_refused_with_the_nearest_name(account):
    with pytest.raises(ValueError, match=r"'sesion', which names nothing.*Did you mean 'session'"):
        as_text(account, words={"sesion": "Sitzung"})
    with pytest.raises(ValueError, match=r"decimal must be '\.' or ','"):
        as_text(account, decimal=";")


def test_html_is_escaped(account):
    frame = pd.DataFrame({"term": ["<script>x</script>"], "n": [3]})
    section = Section("A & B", frame, names=("term",), columns={"n": Column("n", "count")})
    shown = as_html(Account("<b>method", ("a < b.",), {}, (section,)))
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert "A &amp; B" in shown
    assert "a &lt; b." in shown
    assert as_html(account).count("<table>") == 2


def test_counts_groups_and_tests_have_their_words():
    groups = pd.DataFrame(
        {"group": ["a", "b"], "n_event": [1, 12], "nobs": [2, 1400], "expected": [3.25, NAN]}
    )
    counted = Section(
        "Group",
        groups,
        names=("group",),
        columns={
            "nobs": Column("rows", "count"),
            "n_event": Column("events", "count"),
            "expected": Column("expected"),
        },
    )
    tests = pd.DataFrame({"state": ["dropout"], "statistic": [5.3], "df": [2], "p_value": [0.0707]})
    tested = Section("Ending", tests, names=("state",), statistic="chi-squared")
    text = as_sentences(Account("a test", sections=(counted, tested)))
    assert text == (
        "A test. a: 2 rows, 1 event, expected = 3.25. b: 1,400 rows, 12 events. "
        "dropout: chi-squared(2) = 5.30, p = .071."
    )


def test_what_is_estimated_may_differ_from_row_to_row():
    frame = pd.DataFrame(
        {
            "outcome": ["x", "y"],
            "what": ["mean difference", "risk difference"],
            "how": ["number", "share"],
            "estimate": [1.5, 0.10],
            "conf_low": [0.5, 0.02],
            "conf_high": [2.5, 0.18],
            "name": ["t", "chi-squared"],
            "statistic": [3.1, 4.2],
            "df": [12.0, 1.0],
            "p_value": [0.009, 0.04],
        }
    )
    section = Section(
        "", frame, names=("outcome",), measure="what", kind="how", statistic="name", conf_level=0.9
    )
    assert as_sentences(Account("compared", sections=(section,))) == (
        "Compared. x: mean difference = 1.50, 90% CI [0.50, 2.50], t(12) = 3.10, p = .009. "
        "y: risk difference = 10.0%, 90% CI [2.0%, 18.0%], chi-squared(1) = 4.20, p = .040."
    )


def test_numbers_that_name_rows_are_told_apart():
    frame = pd.DataFrame({"session": [1.0, 1.004], "estimate": [2.0, 3.0]})
    section = Section("At", frame, names=("session",), measure="mean")
    text = as_sentences(Account("means", sections=(section,)))
    assert "session = 1.000: mean = 2.00. session = 1.004: mean = 3.00." in text


def test_a_section_refuses_columns_that_are_not_there():
    with pytest.raises(KeyError, match="no column 'group'"):
        Section("x", pd.DataFrame({"a": [1]}), names=("group",))
    with pytest.raises(ValueError, match="kind is one of"):
        Section("x", pd.DataFrame({"a": [1]}), names=("a",), kind="percent")


def test_a_note_is_notes_and_method(account):
    assert method_and_notes(account) == (
        "Boundary (singular) fit. Linear mixed model (y ~ session)."
    )


@pytest.mark.parametrize(
    ("numbers", "how", "estimate", "interval"),
    [
        ((0.214, 0.12, 0.30), {"std_error": 0.045}, "0.21", "[0.12, 0.30]"),
        ((2.1e-4, 1.2e-4, 3.0e-4), {"std_error": 4.5e-5}, "0.00021", "[0.00012, 0.00030]"),
        ((123_456.7, 118_860.0, 128_053.0), {"std_error": 2345.0}, "123,457", "[118,860, 128,053]"),
        ((2.1e-10, 1.2e-10, 3e-10), {}, "2.10 × 10⁻¹⁰", "[1.20 × 10⁻¹⁰, 3.00 × 10⁻¹⁰]"),
        ((0.08, 0.0004, 0.16), {"std_error": 0.04}, "0.0800", "[0.0004, 0.1600]"),
        ((0.004, 0.001, 0.009), {"kind": "ratio"}, "0.004", "[0.001, 0.009]"),
        ((0.97, 0.94, 0.998), {"kind": "ratio"}, "0.970", "[0.940, 0.998]"),
        ((0.5, 1e-9, 3.0), {"kind": "ratio"}, "0.50", "[< 0.01, 3.00]"),
        ((12_345.0, 900.0, 2e5), {"kind": "ratio"}, "12,345", "[900, 200,000]"),
        ((0.042, 0.025, 0.069), {"kind": "bounded"}, ".042", "[.025, .069]"),
        ((0.42, 0.25, 0.59), {"kind": "bounded"}, ".42", "[.25, .59]"),
        ((0.9996, 0.9991, 1.0), {"kind": "bounded"}, ".9996", "[.9991, 1.0000]"),
        ((0.197, 0.12, 0.273), {"kind": "share"}, "19.7%", "[12.0%, 27.3%]"),
        ((0.0004, 0.0001, 0.0009), {"kind": "share"}, "0.04%", "[0.01%, 0.09%]"),
        ((12.0, 8.0, NAN), {"kind": "time"}, "12", "[8, not reached]"),
        ((NAN, NAN, NAN), {}, "–", "–"),
        ((1.0, 0.0, INF), {"kind": "ratio"}, "1.00", "[0.00, ∞]"),
        ((26.3, 1e-5, 13_283_915.7), {"kind": "ratio"}, "26.30", "[< 0.01, 1.33 × 10⁷]"),
        ((0.25, 0.25, 0.25), {"std_error": 3.4e-16}, "0.25", "[0.25, 0.25]"),
        ((0.25, 0.25 - 1e-16, 0.25), {}, "0.25", "[0.25, 0.25]"),
    ],
)
def test_an_interval_gets_the_decimals_that_it_needs(numbers, how, estimate, interval):
    found = write_estimate(*numbers, **how)
    assert (found.estimate, found.interval) == (estimate, interval)


@pytest.mark.parametrize(("value", "text"), [(0.42, "0.42"), (0.0123, "0.012"), (0.0, "0.00")])
def test_a_number_that_stands_alone_shows_two_digits(value, text):
    assert write_estimate(value).estimate == text


def test_ratios_too_small_for_a_double_are_no_zeros():
    assert with_interval(0.0, 0.0, 0.0, kind="ratio") == "< 0.01 [< 0.01, < 0.01]"
    assert with_interval(1e-300, 0.0, np.inf, kind="ratio") == "< 0.01 [0.00, ∞]"
    assert with_interval(0.0, 0.0, 3.2, kind="ratio") == "0.00 [0.00, 3.20]"
    assert with_interval(0.0, 0.0, np.inf, kind="ratio") == "< 0.01 [0.00, ∞]"


def test_a_standard_error_of_floating_point_alone_is_zero():
    assert write_estimate(0.25, 0.25, 0.25, std_error=3.4e-16).std_error == "0.00"


def test_a_number_in_a_remark_is_no_zero_that_it_is_not():
    account = Account("M", (), {}, (), (Phrase("tau2 = {}, Q = {}.", ((0.00012, 3), (0.0, 2))),))
    assert "tau2 = 0.0001, Q = 0.00." in as_text(account)


def test_words_after_a_colon_are_no_interaction():
    assert term_parts("partner: all alike") == [("partner: all alike",)]
    assert term_parts("a:b[T.x: y]") == [("a",), ("b", "x: y")]


def test_a_decimal_comma_swaps_the_signs():
    assert localised("1,240.5", ",") == "1.240,5"
    assert localised("[.025, .069]".replace(", ", "; "), ",") == "[0,025; 0,069]"


def test_a_coefficients_name_is_taken_apart():
    assert term_parts("session:role[T.father]") == [("session",), ("role", "father")]
    assert term_parts("C(role)[T.a:b]") == [("role", "a:b")]
    assert term_parts("poly(session, 2)[1]") == [("poly(session, 2)[1]",)]
    assert term_parts("`T+P`") == [("T+P",)]
    assert term_parts("np.log(session)") == [("np.log(session)",)]


@pytest.mark.parametrize("name", ["{}", "{0.__class__}", "{", "{{x}}", "%s"])
def test_a_name_in_a_phrase_is_no_format(name):
    assert str(Phrase("SD of {} and {}", (name, "x"))) == f"SD of {name} and x"
    assert str(Phrase(f"{{}} in {name.replace('{}', '')}", ("y",))).startswith("y in")
    with pytest.raises(ValueError, match="argument"):
        str(Phrase("SD of {}", ()))


def test_nothing_in_print_steers_a_terminal():
    assert printable("a\nb\t\x1b[31mc") == "a b �[31mc"
    assert printable("\u202eabc") == "�abc"
    assert printable("Müller–Straße") == "Müller–Straße"
