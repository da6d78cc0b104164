"""The source of the core and of the integrations, parsed once for the tests of its conventions."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "core" / "tierkeep"
#: Where packages of ours stand that are not the core: in frameworks, and inside other applications.
ADAPTERS = (ROOT / "integrations", ROOT / "plugins")


@dataclass(frozen=True)
class Module:
    """One Python file. `name` is dotted and relative to the package: "dates.render", "dates", "" for the package itself."""

    name: str
    source: str
    is_package: bool = False

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @property
    def folder(self) -> str:
        """First part of the name: the role."""
        return self.name.partition(".")[0]


def load(path: Path, above: Path) -> Module:
    parts = path.relative_to(above).with_suffix("").parts
    is_package = parts[-1] == "__init__"
    return Module(".".join(parts[:-1] if is_package else parts), path.read_text(encoding="utf-8"), is_package)


@pytest.fixture(scope="session")
def core() -> list[Module]:
    """Every module of the core, by name."""
    return sorted((load(path, CORE) for path in CORE.rglob("*.py")), key=lambda module: module.name)


@pytest.fixture(scope="session")
def adapters() -> list[Module]:
    """Every module of the integrations and plugins that are Python packages, by name: "tierkeep_langchain.store"."""
    packages = [(above, path.parent) for above in ADAPTERS for path in above.glob("tierkeep_*/__init__.py")]
    return sorted((load(path, above) for above, package in packages for path in package.rglob("*.py")), key=lambda module: module.name)


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder that holds pyproject.toml."""
    return ROOT


@pytest.fixture(scope="session")
def module() -> type[Module]:
    """The class, for the made-up modules with which the checks themselves are checked."""
    return Module
