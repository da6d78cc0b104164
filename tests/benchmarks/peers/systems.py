"""Who is measured: each system, its environment, and what a finished write of it has survived."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class System:
    """One row of the benchmark, or several where it can be asked in several ways.

    Attributes:
        name: What `--systems` and the table call it.
        adapter: "module:Class" below `peers.adapters`.
        env: Its requirements file; "" for the environment that runs the benchmark, which has tierkeep.
        imports: What a program that uses it imports.
        packages: Distributions whose versions are reported.
        options: Of the adapter.
        asked: Whether it is asked as well; False where it only differs in how it writes.
        ranks: Whether it takes part in the evidence recall.
        about: What the row is.
    """

    name: str
    adapter: str
    env: str
    imports: str
    packages: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)
    asked: bool = True
    ranks: bool = False
    about: str = ""


_OURS = ("tierkeep", "numpy")
_MEM0 = ("mem0ai", "qdrant-client")
SYSTEMS: tuple[System, ...] = (
    System("tierkeep", "tierkeep:Tierkeep", "", "tierkeep", _OURS,
           about="as it comes: `durability=\"normal\"`, vectors in the background"),
    System("tierkeep, with_write", "tierkeep:Tierkeep", "", "tierkeep", _OURS, {"derive": "with_write"}, asked=False,
           about="each `add` returns when its vector is stored too, as with the peers"),
    System("tierkeep, full", "tierkeep:Tierkeep", "", "tierkeep", _OURS, {"durability": "full"}, asked=False,
           about="`durability=\"full\"`: an fsync for each write"),
    System("tierkeep, full, with_write", "tierkeep:Tierkeep", "", "tierkeep", _OURS, {"durability": "full", "derive": "with_write"},
           asked=False, about="both: an fsync for the memory and one for its vector, before `add` returns"),
    System("tierkeep, items", "tierkeep:Items", "", "tierkeep", _OURS,
           about="its key-value items with a search of `limit=10`, by words and vectors; its LangGraph store is made of them"),
    System("mem0, qdrant", "mem0:Mem0", "mem0", "mem0", _MEM0, {"store": "qdrant"}, ranks=True,
           about="mem0 on its default store, qdrant in the process; `infer=False`"),
    System("mem0, chromadb", "mem0:Mem0", "mem0", "mem0", ("mem0ai", "chromadb"), {"store": "chroma"},
           about="mem0 on chromadb; `infer=False`"),
    System("chromadb, filter", "chroma:Chroma", "chroma", "chromadb", ("chromadb",), ranks=True,
           about="one collection, a filter on the owner"),
    System("chromadb, collections", "chroma:Chroma", "chroma", "chromadb", ("chromadb",), {"per_scope": True},
           about="one collection for each owner"),
    System("LangGraph SqliteStore", "langgraph:SqliteStore", "langgraph", "langgraph.store.sqlite",
           ("langgraph-checkpoint-sqlite", "langgraph-checkpoint", "sqlite-vec", "pysqlite3"), ranks=True,
           about="the store with an index (sqlite-vec)"),
    System("langmem tools", "langgraph:Langmem", "langgraph", "langmem", ("langmem", "langgraph-checkpoint-sqlite"),
           about="langmem's two tools on that store"),
    System("LlamaIndex simple", "llamaindex:Simple", "llamaindex", "llama_index.core", ("llama-index-core",),
           about="SimpleVectorStore, persisted after each single add"),
    System("LlamaIndex block", "llamaindex:Block", "llamaindex", "llama_index.core.memory, chromadb",
           ("llama-index-core", "llama-index-vector-stores-chroma", "chromadb"), about="VectorMemoryBlock on chromadb"),
)  # fmt: skip


def chosen(names: Sequence[str]) -> list[System]:
    """Return the systems whose names begin with one of these; all of them for none.

    Raises:
        ValueError: A name is nobody's.
    """
    for name in names:
        if not any(system.name.casefold().startswith(name.casefold()) for system in SYSTEMS):
            raise ValueError(f"there is no system {name!r}; there are: {'; '.join(system.name for system in SYSTEMS)}")
    return [one for one in SYSTEMS if not names or any(one.name.casefold().startswith(name.casefold()) for name in names)]
