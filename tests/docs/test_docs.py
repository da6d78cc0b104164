"""The documentation is true: its Python runs, its commands exist, its links lead somewhere, its examples work.

Blocks of one page are one program: they share their names and run, in order, in an empty folder. A block that cannot run here has
`<!-- not run: reason -->` on the line before it, and is only compiled.
"""

from __future__ import annotations

import ast
import asyncio
import doctest
import importlib
import inspect
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "core"
EXAMPLE_LINES = 60

TOP_PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES = [path for path in (*TOP_PAGES, *sorted(ROOT.glob("docs/**/*.md"))) if path.exists()]
EXAMPLES = sorted(ROOT.glob("examples/*.py"))
WITH_DOCTESTS = sorted(path for path in CORE.rglob("*.py") if ">>> " in path.read_text(encoding="utf-8"))

_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<language>[\w+-]*)")
_NOT_RUN = re.compile(r"^\s*<!-- not run: (?P<reason>\S.*?) -->\s*$")
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|^\s*\[[^\]]+\]:\s+(\S+)", re.MULTILINE)
_SHELLS = ("console", "bash", "sh", "shell")


class Block(NamedTuple):
    """A fenced block: its language, its text, the number of its first line, and why it is not run ("" when it is)."""

    language: str
    text: str
    line: int
    not_run: str


def blocks(markdown: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page. A fence that is never closed is an error, because it swallows the rest."""
    lines = markdown.splitlines()
    number = 0
    while number < len(lines):
        opening = _FENCE.match(lines[number])
        if not opening:
            number += 1
            continue
        before = next((line for line in reversed(lines[:number]) if line.strip()), "")
        reason = _NOT_RUN.match(before)
        first = number = number + 1
        while number < len(lines) and not lines[number].strip().startswith(opening["fence"]):
            number += 1
        if number == len(lines):
            raise ValueError(f"the fence of line {first} is never closed")
        text = "\n".join(line.removeprefix(opening["indent"]) for line in lines[first:number])
        yield Block(opening["language"], text, first + 1, reason["reason"] if reason else "")
        number += 1


def run_python(page_blocks: list[Block], page: str) -> int:
    """Run the Python blocks of a page as one program; return how many ran. Errors name the page and its own line."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    ran = 0
    for block in page_blocks:
        padded = "\n" * (block.line - 1) + block.text
        code = compile(padded, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        if block.not_run:
            continue
        result = eval(code, namespace)  # noqa: S307 - the page is ours
        if inspect.iscoroutine(result):
            asyncio.run(result)
        ran += 1
    return ran


# -------------------------------------------------------------------------------------------------------- command lines


def commands(block: Block) -> Iterator[list[str]]:
    """Yield the words of each `tierkeep …` command of a shell block, without the program's name."""
    for line in block.text.replace("\\\n", " ").splitlines():
        if block.language == "console":
            if not line.lstrip().startswith("$ "):
                continue  # what the command printed
            line = line.lstrip()[2:]
        words = shlex.shlex(re.sub(r"\s[12]>(?:&[12]|\s*\S+)", "", line), posix=True, punctuation_chars=True)
        words.whitespace_split = True
        words.commenters = "#"
        yield from _ours(list(words))


def _ours(words: list[str]) -> Iterator[list[str]]:
    """Cut a line at pipes, lists and redirections; yield the parts that call tierkeep."""
    parts: list[list[str]] = [[]]
    skip = False
    for word in words:
        if skip:
            skip = False  # the file of a redirection
        elif set(word) <= set("|&;()"):
            parts.append([])
        elif set(word) <= set("<>"):
            skip = True
        else:
            parts[-1].append(word)
    for part in parts:
        while part and re.match(r"[A-Za-z_]\w*=", part[0]):
            part.pop(0)
        if part and Path(part[0]).name == "tierkeep":
            yield part[1:]
        elif part[1:3] == ["-m", "tierkeep.cli"]:
            yield part[3:]


def usage_problem(command: Any, words: list[str]) -> str:
    """Return what is wrong with a command line, or "". Looks at the declared parameters only; runs nothing."""
    left = list(words)
    given = 0
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    named = {name: option for option in options for name in (*option.opts, *option.secondary_opts)}
    seen: set[str] = set()
    while left:
        word = left.pop(0)
        if word in ("--help", "-h"):
            return ""
        if word == "--":
            given += len(left)
            break
        if word.startswith("-") and len(word) > 1:
            name, equals, _ = word.partition("=")
            if name not in named:
                return f"{command.name} has no option {name}"
            seen.add(named[name].name)
            if not equals and not (named[name].is_flag or named[name].count):
                if not left:
                    return f"{name} needs a value"
                left.pop(0)
        elif hasattr(command, "commands"):
            if word not in command.commands:
                return f"{command.name} has no command {word}"
            return usage_problem(command.commands[word], left)
        else:
            given += 1
    return _missing(command, given, seen)


def _missing(command: Any, given: int, seen: set[str]) -> str:
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    needed = sum(max(argument.nargs, 1) for argument in arguments if argument.required)
    most = sum(argument.nargs for argument in arguments) if all(argument.nargs > 0 for argument in arguments) else given
    if not needed <= given <= most:
        return f"{command.name} takes {needed} to {most} arguments, not {given}"
    absent = [option.opts[0] for option in options if option.required and option.name not in seen]
    return f"{command.name} needs {absent[0]}" if absent else ""


# ---------------------------------------------------------------------------------------------------------------- links


def broken_links(page: Path) -> list[str]:
    """Return the relative links of a page whose file or heading does not exist."""
    problems = []
    for match in _LINK.finditer(_prose(page)):
        link = match[1] or match[2]
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            problems.append(f"{link}: no such file")
        elif anchor and target.suffix == ".md" and anchor not in anchors(target):
            problems.append(f"{link}: no such heading")
    return problems


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6}\s+(.*?)\s*#*$", _prose(page, code=True), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        number = 0
        while (unique := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found.add(unique)
    return found


def _prose(page: Path, *, code: bool = False) -> str:
    """Return the page without fenced blocks, and without inline code unless it is asked for."""
    kept: list[str] = []
    fence = ""
    for line in page.read_text(encoding="utf-8").splitlines():
        match = _FENCE.match(line)
        if fence:
            fence = "" if line.strip().startswith(fence) else fence
        elif match:
            fence = match["fence"]
        else:
            kept.append(line)
    prose = "\n".join(kept)
    return prose if code else re.sub(r"`+[^`\n]*`+", "", prose)


# ------------------------------------------------------------------------------------------------------------- the pages


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_there_is_a_readme() -> None:
    assert (ROOT / "README.md").is_file()


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)  # a page may show how a key is set; the tests after it are not to find it
    try:
        run_python([block for block in blocks(page.read_text(encoding="utf-8")) if block.language in ("python", "py")], _name(page))
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_commands_exist(page: Path, cli: Any) -> None:
    shells = [block for block in blocks(page.read_text(encoding="utf-8")) if block.language in _SHELLS]
    problems = [
        f"line {block.line}: tierkeep {shlex.join(words)}: {problem}"
        for block in shells
        for words in commands(block)
        if (problem := usage_problem(cli, words))
    ]
    assert problems == []


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


@pytest.mark.parametrize("path", WITH_DOCTESTS, ids=lambda path: path.relative_to(CORE).as_posix())
def test_docstring_examples_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = ".".join(path.relative_to(CORE).with_suffix("").parts).removesuffix(".__init__")
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0
    assert result.failed == 0


def test_the_front_door_has_an_example() -> None:
    assert CORE / "tierkeep" / "memory.py" in WITH_DOCTESTS


@pytest.mark.parametrize("path", EXAMPLES, ids=_name)
def test_example_is_short_and_runs_offline(path: Path, tmp_path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= EXAMPLE_LINES
    # The same switch as in these tests: it lives in their conftest, which a process of its own must load itself.
    switch = f"runpy.run_path({str(ROOT / 'tests' / 'conftest.py')!r})['forbid_network']()"
    start = f"import runpy; {switch}; runpy.run_path({str(path)!r}, run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", start],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (CORE, ROOT / "integrations", ROOT / "plugins")))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip(), "an example shows something"


@pytest.fixture(scope="module")
def cli() -> Any:
    """The command tree as click sees it."""
    typer_main = pytest.importorskip("typer.main")
    from tierkeep.cli.app import app

    return typer_main.get_command(app)


# ------------------------------------------------------------------------------------------------- the checks can fail

_PAGE = """\
# A page

```python
x = 1
```

<!-- not run: needs a server -->
```python
raise SystemExit
```

- in a list
  ```python
  assert x == 1
  ```
"""


def test_blocks_are_found() -> None:
    found = list(blocks(_PAGE))
    assert [(block.line, block.not_run) for block in found] == [(4, ""), (9, "needs a server"), (14, "")]
    assert run_python(found, "page.md") == 2


def test_an_open_fence_is_an_error() -> None:
    with pytest.raises(ValueError, match="line 1"):
        list(blocks("```python\nx = 1\n"))


def test_a_block_that_fails_fails_with_its_line() -> None:
    with pytest.raises(AssertionError) as caught:
        run_python(list(blocks(_PAGE.replace("x == 1", "x == 2"))), "page.md")
    assert (str(caught.traceback[-1].path), caught.traceback[-1].lineno + 1) == ("page.md", 14)


def test_a_block_that_is_not_run_still_compiles() -> None:
    with pytest.raises(SyntaxError):
        run_python([Block("python", "x = (", 1, "needs a server")], "page.md")


def test_a_block_may_await() -> None:
    page = [Block("python", "import asyncio\nawait asyncio.sleep(0)\ny = 2", 1, ""), Block("python", "assert y == 2", 5, "")]
    assert run_python(page, "page.md") == 2


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("console", "$ tierkeep ask 'Where?' --user ana\nLisbon\ntierkeep no", [["ask", "Where?", "--user", "ana"]]),
        ("bash", "cd x && A=1 .venv/bin/tierkeep demo  # show", [["demo"]]),
        ("bash", "tierkeep export --user ana > ana.jsonl\necho tierkeep", [["export", "--user", "ana"]]),
        ("bash", "cat a | tierkeep add - \\\n  --user ana; tierkeep verify", [["add", "-", "--user", "ana"], ["verify"]]),
        ("bash", "python -m tierkeep.cli doctor", [["doctor"]]),
        ("bash", "tierkeep bench kill --trials 12 2>&1 | tail -1", [["bench", "kill", "--trials", "12"]]),
    ],
)
def test_commands_are_found(language: str, text: str, expected: list[list[str]]) -> None:
    assert list(commands(Block(language, text, 1, ""))) == expected


@pytest.mark.parametrize(
    "words", [["nosuch"], ["ask", "--nosuch"], ["ask", "a", "b", "c", "d"], ["bench", "nosuch"], ["ask", "x", "--user"]]
)
def test_a_wrong_command_is_found(cli: Any, words: list[str]) -> None:
    assert usage_problem(cli, words)


@pytest.mark.parametrize(
    "words", [["--version"], ["ask", "Where?", "--user", "ana"], ["ask", "Where?", "--user=ana", "--json"], ["ask", "--help"]]
)
def test_a_right_command_is_let_pass(cli: Any, words: list[str]) -> None:
    assert usage_problem(cli, words) == ""


def test_broken_links_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    (tmp_path / "other file.md").write_text("# One `two`: three\n\n## One\n\n## One\n")
    page.write_text(
        "# Top\n[a](other%20file.md#one-two-three) [b](#top) [c](https://example.org/x) `[d](gone.md)` [e](other%20file.md#one-1)\n"
        "[f](gone.md) ![g](gone.png)\n[h](other%20file.md#gone)\n\n[i]: gone.txt\n```text\n[j](gone.md)\n```\n"
    )
    assert [problem.partition(":")[0] for problem in broken_links(page)] == ["gone.md", "gone.png", "other%20file.md#gone", "gone.txt"]
