"""Sizes to feel at home in (design section 2): no file over 400 lines, no function over 60."""

import ast
from collections.abc import Iterator

from tests.support.source_tree import python_files, read

FILE_LINES = 400
FUNCTION_LINES = 60


def too_long_functions(source: str) -> Iterator[tuple[str, int]]:
    """Name and length of each function longer than FUNCTION_LINES, decorators not counted."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                yield node.name, length


def test_no_file_is_over_400_lines():
    lengths = {str(path): len(read(path).splitlines()) for path in python_files()}

    assert {} == {path: length for path, length in lengths.items() if length > FILE_LINES}


def test_no_function_is_over_60_lines():
    assert {} == {str(path): found for path in python_files() if (found := list(too_long_functions(read(path))))}


def test_a_function_of_61_lines_would_be_found():
    source = "async def long():\n" + "    pass\n" * FUNCTION_LINES

    assert [("long", FUNCTION_LINES + 1)] == list(too_long_functions(source))
