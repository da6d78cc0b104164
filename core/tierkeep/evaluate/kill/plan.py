"""Which paths there are, and an order of trials carried out one after the other."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from tierkeep.evaluate.kill import paths_adding as adding
from tierkeep.evaluate.kill import paths_chroma as chroma
from tierkeep.evaluate.kill import paths_moving as moving
from tierkeep.evaluate.kill import paths_removing as removing
from tierkeep.evaluate.kill.paths import WritePath
from tierkeep.evaluate.kill.server import Server
from tierkeep.evaluate.kill.stores import Folders, Schemas, Stores
from tierkeep.evaluate.kill.trials import FAULTS, Row, Trials

__all__ = ["FAULTS", "PATHS", "Order", "carried_out", "split"]

_ALL: tuple[type[WritePath], ...] = (
    adding.Single, adding.Batch, adding.Extract, adding.HyMem, adding.DMem, adding.Maintain, adding.WithVectors, adding.Reindex,
    removing.Forget, removing.ItemWrites, removing.Quarantine, removing.Confirm, removing.Undo, removing.Erase,
    adding.Import, moving.Migrate, moving.Backup, moving.PutBack, moving.Upgrade,
)  # fmt: skip
PATHS: dict[str, type[WritePath]] = {path.name: path for path in _ALL}
if find_spec("chromadb"):
    PATHS[chroma.Chroma.name] = chroma.Chroma
#: Every so many of a server's trials kills the server in place of the client, where the server is ours.
_SERVER_SHARE = 5


class Order(NamedTuple):
    """What is to be tried.

    Attributes:
        trials: How many in all; each path of each store gets its share.
        seed: Decides the moments.
        folder: For stores in files, and for what paths keep beside others.
        paths: Names of paths.
        stores: "sqlite", "postgres" (a server of our own), or an address.
    """

    trials: int
    seed: int
    folder: Path
    paths: tuple[str, ...]
    stores: tuple[str, ...]


def carried_out(order: Order, told: Callable[[int, str], None]) -> Iterator[Row]:
    """Yield what came of each path in each store.

    Args:
        order: What to do.
        told: Is told how many trials are done, and of which path the last one was.

    Raises:
        SettingsError: There is no server.
        RuntimeError: A path fails without being killed.
    """
    pairs = [(store, PATHS[name]) for store in order.stores for name in order.paths if store == "sqlite" or PATHS[name].postgres]
    shares = split(order.trials, len(pairs))
    server = Server() if "postgres" in order.stores else None
    done = 0
    try:
        for place, ((store, kind), share) in enumerate(zip(pairs, shares, strict=True)):
            folder = order.folder / f"{place}"
            folder.mkdir()
            address = server.url if server is not None and store == "postgres" else store
            stores: Stores = Folders(folder) if store == "sqlite" else Schemas(address, folder)
            moments = random.Random(f"{order.seed}/{store}/{kind.name}")  # noqa: S311 - reproducible moments, not secrets
            killing = share // _SERVER_SHARE if store == "postgres" else 0
            for count, target in ((share - killing, None), (killing, server)):
                if count:
                    begun = done

                    def tick(name: str = kind.name) -> None:
                        nonlocal done
                        done += 1
                        told(done, name)

                    try:
                        yield Trials(kind(), stores, moments, target).run(count, tick)
                    except RuntimeError as error:
                        raise RuntimeError(f"{kind.name}: {error}") from error
                    done = begun + count
    finally:
        if server is not None:
            server.close()


def split(total: int, parts: int) -> list[int]:
    """Return shares of a total that differ by one at most, and are one at least."""
    each, more = divmod(total, max(1, parts))
    return [max(1, each + (place < more)) for place in range(parts)]
