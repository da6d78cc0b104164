"""What is built is what a user needs: code, types, data files, the command, and a version that the change log knows."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import tierkeep

NEEDED = (
    "tierkeep/__init__.py",
    "tierkeep/py.typed",
    "tierkeep/demo/conversation.jsonl",
    "tierkeep/demo/script.json",
    "tierkeep/retrieve/concepts.txt",
    "tierkeep/retrieve/synonyms.txt",
    "tierkeep_langchain/py.typed",
    "tierkeep_llamaindex/py.typed",
    "tierkeep_smolagents/py.typed",
    "tierkeep_hermes/py.typed",
    "tierkeep_hermes/plugin.yaml",
)


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("the build backend is not installed: pip install hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    # Without isolation pip downloads nothing: the backend is the one that is installed here.
    command = [sys.executable, "-m", "pip", "wheel", str(root), "--no-deps", "--no-build-isolation", "--quiet", "-w", str(folder)]
    done = subprocess.run([*command, "--disable-pip-version-check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


@pytest.mark.parametrize("name", NEEDED)
def test_wheel_holds(wheel: zipfile.ZipFile, name: str) -> None:
    assert name in wheel.namelist()


def test_wheel_holds_every_file_of_the_package_and_no_other(wheel: zipfile.ZipFile, root: Path) -> None:
    packages = [path.parent for above in ("integrations", "plugins") for path in (root / above).glob("tierkeep_*/__init__.py")]
    folders = [(root / "core", "tierkeep"), *((path.parent, path.name) for path in packages)]
    files = {path.relative_to(above).as_posix() for above, name in folders for path in (above / name).rglob("*") if path.is_file()}
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == {name for name in files if "__pycache__" not in name}


def test_wheel_installs_the_command_and_the_license(wheel: zipfile.ZipFile) -> None:
    (entry,) = (name for name in wheel.namelist() if name.endswith(".dist-info/entry_points.txt"))
    assert "tierkeep = tierkeep.cli:main" in wheel.read(entry).decode()
    assert any(name.endswith("/LICENSE") for name in wheel.namelist())


def test_version_is_the_newest_of_the_change_log(root: Path) -> None:
    headings = re.findall(r"^## \[?(\d+\.\d+\.\d+[^\]\s]*)", (root / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[:1] == [tierkeep.__version__]


def test_hard_dependencies_stay_few(root: Path) -> None:
    """A fifth one needs a reason in docs/decisions, and a line here."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {re.split(r"[^\w-]", line)[0] for line in project["dependencies"] if "sys_platform" not in line}
    assert names == {"pydantic", "numpy", "snowballstemmer", "python-dateutil"}


def test_license_is_the_one_that_is_declared(root: Path) -> None:
    text = (root / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
