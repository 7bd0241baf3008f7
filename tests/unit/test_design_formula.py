"""Formulas are read as R reads them, and evaluate nothing but named transforms of columns."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from alliance_stats import cox_ph, lmm, regression
from alliance_stats.design.design import build_design
from alliance_stats.design.formula import (
    CONSTANT,
    OwnColumn,
    RandomTerm,
    column,
    crossed,
    formula_of,
    intercepts,
    parse_formula,
    parse_terms,
)
from alliance_stats.design.grammar import parse, quoted, written
from alliance_stats.design.rows import complete_rows
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.ledger import RowLedger

N = 120
RNG = np.random.default_rng(20)
DATA = pd.DataFrame(
    {
        "y": RNG.normal(size=N) + np.repeat(RNG.normal(size=20), 6),
        "x": RNG.normal(size=N) + 3,
        "z": RNG.uniform(1, 2, N),
        "session": np.tile(np.arange(1, 7), 20),
        "arm": RNG.choice(list("abc"), N),
        "flag": RNG.random(N) > 0.5,
        "person": np.repeat([f"p{i}" for i in range(20)], 6),
        "therapist": np.repeat([f"t{i}" for i in range(5)], 24),
    }
)


def names(formula: str, data: pd.DataFrame = DATA) -> tuple[str, ...]:
    return build_design(formula, data)[0].fixed.names


def terms(text: str) -> list[str]:
    return [":".join(written(f) for f in term) or "1" for term in parse_terms(text).terms]


# What R's terms() gives for the same text, in its order (attr "term.labels", "intercept" first).
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a + b", ["1", "a", "b"]),
        ("a*b", ["1", "a", "b", "a:b"]),
        ("a:b + a", ["1", "a", "a:b"]),
        ("0 + a", ["a"]),
        ("a - 1", ["a"]),
        ("-1 + a", ["a"]),
        ("(0 + a)", ["a"]),
        ("(a - 1) + b", ["a", "b"]),
        ("0 + a + 1", ["1", "a"]),
        ("a - 0", ["1", "a"]),
        ("(a + b + c)^2", ["1", "a", "b", "c", "a:b", "a:c", "b:c"]),
        ("(a + b)^2 - a:b", ["1", "a", "b"]),
        ("a/b", ["1", "a", "a:b"]),
        ("(a + b)/c", ["1", "a", "b", "a:b:c"]),
        ("a %in% b", ["1", "a:b"]),
        ("a*b*c - a:b:c", ["1", "a", "b", "c", "a:b", "a:c", "b:c"]),
        ("a + a", ["1", "a"]),
        ("b:a + a:b", ["1", "b:a"]),
        ("a^2", ["1", "a"]),
        ("a + b - a", ["1", "b"]),
        ("`T+P` + bdi.pre", ["1", "`T+P`", "bdi.pre"]),
        ("class + lambda:yield", ["1", "class", "lambda:yield"]),
        ("1", ["1"]),
        ("0", []),
    ],
)
def test_terms_are_those_of_r(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a - b - c", "a - b - c"),
        ("a - (b - c)", "a - (b - c)"),
        ("-x^2", "-x ^ 2"),
        ("2^3^2", "2 ^ 3 ^ 2"),
        ("(2^3)^2", "(2 ^ 3) ^ 2"),
        ("a*b + c %% 2", "a * b + c %% 2"),
        ("!a & b", "!a & b"),
        ("f(a, b=2, c='x')", "f(a, b=2, c='x')"),
        ("`a``b`", "`a``b`"),
    ],
)
def test_precedence_is_that_of_r(text: str, expected: str) -> None:
    assert written(parse(text)) == expected
    assert parse(written(parse(text))) == parse(text) or "(" in text


def test_random_terms_are_written_out() -> None:
    parsed = parse_formula("y ~ x + (1 + x | a/b) + (session || c) + ((0 + ses) | d:e)")
    assert [str(term) for term in parsed.random] == [
        "(1 + x | a)", "(1 + x | a:b)", "(1 | c)", "(0 + session | c)", "(0 + ses | d:e)",
    ]  # fmt: skip
    assert parsed.random[-1].terms.terms == parse_terms("0 + ses").terms


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("y ~ .", "write the columns out"),
        ("y ~ x + factor(arm) + (1 | person)", r"write C\(arm\)"),
        ("y ~ as.factor(arm) + (1 | person)", r"write C\(arm\)"),
        ("y ~ x + 2", "numbers belong inside I"),
        ("y ~ x > 3", "stands inside I"),
        ("y ~ x + 1 | person", "needs brackets"),
        ("y ~ x * (1 | person)", "must be joined by '\\+'"),
        ("y ~ (x", "is not closed"),
        ("y ~ x)", "closes nothing"),
        ("y ~ x + ", "missing at its end"),
        ("y ~ {x + 1}", "not in braces"),
        ("y ~ I(1 < x < 3)", "make a chain"),
        ("y ~ x[1]", "takes a part of a column"),
        ("y ~ () + x", "brackets is empty"),
        ("y ~ ``", "is empty"),
        ("y ~ `x", "not closed"),
        ("y ~ C(arm, contr.what)", "not among the contrasts"),
        ("y ~ C(arm, contr.treatment('d')) + (1 | person)", "no level 'd'"),
        ("y ~ scale(x, 1, 2, 3, 4, 5)", "too many arguments"),
        ("y ~ poly(x, session)", "must be a number"),
        ("y ~ poly(x, degre=2)", "has no argument 'degre'"),
        ("y ~ log(arm)", "no column of numbers"),
        ("y ~ I(arm + 1)", "no column of numbers"),
        ("y ~ lag(x)", "takes the row before"),
        ("y ~ (1 | person + therapist)", "Cannot read the grouping"),
        ("y ~ (1 | log(x))", "Cannot read the grouping"),
        ("y ~ x ~ z", "make a chain"),
        ("(" * 200 + "y" + ")" * 200 + " ~ x", "too deep"),
    ],
)
def test_what_is_not_understood_is_a_formula_error(formula: str, message: str) -> None:
    with pytest.raises(FormulaError, match=message):
        build_design(formula, DATA)


# Ways around the allow-list: attributes, subscripts, names of Python, code in strings and names.
ATTACKS = [
    "C.__globals__['__builtins__']",
    "x.__class__",
    "I(x.__class__.__mro__)",
    "__import__('os')",
    "I(__import__('os').system('true'))",
    "eval('1')",
    "exec('1')",
    "open('/etc/passwd')",
    "getattr(x, 'values')",
    "np.load('x')",
    "np.__dict__",
    "np.save('x', x)",
    "np.fromfile('x')",
    "np.lib.format.open_memmap('x')",
    "np.vectorize(C)(x)",
    "(lambda: x)()",
    "I(lambda: x)",
    "I([v for v in x])",
    "I([v for v in [1]])",
    "I(x if x else z)",
    "f'{x}'",
    "I(f'{x.__class__}')",
    "'{0.__class__}'.format(x)",
    "I('%s' % x)",
    "I(x := 1)",
    "I(x; z)",
    "I(x\nimport os)",
    "Q('x')",
    "{x.__class__}",
    "{__import__('os')}",
    "`x`.values",
    "x.clip(0)",
    "log.__call__(x)",
    "log(x).real",
    "log(x)[0]",
    "poly(x, 2, _state=[1])",
    "scale(x, _context=[1])",
    "scale(x, True, True, 1, [1])",
    "poly(x, degree=__import__('os'))",
    "poly(x, 2, eval('1'))",
    "bs(x, df=4, extrapolation=eval('1'))",
    "C(arm, eval('1'))",
    "C(arm, contr.treatment(eval('1')))",
    "C(arm, contr.treatment.__init__)",
    "C(arm, contr.mro())",
    "C(arm, contr.custom(__import__('os')))",
    "C(arm, levels=eval('1'))",
    "C(arm, spans_intercept=False)",
    "C(eval('1'))",
    "hashed(x, levels=2)",
    "ℂ(arm)",  # a look-alike that Python would read as C
    "ｌｏｇ(x)",  # full-width letters, likewise
    "log(ｘ)",
    "contr",
    "np",
    "numpy.log(x)",
    "x.str.upper()",
    "os.system('true')",
    "exit()",
    "globals()",
    "offset(eval('1'))",
    "I(offset(x))",
    "`__import__('os')`",
    "x + `\n__import__('os')`",
    "I(*x)",
    "I(**x)",
    "log(*x)",
    "@x",
    "x!",
    "$x",
    "x\\y",
    "9" * 5000,
    "I(x)" + "+ I(x)" * 3 + "[0]",
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize(
    "place", ["y ~ {} + (1 | person)", "y ~ z + ({} | person)", "y ~ z + (1 | {})", "{} ~ z"]
)
def test_formulas_evaluate_nothing_but_named_transforms(attack: str, place: str) -> None:
    with pytest.raises(FormulaError):
        build_design(place.replace("{}", attack, 1), DATA)


@pytest.mark.parametrize("attack", ATTACKS)
def test_hazards_evaluate_nothing_but_named_transforms(attack: str) -> None:
    data = DATA.assign(time=1.0 + np.arange(N), event=1)
    with pytest.raises(FormulaError):
        cox_ph(attack, data, time="time", event="event")


# Any text is a name between back-ticks, and names of functions, constants and marks are columns.
NAMES = [
    "1", "0", "Intercept", "(Intercept)", "C", "I", "log", "scale", "np", "contr", "T+P", "class",
    "yield", "lambda", "None", "True", "TRUE", "site:nr", "a b", "a`b", "`", "``", "'", '"', "{x}",
    "{0.__class__}", "x[T.b]", "bdi.pre", ".x", "x ~ z", "|", "(1 | g)", "#", "\\", "a\nb", "_x",
    "__class__", "Ü-Wert", "ﬁ", "%in%", "offset", "self", "x0", "pi", "eval('1')",
    "` + I(C.__globals__['__builtins__']) + `", "C(arm)", "arm[T.b]", "poly(x, 2)[1]",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_column_of_any_name_is_a_column(name: str) -> None:
    data = DATA.rename(columns={"x": name})
    expected = lmm("y ~ x + arm + I(x^2) + scale(x):session + (1 + x | person)", DATA)
    q = quoted(name)
    found = lmm(f"y ~ {q} + arm + I({q}^2) + scale({q}):session + (1 + {q} | person)", data)
    assert_allclose(found.beta, expected.beta, rtol=1e-9)
    assert len(set(found.beta.index)) == len(found.beta)
    assert found.beta.index[0] == "(Intercept)"
    assert_allclose(found.predict(data), expected.predict(DATA), rtol=1e-9)
    grouped = data.rename(columns={name: "x", "person": name})
    assert lmm(f"y ~ x + (1 | {q})", grouped).beta.to_numpy() == pytest.approx(
        lmm("y ~ x + (1 | person)", DATA).beta.to_numpy(), rel=1e-9
    )


@pytest.mark.parametrize("name", NAMES)
def test_an_unused_column_of_any_name_changes_nothing(name: str) -> None:
    formula = "y ~ C(session) + I(x / 2) + log(z) + scale(x):arm + (1 | person)"
    beside = DATA.assign(**{"unused": np.where(np.arange(N) < 9, np.nan, 1.0)})
    assert_allclose(
        lmm(formula, beside.rename(columns={"unused": name})).beta,
        lmm(formula, DATA).beta,
        rtol=1e-9,
    )


def test_columns_numbered_by_pivot_are_columns() -> None:
    data = DATA.rename(columns={"x": 1, "z": 2})
    assert_allclose(
        lmm("y ~ `1` * `2` + (1 | person)", data).beta, lmm("y ~ x * z + (1 | person)", DATA).beta
    )


def test_a_dotted_name_is_not_its_first_part() -> None:
    holes = np.where(np.arange(N) % 3 == 0, np.nan, 1.0)
    data = DATA.rename(columns={"x": "bdi.pre"}).assign(bdi=holes)
    for text in ("bdi.pre", "`bdi.pre`"):
        assert lmm(f"y ~ {text} + (1 | person)", data).nobs == N


# The right-hand numbers are those of the column made beforehand.
@pytest.mark.parametrize(
    ("formula", "same"),
    [
        ("y ~ I(session^2) + (1 | person)", lambda d: d["session"] ** 2),
        ("y ~ I(session**2) + (1 | person)", lambda d: d["session"] ** 2),
        ("y ~ I(session %% 2) + (1 | person)", lambda d: d["session"] % 2),
        ("y ~ I(session %/% 2) + (1 | person)", lambda d: d["session"] // 2),
        ("y ~ I(2^-session) + (1 | person)", lambda d: 2.0**-d["session"]),
        ("y ~ sqrt(x + 10) + (1 | person)", lambda d: np.sqrt(d["x"] + 10)),
        ("y ~ np.log(x + 10) + (1 | person)", lambda d: np.log(d["x"] + 10)),
        ("y ~ I(sin(2 * pi * session / 7)) + (1 | person)",
         lambda d: np.sin(2 * np.pi * d["session"] / 7)),
        ("y ~ I(-x^2) + (1 | person)", lambda d: -(d["x"] ** 2)),
        ("y ~ I(x - (z - 1)) + (1 | person)", lambda d: d["x"] - d["z"] + 1),
        ("y ~ I((arm == 'b') + 0) + (1 | person)", lambda d: (d["arm"] == "b") * 1.0),
        ("y ~ I(flag * x) + (1 | person)", lambda d: d["flag"] * d["x"]),
        ("y ~ ifelse(x > 3, x, 0) + (1 | person)", lambda d: d["x"].where(d["x"] > 3, 0)),
        ("y ~ I(scale(x)^2) + (1 | person)",
         lambda d: ((d["x"] - d["x"].mean()) / d["x"].std()) ** 2),
    ],
)  # fmt: skip
def test_arithmetic_is_r_arithmetic(formula: str, same) -> None:
    made = DATA.assign(made=same(DATA))
    found, expected = lmm(formula, DATA), lmm("y ~ made + (1 | person)", made)
    assert_allclose(found.beta, expected.beta, rtol=1e-8)
    new = DATA.iloc[5:20]
    assert_allclose(found.predict(new), expected.predict(made.iloc[5:20]), rtol=1e-7)


@pytest.mark.parametrize(
    ("left", "same"),
    [
        ("y - x", lambda d: d["y"] - d["x"]),
        ("y - 1", lambda d: d["y"] - 1),
        ("y^2", lambda d: d["y"] ** 2),
        ("y*x", lambda d: d["y"] * d["x"]),
        ("y/z", lambda d: d["y"] / d["z"]),
        ("log(z)", lambda d: np.log(d["z"])),
        ("I(y - x)", lambda d: d["y"] - d["x"]),
    ],
)
def test_left_hand_sides_are_arithmetic(left: str, same) -> None:
    found = lmm(f"{left} ~ session + (1 | person)", DATA)
    expected = lmm("made ~ session + (1 | person)", DATA.assign(made=same(DATA)))
    assert_allclose(found.beta, expected.beta, rtol=1e-9)


def test_truth_values_are_read_as_r_reads_logicals() -> None:
    assert names("y ~ flag + (1 | person)") == ("(Intercept)", "flag")
    assert names("y ~ 0 + flag + (1 | person)") == ("flag[False]", "flag[True]")
    assert names("y ~ x:flag + (1 | person)") == ("(Intercept)", "x:flag[False]", "x:flag[True]")
    assert names("y ~ I(x > 3) + (1 | person)") == ("(Intercept)", "I(x > 3)")
    text = DATA.assign(flag=np.where(DATA["flag"], "yes", "no"))
    for formula in ("y ~ 0 + flag*arm + (1 | person)", "y ~ x + (0 + flag | therapist)"):
        found, expected = lmm(formula, DATA), lmm(formula, text)
        assert_allclose(found.log_lik, expected.log_lik)
        assert_allclose(found.predict(DATA), expected.predict(text), rtol=1e-5, atol=1e-5)


def test_stateful_transforms_learn_from_all_rows_in_which_the_column_is_there() -> None:
    # as R's model.frame does, which evaluates the variables before it sets rows aside
    data = DATA.assign(y=DATA["y"].where(np.arange(N) % 4 > 0))
    data.loc[data.index[1], "x"] = np.nan
    centred = (data["x"] - data["x"].mean()) / data["x"].std()
    found = lmm("y ~ scale(x) + (1 | person)", data)
    expected = lmm("y ~ s + (1 | person)", data.assign(s=centred))
    assert_allclose(found.beta, expected.beta, rtol=1e-9)
    assert_allclose(
        found.predict(DATA),
        expected.predict(DATA.assign(s=(DATA["x"] - data["x"].mean()) / data["x"].std())),
        rtol=1e-9,
    )


def test_offsets_are_carried() -> None:
    design, _ = build_design("y ~ session + offset(2 * x) + offset(z) + (1 | person)", DATA)
    assert design.offset is not None
    assert_allclose(design.offset, 2 * DATA["x"] + DATA["z"])
    assert build_design("y ~ session + (1 | person)", DATA)[0].offset is None


def test_levels_that_look_like_marks_are_kept() -> None:
    # a level with two underscores in front vanished from the columns
    data = DATA.assign(arm=DATA["arm"].replace({"b": "__b", "c": "{c}:[T.x]"}))
    assert names("y ~ arm + (1 | person)", data)[1:] == ("arm[T.a]", "arm[T.{c}:[T.x]]")
    assert_allclose(
        np.sort(lmm("y ~ 0 + arm + (1 | person)", data).beta),
        np.sort(lmm("y ~ 0 + arm + (1 | person)", DATA).beta),
    )


def test_numbers_of_type_object_are_numbers_or_refused() -> None:
    expected = lmm("y ~ x + (1 | person)", DATA).beta
    assert_allclose(
        lmm("y ~ x + (1 | person)", DATA.assign(x=DATA["x"].astype(object))).beta, expected
    )
    mixed = DATA.assign(x=DATA["x"].astype(object))
    mixed.loc[3, "x"] = "k.A."
    with pytest.raises(DataError, match=r"holds numbers and, in row 3, 'k\.A\.'"):
        lmm("y ~ x + (1 | person)", mixed)
    text = DATA.assign(x=DATA["x"].round(1).astype(str))
    text.loc[3, "x"] = "k.A."
    with pytest.raises(DataError, match=r"numbers written as text .* beside 'k\.A\.' in row 3"):
        lmm("y ~ x + (1 | person)", text)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("y ~ x + (group | person)", "6 variances and covariances, of which the rows determine 3"),
        ("y ~ x + (0 + group | person)", "those of group\\[a\\] with group\\[b\\]"),
        ("y ~ person + (1 | person)", "an effect for each unit of 'person' already"),
        ("y ~ C(person) + (1 | therapist)", "an effect for each unit of 'therapist' already"),
        ("y ~ therapist * x + (x | therapist)", "an effect for each unit of 'therapist'"),
        ("y ~ therapist + therapist:x + (0 + x | therapist)", "an effect of x for each unit"),
    ],
)
def test_variances_that_the_rows_do_not_tell_are_refused(formula: str, message: str) -> None:
    group = DATA["person"].map(lambda p: "abc"[int(p[1:]) % 3])
    with pytest.raises(NotIdentifiedError, match=message):
        lmm(formula, DATA.assign(group=group))


def test_a_slope_of_what_differs_between_units_only_is_allowed_where_it_is_identified() -> None:
    between = DATA.groupby("person")["x"].transform("mean")
    build_design("y ~ x + (between | person)", DATA.assign(between=between))


def test_designs_of_values_are_those_of_text() -> None:
    data = DATA.rename(columns={"x": "T+P`", "person": "per/son", "y": "` ~ 1"})
    own = OwnColumn("pattern")
    frame = data.copy()
    frame[own] = DATA["arm"]
    fixed = crossed(CONSTANT + column("T+P`"), column(own))
    design, _ = build_design(
        formula_of("` ~ 1", fixed, [intercepts(["therapist", "per/son"])]), frame
    )
    expected, _ = build_design("y ~ x * arm + (1 | therapist:person)", DATA)
    assert_array_equal(design.X, expected.X)
    assert design.fixed.names[1:4] == ("T+P`", "pattern[T.b]", "pattern[T.c]")
    assert_array_equal(design.groupings[0].codes, expected.groupings[0].codes)
    again = parse_formula("y ~ x + (1 + x | person)")
    assert parse_formula(again) is again
    assert isinstance(again.random[0], RandomTerm)


def test_own_columns_do_not_meet_those_of_the_caller() -> None:
    frame = DATA.rename(columns={"x": "pattern"})
    frame[OwnColumn("pattern")] = DATA["z"]
    design, _ = build_design(
        formula_of("y", CONSTANT + column("pattern") + column(OwnColumn("pattern"))), frame
    )
    assert_array_equal(design.X[:, 1:], DATA[["x", "z"]])


def test_complete_rows_count_each_column_once() -> None:
    data = DATA.assign(
        x=DATA["x"].where(DATA["session"] > 1), z=DATA["z"].where(DATA["session"] < 6)
    )
    used, rows = complete_rows(data, ["x", "z", "x"], {"person": ("person",)})
    assert [(s.reason, s.rows_set_aside) for s in rows.steps[1:]] == [
        ("'x' is missing", 20),
        ("'z' is missing", 20),
    ]
    assert len(used) == 80
    assert rows.units("person") == 20
    same, _ = complete_rows(DATA, ["x"])
    assert same is DATA
    _, further = complete_rows(data, ["z"], rows=RowLedger.start(data), reasons={"z": "no z"})
    assert further.steps[-1].reason == "no z"
    with pytest.raises(DataError, match="No row has all of 'x'"):
        complete_rows(data.assign(x=np.nan), ["x"])


@pytest.mark.parametrize(
    ("term", "by_hand"),
    [
        ("log(z, 2)", lambda d: np.log2(d["z"])),
        ("log(z, base=10)", lambda d: np.log10(d["z"])),
        ("log(z, w)", lambda d: np.log(d["z"]) / np.log(d["w"])),
        ("round(x, 1)", lambda d: d["x"].round(1)),
        ("np.round(x, decimals=1)", lambda d: d["x"].round(1)),
        ("pmin(x, 1)", lambda d: d["x"].clip(upper=1)),
        ("np.clip(x, -1, 1)", lambda d: d["x"].clip(-1, 1)),
        ("ifelse(x > 0, z, w)", lambda d: d["z"].where(d["x"] > 0, d["w"])),
    ],
)
def test_a_function_of_several_arguments_takes_them_as_r_does(term, by_hand):
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"x": rng.normal(size=30), "z": rng.exponential(size=30) + 0.1})
    data["w"] = rng.exponential(size=30) + 1.5
    data["y"] = data["x"] + rng.normal(size=30)
    got = regression(f"y ~ {term}", data).tidy()["estimate"]
    wanted = regression("y ~ v", data.assign(v=by_hand(data))).tidy()["estimate"]
    assert_allclose(got, wanted, rtol=1e-12)


@pytest.mark.parametrize(
    "term",
    ["exp(z, x)", "sqrt(z, out=x)", "abs(x, where=z)", "np.maximum(x, z, x)", "pmin(x)", "log()"],
)
def test_an_argument_that_a_function_does_not_have_is_refused(term):
    data = pd.DataFrame({"x": [1.0, 2, 4, 3], "z": [2.0, 1, 5, 2], "y": [1.0, 3, 2, 4]})
    before = data.copy()
    with pytest.raises(FormulaError, match="takes"):
        regression(f"y ~ {term}", data)
    pd.testing.assert_frame_equal(data, before)
