"""The plugin's JavaScript where Node is there: its own tests, run by Node, and that it speaks the same words as Python."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tierkeep import toolbox, turns

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "plugins" / "tierkeep_openclaw"
UNITS = sorted((Path(__file__).parent / "units").glob("*.test.mjs"))


def _node() -> str | None:
    node = shutil.which("node")
    if node is None:
        return None
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    major = re.match(r"v(\d+)", version)
    return node if major and int(major[1]) >= 20 else None


NODE = _node()
with_node = pytest.mark.skipif(NODE is None, reason="Node 20 or newer is not installed")


@with_node
@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name.partition(".")[0])
def test_unit(unit: Path) -> None:
    assert NODE is not None
    done = subprocess.run([NODE, "--test", str(unit)], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout[-6000:]


@with_node
def test_words_are_the_ones_of_python() -> None:
    assert NODE is not None
    script = f"import * as words from {json.dumps((PLUGIN / 'words.js').as_uri())}; console.log(JSON.stringify(words))"
    done = subprocess.run([NODE, "--input-type=module", "-e", script], capture_output=True, text=True, check=True, timeout=60)
    words: dict[str, Any] = json.loads(done.stdout)
    assert words["GUIDANCE"] == turns.GUIDANCE
    for key, tool in (("recall", toolbox.RECALL), ("store", toolbox.STORE), ("forget", toolbox.FORGET)):
        told = words["TOOLS"][key]
        assert (told["name"], told["description"]) == (tool.name, tool.description)
        properties = told["parameters"]["properties"]
        assert {name: value["description"] for name, value in properties.items()} == dict(tool.parameters)


def test_modules_stay_small() -> None:
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in PLUGIN.glob("*.js")}
    assert lengths
    assert {name: lines for name, lines in lengths.items() if lines > 400} == {}
    texts = {path.name: path.read_text(encoding="utf-8").splitlines() for path in PLUGIN.glob("*.js")}
    assert [f"{name}: {number}" for name, lines in texts.items() for number, line in enumerate(lines, 1) if len(line) > 140] == []


def test_every_function_of_javascript_is_described() -> None:
    bare = [
        f"{path.name}: {match[1]}"
        for path in PLUGIN.glob("*.js")
        for match in re.finditer(r"(?<!\*/\n)^export (?:async )?(?:function|class) (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert bare == []


def test_the_package_asks_for_nothing_and_ships_what_it_imports() -> None:
    package = json.loads((PLUGIN / "package.json").read_text(encoding="utf-8"))
    assert "dependencies" not in package and "scripts" not in package
    allowed = re.compile(r"node:[\w/]+|openclaw/plugin-sdk/[\w-]+|\./\w+\.js")
    for path in PLUGIN.glob("*.js"):
        for name in re.findall(r'^import .*? from "([^"]+)";', path.read_text(encoding="utf-8"), re.MULTILINE):
            assert allowed.fullmatch(name), f"{path.name} imports {name}"
            assert not name.startswith("./") or (PLUGIN / name).is_file()
