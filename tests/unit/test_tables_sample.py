"""Table one as a report prints it: every level named, numbers those of the description."""

import pandas as pd

from alliance_stats.formatting import format_number
from alliance_stats.groups import table_one
from alliance_stats.tables import sample_table

DATA = pd.DataFrame(
    {
        "group": ["a", "a", "a", "b", "b", "b"],
        "age": [30.0, 40.0, None, 25.0, 35.0, 48.0],
        "role": ["mother", "father", "mother", "child", "mother", "father"],
        "trauma": [0, 1, 0, 1, 1, 0],
    }
)


def test_levels_stand_under_the_name_of_their_variable():
    described = table_one(DATA, variables=["age", "role", "trauma"], group="group")
    made = sample_table(
        described, label="tbl-sample", caption="c", words={"role": "Role", "mother": "Mother"}
    )
    assert made.frame["Variable"].tolist() == [
        "age, mean (SD)", "Role, n (%)", "Role: child", "Role: father", "Role: Mother",
        "trauma, n (%)",
    ]  # fmt: skip
    shown = made.frame.set_index("Variable")
    assert shown.loc["age, mean (SD)", "a (n = 3)"] == "35.00 (7.07)"
    assert shown.loc["Role: Mother", "a (n = 3)"] == "2 (67%)"
    assert shown.loc["Role: child", "b (n = 3)"] == "1 (33%)"
    assert shown.loc["trauma, n (%)", "b (n = 3)"] == "2 (67%)"
    smd = described.tidy().set_index("variable")["smd"]
    assert shown.loc["Role, n (%)", "SMD"] == format_number(smd["role"].iloc[0])
    assert "The unit is the row" in made.note
    assert "age: missing for 1 in a" in made.note
    assert "is not a test" in made.note
    assert "a (*n* = 3)" in made.markdown()
