"""Numbers into words, at set values."""

import pytest

from alliance_stats import formatting as f

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (-0.214, 2, "−0.21"),
        (-0.001, 2, "0.00"),
        (0.125, 2, "0.12"),  # half to even, on the decimal that stands for the double
        (0.135, 2, "0.14"),
        (2.675, 2, "2.68"),
        (1234.5, 0, "1,234"),
        (1e-12, 3, "0.000"),
        (999_999_999_999_999.0, 0, "999,999,999,999,999"),
        (1.5e20, 1, "1.5 × 10²⁰"),
        (-1e300, 2, "−1.00 × 10³⁰⁰"),
        (NAN, 2, "–"),
        (INF, 2, "∞"),
        (-INF, 2, "−∞"),
    ],
)
def test_number(value: float, digits: int, text: str):
    assert f.format_number(value, digits) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.34, ".34"), (-0.34, "−.34"), (1.0, "1.00"), (-1.0, "−1.00"), (0, ".00")]
)
def test_bounded_numbers_have_no_leading_zero(value: float, text: str):
    assert f.format_bounded(value) == text


@pytest.mark.parametrize(
    ("p", "cell", "phrase"),
    [
        (0.0341, ".034", "p = .034"),
        (0.0009999, "< .001", "p < .001"),
        (0.001, ".001", "p = .001"),
        (0.9995, "> .999", "p > .999"),
        (0.05, ".050", "p = .050"),
        (NAN, "–", "p = –"),
    ],
)
def test_p_values(p: float, cell: str, phrase: str):
    assert f.format_p(p) == cell
    assert f.p_phrase(p) == phrase


def test_interval():
    assert f.format_interval(-0.124, 0.327) == "[−0.12, 0.33]"


@pytest.mark.parametrize(("df", "text"), [(12.0, "12"), (43.21, "43.2"), (INF, "∞")])
def test_degrees_of_freedom(df: float, text: str):
    assert f.format_df(df) == text


def test_t_and_z_in_a_sentence():
    assert f.t_phrase(4.609, 43.2, 3e-5) == "t(43.2) = 4.61, p < .001"
    assert f.t_phrase(-1.96, INF, 0.05) == "z = −1.96, p = .050"


@pytest.mark.parametrize(
    ("count", "text"), [(6000, "6,000"), (0, "0"), (-1200, "−1,200"), (NAN, "–"), (INF, "∞")]
)
def test_counts(count: float, text: str):
    assert f.format_count(count) == text


def test_percent():
    assert f.format_percent(0.197, 1) == "19.7%"
    assert f.format_percent(0.5) == "50%"
    assert f.format_percent(NAN) == "–"


def test_plural():
    assert f.plural(1, "family", "families") == "1 family"
    assert f.plural(1240, "family", "families") == "1,240 families"
    assert f.plural(0, "row") == "0 rows"


def test_html_escapes_signs_and_sets_statistics_in_italics():
    assert f.to_html("a < b & c") == "a &lt; b &amp; c"
    assert f.to_html("t(43.2) = 4.61, p < .001", italics=True) == (
        "<em>t</em>(43.2) = 4.61, <em>p</em> &lt; .001"
    )
    assert f.to_html("The group M and map", italics=True) == "The group M and map"


def test_markdown_escapes_what_pandoc_would_read():
    assert f.to_markdown("sd__x @y") == r"sd\_\_x \@y"
    assert f.to_markdown("p < .001") == r"*p* \< .001"


def test_text_table_aligns_its_columns():
    assert f.text_table(["term", "b"], [["alliance", "−0.21"], ["x", "1.00"]]) == (
        "term          b\nalliance  −0.21\nx          1.00"
    )


def test_a_zero_of_floating_point_asks_for_no_decimals() -> None:
    assert f.decimals_needed((1e-16, -0.79, 0.79)) == 2
    assert f.decimals_needed((1.0 + 1e-15, 0.5, 2.0), null=1.0) == 2
    assert f.decimals_needed((0.0004, -0.79, 0.79)) == 4
    assert f.decimals_needed((1e-9, -1e-8, 1e-8), at_most=9) == 9


@pytest.mark.parametrize(
    ("level", "text"),
    [(0.95, "95%"), (0.9, "90%"), (0.975, "97.5%"), (0.999, "99.9%"), (0.995, "99.5%")],
)
def test_a_level_is_never_rounded_to_another(level: float, text: str) -> None:
    assert f.format_level(level) == text
