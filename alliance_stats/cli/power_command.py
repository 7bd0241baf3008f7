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
from alliance_stats.power import Power

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
_OWN = ("design", "analysis", "vary", "n_studies", "seed", "workers", "alpha", "store")


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
            found = _run(_read(file))
    except Refusal:
        return 1
    heading("Assumptions")
    say(found.assumptions().to_string(index=False))
    heading("Power")
    say(found.summary())
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


def _run(plan: dict[str, Any]) -> Power:
    design = _made(plan.pop("design"), _DESIGNS, "design")
    analysis = _made(plan.pop("analysis"), _ANALYSES, "analysis")
    return room.power(design, analysis, progress=True, **plan)


def _made(asked: object, kinds: Mapping[str, Callable[..., Any]], part: str) -> Any:
    if not isinstance(asked, dict) or "kind" not in asked:
        raise DataError(f"[{part}] needs a kind: one of {', '.join(kinds)}.")
    values = dict(asked)
    kind = values.pop("kind")
    if kind not in kinds:
        raise DataError(f"[{part}] has the kind '{kind}'. {did_you_mean(kind, kinds)}")
    known = list(inspect.signature(kinds[kind]).parameters)
    for name in values:
        if name not in known:
            raise DataError(f"[{part}] of kind {kind} has '{name}'. {did_you_mean(name, known)}")
    needed = [
        name
        for name, parameter in inspect.signature(kinds[kind]).parameters.items()
        if parameter.default is parameter.empty and name not in values
    ]
    if needed:
        raise DataError(f"[{part}] of kind {kind} needs '{needed[0]}'.")
    return kinds[kind](**values)
