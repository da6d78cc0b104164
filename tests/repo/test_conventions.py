"""Conventions that a reviewer would otherwise have to remember: sizes, docstrings, and what may not be written where.

Every check is a function of a module or a text, proved at the end on a small sample that breaks it. An exception is a line in a
table, with its reason; one that is no longer needed fails too.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

MODULE_LINES = 400
FUNCTION_LINES = 60

#: (module, check): why it may.
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("records", "long_modules"): "the vocabulary stands on one page; more than half of it is docstrings",
    ("settings", "long_modules"): "every number stands on one page with its source; more than half of it is docstrings",
    ("protocols", "long_modules"): "every seam's contract stands on one page; more than half of it is docstrings",
    ("clock", "clock_reads"): "it is the clock",
    ("background", "blanket_excepts"): "what was written is stored: a model of the caller's own that fails must not fail the write",
    ("models.checked", "blanket_excepts"): "an embedder of the caller's own raises what it likes: it is passed on as ModelError",
    ("retrieve.patience", "blanket_excepts"): "an error of the work is not swallowed: it is raised again where it is waited for",
    ("models.chroma_functions", "blanket_excepts"): "a function of somebody else's raises what it likes: it is passed on as ModelError",
    ("models.framework", "blanket_excepts"): "somebody else's client raises what it likes: it is raised again on the caller's thread",
    ("streaming", "blanket_excepts"): "an error of the work is not swallowed: it is raised again on the reader's thread",
    ("telemetry", "blanket_excepts"): "a listener of the caller's own raises what it likes: it is logged, and no operation fails of it",
    ("tierkeep_mcp.worker", "blanket_excepts"): "a defect of ours must not leave the plugin waiting for its reply: it is logged and said",
    ("ledger.postgres.connections", "clock_reads"): "waiting for a server to come back is real waiting",
    ("ledger.line", "clock_reads"): "waiting for another process's turn to end is real waiting",
    ("ledger.connections", "clock_reads"): "waiting for another process's lock is real waiting; a clock that stands still never gives up",
}
#: Folders in which a check does not apply, and why: a benchmark runner times and prints, the command line prints, a suite asserts.
EXEMPT: dict[str, set[str]] = {
    "clock_reads": {"evaluate", "testing"},
    "prints": {"cli", "evaluate"},
    "asserts": {"testing"},
    "benchmark_names": {"evaluate"},
}
_CLOCKS = {
    "time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.perf_counter", "time.localtime", "time.gmtime",
    "datetime.now", "datetime.utcnow", "datetime.today", "date.today",
}  # fmt: skip
#: What can run code that it reads. `sqlite3` extensions are loaded by nobody either.
_UNSAFE_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
_PICKLE_ERRORS = {"PickleError", "UnpicklingError"}
_UNSAFE_CALLS = {"eval", "exec", "compile", "__import__", "torch.load", "yaml.load", "np.load", "numpy.load", "os.system"}
_BENCHMARKS = re.compile(r"locomo|realtalk|lifebench|realmem|longmemeval|memdaily|personamem|(?-i:\bBEAM\b)", re.IGNORECASE)
_LATER = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
#: An absolute path into one machine: somebody's home, or where some runner keeps its checkouts.
_MACHINE = re.compile(r"(?<![\w.:/-])/(?:root|work|workspace|builds|srv/\w+|home/\w+|Users/\w+|mnt/\w+|tmp/\w+)(?:/|\b)")
_NOT_OURS = {".git", ".venv", ".hypothesis", "node_modules", "dist", "build", "__pycache__", "shared"}


def long_modules(module: Any) -> Iterator[str]:
    lines = len(module.source.splitlines())
    if lines > MODULE_LINES:
        yield f"{lines} lines"


def long_functions(module: Any) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0]
            documented = ast.get_docstring(node) is not None
            docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
            lines = (node.end_lineno or 0) - node.lineno + 1 - docstring
            if lines > FUNCTION_LINES:
                yield f"{node.name}: {lines} lines"


def missing_docstrings(module: Any) -> Iterator[str]:
    """Public is what has no underscore in front and stands in a module or in a public class."""
    if not ast.get_docstring(module.tree):
        yield "module"
    yield from _undocumented(module.tree.body, "")


def _undocumented(body: Iterable[ast.stmt], prefix: str) -> Iterator[str]:
    for node in body:
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) or node.name.startswith("_"):
            continue
        overload = any(ast.unparse(mark).endswith("overload") for mark in node.decorator_list)
        if not ast.get_docstring(node) and not overload:
            yield f"{prefix}{node.name}"
        if isinstance(node, ast.ClassDef):
            yield from _undocumented(node.body, f"{prefix}{node.name}.")


def asserts(module: Any) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Assert):
            yield f"line {node.lineno}"


def prints(module: Any) -> Iterator[str]:
    yield from _calls(module, {"print", "pprint", "pprint.pprint"})


def clock_reads(module: Any) -> Iterator[str]:
    """Also finds the function handed on without a call, and under its bare name."""
    bare = {f"{node.module}.{alias.name}" for node in ast.walk(module.tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute):
            name = ".".join(ast.unparse(node).split(".")[-2:])
            if name in _CLOCKS:
                yield f"line {node.lineno}: {name}"
    yield from sorted(bare & _CLOCKS)


def unsafe_code(module: Any) -> Iterator[str]:
    """The names of pickle's errors, and torch's reader for weights alone, run nothing of what they read."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.module == "pickle" and {alias.name for alias in node.names} <= _PICKLE_ERRORS:
            continue
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            if name.partition(".")[0] in _UNSAFE_MODULES:
                yield f"imports {name}"
    weights_only = {f"line {node.lineno}: torch.load()" for node in ast.walk(module.tree) if _loads_weights_only(node)}
    yield from (problem for problem in _calls(module, _UNSAFE_CALLS) if problem not in weights_only)


def _loads_weights_only(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or ast.unparse(node.func) != "torch.load":
        return False
    return any(word.arg == "weights_only" and ast.unparse(word.value) == "True" for word in node.keywords)


def blanket_excepts(module: Any) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler):
            caught = {"everything"} if node.type is None else {ast.unparse(part) for part in getattr(node.type, "elts", [node.type])}
            if caught & {"everything", "Exception", "BaseException"} and not _raises_again(node):
                yield f"line {node.lineno}"


def _raises_again(node: ast.ExceptHandler) -> bool:
    """Cleaning up and passing the same error on hides nothing: the handler's last statement is a bare `raise`."""
    last = node.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def _calls(module: Any, names: set[str]) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in names:
            yield f"line {node.lineno}: {ast.unparse(node.func)}()"


def benchmark_names(module: Any) -> Iterator[str]:
    yield from _matches(_BENCHMARKS, module.source)


def postponed_work(module: Any) -> Iterator[str]:
    yield from _matches(_LATER, module.source)


def _matches(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        if found := pattern.search(line):
            yield f"line {number}: {found.group()}"


CHECKS: tuple[Callable[[Any], Iterator[str]], ...] = (
    long_modules, long_functions, missing_docstrings, asserts, prints, clock_reads, unsafe_code, blanket_excepts, benchmark_names,
    postponed_work,
)  # fmt: skip


# ------------------------------------------------------------------------------------------------------------- the core


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_core(core: list[Any], adapters: list[Any], check: Callable[[Any], Iterator[str]]) -> None:
    problems, excused = [], set()
    for module in [*core, *adapters]:
        if module.folder in EXEMPT.get(check.__name__, set()):
            continue
        found = [f"{module.name or 'tierkeep'}: {problem}" for problem in check(module)]
        if found and (module.name, check.__name__) in EXCEPTIONS:
            excused.add((module.name, check.__name__))
        else:
            problems += found
    assert problems == []
    assert {pair for pair in EXCEPTIONS if pair[1] == check.__name__} - excused == set(), "an exception is not needed any more"


def test_data_files_of_the_core_name_no_benchmark(root: Path) -> None:
    core = root / "core" / "tierkeep"
    data = [path for path in core.rglob("*") if path.suffix in (".txt", ".json", ".jsonl") and "evaluate" not in path.parts]
    assert data
    assert [f"{path.name}: {found}" for path in data for found in _matches(_BENCHMARKS, path.read_text(encoding="utf-8"))] == []


def our_files(root: Path) -> list[Path]:
    """Return every file that is, or could be, under version control; without git, every file outside the folders that tools make."""
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"], capture_output=True, check=False
    )
    if listed.returncode == 0:
        return [path for name in listed.stdout.decode().split("\0") if name and (path := root / name).is_file()]
    return [
        path
        for path in root.rglob("*")
        if path.is_file() and not any(part in _NOT_OURS or part.endswith("_cache") for part in path.relative_to(root).parts)
    ]


def test_no_path_of_one_machine(root: Path) -> None:
    files = our_files(root)
    assert any(path.name == "pyproject.toml" for path in files)
    problems = []
    for path in files:
        text = path.read_bytes().decode("utf-8", "ignore")
        if path != Path(__file__):
            problems += [f"{path.relative_to(root)}: {found}" for found in _matches(_MACHINE, text)]
    assert problems == []


def test_tests_replace_no_internals(root: Path) -> None:
    """Real parts or public doubles. A fixture may set an environment variable or the folder; it may not replace a part of ours."""
    patching = re.compile(r"\bmock\b|monkeypatch\.setattr|\bMagicMock\b")
    tests = [path for path in (root / "tests").rglob("*.py") if path != Path(__file__)]
    found = [f"{path.name}: {hit}" for path in tests for hit in _matches(patching, path.read_text(encoding="utf-8"))]
    assert found == []


# ------------------------------------------------------------------------------------------------- the checks can fail

_LONG = "def f():\n" + "    x = 1\n" * FUNCTION_LINES


@pytest.mark.parametrize(
    ("check", "source"),
    [
        (long_modules, "#\n" * (MODULE_LINES + 1)),
        (long_functions, _LONG),
        (missing_docstrings, "x = 1"),
        (missing_docstrings, '"""Doc."""\ndef f(): ...'),
        (missing_docstrings, '"""Doc."""\nclass C:\n    """Doc."""\n    async def f(self): ...'),
        (asserts, "def f(x):\n    assert x"),
        (prints, "print(1)"),
        (clock_reads, "import time\ntime.time()"),
        (clock_reads, "import datetime\nnow = datetime.datetime.now"),
        (clock_reads, "from time import monotonic"),
        (unsafe_code, "import pickle"),
        (unsafe_code, "from marshal import loads"),
        (unsafe_code, "eval('1')"),
        (unsafe_code, "import torch\ntorch.load('x')"),
        (unsafe_code, "import torch\ntorch.load('x', weights_only=False)"),
        (unsafe_code, "from pickle import UnpicklingError, loads"),
        (blanket_excepts, "try:\n    x\nexcept:\n    pass"),
        (blanket_excepts, "try:\n    x\nexcept (ValueError, Exception) as e:\n    raise KeyError from e"),
        (benchmark_names, "# as in LoCoMo"),
        (benchmark_names, "'the BEAM set'"),
        (postponed_work, "# TO" + "DO: later"),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_check_can_fail(module: Any, check: Callable[[Any], Iterator[str]], source: str) -> None:
    assert len(list(check(module("sample", source)))) == 1


@pytest.mark.parametrize(
    ("check", "source"),
    [
        (long_functions, 'def f():\n    """' + "Doc.\n" * FUNCTION_LINES + '"""\n    return 1'),
        (missing_docstrings, '"""Doc."""\ndef _f(): ...\nclass _C:\n    def g(self): ...'),
        (clock_reads, "def f(clock):\n    return clock.monotonic(), clock.now()"),
        (unsafe_code, "import re\nre.compile('x')\nmodel.eval()"),
        (unsafe_code, "from pickle import UnpicklingError\ntorch.load('x', weights_only=True)"),
        (blanket_excepts, "try:\n    x\nexcept BaseException:\n    undo()\n    raise"),
        (benchmark_names, "# a beam of light"),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_check_lets_pass(module: Any, check: Callable[[Any], Iterator[str]], source: str) -> None:
    assert list(check(module("sample", source))) == []


@pytest.mark.parametrize("text", ["/home/ana/x", "see /srv/build/x", '"/root/.cache"', "/tmp/scratch/9"])
def test_machine_paths_are_found(text: str) -> None:
    assert list(_matches(_MACHINE, text))


@pytest.mark.parametrize("text", ["docs/work/x", "https://example.org/work/x", "the work/life balance", "./root/x", "/usr/bin/env"])
def test_other_paths_are_let_pass(text: str) -> None:
    assert not list(_matches(_MACHINE, text))
