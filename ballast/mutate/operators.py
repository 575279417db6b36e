"""Ways in which a contract may be wrong: each operator makes edits of the text that a syntax tree was parsed from."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise

from vyper.ast import nodes as vy

from ballast.mutate.symmetry import Symmetry
from ballast.mutate.syntax import Source

OPERATORS = {
    "arith": "+ for -, * for //, // for *, += for -=, unsafe_add for unsafe_sub, …",
    "bits": "& for |, << for >>, a mask's ~ left out",
    "compare": "a comparison answers the opposite",
    "boundary": "< for <=, > for >=",
    "round": "down for up, floor for ceil: a function called in place of its opposite",
    "wei": "one wei more after a division or a rounding function",
    "delete": "an assertion, assignment, call, raise or break left out; a local variable starts empty",
    "role": "a role check left out, one of its flags missing or another's",
    "swap": "two neighbouring arguments or fields of one type change places, unless the function does not mind",
    "sign": "a signed value with the other sign",
    "const": "a literal one more or one less; True for False",
    "negate": "a condition that is no comparison negated; and for or",
    "minmax": "min for max",
    "clamp": "min or max left out: one of its arguments alone",
    "unsafe": "a subtraction of unsigned numbers wraps around instead of reverting",
}
OPTIONAL = {
    "log": "an event left out",
    "overflow": "any other checked operation unchecked, and unchecked ones checked",
    "lock": "a function that changes state may be entered again",
}

_ARITH = {vy.Add: "-", vy.Sub: "+", vy.Mult: "//", vy.FloorDiv: "*", vy.Div: "*", vy.Mod: "//"}
_BITS = {vy.BitAnd: "|", vy.BitOr: "&", vy.BitXor: "&", vy.LShift: ">>", vy.RShift: "<<"}
_SYMBOL = {
    vy.Add: "+", vy.Sub: "-", vy.Mult: "*", vy.FloorDiv: "//", vy.Div: "/", vy.Mod: "%", vy.BitAnd: "&", vy.BitOr: "|",
    vy.BitXor: "^", vy.LShift: "<<", vy.RShift: ">>", vy.Eq: "==", vy.NotEq: "!=", vy.Lt: "<", vy.LtE: "<=", vy.Gt: ">",
    vy.GtE: ">=", vy.In: "in", vy.NotIn: "not in", vy.And: "and", vy.Or: "or",
}  # fmt: skip
_OPPOSITE = {
    vy.Eq: "!=", vy.NotEq: "==", vy.Lt: ">=", vy.LtE: ">", vy.Gt: "<=", vy.GtE: "<", vy.In: "not in", vy.NotIn: "in",
}  # fmt: skip
_BOUNDARY = {vy.Lt: "<=", vy.LtE: "<", vy.Gt: ">=", vy.GtE: ">"}
_UNCHECKED = {vy.Add: "unsafe_add", vy.Sub: "unsafe_sub", vy.Mult: "unsafe_mul", vy.FloorDiv: "unsafe_div"}
_CHECKED = {"unsafe_add": "+", "unsafe_sub": "-", "unsafe_mul": "*", "unsafe_div": "//"}
_UNSAFE = {
    "unsafe_add": "unsafe_sub",
    "unsafe_sub": "unsafe_add",
    "unsafe_mul": "unsafe_div",
    "unsafe_div": "unsafe_mul",
}
_ROUNDING = (("_down", "_up"), ("_up", "_down"), ("floor", "ceil"), ("ceil", "floor"), ("trunc", "floor"))
_SIGNED = re.compile(r"int\d+|decimal")
_NUMBER = re.compile(r"u?int\d+")
_COMMENT = re.compile(r"#[^\n]*")


@dataclass(frozen=True, slots=True)
class Edit:
    """`text[start:end]` of a source replaced."""

    operator: str
    start: int
    end: int
    replacement: str
    line: int
    function: str  # "" for a constant


def edits(source: Source, known: Collection[str], chosen: Collection[str]) -> list[Edit]:
    """Every edit of the chosen operators, in the order of the text; `known` are the functions that exist anywhere."""
    writer = _Writer(source, known)
    found = {edit for edit in writer.module() if edit.operator in chosen}
    return sorted(found, key=lambda edit: (edit.start, edit.end, edit.operator, edit.replacement))


class _Writer:
    """Walks one tree."""

    def __init__(self, source: Source, known: Collection[str]) -> None:
        self.text = source.text
        self.tree = source.tree
        self.known = known
        self.symmetry = Symmetry()
        self.function = ""

    # ---- positions

    def span(self, node: vy.VyperNode) -> tuple[int, int]:
        start, length, _ = map(int, node.src.split(":"))
        return start, start + length

    def code(self, node: vy.VyperNode) -> str:
        start, end = self.span(node)
        return self.text[start:end]

    def edit(self, operator: str, start: int, end: int, replacement: str) -> Edit:
        return Edit(operator, start, end, replacement, self.text.count("\n", 0, start) + 1, self.function)

    def instead(self, operator: str, node: vy.VyperNode, replacement: str) -> Edit:
        return self.edit(operator, *self.span(node), replacement)

    def between(self, left: vy.VyperNode, right: vy.VyperNode, symbol: str) -> tuple[int, int]:
        """Where an infix symbol stands."""
        start, end = self.span(left)[1], self.span(right)[0]
        gap = _COMMENT.sub(lambda match: " " * len(match[0]), self.text[start:end])
        place = re.search(re.escape(symbol).replace(r"\ ", r"\s+"), gap)
        if place is None:
            raise ValueError(f"line {left.lineno}: no {symbol!r} in {self.text[start:end]!r}")
        return start + place.start(), start + place.end()

    # ---- statements

    def module(self) -> Iterator[Edit]:
        for node in self.tree.body:
            self.function = ""
            if isinstance(node, vy.FunctionDef):
                self.function = node.name
                yield from self.lock(node)
                yield from self.body(node.body)
            elif isinstance(node, vy.VariableDecl) and node.is_constant and node.value is not None:
                yield from self.expression(node.value)

    def lock(self, node: vy.FunctionDef) -> Iterator[Edit]:
        names = {getattr(decorator, "id", "") for decorator in node.decorator_list}
        for decorator in node.decorator_list:
            if getattr(decorator, "id", "") == "nonreentrant":
                yield self.instead("lock", decorator, "reentrant" if self.locked_by_default() else "external")
        if (
            "external" in names
            and not names & {"view", "pure", "reentrant", "nonreentrant"}
            and self.locked_by_default()
        ):
            external = next(each for each in node.decorator_list if getattr(each, "id", "") == "external")
            yield self.edit("lock", self.span(external)[1], self.span(external)[1], "\n@reentrant")

    def locked_by_default(self) -> bool:
        return bool(self.tree.settings is not None and self.tree.settings.nonreentrancy_by_default)

    def body(self, statements: list[vy.VyperNode]) -> Iterator[Edit]:
        for place, statement in enumerate(statements):
            if not self.is_overwritten(statement, statements[place + 1 :]):
                yield from self.statement(statement)

    def is_overwritten(self, node: vy.VyperNode, following: list[vy.VyperNode]) -> bool:
        """Whether a local variable starts empty and gets its value before anything can read it."""
        return (
            isinstance(node, vy.AnnAssign)
            and self.is_empty(node.value)
            and bool(_assigned_first(node.target.id, following))
        )

    def statement(self, node: vy.VyperNode) -> Iterator[Edit]:
        if isinstance(node, vy.Log):
            yield self.instead("log", node, "pass")
        elif isinstance(node, vy.Assert):
            yield self.instead("delete", node, "pass")
            yield from self.condition(node.test)
        elif isinstance(node, vy.Assign):
            yield self.instead("delete", node, "pass")
            yield from self.assigned(node.value)
            yield from self.expression(node.target)
        elif isinstance(node, vy.AugAssign):
            yield self.instead("delete", node, "pass")
            yield from self.augmented(node)
            yield from self.expression(node.value)
            yield from self.expression(node.target)
        elif isinstance(node, vy.AnnAssign):
            if not self.is_empty(node.value):
                yield self.instead("delete", node.value, f"empty({self.code(node.annotation)})")
            yield from self.assigned(node.value)
        elif isinstance(node, vy.Expr):
            yield self.instead("role" if "Role." in self.code(node) else "delete", node, "pass")
            yield from self.expression(node.value)
        elif isinstance(node, vy.Return):
            if node.value is not None:
                yield from self.assigned(node.value)
        elif isinstance(node, vy.If):
            yield from self.condition(node.test)
            yield from self.body(node.body)
            yield from self.body(node.orelse)
        elif isinstance(node, vy.For):
            yield from self.expression(node.iter)
            yield from self.body(node.body)
        elif isinstance(node, vy.Raise | vy.Break | vy.Continue):
            yield self.instead("delete", node, "pass")

    def augmented(self, node: vy.AugAssign) -> Iterator[Edit]:
        kind = type(node.op)
        start, end = self.between(node.target, node.value, f"{_SYMBOL[kind]}=")
        if kind in _ARITH:
            yield self.edit("arith", start, end, f"{_ARITH[kind]}=")
        elif kind in _BITS:
            yield self.edit("bits", start, end, f"{_BITS[kind]}=")
        if kind in _UNCHECKED and kind is not vy.FloorDiv:
            unsigned = _type(node.value).startswith("uint")
            name = "unsafe" if kind is vy.Sub and unsigned else "overflow"
            target, value = self.code(node.target), self.code(node.value)
            yield self.instead(name, node, f"{target} = {_UNCHECKED[kind]}({target}, {value})")

    def assigned(self, node: vy.VyperNode) -> Iterator[Edit]:
        """A value that is stored or returned."""
        yield from self.signed(node)
        yield from self.expression(node)

    def signed(self, node: vy.VyperNode) -> Iterator[Edit]:
        if _SIGNED.fullmatch(_type(node)) and not isinstance(node, vy.UnaryOp | vy.Int):
            yield self.instead("sign", node, f"-({self.code(node)})")

    def is_empty(self, node: vy.VyperNode) -> bool:
        return self.code(node) in ("0", "False", "[]") or self.code(node).startswith("empty(")

    # ---- expressions

    def condition(self, node: vy.VyperNode) -> Iterator[Edit]:
        is_not = isinstance(node, vy.UnaryOp) and isinstance(node.op, vy.Not)
        if not isinstance(node, vy.Compare) and not is_not:
            yield self.instead("negate", node, f"not ({self.code(node)})")
        yield from self.expression(node)

    def expression(self, node: vy.VyperNode) -> Iterator[Edit]:
        if isinstance(node, vy.BinOp):
            yield from self.binary(node)
        elif isinstance(node, vy.Compare):
            yield from self.compare(node)
        elif isinstance(node, vy.BoolOp):
            for left, right in pairwise(node.values):
                here = self.between(left, right, _SYMBOL[type(node.op)])
                yield self.edit("negate", *here, "or" if isinstance(node.op, vy.And) else "and")
            for value in node.values:
                yield from self.expression(value)
        elif isinstance(node, vy.UnaryOp):
            name = {vy.USub: "sign", vy.Not: "negate", vy.Invert: "bits"}[type(node.op)]
            yield self.instead(name, node, self.within(node.operand, node))
            if not isinstance(node.operand, vy.Int):
                yield from self.expression(node.operand)
        elif isinstance(node, vy.Call):
            yield from self.call(node)
        elif isinstance(node, vy.ExtCall | vy.StaticCall):
            yield from self.call(node.value)
        elif isinstance(node, vy.IfExp):
            yield from self.condition(node.test)
            yield from self.expression(node.body)
            yield from self.expression(node.orelse)
        elif isinstance(node, vy.Int):
            yield from self.integer(node)
        elif isinstance(node, vy.NameConstant):
            if isinstance(node.value, bool):
                yield self.instead("const", node, str(not node.value))
        elif isinstance(node, vy.Attribute):
            if _is_flag(node):
                yield from self.flag(node)
            else:
                yield from self.expression(node.value)
        elif isinstance(node, vy.Subscript):
            yield from self.expression(node.value)
            if not isinstance(node.slice, vy.Int) or node.slice.value > 0:
                yield from self.expression(node.slice)
            else:  # the first element's index is a number of any type to Vyper, but cannot be negative
                yield self.instead("const", node.slice, "1")
        elif isinstance(node, vy.Tuple | vy.List):
            for element in node.elements:
                yield from self.expression(element)

    def within(self, inner: vy.VyperNode, outer: vy.VyperNode) -> str:
        """The text of an operand up to the end of the operation, so that its parentheses stay."""
        return self.text[self.span(outer)[0] : self.span(outer)[1]].lstrip("-~").removeprefix("not").strip()

    def binary(self, node: vy.BinOp) -> Iterator[Edit]:
        kind = type(node.op)
        if _is_flag(node):
            yield from self.flags(node)
            return
        if kind is vy.Pow:
            if isinstance(node.right, vy.Int) and not isinstance(node.left, vy.Int):
                yield from self.integer(node.right)
            elif isinstance(node.right, vy.Int):
                yield self.instead("const", node.right, str(node.right.value + 1))
            return
        here = self.between(node.left, node.right, _SYMBOL[kind])
        name, other = ("arith", _ARITH[kind]) if kind in _ARITH else ("bits", _BITS[kind])
        yield self.edited(name, node, *here, other)
        if kind is vy.FloorDiv:
            yield self.instead("wei", node, f"({self.code(node)} + 1)")
        if kind in _UNCHECKED and _NUMBER.fullmatch(_type(node)) and self.function:
            unsigned = _type(node).startswith("uint")
            name = "unsafe" if kind is vy.Sub and unsigned else "overflow"
            start, end = self.span(node)
            left, right = self.text[start : here[0]].strip(), self.text[here[1] : end].strip()
            yield self.instead(name, node, f"{_UNCHECKED[kind]}({left}, {right})")
        yield from self.expression(node.left)
        yield from self.expression(node.right)

    def edited(self, name: str, node: vy.BinOp, start: int, end: int, symbol: str) -> Edit:
        """The operation with another symbol; in parentheses where it would otherwise bind differently."""
        outer = node.get_ancestor()
        if not isinstance(outer, vy.BinOp | vy.UnaryOp | vy.Compare):
            return self.edit(name, start, end, symbol)
        first, last = self.span(node)
        return self.edit(name, first, last, f"({self.text[first:start]}{symbol}{self.text[end:last]})")

    def compare(self, node: vy.Compare) -> Iterator[Edit]:
        kind = type(node.op)
        here = self.between(node.left, node.right, _SYMBOL[kind])
        if _is_flag(node.left) or _is_flag(node.right):
            yield self.edit("role", *here, _OPPOSITE[kind])
        else:
            yield self.edit("compare", *here, _OPPOSITE[kind])
        if kind in _BOUNDARY:
            yield self.edit("boundary", *here, _BOUNDARY[kind])
        yield from self.expression(node.left)
        yield from self.expression(node.right)

    def integer(self, node: vy.Int) -> Iterator[Edit]:
        yield self.instead("const", node, str(node.value + 1))
        if node.value > 0 or _SIGNED.fullmatch(_type(node)):
            yield self.instead("const", node, str(node.value - 1))

    # ---- calls

    def call(self, node: vy.Call) -> Iterator[Edit]:
        name = str(getattr(node.func, "attr", "") or getattr(node.func, "id", ""))
        arguments, fields = list(node.args), list(node.keywords)
        if name in ("empty", "max_value", "min_value"):
            return
        if name in ("convert", "_abi_decode", "abi_decode"):
            arguments = arguments[:1]  # the rest are types
        yield from self.rounding(node, name)
        yield from self.swapped(node, arguments)
        if name in ("min", "max"):
            yield self.instead("minmax", node.func, "max" if name == "min" else "min")
            for argument in arguments:
                yield self.instead("clamp", node, f"({self.code(argument)})")
        if name in _UNSAFE:
            yield self.instead("arith", node.func, _UNSAFE[name])
            left, right = map(self.code, arguments)
            yield self.instead("overflow", node, f"(({left}) {_CHECKED[name]} ({right}))")
        if isinstance(node.func, vy.Attribute):
            yield from self.expression(node.func.value)
        for argument in arguments:
            yield from self.expression(argument)
        for keyword in fields:
            if name not in ("range", "raw_call"):
                yield from self.signed(keyword.value)
            yield from self.expression(keyword.value)

    def rounding(self, node: vy.Call, name: str) -> Iterator[Edit]:
        directed = False
        for this, other in _ROUNDING:
            opposite = name.replace(this, other)
            if this in name and opposite in self.known:
                directed = True
                end = self.span(node.func)[1]
                yield self.edit("round", end - len(name), end, opposite)
        if directed and _NUMBER.fullmatch(_type(node)) and not isinstance(node.get_ancestor(), vy.Expr):
            outer = node.get_ancestor()
            whole = outer if isinstance(outer, vy.ExtCall | vy.StaticCall) else node
            yield self.instead("wei", whole, f"({self.code(whole)} + 1)")

    def swapped(self, node: vy.Call, arguments: list[vy.VyperNode]) -> Iterator[Edit]:
        for values in (arguments, [keyword.value for keyword in node.keywords]):
            for place, (left, right) in enumerate(pairwise(values)):
                if values is arguments and self.symmetry.exchangeable(node, place):
                    continue
                kind = _type(left)
                if kind and kind == _type(right) and self.code(left) != self.code(right):
                    (start, middle), (after, end) = self.span(left), self.span(right)
                    between = self.text[middle:after]  # a field's name stays where it is
                    yield self.edit("swap", start, end, f"{self.code(right)}{between}{self.code(left)}")

    # ---- roles

    def flags(self, node: vy.BinOp) -> Iterator[Edit]:
        """A set of flags: each alone is missing once, and once another's."""
        if isinstance(node.op, vy.BitOr):
            yield self.instead("role", node, self.code(node.left))
            yield self.instead("role", node, self.code(node.right))
        yield from self.expression(node.left)
        yield from self.expression(node.right)

    def flag(self, node: vy.Attribute) -> Iterator[Edit]:
        """Another's flag instead: the next in the list that the set does not have."""
        whole: vy.VyperNode = node
        while isinstance(whole.get_ancestor(), vy.BinOp):
            whole = whole.get_ancestor()
        members = list(_flag_members(node))
        place = members.index(node.attr)
        present = set(re.findall(r"\w+", self.code(whole)))
        others = [name for name in members[place + 1 :] + members[:place] if name not in present]
        if others:
            end = self.span(node)[1]
            yield self.edit("role", end - len(node.attr), end, others[0])


def _assigned_first(name: str, statements: list[vy.VyperNode]) -> bool | None:
    """Whether a variable is assigned before it is read; None if the statements do neither."""
    for node in statements:
        if isinstance(node, vy.Assign) and not _mentions(node.value, name):
            targets = node.target.elements if isinstance(node.target, vy.Tuple) else [node.target]
            if any(isinstance(target, vy.Name) and target.id == name for target in targets):
                return True
        elif isinstance(node, vy.If) and not _mentions(node.test, name):
            branches = {_assigned_first(name, node.body), _assigned_first(name, node.orelse)}
            if branches == {None}:
                continue
            return branches == {True}
        if _mentions(node, name):
            return False
    return None


def _mentions(node: vy.VyperNode, name: str) -> bool:
    return any(each.id == name for each in node.get_descendants(vy.Name, include_self=True))


def _type(node: vy.VyperNode) -> str:
    """Its type as Vyper writes it, "" if unknown."""
    kind = node._metadata.get("type")
    return "" if kind is None else str(kind)


def _is_flag(node: vy.VyperNode) -> bool:
    """A flag's member or a set of them written out, not a variable."""
    if isinstance(node, vy.BinOp):
        return _is_flag(node.left) and _is_flag(node.right)
    return isinstance(node, vy.Attribute) and node.attr in _flag_members(node)


def _flag_members(node: vy.VyperNode) -> Collection[str]:
    return getattr(node._metadata.get("type"), "_flag_members", ())
