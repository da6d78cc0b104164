"""A virtual environment for each requirements file, made once, in a folder that git ignores. pip's own settings say where packages are."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import tierkeep

HERE = Path(__file__).parent
_VERSIONS = """
import importlib.metadata, json, platform, sys
def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
print(json.dumps({name: version(name) for name in sys.argv[1:]} | {"python": platform.python_version()}))
"""


def interpreter(name: str, folder: Path) -> tuple[Path | None, str]:
    """Return the interpreter of an environment, which is made when it is missing or its requirements have changed, and "" or why not.

    Args:
        name: Of the requirements file; "" for this interpreter.
        folder: Where the environments are.
    """
    if not name:
        return Path(sys.executable), ""
    wanted = HERE / "requirements" / f"{name}.txt"
    place = folder / "env" / name
    python, stamp = place / "bin" / "python", place / ".installed"
    digest = hashlib.sha256(wanted.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return python, ""
    print(f"installing {wanted.name} …", file=sys.stderr, flush=True)
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(place)],
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(wanted)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("WARNING")]
            return None, f"not installed: {said[-1][:200] if said else f'pip ended with {done.returncode}'}"
    stamp.write_text(digest)
    return python, ""


def installed(package: str) -> bool:
    """Return whether a distribution is installed in this environment."""
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def versions(python: Path, packages: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of distributions in an environment, and of its Python; tierkeep's is that of its code."""
    done = subprocess.run([str(python), "-c", _VERSIONS, *packages], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found | ({"tierkeep": tierkeep.__version__} if "tierkeep" in packages else {})
