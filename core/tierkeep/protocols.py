"""The seams: what a part must do to fill a slot of the pipelines.

Every protocol has one verb or few. A part is an ordinary object given to `Memory.open` or to a preset; there is no registry.
Stages are pure: they read a `View` and return values or `Op`s; only a `Ledger` writes (design, section 4).
What is deliberately left out: configuration (constructor arguments), async twins (derived at the front door), life-cycle
hooks (only a ledger is closed).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tierkeep.allowance import Allowance, Clock
from tierkeep.records import (
    Draft,
    Event,
    EventDraft,
    Evidence,
    ForgetReport,
    GuardEntry,
    Hit,
    Op,
    Plan,
    Query,
    Record,
    Revision,
    Risk,
    Scope,
    Step,
    TermPage,
    Verdict,
    VerifyReport,
)

__all__ = [
    "Agreement",
    "Answerer",
    "Appended",
    "ChatModel",
    "ChatReply",
    "ChatRequest",
    "Clock",
    "Composer",
    "Consensus",
    "Embedder",
    "Extractor",
    "Forgotten",
    "Gathered",
    "Guard",
    "Ledger",
    "LineCounter",
    "Near",
    "Policy",
    "QueryEmbedder",
    "Reconciler",
    "Reranker",
    "RiskSignal",
    "Router",
    "Segmenter",
    "Span",
    "Tier",
    "TokenCounter",
    "Transaction",
    "Validator",
    "VectorIndex",
    "VectorPage",
    "View",
]  # fmt: skip

# ------------------------------------------------------------------------------------------------------ ports


@runtime_checkable
class TokenCounter(Protocol):
    """Counts tokens of a text. `name` says how, so that a figure can be compared."""

    name: str

    def count(self, text: str) -> int:
        """Return the number of tokens of `text`. Never raises; never below the parts' sum by more than it merges."""
        ...


@runtime_checkable
class LineCounter(Protocol):
    """A `TokenCounter` that need not go through a whole text again when it has counted its lines."""

    def count_lines(self, lines: Sequence[str]) -> int:
        """Return exactly the count of the lines joined by line feeds.

        Args:
            lines: Any texts. What is usually known of each is its count with a line feed behind it.
        """
        ...


@runtime_checkable
class Embedder(Protocol):
    """Turns texts into vectors. `identity` and `dimension` may be plain attributes."""

    @property
    def identity(self) -> str:
        """Model, revision, dimension and normalisation in one string. Vectors of different identities never mix."""
        ...

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, shape (len(texts), dimension), finite, in input order; the same text gives the same row.

        Raises:
            ModelError: The model is down or replied with something that is not vectors.
        """
        ...


@runtime_checkable
class QueryEmbedder(Embedder, Protocol):
    """An embedder for which a question is not a text like any other (E5's and BGE's prefixes, instructed models)."""

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors of questions, to be compared with those of `embed`; shape and errors are those of `embed`."""
        ...


@runtime_checkable
class Reranker(Protocol):
    """Reads a question and a text together and says how relevant the text is: dearer than a search, and better.

    Attributes:
        name: What the trace and the doctor call it.
    """

    name: str

    def rerank(self, question: str, texts: Sequence[str], allowance: Allowance) -> NDArray[np.float32]:
        """Return relevances, shape (len(texts),), in input order, finite; higher is better, the scale is the reranker's own.

        Raises:
            ModelError: The model is down, took too long, or replied with something else. The search's own order then stands.
        """
        ...


class ChatRequest(NamedTuple):
    """What a model skill asks for.

    Attributes:
        skill: classify, extract, consolidate, select, rank, scan, answer or judge; for accounting.
        system: The stable prefix: duties and format. Never holds remembered text.
        user: The volatile tail: evidence as fenced data, then the question.
        schema: JSON schema of the reply, or None for free text.
        max_tokens: Ceiling on the reply.
        temperature: 0 unless the algorithm says otherwise.
        timeout_s: Seconds after which the model must give up; None leaves it to the model.
    """

    skill: str
    system: str
    user: str
    schema: Mapping[str, Any] | None = None
    max_tokens: int = 512
    temperature: float = 0.0
    timeout_s: float | None = None


class ChatReply(NamedTuple):
    """A model's reply: its text, the parsed object when a schema was given, and the tokens it cost.

    Attributes:
        text: As the model said it.
        data: The object that fits the request's schema.
        tokens_in: Tokens of the prompt.
        tokens_out: Tokens of the reply.
        stats: What a model that runs here says of its work, such as how full its cache was; the trace shows it (`SkillCall.stats`).
            None for most models.
    """

    text: str
    data: Mapping[str, Any] | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    stats: Mapping[str, float | int | str] | None = None


@runtime_checkable
class ChatModel(Protocol):
    """A language model. `name` goes into the trace."""

    name: str

    def complete(self, request: ChatRequest) -> ChatReply:
        """Return the reply. With a schema, `data` fits it.

        Raises:
            ModelReplyError: The reply does not fit the schema.
            ModelError: The model is down, refused, or took too long.
        """
        ...


class Near(NamedTuple):
    """How similar events are to a vector, by cosine; of an event with several parts that of the best one.

    Attributes:
        seqs: Places of the events, shape (events,), each once.
        similarities: Shape (events,), -1 to 1.
        complete: False when time ran out before all vectors were looked at.
        spread: Mean and standard deviation of the similarity over all of the scope's vectors, when only the best events are given; None
            when these are all that have vectors.
        backdrop: Similarities of texts that have nothing to do with it, shape (texts,): what stands out among few events cannot be told
            from those alone.
    """

    seqs: NDArray[np.int64]
    similarities: NDArray[np.float32]
    complete: bool = True
    spread: tuple[float, float] | None = None
    backdrop: NDArray[np.float32] = np.zeros(0, np.float32)


class VectorIndex(Protocol):
    """Finds the events of a scope whose vectors are most similar to one. Derived: rebuilt from the ledger's vectors whenever it lags.

    Attributes:
        name: What the doctor calls it.
    """

    name: str

    def near(self, view: View, identity: str, vector: NDArray[np.float32], allowance: Allowance) -> Near:
        """Return the events most similar to a vector, or all of them, as the ledger has them now.

        Args:
            view: The scope.
            identity: Only vectors of this embedder are compared.
            vector: Unit vector, shape (dimension,).
            allowance: For its deadline; past it, what was looked at so far.

        Raises:
            StorageError: The index cannot be reached. A search by words is still possible.
        """
        ...

    def level(self, view: View, identity: str, allowance: Allowance) -> bool:
        """Catch up with the ledger ahead of a question; return False when time ran out before it had. `near` does it where nobody did.

        Raises:
            StorageError: The index cannot be reached.
        """
        ...

    def forget(self, scope: Scope) -> None:
        """Let go at once of what it holds of a scope: the ledger has forgotten something of it. It is rebuilt when it is next asked."""
        ...

    def close(self) -> None:
        """Release what it holds. A second call does nothing."""
        ...


# --------------------------------------------------------------------------------------------------- the ledger


class VectorPage(NamedTuple):
    """Some events' vectors, in ledger order.

    Attributes:
        seqs: Places of the events, shape (events,), ascending.
        parts: How many vectors each has, shape (events,), at least 1: a long text has one for each of its parts.
        matrix: All of them, shape (sum of parts, dimension), unit vectors.
    """

    seqs: NDArray[np.int64]
    parts: NDArray[np.int64]
    matrix: NDArray[np.float32]


class Size(NamedTuple):
    """How much a scope holds: its events, and the characters of their texts together."""

    events: int = 0
    chars: int = 0


class Owner(NamedTuple):
    """Whose memory a store has, and how much of it."""

    scope: Scope
    size: Size


class View(Protocol):
    """Read-only window on one scope. Everything it returns belongs to `scope`; there is no way to ask for more.

    A view whose scope has a session still reads the whole partition where a method does not say otherwise: narrowing to the
    session is the reader's filter, because context and statistics come from the whole partition.
    """

    scope: Scope

    @property
    def generation(self) -> int:
        """A number that changes whenever something already read may have gone (forget, import)."""
        ...

    @property
    def last_seq(self) -> int:
        """The newest event's place in the ledger, 0 when there is none."""
        ...

    def size(self) -> Size:
        """Return how much the scope holds, without counting: the store keeps the figures in the transaction of every change."""
        ...

    def events(self, ids: Sequence[str]) -> list[Event]:
        """Return the events with these ids, in that order; unknown ids are left out."""
        ...

    def events_at(self, seqs: Sequence[int]) -> list[Event]:
        """Return the events at these places, in that order; unknown places are left out."""
        ...

    def scan(self, *, after_seq: int = 0, session: str | None = None, limit: int | None = None) -> Iterator[Event]:
        """Yield events in ledger order."""
        ...

    def newest(self, limit: int, *, session: str | None = None, before: int | None = None) -> list[Event]:
        """Return the last events in ledger order, the newest first, without going through the others.

        Args:
            limit: At most this many.
            session: Only those of this conversation.
            before: Only those before this place: of the last event of a page, to get the next one.
        """
        ...

    def sessions(self) -> list[tuple[str, int]]:
        """Return (session, number of events), in order of first event."""
        ...

    def term_pages(self, after_seq: int = 0) -> Iterator[TermPage]:
        """Yield what a lexical index needs of each event, in ledger order, in pages of columns (`TermPage.of` makes one of rows)."""
        ...

    def vectors(self, identity: str, after_seq: int = 0) -> Iterator[VectorPage]:
        """Yield the vectors that the embedder of this identity made of the scope's events, in ledger order, in pages of bounded size."""
        ...

    def embedded(self, identity: str) -> int:
        """Return the place up to which this embedder has been through the scope's events; 0 at first."""
        ...

    def records(
        self,
        *,
        kind: str | None = None,
        key: str | None = None,
        status: str | None = "active",
        source: str | None = None,
        prefix: str | None = None,
        limit: int | None = None,
    ) -> list[Record]:
        """Return records in order of creation, filtered.

        Args:
            kind: Of this kind.
            key: With this key.
            status: In this status; None for every status.
            source: Derived from this source.
            prefix: Whose key begins with this.
            limit: At most this many.
        """
        ...

    def get(self, ids: Sequence[str]) -> list[Record]:
        """Return the records with these ids, in that order, whatever their status; unknown ids are left out."""
        ...

    def changes(self, after: int = 0) -> tuple[int, list[str]]:
        """Return what changed among the records since a batch: for indexes that keep level with them.

        Args:
            after: Number of a batch that was returned before; 0 for everything.

        Returns:
            The number of the scope's newest batch (`after` when there is none newer), and the ids of the records that any newer one
            touched, each once; they may be gone since.
        """
        ...

    def cursor(self, name: str) -> int:
        """Return the place up to which deriver `name` has read this scope's events; 0 at first."""
        ...

    def quarantined(self) -> list[Event]:
        """Return the events that are quarantined, in ledger order."""
        ...

    def guard_log(self, after: int = 0) -> Iterator[GuardEntry]:
        """Yield the guard's entries about this scope whose number is greater than `after`, oldest first."""
        ...


class Appended(NamedTuple):
    """Result of appending one draft: the stored event, and whether it was there before."""

    event: Event
    duplicate: bool


class Transaction(Protocol):
    """One atomic change. Leaving its block commits; an exception inside leaves the store as it was.

    Attributes:
        view: A view that sees what this transaction has written.
    """

    view: View

    def append(self, drafts: Sequence[EventDraft]) -> list[Appended]:
        """Append events in order, giving each its id, place and position. A known id is not stored twice."""
        ...

    def apply(self, ops: Sequence[Op]) -> list[str]:
        """Apply ops in order with before-images for undo; return the ids of records that were added or changed.

        Raises:
            OpRefused: A record without sources, with a dangling source or with more authority than its sources; a missing
                target; a supersede or retract of a record that is not active; a field that may not be patched.
        """
        ...

    def cursor(self, name: str) -> int:
        """Return the place up to which deriver `name` has read this scope's events; 0 at first."""
        ...

    def advance(self, name: str, seq: int) -> None:
        """Remember that deriver `name` has read up to `seq`."""
        ...


    def put_vectors(self, identity: str, dimension: int, rows: Sequence[tuple[int, NDArray[np.float32]]], upto: int) -> int:
        """Store vectors of events, in place of those that the same embedder made before; return of how many events.

        An event that is gone, or another owner's, gets none: vectors are made outside of transactions, and a forget may come between.

        Args:
            identity: `Embedder.identity`.
            dimension: `Embedder.dimension`.
            rows: Places of events, and the vectors of each, shape (parts, dimension), at least one part.
            upto: Up to which event the embedder has now been through the scope; kept for `View.embedded`.

        Raises:
            InputError: The dimension is not the one that this embedder's vectors have here.
        """
        ...

    def drop_vectors(self, but: str) -> int:
        """Drop the scope's vectors that other embedders than `but` made, and how far they came; return of how many events."""
        ...

    def log(self, entries: Sequence[GuardEntry]) -> None:
        """Append to the guard's log and to the hash chain. `n` and `at` of the entries are given here.

        Raises:
            InputError: A subject, reason or name cannot be stored.
        """
        ...

    def release(self, event_id: str) -> Event:
        """Lift a quarantine: the event is DATA from now on, is found by its words again, and gets vectors. Return it.

        Raises:
            NotFoundError: The scope has no such event, or it is not quarantined.
        """
        ...

    def elevate(self, event_id: str) -> Event:
        """Give an event authority to act: its owner has confirmed it. Return it. Records that were derived from it stay what they are.

        Raises:
            NotFoundError: The scope has no such event, or it is quarantined.
        """
        ...

    def issue(self, token: bytes, subject: str, expires: float) -> None:
        """Keep a confirmation that was asked for.

        Args:
            token: SHA-256 of the token; the token itself is never stored.
            subject: What it confirms.
            expires: Seconds since 1970.
        """
        ...

    def redeem(self, token: bytes, subject: str, now: float) -> bool:
        """Use a confirmation up; return whether it was this scope's, for this subject, not used before and not expired.

        What does not fit is left as it is, so that a wrong guess uses up nothing. What has expired goes for good, so that a clock that is
        set back does not bring it back.
        """
        ...


class Forgotten(NamedTuple):
    """What a ledger's `forget` did: the report, and the survivors that must be derived again from what is left."""

    report: ForgetReport
    rederive: tuple[Record, ...]


class Ledger(Protocol):
    """The one place that writes. One conformance suite (`tierkeep.testing`) proves every implementation.

    Durability: when `transaction` is left without an exception, its changes survive the death of the process.
    """

    def view(self, scope: Scope) -> View:
        """Return a read-only window on the scope."""
        ...

    def transaction(self, scope: Scope) -> AbstractContextManager[Transaction]:
        """Begin an atomic change in the scope; waits for other writers."""
        ...

    def undo(self, scope: Scope) -> list[str]:
        """Take the scope's last batch of ops back from its before-images; return the ids of the records it touched.

        Events are immutable and are not undone. A batch whose text was forgotten since cannot be undone.

        Raises:
            NotFoundError: There is nothing to undo.
        """
        ...

    def history(self, scope: Scope, record_id: str) -> list[Revision]:
        """Return the record's revisions, oldest first.

        Raises:
            NotFoundError: This scope never had that record.
        """
        ...

    def forget(self, scope: Scope, event_ids: Sequence[str]) -> Forgotten:
        """Remove events and everything derived from them, then look for what is left of their rare terms.

        Closure over provenance (strategies spec, 3.4): a record whose sources are all gone dies; one that loses some is
        blanked, quarantined and returned for re-derivation. Links, journal images and cached rows of the dead go too.
        """
        ...

    def sweep(self, canaries: Iterable[str]) -> list[str]:
        """Return where any of these terms is still found, over every table and file of the store (strategies spec, 6.14)."""
        ...

    def verify(self) -> VerifyReport:
        """Check the hash chain, every digest, every provenance link and the file itself."""
        ...

    def export(self, scope: Scope) -> Iterator[dict[str, Any]]:
        """Yield the scope as JSON objects: a header, events, records, revisions. Importing them elsewhere loses nothing."""
        ...

    def restore(self, scope: Scope, rows: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
        """Write exported rows into the scope in one transaction; return (events, records) that were new.

        Raises:
            ImportFormatError: A row is not what `export` writes. Nothing is stored.
        """
        ...

    def owners(self) -> list[Owner]:
        """Return every owner that has something here, sorted by name, with what each holds."""
        ...

    def stats(self) -> Mapping[str, Any]:
        """Return counts and sizes for the doctor: events, records, scopes, bytes, schema version, journal mode."""
        ...

    def close(self) -> None:
        """Release the files. A second call does nothing."""
        ...


# ----------------------------------------------------------------------------------------------- write-side stages


class Span(NamedTuple):
    """A run of events that belong together, and why the segmenter cut there."""

    events: tuple[Event, ...]
    reason: str = ""


class Segmenter(Protocol):
    """Cuts new events into units for the extractor."""

    def segment(self, events: Sequence[Event], view: View, *, final: bool) -> list[Span]:
        """Return spans that cover a beginning of `events` in order, each event in exactly one.

        Where it cuts depends on the events alone and not on how many of them there are yet, so that the same conversation gives the
        same spans however it was handed over.

        Args:
            events: New events of one conversation, in order.
            view: The scope.
            final: True when the conversation is over: nothing may be left. Otherwise an unfinished end is left out, and comes again.
        """
        ...


class Extractor(Protocol):
    """Turns a span into draft records."""

    def extract(self, span: Span, view: View, allowance: Allowance) -> list[Record]:
        """Return drafts; each names its sources, and has no more authority than the least of them."""
        ...


class Reconciler(Protocol):
    """Decides what draft records mean for the records that exist (Memory-R1's and D-Mem's ADD, UPDATE, DELETE, NOOP)."""

    def reconcile(self, drafts: Sequence[Record], view: View, allowance: Allowance) -> list[Op]:
        """Return ops in the order in which they are to be applied."""
        ...

    def rebuild(self, view: View, allowance: Allowance) -> list[Op]:
        """Return ops that make the records what their remaining sources say: asked for when a forget has blanked some of them."""
        ...


class Guard(Protocol):
    """Decides what may be stored, and what stored things may reach a prompt."""

    def admit(self, draft: EventDraft, scope: Scope) -> EventDraft:
        """Return the draft as it may be stored: authority bound to its origin, never raised.

        Args:
            draft: What came in.
            scope: Whose memory it would go to.

        Raises:
            WriteRejected: It must not be stored at all.
        """
        ...

    def release(self, hits: Sequence[Hit], query: Query) -> list[Hit]:
        """Return the hits that may be shown for this query, in the same order."""
        ...


class RiskSignal(Protocol):
    """Says how a text stands to a rule base of harms and their benign neighbours (SafeHarbor). A signal, never a permission."""

    def assess(self, text: str, allowance: Allowance | None = None) -> Risk:
        """Return the risk of a text: a user's request, a candidate for the memory, or a tool call written out.

        Raises:
            ModelError: The embedder is down. Whoever asks then goes on without the signal, and says so.
        """
        ...


class Agreement(NamedTuple):
    """What a consensus made of retrieved memories.

    Attributes:
        kept: Hits that may be shown, in their order.
        dropped: (hit, divergence, reason code) of those that disagree with the others.
        abstained: True when too few independent origins were there to compare, or the comparison failed: then all are kept.
        note: What the trace should say of it; "" for nothing.
    """

    kept: list[Hit]
    dropped: tuple[tuple[Hit, float, str], ...] = ()
    abstained: bool = False
    note: str = ""


class Consensus(Protocol):
    """Compares what retrieved memories would make an agent do, and drops those that disagree with the rest (A-MemGuard).

    It never raises authority: agreement only keeps a memory as the data it is.

    Attributes:
        calls: Model calls that one `agree` makes at most; 0 without a model.
    """

    @property
    def calls(self) -> int:
        """See above; a plain attribute will do."""
        ...

    def agree(self, hits: Sequence[Hit], query: Query, view: View, allowance: Allowance) -> Agreement:
        """Return what may be shown. Never raises: when it cannot tell, it abstains."""
        ...

    def lessons(self, agreement: Agreement, query: Query, view: View) -> list[Op]:
        """Return ops that keep what was dropped as lessons; empty when nothing is to be learnt."""
        ...


# ------------------------------------------------------------------------------------------------ read-side stages


class Router(Protocol):
    """Classifies a question and makes the first plan (MemFlow's router agent)."""

    def route(self, query: Query, view: View, allowance: Allowance) -> Plan:
        """Return the first plan. Never fails: when unsure, targeted retrieval."""
        ...


class Gathered(NamedTuple):
    """What a tier found.

    Attributes:
        hits: Best first.
        confidence: How peaked their scores are (0 to 1, tiers spec 5.3.7).
        partial: True when a deadline cut the work short.
        note: What the trace should say of the way it was found, such as why the tier did less than its own work; "" for nothing.
    """

    hits: list[Hit]
    confidence: float = 0.0
    partial: bool = False
    note: str = ""


class Tier(Protocol):
    """One way to gather evidence.

    Attributes:
        name: What plans and traces call it.
        weight: Heavier tiers cost more; escalation never goes to a lighter one.
    """

    name: str
    weight: int

    def gather(self, query: Query, plan: Plan, view: View, allowance: Allowance) -> Gathered:
        """Return hits, best first. An empty list is an answer: there is nothing. Past the deadline, what was found so far."""
        ...


class Composer(Protocol):
    """Transforms hits for the intent and packs them into the budget."""

    def compose(self, query: Query, plan: Plan, gathered: Gathered, view: View) -> Evidence:
        """Return evidence whose rendered text never has more tokens than `plan.budget`."""
        ...


class Answerer(Protocol):
    """Answers from the evidence and from nothing else."""

    def answer(self, query: Query, plan: Plan, evidence: Evidence, allowance: Allowance, carry: str = "") -> Draft:
        """Return a draft. `carry` is the previous attempt's answer, for policies that build on it."""
        ...


class Validator(Protocol):
    """Checks a draft against its evidence."""

    def validate(self, query: Query, plan: Plan, evidence: Evidence, draft: Draft, allowance: Allowance) -> Verdict:
        """Return the verdict."""
        ...


class Policy(Protocol):
    """Decides whether and how to try again. Returning None ends the loop; a (tier, search text) pair is never repeated."""

    def next(self, query: Query, steps: Sequence[Step]) -> Plan | None:
        """Return the next plan, or None when the best step so far is the answer."""
        ...
