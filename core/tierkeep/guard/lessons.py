"""Lessons: what was held back is kept as a record, and shown before a similar action (A-MemGuard's second memory; guard spec 3.3, 3.10.3).

A lesson says in our own words what kind of action a memory would have led to; nothing of the memory's text is in it, its values are
hashes. It is data like every record: it belongs to one scope, rests on the events that were held back, and goes when they are
forgotten. No tier recalls it and no prompt shows it. The gate on tool calls asks for it (`Lessons.consult`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tierkeep.errors import ModelError
from tierkeep.guard.amemguard.claims import Claims, claims_of, hashed, read
from tierkeep.protocols import Agreement, Embedder, View
from tierkeep.records import Authority, Event, Hit, Op, Origin, Query, Record, Scope
from tierkeep.settings import AMemGuardSettings

__all__ = ["LEARNT_FROM", "LESSON", "Lessons", "nearest_actions"]

LESSON = "lesson"
#: Reasons that teach something about an action. A memory that is merely alone in what it says is no lesson.
LEARNT_FROM = {
    "external_recipient": "it hands something to an address that no other origin names",
    "disabled_control": "it leaves out a safeguard that no other origin leaves out",
    "destructive": "it removes everything, which no other origin does",
    "unsafe": "it was judged unsafe beside what the other origins say",
}
_BY = "a-memguard"
#: Words of a lesson at most (guard spec 3.5).
_WORDS = 40


class Lessons:
    """The lessons of every scope of one memory. It writes nothing: it returns ops. Several threads may use one.

    Args:
        settings: Numbers.
        embedder: Compares actions by meaning; by their slots otherwise.
    """

    def __init__(self, settings: AMemGuardSettings, embedder: Embedder | None = None) -> None:
        self._settings = settings
        self._embedder = embedder

    def learn(self, agreement: Agreement, query: Query, view: View) -> list[Op]:
        """Return what an agreement teaches: lessons that are new or seen again, those that it speaks against, and what is to go.

        Args:
            agreement: What was kept and held back for the question.
            query: The question; its session, or its day, is where the lesson was seen.
            view: The scope.
        """
        if agreement.abstained or not agreement.kept:
            return []
        stored, moment = view.records(kind=LESSON, status=None), _time(query.now)
        # A forget blanks a lesson that loses one of several sources; nobody derives it again.
        ended = [one for one in stored if one.status == "quarantined" or _time(str(one.attrs.get("expires_at", ""))) <= moment]
        held = [one for one in stored if one not in ended]
        ops: list[Op] = []
        for hit, _, reason in agreement.dropped:
            if reason in LEARNT_FROM:
                ops += self._seen(hit, reason, query, held, ops, view)
        ops += self._contradicted(agreement.kept, held, _session(query), {op.target for op in ops})
        return [*(_deleted(one, "expired") for one in ended), *ops, *self._over_the_cap(held, ops)]

    def consult(self, action_text: str, view: View, now: str) -> tuple[Record, ...]:
        """Return the lessons that speak of an action like this one, the nearest first; call it before acting.

        They are a reason to ask the user, never one to act, and are not to be put into a prompt as instructions.

        Args:
            action_text: The action in words, or the tool call as JSON.
            view: The scope.
            now: ISO time; a lesson that has expired by then is none.
        """
        claims = read(action_text[: self._settings.read_chars])
        if not claims.acts:
            return ()
        moment = _time(now)
        known = {
            record.key: record
            for record in view.records(kind=LESSON)
            if record.attrs.get("state") == "active" and _time(str(record.attrs.get("expires_at", ""))) > moment
        }
        return tuple(self._nearest(claims, list(known.values())))

    def review(self, record_id: str, view: View, *, accept: bool) -> list[Op]:
        """Return ops by which a person makes a lesson count at once, or retires it."""
        return [
            _patch(record, {"state": "active" if accept else "retired"}, "reviewed")
            for record in view.get([record_id]) if record.kind == LESSON and record.status == "active"
        ]  # fmt: skip

    # ------------------------------------------------------------------------------------------------------ learning

    def _seen(self, hit: Hit, reason: str, query: Query, held: Sequence[Record], ops: Sequence[Op], view: View) -> list[Op]:
        """Return ops for one held-back memory: lessons about the same action are seen again, and it gets its own when it has none."""
        claims = claims_of(hit.item, self._settings.read_chars)
        if not claims.acts:
            return []
        key, seen = _key(claims), _session(query)
        alike = [record for record in held if record.key == key and record.status == "active"]
        done = {op.target for op in ops}
        patches = [op for record in alike if record.id not in done and (op := self._again(record, seen)) is not None]
        # On events alone: a lesson that rested on a record would keep that record from ever being replaced.
        sources = (hit.item.roots or hit.item.sources) if isinstance(hit.item, Record) else (hit.item.id,)
        new = _id(view.scope, key, sources)
        known = {record.id for record in held} | {op.record.id for op in ops if op.record is not None}
        if new in known or any(set(sources) <= set(record.sources) for record in alike):
            return patches
        sessions = sorted({seen, *(name for record in alike for name in record.attrs.get("sessions", ()))})
        state = "retired" if any(record.attrs.get("state") == "retired" for record in alike) else self._state(sessions)
        attrs = {"state": state, "sessions": sessions, **self._told(claims, reason, query.now)}
        item = hit.item
        record = Record(
            id=new, scope=view.scope.model_copy(update={"session": None}), kind=LESSON, key=key, text=_text(claims, reason), attrs=attrs,
            sources=sources, observed_at=item.at if isinstance(item, Event) else item.observed_at, origin=Origin(source=item.origin.source),
            authority=min(item.authority, Authority.DATA),
        )  # fmt: skip
        return [*patches, Op(op="add", record=record, why=reason, by=_BY)]

    def _told(self, claims: Claims, reason: str, now: str) -> dict[str, Any]:
        created = _time(now)
        return {
            "reason": reason, "action": claims.neutral(), "features": sorted({hashed(name) for name in _action(claims)}), "against": [],
            "created_at": created.isoformat(), "expires_at": (created + timedelta(days=self._settings.lesson_ttl_days)).isoformat(),
        }  # fmt: skip

    def _again(self, record: Record, seen: str) -> Op | None:
        sessions = list(record.attrs.get("sessions", ()))
        if seen in sessions or record.attrs.get("state") == "retired":
            return None
        sessions = sorted([*sessions, seen])
        return _patch(record, {"sessions": sessions, "state": self._state(sessions)}, "seen again")

    def _state(self, sessions: Sequence[str]) -> str:
        return "active" if len(sessions) >= self._settings.lesson_sessions else "candidate"

    def _contradicted(self, kept: Sequence[Hit], held: Sequence[Record], seen: str, touched: Iterable[str | None]) -> list[Op]:
        """Return ops that retire lessons about what is now agreed upon: a majority that was made for one session does not stay right."""
        standing = {
            record.key: [one for one in held if one.key == record.key]
            for record in held if record.status == "active" and record.attrs.get("state") in ("candidate", "active")
        }  # fmt: skip
        if not standing:
            return []
        agreed = {_key(claims) for hit in kept if (claims := claims_of(hit.item, self._settings.read_chars)).sides()}
        ops: list[Op] = []
        for key in sorted(agreed & set(standing)):
            for record in standing[key]:
                against = list(record.attrs.get("against", ()))
                if record.id in set(touched) or seen in against or record.status != "active":
                    continue
                against = sorted([*against, seen])
                state = "retired" if len(against) >= self._settings.lesson_sessions else str(record.attrs["state"])
                ops.append(_patch(record, {"against": against, "state": state}, "agreed upon"))
        return ops

    def _over_the_cap(self, held: Sequence[Record], ops: Sequence[Op]) -> list[Op]:
        """Return ops that delete what is above the cap: candidates first, then retired ones, within a state the oldest first."""
        over = len(held) + sum(op.op == "add" for op in ops) - self._settings.lesson_cap
        touched = {op.target for op in ops}
        rank = {"candidate": 0, "retired": 1, "active": 2}
        going = sorted((one for one in held if one.id not in touched), key=lambda one: rank.get(str(one.attrs.get("state")), 0))
        return [_deleted(one, "too many lessons") for one in going[: max(0, over)]]

    # ---------------------------------------------------------------------------------------------------- consulting

    def _nearest(self, claims: Claims, records: Sequence[Record]) -> list[Record]:
        """Return the lessons whose action is near enough to one, the nearest first, at most `lesson_top`."""
        own = self._settings
        if self._embedder is not None and records:
            try:
                rows = self._embedder.embed([claims.neutral(), *(str(record.attrs.get("action", "")) for record in records)])
            except ModelError:
                pass  # the slots still tell
            else:
                best = nearest_actions(rows[0], rows[1:], own.lesson_top)
                return [records[place] for place in best if float(rows[1 + place] @ rows[0]) >= own.lesson_cosine]
        mine = {hashed(name) for name in claims.features()}
        shares = [_overlap(mine, list(record.attrs.get("features", ()))) for record in records]
        ranked = sorted(zip(shares, records, strict=True), key=lambda pair: (-pair[0], pair[1].id))
        return [record for share, record in ranked if share >= own.lesson_overlap][: own.lesson_top]


def _overlap(mine: set[str], features: Sequence[str]) -> float:
    """Return the share of a lesson's slots, by weight, that an action has."""
    weights = {name: 3.0 if name.startswith(("effect:", "destination:")) else 1.0 for name in features}
    total = sum(weights.values())
    return sum(weight for name, weight in weights.items() if name in mine) / total if total else 0.0


def nearest_actions(action: NDArray[np.float32], actions: NDArray[np.float32], most: int) -> list[int]:
    """Return the places of the actions most similar to one by cosine, best first, ties in order: retrieval of lessons in the released code.

    Args:
        action: Unit vector, shape (dimension,).
        actions: Unit vectors, shape (n, dimension).
        most: How many at most.
    """
    return [int(place) for place in np.argsort(-(actions @ action), kind="stable")[:most]]


def _action(claims: Claims) -> list[str]:
    """Return the features that make up an action: not what it speaks of, and not when it holds."""
    return [name for name in claims.features() if not name.startswith(("object:", "condition:"))]


def _text(claims: Claims, reason: str) -> str:
    return " ".join(f"A memory was held back because {LEARNT_FROM[reason]}: {claims.neutral()}.".split()[:_WORDS])


def _key(claims: Claims) -> str:
    told = "\n".join(sorted(hashed(name) for name in _action(claims)))
    return f"{LESSON}|{hashlib.sha256(told.encode()).hexdigest()[:24]}"


def _id(scope: Scope, key: str, sources: Sequence[str]) -> str:
    named = "\0".join([*scope.partition, key, *sorted(sources)])
    return f"{LESSON}-{hashlib.sha256(named.encode('utf-8', 'replace')).hexdigest()[:24]}"


def _session(query: Query) -> str:
    """Return where a lesson was seen, hashed: the conversation of the question, or its day."""
    return hashlib.sha256((query.scope.session or query.now[:10]).encode("utf-8", "replace")).hexdigest()[:16]


def _patch(record: Record, attrs: Mapping[str, Any], why: str) -> Op:
    return Op(op="update", target=record.id, patch={"attrs": {**record.attrs, **attrs}}, why=why, by=_BY)


def _deleted(record: Record, why: str) -> Op:
    return Op(op="delete", target=record.id, why=why, by=_BY)


def _time(iso: str) -> datetime:
    """Return an ISO time, UTC where it does not say; the beginning of time for none."""
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
