"""Every public function as a user calls it, on small frames that it takes."""

from collections.abc import Callable
from typing import Any

from tests.fuzz.figure_calls import FIGURES
from tests.fuzz.further_calls import FURTHER
from tests.fuzz.model_calls import MODELS
from tests.fuzz.question_calls import FAMILIES, QUESTIONS

__all__ = ["CALLS"]

CALLS: dict[str, tuple[str, Callable[[Any], object]]] = {
    **MODELS,
    **FURTHER,
    **QUESTIONS,
    **FAMILIES,
    **FIGURES,
}
