"""Whether a function minds which of two arguments comes first: exchanging them is no mistake if it does not.

Sums, products, minima and calls that do not mind either are compared without regard to order. What may overflow on the
way is not considered.
"""

from __future__ import annotations

from typing import Any

from vyper.ast import nodes as vy

_COMMUTING = (vy.Add, vy.Mult, vy.BitAnd, vy.BitOr, vy.BitXor)
_BUILTINS = {"min", "max", "unsafe_add", "unsafe_mul", "uint256_addmod", "uint256_mulmod"}  # the first two arguments
_MARKS = ("id", "attr", "arg", "value", "n", "s")


class Symmetry:
    """Answers once for every function."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], bool] = {}

    def exchangeable(self, call: vy.Call, first: int) -> bool:
        """Whether positional arguments `first` and `first + 1` of a call may change places."""
        if getattr(call.func, "id", "") in _BUILTINS:
            return first == 0
        function = call.func._metadata.get("type")
        declared = getattr(function, "decl_node", None)
        names = [argument.name for argument in getattr(function, "arguments", ())]
        if not isinstance(declared, vy.FunctionDef) or not declared.body or first + 1 >= len(names):
            return False
        key = (id(declared), first)
        if key not in self._known:
            self._known[key] = False  # for one that calls itself
            exchanged = {names[first]: names[first + 1], names[first + 1]: names[first]}
            body = declared.body
            self._known[key] = self._shape(body, {}) == self._shape(body, exchanged)
        return self._known[key]

    def _shape(self, node: Any, names: dict[str, str]) -> Any:
        """What a piece of code does, as far as comparison needs it, with names replaced."""
        if isinstance(node, list):
            return tuple(self._shape(each, names) for each in node)
        if not isinstance(node, vy.VyperNode):
            return repr(node)
        if isinstance(node, vy.Name):
            return names.get(node.id, node.id)
        if isinstance(node, vy.BinOp) and isinstance(node.op, _COMMUTING):
            kind = type(node.op)
            return (kind.__name__, *sorted(map(repr, self._operands(node, kind, names))))
        if isinstance(node, vy.Call):
            return ("Call", self._shape(node.func, names), *self._arguments(node, names), *self._fields(node, names))
        marks = [
            repr(getattr(node, name)) for name in _MARKS if isinstance(getattr(node, name, None), str | int | bool)
        ]
        return (type(node).__name__, *marks, *(self._shape(child, names) for child in node._children))

    def _operands(self, node: vy.VyperNode, kind: type, names: dict[str, str]) -> list[Any]:
        if isinstance(node, vy.BinOp) and type(node.op) is kind:
            return self._operands(node.left, kind, names) + self._operands(node.right, kind, names)
        return [self._shape(node, names)]

    def _arguments(self, call: vy.Call, names: dict[str, str]) -> list[Any]:
        """Runs of arguments that may change places are sorted."""
        shapes = [self._shape(argument, names) for argument in call.args]
        start = 0
        while start < len(shapes):
            end = start + 1
            while end < len(shapes) and self.exchangeable(call, end - 1):
                end += 1
            shapes[start:end] = sorted(shapes[start:end], key=repr)
            start = end
        return shapes

    def _fields(self, call: vy.Call, names: dict[str, str]) -> list[Any]:
        return [(keyword.arg, self._shape(keyword.value, names)) for keyword in call.keywords]
