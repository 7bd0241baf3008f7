"""Planning from a file at the command line."""

import pytest
from typer.testing import CliRunner

from alliance_stats.cli.app import app

PLAN = """
n_studies = 4
seed = 1
[design]
kind = "ClusterTrial"
clusters = 4
members = 3
[analysis]
kind = "ArmDifference"
[vary]
effect = [0.0, 0.8]
"""


def run(*asked):
    return CliRunner().invoke(app, ["power", *map(str, asked)])


def test_a_plan_prints_assumptions_and_power(tmp_path):
    file = tmp_path / "plan.toml"
    file.write_text(PLAN, encoding="utf-8")
    found = run(file)
    assert found.exit_code == 0
    assert "Power by simulation of 4 studies of each of 2 designs" in found.output
    assert "type I error" in found.output
    assert "members" in found.output


def test_the_template_can_be_read_and_is_never_written_over(tmp_path):
    file = tmp_path / "plan.toml"
    assert run(file, "--template").exit_code == 0
    text = file.read_text(encoding="utf-8")
    assert run(file, "--template").exit_code == 1
    file.write_text(
        text.replace("n_studies = 200", "n_studies = 2").replace("[10, 15]", "[10]"),
        encoding="utf-8",
    )
    found = run(file)
    assert found.exit_code == 0
    assert "own pilot" in found.output
    assert "own clinic" in found.output


def test_a_plan_asks_for_sensitivity_and_the_smallest_design(tmp_path):
    file = tmp_path / "plan.toml"
    more = (
        "[sensitivity]\nicc = [0.01, 0.3]\n[smallest]\naim = 0.5\n"
        "vary = { clusters = [2, 20] }\nbatch = 4\nn_studies = 8\n"
    )
    file.write_text(PLAN.replace("n_studies = 4", 'n_studies = 4\nstore = "kept"') + more, "utf-8")
    found = run(file)
    assert found.exit_code == 0, found.output
    assert "Power with one assumption changed at a time, 2 changes" in found.output
    assert "Smallest 'clusters' with a power of 50%" in found.output
    assert list((tmp_path / "kept").glob("*.parquet"))
    file.write_text(PLAN + more.replace("aim", "aims"), encoding="utf-8")
    assert "[smallest] has 'aims'. Did you mean 'aim'?" in run(file).output


def test_more_studies_are_asked_for_than_planned(tmp_path):
    file = tmp_path / "plan.toml"
    file.write_text(PLAN.replace("seed", "precision = 0.05\nseed"), encoding="utf-8")
    assert "385 studies on; n_studies = 4 is fewer" in run(file).output


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("members = 3", "member = 3", "Did you mean 'members'?"),
        ("members = 3", "", "needs 'members'"),
        ("ArmDifference", "ArmDifferences", "Did you mean 'ArmDifference'?"),
        ("seed = 1", "seeds = 1", "Did you mean 'seed'?"),
        ("seed = 1", "", "has no 'seed'"),
        ("[vary]", "[vary", "cannot be read as TOML"),
        ("effect = [0.0, 0.8]", "efect = [0.8]", "Did you mean 'effect'?"),
    ],
)
def test_what_is_wrong_in_a_plan_is_named(tmp_path, old, new, message):
    file = tmp_path / "plan.toml"
    file.write_text(PLAN.replace(old, new), encoding="utf-8")
    found = run(file)
    assert found.exit_code == 1
    assert message in found.output
    missing = run(tmp_path / "none.toml")
    assert missing.exit_code == 1
    assert "--template writes one" in missing.output
