"""A compiled contract that can be compiled again with another body of one function, in a quarter of the time.

Trees with their types, and the optimised intermediate code of every function, are kept from the first compilation. Of
the changed function all is made anew; of the others only what their callers depend on is compared. What else could
depend on the change (constants, signatures, the constructor's checks) is not attempted: the answer is None, and the
ordinary compiler has to do it. Every campaign compares both before it begins.

Vyper is imported late, because it takes over decimal arithmetic of the whole process.
"""

from __future__ import annotations

import multiprocessing
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cbor2

from ballast.chain import artifacts
from ballast.chain.codec import Json
from ballast.mutate.compiling import code, quick

_UNUSED_LABELS = 10**6  # numbers of labels in new code begin here, above those in the code that is kept
_FORK = multiprocessing.get_context("fork")


@dataclass(slots=True)
class _Kept:
    """Intermediate code of one function, and what it holds for."""

    body: list[Any]  # of the function, the very object
    callees: tuple[Any, ...]  # what it depends on of functions that it calls
    info: Any  # what callers ask about the function
    made: Any


class Incremental:
    """One contract. `changed` changes its trees, so call it once, in a process of its own: `apart` makes one."""

    def __init__(self, path: Path) -> None:
        """Compile an ordinary contract; raises VyperException."""
        from vyper.compiler import CompilerData
        from vyper.compiler.input_bundle import FilesystemInputBundle
        from vyper.compiler.settings import anchor_settings

        bundle = FilesystemInputBundle([Path(sysconfig.get_path("purelib")), artifacts.SOURCES])
        self._data = CompilerData(bundle.load_file(str(path.relative_to(artifacts.SOURCES))), bundle)
        self._kept: dict[tuple[int, bool], _Kept] = {}
        with anchor_settings(self._data.settings), quick():
            self._module = self._data.global_ctx
            self._modules = _with_imports(self._module)
            self._trees = dict(self._own_trees())
            self.bytecode = self._assembled()

    def changed(self, path: str, text: str) -> bytes | None:
        """Init code of the contract with another text of one of its files; raises VyperException.

        None if the change is not in the body of one function, or could matter outside it.
        """
        from vyper.compiler.settings import anchor_settings

        tree = self._trees.get(path)
        if tree is None:
            return self.bytecode
        with anchor_settings(self._data.settings), quick():
            return self._assembled() if _replace_body(tree, text, self._modules) else None

    def apart(self, path: str, text: str) -> bytes | None:
        """What `changed` gives, made in a child process: the trees stay as they are, for the next change.

        Raises VyperException with the compiler's message.
        """
        from vyper.exceptions import VyperException

        receiver, sender = _FORK.Pipe(duplex=False)
        child = _FORK.Process(target=self._send_changed, args=(sender, path, text))
        child.start()
        sender.close()
        bytecode, error = receiver.recv()
        child.join()
        if error is not None:
            raise VyperException(error)
        return bytecode  # type: ignore[no-any-return]

    def _send_changed(self, sender: Connection, path: str, text: str) -> None:
        from vyper.exceptions import VyperException

        try:
            sender.send((self.changed(path, text), None))
        except VyperException as error:
            sender.send((None, str(error)))

    def _own_trees(self) -> Iterator[tuple[str, Any]]:
        """Syntax trees of the contract and of its modules, by path from the directory of the sources."""
        for module in self._modules:
            resolved = Path(module.decl_node.resolved_path)
            if resolved.is_relative_to(artifacts.SOURCES):
                yield str(resolved.relative_to(artifacts.SOURCES)), module.decl_node

    def _assembled(self) -> bytes:
        from vyper.codegen import core
        from vyper.codegen.module import generate_ir_for_module
        from vyper.compiler.phases import generate_assembly, generate_bytecode
        from vyper.ir import optimizer

        core._label = _UNUSED_LABELS if self._kept else 0
        with self._remembering():
            deploy, _ = generate_ir_for_module(self._module)
        assembly = generate_assembly(optimizer.optimize(deploy), self._data.settings.optimize)
        metadata = bytes.fromhex(self._data.integrity_sum)
        bytecode: bytes = generate_bytecode(assembly, compiler_metadata=metadata)
        return bytecode

    @contextmanager
    def _remembering(self) -> Iterator[None]:
        """Code of a function is made once, as long as its body stays the same object."""
        from vyper.codegen import module
        from vyper.codegen.function_definitions.common import EntryPointInfo, ExternalFuncIR, InternalFuncIR
        from vyper.codegen.ir_node import IRnode
        from vyper.ir.optimizer import optimize

        internal, external = module.generate_ir_for_internal_function, module.generate_ir_for_external_function

        def remembered(definition: Any, is_constructor: bool, make: Callable[[], Any]) -> Any:
            function = definition._metadata["func_type"]
            callees = tuple(_seen_by_callers(called._ir_info) for called in function.called_functions)
            kept = self._kept.get((id(definition), is_constructor))
            if kept is None or kept.body is not definition.body or kept.callees != callees:
                kept = _Kept(definition.body, callees, None, make())
                kept.info = function._ir_info
                self._kept[id(definition), is_constructor] = kept
            function._ir_info = kept.info
            return kept.made

        def once_internal(definition: Any, context: Any, is_ctor_context: bool) -> Any:
            def make() -> Any:
                made = internal(definition, context, is_ctor_context)
                return InternalFuncIR(optimize(made.func_ir))  # callers look at the other

            return remembered(definition, is_ctor_context, make)

        def once_external(definition: Any, context: Any) -> Any:
            def make() -> Any:
                made = external(definition, context)
                made.common_ir = optimize(made.common_ir)
                return made

            made = remembered(definition, False, make)
            # the caller puts the common code into the last entry point: it gets entry points of its own
            entries = {
                name: EntryPointInfo(entry.func_t, entry.min_calldatasize, IRnode.from_list(entry.ir_node))
                for name, entry in made.entry_points.items()
            }
            return ExternalFuncIR(entries, made.common_ir)

        module.generate_ir_for_internal_function = once_internal
        module.generate_ir_for_external_function = once_external
        try:
            yield
        finally:
            module.generate_ir_for_internal_function = internal
            module.generate_ir_for_external_function = external


def _seen_by_callers(info: Any) -> tuple[Any, ...]:
    """What code of a function's callers depends on, apart from its signature."""
    frame, made = info.frame_info, info.func_ir.func_ir
    return (
        frame.frame_start, frame.frame_size, frozenset(made.referenced_variables), frozenset(made.variable_writes),
        made.contains_risky_call, made.contains_writeable_call,
    )  # fmt: skip


def _replace_body(tree: Any, text: str, modules: list[Any]) -> bool:
    """Put the body that a function has in `text` into its tree, with types; False if more than that has changed."""
    from vyper.ast.parse import parse_to_ast
    from vyper.semantics.analysis.constant_folding import ConstantFolder
    from vyper.semantics.analysis.local import FunctionAnalyzer
    from vyper.semantics.analysis.module import ModuleAnalyzer
    from vyper.semantics.namespace import Namespace, override_global_namespace
    from vyper.utils import OrderedSet

    found = _only_difference(tree, text)
    if found is None:
        return False
    definition, changed = found
    function = definition._metadata["func_type"]
    if function.is_constructor:
        return False
    body = parse_to_ast(changed, tree.source_id, tree.path, tree.resolved_path).body[0].body
    _adopt(definition, body, tree)
    namespace = Namespace()
    with override_global_namespace(namespace), namespace.enter_scope():
        dict.update(namespace, tree._metadata["namespace"])  # `self` is there already, but another
        folder = ConstantFolder(tree)
        folder._get_constants()
        for node in body:
            folder.visit(node)
        called = _called(definition)
        if called != list(function.called_functions) and not _call(function, called, modules):
            return False
        function._analysed = False
        function._variable_reads, function._variable_writes = OrderedSet(), OrderedSet()
        function._used_modules = OrderedSet()
        with namespace.enter_scope():
            FunctionAnalyzer(tree, definition, namespace).analyze()
        ModuleAnalyzer.validate_used_modules(SimpleNamespace(ast=tree))
    return True


def _only_difference(tree: Any, text: str) -> tuple[Any, str] | None:
    """The function whose body alone differs from the tree's, and the function's new text; None if there is none."""
    from vyper.ast import nodes as vy

    old, new = tree.full_source_code.splitlines(), text.splitlines()
    same = min(len(old), len(new))
    head = next((line for line in range(same) if old[line] != new[line]), same)
    tail = next((line for line in range(same - head) if old[-1 - line] != new[-1 - line]), same - head)
    starts = [
        min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))]) for node in tree.body
    ]  # counted from 1
    order = sorted(range(len(starts)), key=starts.__getitem__)
    for place, index in enumerate(order):
        node = tree.body[index]
        end = starts[order[place + 1]] - 1 if place + 1 < len(order) else len(old)
        if isinstance(node, vy.FunctionDef) and node.body[0].lineno <= head + 1 and len(old) - tail <= end:
            return node, "\n".join(new[starts[index] - 1 : len(new) - (len(old) - end)]) + "\n"
    return None


def _adopt(definition: Any, body: list[Any], tree: Any) -> None:
    """Make `body` the body of a function in its tree."""
    former = {id(node) for node in definition.body}
    definition._children = [child for child in definition._children if id(child) not in former] + body
    definition.body = body
    for node in body:
        node.set_parent(definition)
    definition._cache_descendants = tree._cache_descendants = None


def _called(definition: Any) -> list[Any]:
    """Functions of this contract that a function calls, as Vyper finds them."""
    from vyper.ast import nodes as vy
    from vyper.exceptions import VyperException
    from vyper.semantics.analysis.utils import get_exact_type_from_node
    from vyper.semantics.types.function import ContractFunctionT

    found: dict[Any, None] = {}
    for call in definition.get_descendants(vy.Call):
        try:
            kind = get_exact_type_from_node(call.func)
        except VyperException:
            continue  # a local variable's: types are not known yet
        if isinstance(kind, ContractFunctionT) and (kind.is_internal or kind.is_constructor):
            found[kind] = None
    return list(found)


def _call(function: Any, called: list[Any], modules: list[Any]) -> bool:
    """Note what a function calls now, and so what each can reach; False if Vyper might refuse that."""
    from vyper.semantics.analysis.module import _compute_reachable_set
    from vyper.utils import OrderedSet

    function.called_functions = OrderedSet(called)
    everything = [definition._metadata["func_type"] for module in modules for definition in module.function_defs]
    for each in everything:
        each.reachable_internal_functions = OrderedSet()
    for each in everything:
        _compute_reachable_set(each)
    return not any(
        each.nonreentrant and reached.nonreentrant
        for each in everything
        for reached in each.reachable_internal_functions
    )


def _with_imports(module: Any) -> list[Any]:
    """A module and everything that it imports."""
    found: dict[int, Any] = {}
    stack = [module]
    while stack:
        each = stack.pop()
        if id(each) not in found:
            found[id(each)] = each
            stack += [info.module_t for info in each.imported_modules.values()]
    return list(found.values())


def artifact(base: artifacts.Artifact, bytecode: bytes) -> Json:
    """What `artifacts` stores of a contract that differs in its code alone."""
    body = code(bytecode)
    trailer = int.from_bytes(bytecode[-2:], "big")
    _, size, _, immutables, _ = cbor2.loads(bytecode[-trailer:-2])
    return {
        "abi": base.abi,
        "bytecode": bytecode.hex(),
        "runtime": body[len(body) - size :].hex(),
        "layout": base.layout,
        "deployed_size": size + immutables,
    }
