"""A real Chroma server on a port of this machine, for tests that kill it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path


class ChromaServer:
    """`chroma run` in a folder, on a port that stays the same over restarts.

    Args:
        folder: Its data. The log lies beside it.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers. It checkpoints its own log whenever it likes, so a kill meets it anywhere."""
        command = [str(Path(sys.executable).with_name("chroma")), "run", "--path", str(self.folder), "--host", "127.0.0.1"]
        # It logs every request; a pipe that nobody reads would fill up and stop it.
        with (self.folder.parent / "server.log").open("ab") as log:
            self.process = subprocess.Popen([*command, "--port", str(self.port)], stdout=log, stderr=log, cwd=self.folder.parent)
        for _ in range(1_200):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v2/heartbeat", timeout=5):
                    return
            except OSError:
                assert self.process.poll() is None, (self.folder.parent / "server.log").read_text()
                time.sleep(0.02)
        raise AssertionError("the server did not start")

    def kill(self) -> None:
        """End it as a crash or the kernel does: nothing is flushed, nobody is told."""
        self.process.kill()
        self.process.wait(30)

    def stop(self) -> None:
        """End it politely, also when it stands still."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(30)
