"""Rules of style that a machine can hold: docstrings have a subject, documents fit, commit subjects are short."""

import ast
import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.source_tree import ROOT, python_files, read, tracked_files

DOCUMENT_WIDTH = 120
"""Columns of a document, as of the sources (pyproject.toml, ruff's line-length)."""

SUBJECT_LENGTH = 72
"""Characters of a commit's subject: what `git log --oneline` shows in a terminal of 80 columns."""

FIRST_SUBJECT = "Move routing's per-pod state and prefix index into rooms of their own"
"""The first commit that the rules about subjects hold for."""

FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK_TARGET = re.compile(r"\]\([^)]*\)|https?://\S+")

Definition = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of every docstring: a string that stands alone, so those of constants and fields too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def subjectless(source: str) -> list[int]:
    """Lines of docstrings that say what something is "Of" and not what it is."""
    return [line for line, text in docstrings(source) if re.match(r"\s*Of\b", text)]


def riddles(source: str) -> list[int]:
    """Lines of docstrings that begin like a question instead of saying what something is or does."""
    return [line for line, text in docstrings(source) if re.match(r"\s*(?:What|Whose|Who|Which|Where|When)\b", text)]


def too_wide(document: str) -> list[int]:
    """Lines of a document's prose that are over DOCUMENT_WIDTH: tables, code and the targets of links may be."""
    text = FENCED.sub(lambda block: "\n" * block.group().count("\n"), document)
    return [
        number
        for number, line in enumerate(text.splitlines(), start=1)
        if len(LINK_TARGET.sub("]", line)) > DOCUMENT_WIDTH and not line.startswith(("|", "    "))
    ]


def bad_subject(subject: str) -> bool:
    """Whether the subject of a commit is too long or ends with a full stop."""
    return len(subject) > SUBJECT_LENGTH or subject.endswith(".")


def git_log(*arguments: str) -> list[str]:
    """Lines of `git log`; empty where there is no history, as in a source archive."""
    command = ["git", "log", *arguments]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True).stdout.splitlines()


def test_no_docstring_lacks_its_subject():
    assert [] == [f"{path}:{line}" for path in python_files() for line in subjectless(read(path))]


def test_a_docstring_without_a_subject_would_be_found():
    source = '"""Of a module."""\nA = 1\n"""Of A."""\ndef f():\n    """\n    Of f."""\n    b = "Of x"\n"""Office."""'

    assert [1, 3, 5] == subjectless(source)


def test_no_docstring_is_a_riddle():
    assert [] == [f"{path}:{line}" for path in python_files() for line in riddles(read(path))]


def test_a_riddle_would_be_found():
    source = '"""What it knows."""\nA = 1\n"""Where it is."""\ndef f():\n    """Whatever."""\n    """\n    Who?"""'

    assert [1, 3, 6] == riddles(source)


def test_documents_are_not_too_wide():
    documents = [path for path in tracked_files() if path.suffix == ".md"]

    assert [] == [f"{path}:{line}" for path in documents for line in too_wide(read(path))]


def test_a_wide_line_would_be_found_and_tables_code_and_links_may_be_wide():
    wide = "x" * (DOCUMENT_WIDTH + 1)
    link = f"[a]({wide}) and https://{wide}"

    assert [6, 8] == too_wide(f"```\n{wide}\n```\n| {wide} |\n    {wide}\n{wide}\n{link}\n- {wide}\n{wide[:-1]}\n")


def test_subjects_of_commits_are_short_and_no_sentences():
    by_subject = dict(reversed(line.split(" ", 1)) for line in git_log("--format=%H %s"))
    if FIRST_SUBJECT not in by_subject:
        pytest.skip("the history is not here: a shallow clone or a source archive")
    subjects = git_log("--format=%s", f"{by_subject[FIRST_SUBJECT]}..HEAD")

    assert [] == [subject for subject in subjects if bad_subject(subject)]


def test_a_bad_subject_would_be_found():
    assert [True, True, False] == [bad_subject("x" * 73), bad_subject("Do it."), bad_subject("x" * 72)]
