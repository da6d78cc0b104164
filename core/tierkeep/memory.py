"""The front door: `Memory.open(...).scope(user=...)` and its verbs. The one place that wires parts together."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from tierkeep.clock import ForwardClock, SystemClock
from tierkeep.errors import InputError, MissingExtraError, ModelError, ScopeError, SettingsError, StorageError
from tierkeep.operating import Operations
from tierkeep.protocols import ChatModel, Clock, Consensus, Embedder, Guard, Ledger, Reranker, TokenCounter, VectorIndex
from tierkeep.questions import check_views
from tierkeep.records import (
    GuardEntry,
    Scope,
    Spent,
    VerifyReport,
)
from tierkeep.scoped import ScopedMemory
from tierkeep.settings import Settings
from tierkeep.tokens import best_counter
from tierkeep.twins import twin

# The parts are imported when a memory is opened: `import tierkeep` in an application that may never open one stays cheap.
if TYPE_CHECKING:
    from tierkeep.deriving import Derive
    from tierkeep.guard.lessons import Lessons
    from tierkeep.ledger.seal import Seal
    from tierkeep.models.checked import CheckedEmbedder
    from tierkeep.presets import Builder
    from tierkeep.skills import Skills
    from tierkeep.telemetry import Telemetry

_LOG = logging.getLogger(__name__)
#: What the parts must have (`tierkeep.protocols`): verbs, texts, and an object that has them.
_PARTS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "clock": (("now", "monotonic"), (), "tierkeep.clock.SystemClock()"),
    "counter": (("count",), ("name",), "tierkeep.tokens.EstimateCounter()"),
    "guard": (("admit", "release"), (), "tierkeep.guard.chain.DefaultGuard()"),
    "chat": (("complete",), ("name",), "tierkeep.models.openai.OpenAIChat('…')"),
    "reranker": (("rerank",), ("name",), "tierkeep.models.cross_encoder.CrossEncoderReranker('…')"),
    "sifter": (("complete",), ("name",), "tierkeep.models.openai.OpenAIChat('…')"),
    "vectors": (("near", "level", "forget", "close"), ("name",), "tierkeep.ledger.chroma.ChromaVectors('./chroma')"),
    "embedder": (("embed",), ("identity",), "tierkeep.models.minilm.MiniLMEmbedder()"),
    "telemetry": (("operation",), (), "tierkeep.telemetry.OpenTelemetry()"),
}


class Memory(Operations):
    """An open memory. It has no verbs of its own: `scope()` names the owner and returns the object that has them.

    Example:
        >>> from tierkeep import Memory
        >>> with Memory.open(":memory:") as memory:
        ...     ana = memory.scope(user="ana")
        ...     receipt = ana.add("I moved to Lisbon in May.", at="2026-05-02")
        ...     print(ana.ask("Where do I live now?").evidence.items[0].text)
        user lives in Lisbon (since 2026-05)
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        settings: Settings,
        preset: str | Builder,
        clock: Clock,
        counter: TokenCounter,
        guard: Guard | None,
        chat: ChatModel | None,
        embedder: Embedder | None = None,
        vectors: VectorIndex | None = None,
        reranker: Reranker | None = None,
        sifter: ChatModel | None = None,
        consensus: Literal["rules", "model"] | Consensus | None = None,
        derive: Derive | None = None,
        telemetry: Sequence[Telemetry] = (),
    ) -> None:
        """Wire the parts. Most callers want `Memory.open`."""
        from tierkeep.accounts import Accounts
        from tierkeep.deriving import Deriving
        from tierkeep.guard.authority import origin_of
        from tierkeep.guard.chain import DefaultGuard
        from tierkeep.guard.lessons import Lessons
        from tierkeep.indexing import Indexing
        from tierkeep.intake import Reader
        from tierkeep.keeping import Keeping
        from tierkeep.presets import Parts, build
        from tierkeep.retrieve.containing import Containing
        from tierkeep.retrieve.indexes import ScopeIndexes
        from tierkeep.retrieve.items import ItemShelf
        from tierkeep.retrieve.shelf import Room
        from tierkeep.retrieve.vectors import ExactVectors
        from tierkeep.skills import Skills

        self._ledger = ledger
        self._telemetry = tuple(telemetry)
        self._settings = settings
        self._clock = clock
        self._counter = counter
        self._skills = None if chat is None else Skills(chat, counter, clock)
        self._embedder = embedder = None if embedder is None else _reliable(embedder, settings)
        self._vectors = vectors
        self._guard = guard = DefaultGuard(settings, clock, flagged=self._flagged) if guard is None else guard
        self._keeping = Keeping(settings.retention, clock)
        self._reranker = reranker
        sifting = None if sifter is None else Skills(sifter, counter, clock)
        self._containing = Containing(indexes := ScopeIndexes(room := Room(settings.index_bytes)))
        self._lessons = Lessons(settings.amemguard, embedder)
        comparing = _consensus(consensus, settings, self._skills, self._lessons)
        near = ExactVectors(settings.embedding.index_bytes) if vectors is None and embedder is not None else vectors
        self._items = ItemShelf(settings, embedder, near, room)
        kept = self._keeping.guarding(guard, ledger)
        self._parts = parts = Parts(settings, counter, kept, self._skills, embedder, near, reranker, sifting, indexes, room, comparing)
        self._preset = self._keeping.into(build(preset, parts))
        self._reader = Reader(settings, ForwardClock(clock), origin_of)
        self._accounts = Accounts()
        when: Derive = derive or ("with_write" if chat is None else "background")
        self._deriving = Deriving(ledger, self._preset.write, clock, self._accounts, when)
        later = derive or "background"
        self._indexing = None if embedder is None else Indexing(ledger, embedder, settings.embedding, clock, later, vectors)

    def _flagged(self, scope: Scope, entry: GuardEntry) -> None:
        """Keep what a read check has found. The question goes on where that cannot be written."""
        try:
            with self._ledger.transaction(scope.model_copy(update={"session": None})) as transaction:
                transaction.log([entry])
        except StorageError as error:
            _LOG.warning("what the guard holds back could not be logged: %s", type(error).__name__)

    @classmethod
    def open(
        cls,
        where: str | Path | Ledger,
        *,
        preset: str | Builder = "auto",
        chat: ChatModel | None = None,
        embedder: Embedder | None = None,
        vectors: VectorIndex | None = None,
        reranker: Reranker | None = None,
        sifter: ChatModel | None = None,
        settings: Settings | None = None,
        durability: Literal["normal", "full"] = "normal",
        clock: Clock | None = None,
        counter: TokenCounter | None = None,
        guard: Guard | None = None,
        consensus: Literal["rules", "model"] | Consensus | None = None,
        derive: Derive | None = None,
        seal: Seal | None = None,
        telemetry: Telemetry | Sequence[Telemetry] = (),
    ) -> Memory:
        """Open a memory, and create it when there is none.

        Args:
            where: A folder or a file (embedded store), ":memory:", "postgresql://…" (many machines), or a ledger of your own.
            preset: Name of a preset, or a function that builds one.
            chat: A language model to route, answer and judge; without one the deterministic rules do.
            embedder: Turns texts into vectors, so that what is said in other words is found too; without one, search is by words.
            vectors: Where vectors are searched, such as chromadb; exactly and in memory otherwise. Needs an embedder.
            reranker: Reads the best hits again, such as a cross-encoder (presets `auto` and `memflow`).
            sifter: A small chat model that ranks conversations before anything of them is read (MemSifter; the same presets).
            settings: Numbers to change; the defaults otherwise.
            durability: "normal" survives the death of the process; "full" also a power cut, with an fsync for each write. A PostgreSQL
                server has a setting of its own for it (`synchronous_commit`).
            clock: Where time comes from; the machine's clock otherwise.
            counter: How tokens are counted; the best that is installed otherwise.
            guard: What may be stored and recalled; the default guard otherwise.
            consensus: Compares what was retrieved, and holds back what disagrees (A-MemGuard): by "rules", by the chat "model" in two calls
                a read, or an object of your own. Off otherwise.
            derive: When vectors are made, and when presets with records of their own (hymem, dmem) derive them: "with_write", on a thread
                in the "background", or only "on_request" with `maintain`. Otherwise vectors in the background; records there with a chat
                model, and with the write without one.
            seal: Key of an embedded store that notices every change made without it (`tierkeep.ledger.Seal`).
            telemetry: Who is told of every operation, without content: `OpenTelemetry()` and `OperationLog()` of `tierkeep.telemetry`.

        Raises:
            SettingsError: No such preset, durability or kind of store, or an object that cannot do the work of the part it is given for.
            StorageError: The store cannot be opened; the message says why and what to do.
        """
        if durability not in ("normal", "full"):
            raise SettingsError(f"durability must be 'normal' or 'full', not {durability!r}")
        if derive not in (None, "with_write", "background", "on_request"):
            raise SettingsError(f"derive must be 'with_write', 'background' or 'on_request', not {derive!r}")
        parts: dict[str, object] = {
            "clock": clock, "counter": counter, "guard": guard, "chat": chat, "embedder": embedder, "vectors": vectors,
            "reranker": reranker, "sifter": sifter,
        }
        _check_parts(preset, settings, parts)
        listeners = tuple(telemetry) if isinstance(telemetry, Sequence) else (telemetry,)
        for listener in listeners:
            _check_parts(preset, settings, {"telemetry": listener})
        _check_consensus(consensus, chat)
        if vectors is not None and embedder is None:
            raise SettingsError("vectors= says where vectors are searched, and embedder= is missing, which makes them")
        clock = SystemClock() if clock is None else clock
        if seal is not None and not isinstance(where, (str, Path)):
            raise SettingsError("seal= is for a store that is opened here; give it to the ledger that you hand over")
        ledger = _opened(where, clock, durability, seal) if isinstance(where, (str, Path)) else where
        if not callable(getattr(ledger, "transaction", None)):
            raise SettingsError("name a folder or a file to open, or ':memory:' for a memory that is not kept, or hand over a ledger")
        if ledger is where:
            check_views(ledger.view(Scope(user="nobody")))
        return cls(
            ledger,
            settings=Settings() if settings is None else settings,
            preset=preset,
            clock=clock,
            counter=best_counter() if counter is None else counter,
            guard=guard,
            chat=chat,
            embedder=embedder,
            vectors=vectors,
            reranker=reranker,
            sifter=sifter,
            consensus=consensus,
            derive=derive,
            telemetry=listeners,
        )

    def scope(self, *, tenant: str = "", user: str = "", agent: str = "", session: str | None = None) -> ScopedMemory:
        """Return the memory of one owner.

        Raises:
            ScopeError: Neither tenant, user nor agent is given, or one of them cannot be used.
        """
        from tierkeep.intake import check_name

        limit = self._settings.limits.name_chars
        for field, value in (("tenant", tenant), ("user", user), ("agent", agent), ("session", session)):
            if value is None or (value == "" and field != "session"):
                continue
            try:
                check_name(value, field, limit)
            except InputError as error:
                raise ScopeError(str(error), field=field) from error
        if not (tenant or user or agent):
            raise ScopeError("say whose memory it is: scope(user=…), scope(agent=…) or scope(tenant=…); there is no unscoped read or write")
        return ScopedMemory(self, Scope(tenant=tenant, user=user, agent=agent, session=session))

    def verify(self) -> VerifyReport:
        """Check the ledger's hash chain, every digest, every provenance link and the file itself."""
        return self._ledger.verify()

    def spent(self) -> Spent:
        """Return what this memory has cost in model calls since it was opened, split by reading and writing and by skill."""
        return self._accounts.spent()

    def settle(self, timeout_s: float | None = None) -> bool:
        """Wait until the background has derived records and made vectors of all that was added; return whether it did in time."""
        began = self._clock.monotonic()
        derived = self._deriving.wait(timeout_s)
        if self._indexing is None:
            return derived
        left = None if timeout_s is None else max(0.0, timeout_s - (self._clock.monotonic() - began))
        return self._indexing.wait(left) and derived

    def stats(self) -> Mapping[str, Any]:
        """Return counts and sizes of the store, and what has failed behind it since it was opened (`failures`); no content."""
        failures: dict[str, int | str] = {"derive": self._deriving.failed}
        if self._embedder is not None and self._indexing is not None:
            failures |= {"index": self._indexing.failed, "index_refused": self._indexing.refused}
            failures |= {"embedder": self._embedder.failed, "embedder_last": self._embedder.last_failure}
        return {**self._ledger.stats(), "failures": failures}

    def held(self) -> dict[str, int]:
        """Return the bytes of indexes in this process: "words" (`Settings.index_bytes` bounds it), "vectors" (`embedding.index_bytes`)."""
        words, vectors = self._parts.room, getattr(self._parts.vectors, "nbytes", None)
        return {"words": 0 if words is None else words.nbytes(), "vectors": int(vectors()) if callable(vectors) else 0}

    def describe(self) -> dict[str, str]:
        """Return what is active: preset, store, tokenizer, embedder, chat model."""
        return {
            "preset": self._preset.name, "store": type(self._ledger).__name__, "tokenizer": self._counter.name,
            "embedder": self._embedder_name(),
            "vectors": "none" if self._embedder is None else self._vectors.name if self._vectors else "exact",
            "reranker": self._reranker.name if self._reranker else "none",
            "chat": self._skills.name if self._skills else "none", "consensus": self._compares(),
            "settings_sha256": self._settings.sha256(),
        }

    def _embedder_name(self) -> str:
        try:
            return self._embedder.identity if self._embedder else "none"
        except ModelError as error:
            return f"not known, because it failed ({type(error).__name__})"

    def _compares(self) -> str:
        consensus = self._preset.read.consensus
        return "none" if consensus is None else str(getattr(consensus, "name", type(consensus).__name__))

    def close(self) -> None:
        """Release the files. A second call does nothing. What the background has not come to is done after the next opening."""
        self._deriving.close()
        if self._indexing is not None:
            self._indexing.close()
        if self._vectors is not None:
            self._vectors.close()
        self._ledger.close()

    asettle = twin(settle)
    averify = twin(verify)
    aclose = twin(close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()


def _check_parts(preset: object, settings: object, parts: Mapping[str, object]) -> None:
    """Refuse what cannot work when the memory is opened, rather than in the middle of a read."""
    from tierkeep.presets import PRESETS

    if not (preset in PRESETS if isinstance(preset, str) else callable(preset)):
        given = repr(preset) if isinstance(preset, str) else _kind(preset)
        raise SettingsError(f"preset must be one of {', '.join(sorted(PRESETS))}, or a function that builds a preset, not {given}")
    if settings is not None and not isinstance(settings, Settings):
        raise SettingsError(f"settings must be a Settings object, such as Settings(timezone='Europe/Lisbon'), not {_kind(settings)}")
    for argument, part in parts.items():
        verbs, attributes, example = _PARTS[argument]
        works = all(callable(getattr(part, verb, None)) for verb in verbs)
        fits = works and all(_has_text(part, name) for name in attributes)
        if part is not None and (isinstance(part, type) or not fits):
            wanted = " and ".join([*(f"{verb}()" for verb in verbs), *(f"a {name} (text)" for name in attributes)])
            raise SettingsError(f"{argument} must be an object with {wanted}, such as {example}, not {_kind(part)}")


def _reliable(embedder: Embedder, settings: Settings) -> CheckedEmbedder:
    from tierkeep.guard.redaction import redacting
    from tierkeep.models.checked import checked

    return checked(redacting(embedder, settings.redaction))


def _has_text(part: object, name: str) -> bool:
    # A property is not looked at: an embedder may have to ask its server, which may be down while the memory is needed.
    return isinstance(getattr(type(part), name, None), property) or isinstance(getattr(part, name, None), str)


def _check_consensus(consensus: object, chat: ChatModel | None) -> None:
    if consensus == "model" and chat is None:
        raise SettingsError("consensus='model' asks the chat model, and chat= is missing: give one, or take consensus='rules'")
    works = all(callable(getattr(consensus, verb, None)) for verb in ("agree", "lessons"))
    works = works and isinstance(getattr(consensus, "calls", None), int)
    if consensus not in (None, "rules", "model") and (isinstance(consensus, type) or not works):
        given = repr(consensus) if isinstance(consensus, str) else _kind(consensus)
        raise SettingsError(f"consensus must be 'rules', 'model', or an object with agree(), lessons() and calls (a number), not {given}")


def _consensus(
    consensus: Literal["rules", "model"] | Consensus | None, settings: Settings, skills: Skills | None, lessons: Lessons
) -> Consensus | None:
    if not isinstance(consensus, str):
        return consensus
    from tierkeep.guard.amemguard.backends import LlmBackend, RulesBackend
    from tierkeep.guard.amemguard.consensus import AMemGuard

    if consensus == "model" and skills is not None:
        return AMemGuard(LlmBackend(skills, settings.amemguard), settings.amemguard, lessons)
    return AMemGuard(RulesBackend(settings.amemguard), settings.amemguard, lessons)


def _kind(value: object) -> str:
    return f"the class {value.__name__}: make an object of it" if isinstance(value, type) else f"an object of type {type(value).__name__}"


def _opened(where: str | Path, clock: Clock, durability: Literal["normal", "full"], seal: Seal | None) -> Ledger:
    from tierkeep.ledger.seal import Seal
    from tierkeep.ledger.sqlite import SqliteLedger

    if seal is not None and not isinstance(seal, Seal):
        raise SettingsError(f"seal must be a key, such as tierkeep.ledger.Seal.from_env(), not {_kind(seal)}")

    if not str(where).strip():
        raise SettingsError("name a folder or a file to open, or ':memory:' for a memory that is not kept")
    kind, is_address, _ = str(where).partition("://")
    if kind in ("postgresql", "postgres") and is_address:
        if importlib.util.find_spec("psycopg") is None or importlib.util.find_spec("psycopg_pool") is None:
            raise MissingExtraError("A store in PostgreSQL", extra="postgres")
        from tierkeep.ledger.postgres.ledger import PostgresLedger

        if seal is not None:
            raise SettingsError("seal= is for a store in a file; guard a PostgreSQL store by its roles, as docs/guides/postgresql.md says")
        return PostgresLedger(str(where), clock=clock)
    if is_address:
        raise SettingsError(f"a memory is in a folder, a file, ':memory:' or at postgresql://…, not at {kind!r} addresses")
    return SqliteLedger(where, clock=clock, durability=durability, seal=seal)
