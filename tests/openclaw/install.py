"""Put Node and OpenClaw into the project's own ignored folder: `python tests/openclaw/install.py .openclaw-test`. Nothing else is touched.

Run again, it does nothing. It needs `npm` (any Node from 20 on) and a package registry that npm can reach; about 750 MB of disk.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

OPENCLAW = "2026.9.6"
NODE = "24"
#: Seconds that one npm command may take.
PATIENCE_S = 600


class CannotInstall(Exception):
    """What is missing, and what to do about it."""


def stamp(folder: Path) -> Path:
    """Return the file that stands for a whole installation."""
    return folder / f".ready-{OPENCLAW}-node{NODE}"


def install(folder: Path) -> None:
    """Install both, unless they are there."""
    if stamp(folder).exists():
        return
    npm = shutil.which("npm")
    if npm is None:
        raise CannotInstall("make test-openclaw needs npm: install Node 20 or newer (it fetches its own Node 24 for OpenClaw)")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text('{"private": true}\n', encoding="utf-8")
    # Scripts of packages are not run: OpenClaw needs none for a headless gateway, and Node's own is run by hand below.
    quiet = ("--no-audit", "--no-fund", "--loglevel=error")
    _npm(npm, folder, "install", "--ignore-scripts", *quiet, f"openclaw@{OPENCLAW}", f"node@{NODE}")
    version = json.loads((folder / "node_modules" / "node" / "package.json").read_text(encoding="utf-8"))["version"]
    if not (folder / "node_modules" / "node" / "bin" / "node").exists():
        _run([_node(), "installArchSpecificPackage.js"], folder / "node_modules" / "node")
    sys.stdout.write(f"Node {version} and OpenClaw {OPENCLAW} are in {folder}\n")
    stamp(folder).touch()


def _npm(npm: str, folder: Path, *arguments: str) -> None:
    try:
        _run([npm, *arguments], folder)
    except subprocess.CalledProcessError as error:
        raise CannotInstall(
            f"npm could not fetch OpenClaw {OPENCLAW} (exit code {error.returncode}). Its registry must be reachable: "
            "npm ping, npm config get registry"
        ) from error


def _node() -> str:
    node = shutil.which("node")
    if node is None:
        raise CannotInstall("make test-openclaw needs node beside npm: install Node 20 or newer")
    return node


def _run(command: list[str], folder: Path) -> None:
    # The engines that packages ask for are Node 24's, which is fetched in the same step.
    environment = {**os.environ, "npm_config_engine_strict": "false", "npm_config_update_notifier": "false"}
    subprocess.run(command, cwd=folder, env=environment, check=True, timeout=PATIENCE_S, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    try:
        install(Path(sys.argv[1]))
    except (CannotInstall, subprocess.SubprocessError, OSError) as problem:
        sys.exit(f"OpenClaw is not installed: {problem}")
