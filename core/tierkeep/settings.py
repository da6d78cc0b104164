"""Every number that shapes behaviour, each with its source.

Sources are written as the paper's section, as "tiers 5.3" for our measured specification of MemFlow, HyMem and D-Mem, or as "ours"
for a choice of this project. `Settings()` is the default; `Settings(budgets=Budgets(targeted=4096))` changes one number.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from tierkeep.allowance import Allowance, Clock

_Number = TypeVar("_Number", float, NDArray[np.floating[Any]])


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Limits(_Group):
    """What a single call may hand over (guard spec 7, T6; sizes ours). Beyond it: `LimitError`, nothing stored.

    Attributes:
        text_chars: Characters of one message. A million holds the longest paste we met in public chats three times over and
            keeps one hostile paste from filling a store.
        messages: Messages in one `add`; larger imports go through several transactions.
        question_chars: Characters of a question (guard spec: 8 KiB query).
        meta_chars: Characters of one message's `meta` as JSON.
        name_chars: Characters of an owner, session, speaker or message id.
    """

    text_chars: int = Field(default=1_000_000, ge=1)
    messages: int = Field(default=100_000, ge=1)
    question_chars: int = Field(default=8_192, ge=1)
    meta_chars: int = Field(default=65_536, ge=2)
    name_chars: int = Field(default=256, ge=8)


class Budgets(_Group):
    """Evidence tokens by tier (tiers 1.5: 768, 2048, 3072), when the caller names none."""

    profile: int = Field(default=768, ge=1)
    targeted: int = Field(default=2_048, ge=1)
    deep: int = Field(default=3_072, ge=1)
    retry_factor: float = Field(default=1.33, ge=1.0)  # tiers 1.5: a retry may take a third more


class Ceilings(_Group):
    """What one question may cost at most (tiers 5.2).

    Attributes:
        attempts: Plans tried.
        calls: Model calls.
        tokens: Tokens sent to and received from models.
    """

    attempts: int = Field(default=3, ge=1)
    calls: int = Field(default=8, ge=0)
    tokens: int = Field(default=32_000, ge=0)

    def allowance(self, seconds: float | None, clock: Clock) -> Allowance:
        """Return a fresh allowance of this size for one question."""
        return Allowance(clock, seconds=seconds, calls=self.calls, tokens=self.tokens)


class GateSettings(_Group):
    """Thresholds of the deterministic validator (tiers 5.3.7).

    Attributes:
        escalate_below: Below this confidence (0 to 1) the evidence counts as thin. Measured: 0.178 escalates 30 % of the questions of a
            public dialogue set; the area under the curve for "all evidence is there" is 0.82 (tiers 5.3.7 asks 0.73).
        support: Share of an answer's content terms that its evidence must cover (tiers 5.3.7: 70 %).
        max_jaccard: A draft that repeats the question more than this is an echo (tiers 1.7).
    """

    escalate_below: float = 0.178
    support: float = 0.7
    max_jaccard: float = 0.8


class ProfileSettings(_Group):
    """The rule profile (tiers 5.3.2).

    Attributes:
        value_words: Longest value that a pattern may take, in words; longer matches are prose, not profile.
        scan_chars: Characters of a message that the patterns read; first-person facts stand early, essays do not end in them.
    """

    value_words: int = Field(default=10, ge=1)
    scan_chars: int = Field(default=4_000, ge=1)


@dataclass(frozen=True, slots=True)
class RetrievalSettings:
    """Weights and limits of lexical retrieval: one setting for every corpus.

    "Measured" is the change in evidence recall within 2,048 tokens, in points, when the part is left out, on the
    development parts of five public sets (two of chat, records of a year, a project dialogue, long assistant messages).
    The values were chosen with all five in view and lie in the middle of flat regions, not at peaks.
    """

    k1: float = 1.2
    """Saturation of a repeated term. Robertson and Zaragoza 2009; measured flat between 0.8 and 2.5."""
    b: float = 1.0
    """Length normalisation of an event. Measured flat from 0.4 to 1 here, as `density` also prefers the shorter."""
    session: float = 0.75
    """Weight of the event's whole session as a document. Measured +1.2 to +1.6 points on chat, +13 on a project
    dialogue; flat from 0.5 to 1.2."""
    session_k1: float = 1.2
    """Saturation for sessions, as `k1`."""
    session_b: float = 0.75
    """Length normalisation for sessions. Robertson and Zaragoza 2009; measured flat."""
    neighbour: float = 0.4
    """Share of the adjacent event's score that an event receives, either side. Measured +1 to +2 points on chat
    beside the other views (+8 alone), +4.7 on long messages."""
    neighbour_decay: float = 0.5
    """Factor for each further step away from the event. Measured flat from 0.5 to 0.7."""
    neighbour_reach: int = 4
    """Steps to either side that are seen. Measured: 1 loses a point on some sets, more than 4 gains nothing."""
    speaker: float = 0.8
    """Bonus for the speaker when the question names exactly one. Measured +1.4 and +4.0 on chat; flat from 0.6 to 1.5."""
    speaker_term: float = 0.3
    """What is left of a term's weight when it is a speaker's name: others say it too when they greet. Measured +0.2."""
    self_speaker: float = 0.3
    """Bonus for the user's own events when the question is in the first person. Measured +2.4 on a project dialogue."""
    concept: float = 0.5
    """Weight of a class the question names, matched by its members (`concepts.txt`). Measured +0.6 and +3.4 on chat."""
    synonym: float = 0.2
    """Weight of the near synonyms of a term (`synonyms.txt`). Measured +0.2 and +0.8 on chat; 0.4 loses elsewhere."""
    date: float = 3.0
    """Bonus for events on a date, month or year the question names. Measured +11.5 on records of a year, +0.9
    on chat, never a loss; flat above 2."""
    date_slack_days: int = 1
    """A named day also favours this many days around it: people report the day after, and zones differ."""
    density: float = 0.4
    """Exponent in the packing order: value is score / (length + density_overhead)**density. Measured +13 to +15 points on
    long messages, +0.2 to +0.4 on chat."""
    density_overhead: int = 100
    """Characters added to the length there. Measured: without it the shortest records crowd out the rest (-4 at 16)."""
    query_terms: int = 64
    """Distinct query terms used, the rarest first; bounds the work for a pasted question."""
    candidates: int = 1024
    """Events handed to packing; a budget of 4,096 tokens holds at most a few hundred."""
    confidence_hits: int = 10
    """Scores the sufficiency estimate looks at (see `confidence`)."""
    confidence_temperature: float = 4.0
    """Softmax temperature of that estimate, in BM25 units; do not reuse it for cosine. Measured on `Scores.total`: the
    area under the curve for "all evidence is in a pack of 600 tokens" is 0.82 and 0.78 on chat and 0.68 on records, with
    2.0, which suits plain BM25, 0.80, 0.77 and 0.66. Flat above 4."""

    def value(self, score: _Number, length: _Number) -> _Number:
        """Return the packing value of a score: what it is worth per length, softened (a greedy knapsack order).

        Args:
            score: At least 0; a number or an array, shape (N,).
            length: Characters of the text; of the same shape.
        """
        price: _Number = (length + self.density_overhead) ** self.density
        worth: _Number = score / price
        return worth


class Settings(_Group):
    """All settings of one memory.

    Attributes:
        timezone: IANA zone in which times without an offset are read.
        index_bytes: Memory that the lexical indexes of recently used scopes may hold together (ours).
        answer_items: Best evidence items that the extractive answerer looks at (tiers 5.3.6: top 3 for dates, top 10 else).
    """

    limits: Limits = Limits()
    budgets: Budgets = Budgets()
    ceilings: Ceilings = Ceilings()
    gate: GateSettings = GateSettings()
    profile: ProfileSettings = ProfileSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    timezone: str = "UTC"
    index_bytes: int = Field(default=256 * 1024 * 1024, ge=1)
    answer_items: int = Field(default=10, ge=1)

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: "America" is a folder
            raise ValueError(f"unknown time zone {name!r}: use an IANA name such as 'Europe/Lisbon' or 'UTC'") from error
        return name

    def sha256(self) -> str:
        """Return a fingerprint of all numbers, for benchmark reports."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()
