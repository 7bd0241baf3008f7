"""R's formula language as a tree: words, precedence and brackets, with nothing evaluated.

Names may contain dots (``bdi.pre``), or be any text between back-ticks, in which a back-tick is
doubled. What the tree means is decided elsewhere: as terms in :mod:`alliance_stats.design.formula`,
as numbers in :mod:`alliance_stats.design.expressions`.
"""

import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from alliance_stats.errors import FormulaError

__all__ = [
    "Binary",
    "Call",
    "Column",
    "Constant",
    "Expression",
    "Listed",
    "Unary",
    "columns_in",
    "is_plain",
    "parse",
    "quoted",
    "written",
]

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    | (?P<name>(?:[^\W\d]|\.(?!\d))[\w.]*)
    | (?P<quoted>`(?:[^`]|``)*`)
    | (?P<text>"[^"\\]*"|'[^'\\]*')
    | (?P<mark>%in%|%/%|%%|\*\*|//|\|\||&&|<=|>=|==|!=|[-+*/:^()|&!<>~,=%\[\]])
    )""",
    re.VERBOSE,
)
# How tightly a mark binds, as in R (?Syntax); Python's ``**``, ``//`` and ``%`` beside R's own.
_BINDING = {
    "~": 1, "|": 2, "||": 2, "&": 3, "&&": 3, "==": 5, "!=": 5, "<": 5, ">": 5, "<=": 5, ">=": 5,
    "+": 6, "-": 6, "*": 7, "/": 7, "%": 8, "%%": 8, "//": 8, "%/%": 8, "%in%": 8, ":": 9,
    "^": 11, "**": 11,
}  # fmt: skip
_SIGN, _NOT, _POWER = 10, 4, 11
_LONGEST_WHOLE = 16  # digits, beyond which a number is read as a float
_DEEPEST = 60  # brackets within brackets, far beyond any formula, within Python's own stack
CONSTANTS = {"TRUE": True, "True": True, "FALSE": False, "False": False, "NULL": None, "None": None}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the data: its label, and whether it was between back-ticks."""

    name: Hashable
    ticked: bool = False


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, a text, a truth value or nothing, and its type: ``1`` is not ``True``."""

    value: float | int | str | bool | None
    kind: str


@dataclass(frozen=True, slots=True)
class Call:
    """A named transform with its arguments, those with names after the others."""

    function: str
    arguments: tuple["Expression", ...]
    named: tuple[tuple[str, "Expression"], ...] = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """``[a, b]`` or ``c(a, b)``."""

    items: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Unary:
    """A sign or a negation."""

    mark: str
    operand: "Expression"


@dataclass(frozen=True, slots=True)
class Binary:
    """Two operands and the operator between them; `bracketed` if the whole was in brackets."""

    mark: str
    left: "Expression"
    right: "Expression"
    bracketed: bool = False


Expression = Column | Constant | Call | Listed | Unary | Binary


class _Token(NamedTuple):
    kind: str
    text: str


def parse(formula: object) -> Expression:
    """Return the tree of a formula or of one side of it.

    Raises
    ------
    FormulaError
        If it is not text, or cannot be read.
    """
    if not isinstance(formula, str):
        raise FormulaError(f"The formula must be text; got {type(formula).__name__}.")
    return _Reader(formula).whole()


def quoted(name: Hashable) -> str:
    """Write a column's name between back-ticks, whatever it contains."""
    return f"`{str(name).replace('`', '``')}`"


def is_plain(name: str) -> bool:
    """Return whether a name needs no back-ticks."""
    return name.isidentifier() and name not in CONSTANTS


def written(tree: Expression, *, around: int = 0) -> str:
    """Write a tree as a formula, with brackets only where needed."""
    match tree:
        case Column(name, ticked):
            text = str(name)
            plain = is_plain(text if ticked else text.replace(".", "_"))
            return text if plain else quoted(text)
        case Constant(value):
            return repr(value)
        case Call(function, arguments, named):
            inside = [written(a) for a in arguments] + [f"{k}={written(a)}" for k, a in named]
            return f"{function}({', '.join(inside)})"
        case Listed(items):
            return f"[{', '.join(map(written, items))}]"
        case Unary(mark, operand):
            own = _NOT if mark == "!" else _SIGN
            text = mark + written(operand, around=own)
        case Binary(mark, left, right):
            own = _BINDING[mark]
            rightwards = own == _POWER
            text = (
                f"{written(left, around=own + rightwards)} {mark} "
                f"{written(right, around=own + (not rightwards))}"
            )
    return f"({text})" if own < around else text


def columns_in(tree: Expression) -> Iterator[Column]:
    """Yield the columns of a tree in order of appearance."""
    match tree:
        case Column():
            yield tree
        case Call("C", arguments):  # what follows the column says how it is coded
            for part in arguments[:1]:
                yield from columns_in(part)
        case Call(_, arguments, named):
            for part in (*arguments, *(value for _, value in named)):
                yield from columns_in(part)
        case Listed(items):
            for part in items:
                yield from columns_in(part)
        case Unary(_, operand):
            yield from columns_in(operand)
        case Binary(_, left, right):
            yield from columns_in(left)
            yield from columns_in(right)


class _Reader:
    """Reads tokens from left to right by operator precedence (Pratt 1973)."""

    def __init__(self, formula: str) -> None:
        self.formula = formula
        self.tokens = self._tokens()
        self.place = 0
        self.depth = 0

    def whole(self) -> Expression:
        if len(self.tokens) == 1:
            raise FormulaError(f"The formula {self.formula!r} is empty.")
        tree = self._expression(0)
        if self._next.text == ")":
            raise FormulaError(f"A ')' in {self.formula!r} closes nothing.")
        if self._next.kind != "end":
            raise self._unreadable(f"'{self._next.text}' does not belong where it is")
        return tree

    def _tokens(self) -> list[_Token]:
        text, at, found = self.formula, 0, []
        while text[at:].strip():
            token = _TOKEN.match(text, at)
            if token is None:
                raise self._cannot_begin(text[at:].lstrip())
            found.append(_Token(str(token.lastgroup), token.group(str(token.lastgroup))))
            at = token.end()
        return [*found, _Token("end", "")]

    def _cannot_begin(self, rest: str) -> FormulaError:
        if rest[0] == "`":
            return self._unreadable("a back-tick is not closed")
        if rest[0] == "{":
            return self._unreadable("arithmetic stands in I(...), not in braces")
        return self._unreadable(f"'{rest[:12]}' is no part of R's formula language")

    def _unreadable(self, why: str) -> FormulaError:
        return FormulaError(f"Cannot read the formula {self.formula!r}: {why}.")

    @property
    def _next(self) -> _Token:
        return self.tokens[self.place]

    def _take(self) -> _Token:
        token = self._next
        self.place += token.kind != "end"
        return token

    def _expression(self, loosest: int) -> Expression:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self._unreadable("its brackets are too deep")
        tree = self._operand()
        while (mark := self._next).kind == "mark" and _BINDING.get(mark.text, -1) >= loosest:
            binding = _BINDING[mark.text]
            self._take()
            right = self._expression(binding + (binding != _POWER))
            tree = Binary(mark.text, tree, right)
            following = _BINDING.get(self._next.text) if self._next.kind == "mark" else None
            if binding in (1, 5) and following == binding:  # neither a ~ b ~ c nor a < b < c
                raise self._unreadable(f"'{mark.text}' and '{self._next.text}' make a chain")
        self.depth -= 1
        return tree

    def _operand(self) -> Expression:
        kind, text = self._take()
        if kind == "number":
            whole = text.isdigit() and len(text) < _LONGEST_WHOLE
            if float(text) == float("inf"):
                raise self._unreadable(f"the number '{text[:12]}...' is too large")
            return Constant(int(text) if whole else float(text), "number")
        if kind == "text":
            return Constant(text[1:-1], "text")
        if kind == "quoted":
            if len(text) == 2:
                raise self._unreadable("a column's name between back-ticks is empty")
            return Column(text[1:-1].replace("``", "`"), ticked=True)
        if kind == "name":
            return self._named(text)
        if text in ("+", "-"):
            return Unary(text, self._expression(_SIGN))
        if text == "!":
            return Unary(text, self._expression(_NOT))
        if text == "~":
            return Unary(text, self._expression(1))
        if text == "(":
            return self._bracketed()
        if text == "[":
            return Listed(tuple(self._arguments("]")[0]))
        if kind == "end":
            raise self._unreadable("something is missing at its end")
        raise self._unreadable(f"something is missing before '{text}'")

    def _bracketed(self) -> Expression:
        if self._next.text == ")" and self._next.kind == "mark":
            raise self._unreadable("a pair of brackets is empty")
        inner = self._expression(0)
        self._close(")")
        return replace(inner, bracketed=True) if isinstance(inner, Binary) else inner

    def _close(self, mark: str) -> None:
        token = self._take()
        if token.kind == "end":
            opened = "(" if mark == ")" else "["
            raise FormulaError(f"A '{opened}' in {self.formula!r} is not closed.")
        if token != ("mark", mark):
            raise self._unreadable(f"'{token.text}' does not belong where it is")

    def _named(self, name: str) -> Expression:
        if self._next == ("mark", "("):
            self._take()
            arguments, named = self._arguments(")")
            if name == "c" and not named:
                return Listed(tuple(arguments))
            return Call(name, tuple(arguments), tuple(named))
        if self._next == ("mark", "["):
            raise self._unreadable(f"'{name}[' takes a part of a column; make a column of it first")
        if name in CONSTANTS:
            return Constant(CONSTANTS[name], "truth" if CONSTANTS[name] is not None else "nothing")
        return Column(name)

    def _arguments(self, end: str) -> tuple[list[Expression], list[tuple[str, Expression]]]:
        arguments: list[Expression] = []
        named: list[tuple[str, Expression]] = []
        while self._next != ("mark", end):
            name = self._next.text if self._next.kind == "name" else ""
            if name and self.tokens[self.place + 1] == ("mark", "="):
                self.place += 2
                named.append((name, self._expression(0)))
            elif named:
                raise self._unreadable("an argument without a name follows one with a name")
            else:
                arguments.append(self._expression(0))
            if self._next != ("mark", ","):
                break
            self._take()
        self._close(end)
        if len(dict(named)) < len(named):
            raise self._unreadable("an argument appears twice")
        return arguments, named
