"""Plan a study from a file: what is planned, its analysis, what is varied."""

import inspect
import tomllib
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from alliance_stats import power as room
from alliance_stats.checks import did_you_mean
from alliance_stats.cli.terminal import Refusal, heading, refusing, say
from alliance_stats.errors import DataError
from alliance_stats.output import write_whole

__all__ = ["print_power", "write_plan"]

_DESIGNS: Mapping[str, Callable[..., Any]] = {
    "StudyDesign": room.StudyDesign.of_shares,
    "ClusterTrial": room.ClusterTrial,
    "InterviewDesign": room.InterviewDesign,
}
_ANALYSES: Mapping[str, Callable[..., Any]] = {
    name: getattr(room, name)
    for name in (
        "ArmDifference",
        "DropoutEffect",
        "GroupDifference",
        "LaggedEffect",
        "LevelEffects",
        "ModelEffect",
        "ThemeDifference",
    )
}
_WIDEST = 60  # letters of a value or a source; the whole is in assumptions()
_ASKED = ("vary", "sensitivity", "smallest")
_OWN = (
    *("design", "analysis", "n_studies", "precision", "seed", "workers", "alpha", "store"),
    *_ASKED,
)


def write_plan(file: Path) -> int:
    """Write a commented plan to be filled in; return the exit code."""
    if file.exists():
        say(f"'{file}' is there already, and nothing is written over.")
        return 1
    template = resources.files("alliance_stats.cli") / "templates" / "plan.toml"
    write_whole(file, template.read_text(encoding="utf-8"))
    say(f"Wrote {file}. Change what is planned, then: alliance-stats power {file}")
    return 0


def print_power(file: Path) -> int:
    """Run a plan and print its assumptions and what it would find; return the exit code."""
    try:
        with refusing():
            plan = _read(file)
            found = _run(plan, file.parent)
    except Refusal:
        return 1
    heading("Assumptions")
    say(found["Power"].assumptions().to_string(index=False, max_colwidth=_WIDEST))
    for title, result in found.items():
        heading(title)
        say(result.summary())
    return 0


def _read(file: Path) -> dict[str, Any]:
    try:
        plan = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(
            f"There is no file '{file}'. alliance-stats power {file} --template writes one to "
            "fill in."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"'{file}' cannot be read as TOML: {error}.") from error
    for key in plan:
        if key not in _OWN:
            raise DataError(f"The plan has '{key}'. {did_you_mean(key, _OWN)}")
    for key in ("design", "analysis", "seed"):
        if key not in plan:
            raise DataError(f"The plan has no '{key}'; --template writes one that has.")
    return plan


def _run(plan: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run what a plan asks for; its store lies beside its file."""
    design = _made(plan.pop("design"), _DESIGNS, "design")
    analysis = _made(plan.pop("analysis"), _ANALYSES, "analysis")
    if "store" in plan:
        plan["store"] = folder / str(plan["store"])
    sensitivity, smallest = plan.pop("sensitivity", None), plan.pop("smallest", None)
    shared = {k: v for k, v in plan.items() if k not in ("vary", "precision")}
    if smallest is not None:  # before hours are spent on the rest
        _check_known(smallest, room.smallest_design, "smallest", given=shared)
    found: dict[str, Any] = {"Power": room.power(design, analysis, progress=True, **plan)}
    if sensitivity is not None:
        found["Sensitivity"] = room.power_sensitivity(
            design, analysis, vary=sensitivity, progress=True, **shared
        )
    if smallest is not None:
        found["Smallest design"] = room.smallest_design(
            design, analysis, progress=True, **{**shared, **smallest}
        )
    return found


def _check_known(
    values: object, asked: Callable[..., Any], part: str, *, given: Mapping[str, Any]
) -> None:
    """Refuse words that a part of the plan does not have, and one that lacks what it needs."""
    if not isinstance(values, dict):
        raise DataError(f"[{part}] is a table of the plan; got {values!r}.")
    parameters = inspect.signature(asked).parameters
    known = [name for name in parameters if name not in ("design", "analysis", "progress")]
    for name in values:
        if name not in known:
            raise DataError(f"[{part}] has '{name}'. {did_you_mean(name, known)}")
    needed = [
        name
        for name in known
        if parameters[name].default is inspect.Parameter.empty and name not in {**given, **values}
    ]
    if needed:
        raise DataError(f"[{part}] needs '{needed[0]}'.")


def _made(asked: object, kinds: Mapping[str, Callable[..., Any]], part: str) -> Any:
    if not isinstance(asked, dict) or "kind" not in asked:
        raise DataError(f"[{part}] needs a kind: one of {', '.join(kinds)}.")
    values = dict(asked)
    kind = values.pop("kind")
    if kind not in kinds:
        raise DataError(f"[{part}] has the kind '{kind}'. {did_you_mean(kind, kinds)}")
    _check_known(values, kinds[kind], part, given={})
    return kinds[kind](**values)
