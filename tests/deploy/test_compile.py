"""The list of compiled modules, and a check for code that mypyc compiles wrongly (docs/decisions/0013)."""

import ast
import runpy
from collections import defaultdict
from collections.abc import Iterator

from tests.support.source_tree import ROOT

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
COMPILED: list[str] = runpy.run_path(str(ROOT / "deploy" / "compile.py"))["modules"](ROOT)


def catching_several_types(tree: ast.AST) -> Iterator[str]:
    """Find names that catch different exceptions in one function: mypyc gives a name one type."""
    for function in (node for node in ast.walk(tree) if isinstance(node, FUNCTIONS)):
        caught = defaultdict(set)
        for node in ast.walk(function):
            if isinstance(node, ast.ExceptHandler) and node.name and node.type is not None:
                caught[node.name].add(ast.unparse(node.type))
        yield from (f"{function.name}: {name}" for name, types in caught.items() if len(types) > 1)


def assigning_what_was_read(tree: ast.AST) -> Iterator[str]:
    """Find names in a list, tuple or call that a later element assigns: mypyc reads the earlier one after that."""
    for node in ast.walk(tree):
        elements = getattr(node, "elts", getattr(node, "args", ()))
        if not isinstance(elements, list):  # the arguments of a definition
            continue
        read: set[str] = set()
        for element in elements:
            inside = list(ast.walk(element))
            assigned = {each.target.id for each in inside if isinstance(each, ast.NamedExpr)}
            yield from read & assigned
            read |= {each.id for each in inside if isinstance(each, ast.Name)} - assigned


def cached_properties(tree: ast.AST) -> Iterator[str]:
    """Find cached properties, which compiled code computes at each access."""
    for function in (node for node in ast.walk(tree) if isinstance(node, FUNCTIONS)):
        if "cached_property" in map(ast.unparse, function.decorator_list):
            yield function.name


def found(rule, text: str) -> list[str]:
    return list(rule(ast.parse(text)))


RULES = (catching_several_types, assigning_what_was_read, cached_properties)


def test_the_request_path_is_compiled():
    for module in (
        "gateway/admission/admit.py",
        "gateway/serving/http2/connection.py",
        "routing/strategies/forebay.py",
    ):
        assert module in COMPILED


def test_compiled_modules_have_no_code_that_mypyc_compiles_wrongly():
    trees = {module: ast.parse((ROOT / module).read_text()) for module in COMPILED}

    assert {} == {
        module: said for module, tree in trees.items() if (said := [name for rule in RULES for name in rule(tree)])
    }


def test_such_code_would_be_found():
    assert ["f: e"] == found(
        catching_several_types,
        "def f():\n try: g()\n except KeyError as e: raise A from e\n except ValueError as e: raise B from e",
    )
    assert ["chain"] == found(assigning_what_was_read, "h = [chain, *[chain := hash((chain, at)) for at in starts]]")
    assert ["up"] == found(cached_properties, "class A:\n @cached_property\n def up(self): return 1")
    assert [] == found(assigning_what_was_read, "h = [first, *[chain := hash((chain, at)) for at in starts]]")
