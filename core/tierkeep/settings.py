"""Every number that shapes behaviour, each with its source.

Sources are written as the paper's section, as "tiers 5.3" for our measured specification of MemFlow, HyMem and D-Mem, or as "ours"
for a choice of this project. `Settings()` is the default; `Settings(budgets=Budgets(targeted=4096))` changes one number.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from tierkeep.allowance import Allowance, Clock, Listener

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
    """What one question may cost at most (tiers 5.2). None leaves it to the preset; a number here is never passed by any preset.

    Attributes:
        attempts: Plans tried.
        calls: Model calls.
        tokens: Tokens sent to and received from models.
    """

    attempts: int | None = Field(default=None, ge=1)
    calls: int | None = Field(default=None, ge=0)
    tokens: int | None = Field(default=None, ge=0)

    def within(self, *, attempts: int, calls: int, tokens: int, hard: bool = False) -> Ceilings:
        """Return these ceilings with a preset's own where none is given.

        Args:
            attempts: The preset's own.
            calls: The preset's own.
            tokens: The preset's own.
            hard: True when the preset's number of attempts and calls is part of its method: then the lower one holds.
        """
        if hard:
            attempts, calls = min(attempts, self.attempts or attempts), calls if self.calls is None else min(calls, self.calls)
            return Ceilings(attempts=attempts, calls=calls, tokens=tokens if self.tokens is None else self.tokens)
        return Ceilings(
            attempts=self.attempts or attempts,
            calls=calls if self.calls is None else self.calls,
            tokens=tokens if self.tokens is None else self.tokens,
        )

    def allowance(self, seconds: float | None, clock: Clock, listener: Listener | None = None) -> Allowance:
        """Return a fresh allowance of this size."""
        return Allowance(clock, seconds=seconds, calls=self.calls, tokens=self.tokens, listener=listener)


class Deriving(_Group):
    """How records are derived from what was said, after it was stored.

    Attributes:
        over_after_events: A conversation counts as over when this many later events came in other conversations (ours).
        over_after_s: … or when another conversation's event is this many seconds later than its last (ours: 6 hours).
        calls: Model calls that one unit may cost, second tries included: extraction, consolidation and a repetition of each (ours).
        tokens: Tokens that one unit may cost, sent and received (ours: four windows of 4,096, prompts and replies).
    """

    over_after_events: int = Field(default=512, ge=1)
    over_after_s: float = Field(default=6 * 3600.0, ge=0)
    calls: int = Field(default=8, ge=0)
    tokens: int = Field(default=48_000, ge=0)


class OpeningSettings(_Group):
    """Selection over a wide list of turns (`auto`; HyMem's selection, tiers 2.3, on raw turns).

    Attributes:
        wide_k: Turns that the model chooses from (ours: measured, see docs/benchmarks.md).
        group: Turns in one selection call (tiers 2.3: 50 sentences; ours: two calls for all).
        line_chars: Characters of a turn that it is shown there (ours).
        reach: Turns opened to either side of a chosen one (ours).
    """

    wide_k: int = Field(default=200, ge=1)
    group: int = Field(default=100, ge=1)
    line_chars: int = Field(default=160, ge=20)
    reach: int = Field(default=1, ge=0)


class HyMemSettings(_Group):
    """HyMem (tiers section 2).

    Attributes:
        session_tokens: A conversation of at most this many tokens is one segment (tiers 2.2).
        window_tokens: No segment is longer; the tail of a conversation that reaches this is cut (tiers 2.2, code: 4,096).
        target_tokens: Segments of a longer conversation are about this long, cut at its largest gap (tiers 2.2: 600 to 1,000).
        light_k: Key sentences of the light tier (tiers 2.3: 15).
        wide_k: Key sentences that the deep tier chooses from (tiers 2.3: 30).
        group: Key sentences in one selection call (tiers 2.3: 50).
        fallback_segments: Segments opened when a selection is empty or cannot be had (tiers 2.6, defect 2: the top 5).
        most_segments: Segments opened at most (tiers 2.4: 8).
        reach: Turns kept to either side of a hit when a segment does not fit (tiers 2.4: 6).
        light_budget: Evidence tokens of the light tier (tiers 2.4).
        deep_budget: Evidence tokens of the deep tier (tiers 2.4: 6,144; ours: five opened conversations of chat fit into 4,096).
        iterations: Rounds of the reflection loop (tiers 2.3: 2).
        merge_neighbours: Existing sentences compared with a new one (tiers 2.2: 5).
        merge_at_least_lexical: Lexical similarity from which they are compared (ours: it stands in for the cosine of 0.82 of tiers 2.2).
    """

    session_tokens: int = Field(default=2_048, ge=1)
    window_tokens: int = Field(default=4_096, ge=1)
    target_tokens: int = Field(default=800, ge=1)
    light_k: int = Field(default=15, ge=1)
    wide_k: int = Field(default=30, ge=1)
    group: int = Field(default=50, ge=1)
    fallback_segments: int = Field(default=5, ge=1)
    most_segments: int = Field(default=8, ge=1)
    reach: int = Field(default=6, ge=0)
    light_budget: int = Field(default=1_024, ge=1)
    deep_budget: int = Field(default=4_096, ge=1)
    iterations: int = Field(default=2, ge=1)
    merge_neighbours: int = Field(default=5, ge=1)
    merge_at_least_lexical: float = Field(default=0.5, ge=0, le=1)


class DMemSettings(_Group):
    """D-Mem (tiers section 3).

    Attributes:
        similar: Existing facts shown to the extraction (tiers 3.2: 10).
        recent: Messages before the pair that it sees (tiers 3.2: 9).
        neighbours: Existing facts compared with a new one (tiers 3.2: 5).
        at_least_lexical: Lexical similarity from which they are compared (ours: it stands in for the cosine of 0.8 of tiers 3.2).
        k: Facts for each speaker (tiers 3.3: 30).
        chunk: Messages in one scan (tiers 3.5: 60).
        overlap: Messages before them that it also sees (tiers 3.5: 4).
        returned: Score from which a scan returns a fact (tiers 3.5: 5).
        kept: Score from which it is kept (tiers 3.5: 6).
        filter_from: Facts from which one call filters them (tiers 3.5: 6).
        workers: Scans under way at once (ours).
        fact_budget: Evidence tokens of the facts (tiers 3.6: about 2,200 with the prompt).
        deliberate_budget: Evidence tokens of what a deliberation kept (ours).
        deliberate_max_tokens: `auto` deliberates only when all that was said has at most this many tokens (tiers 4.6: 64,000).
        message_chars: Characters of one message that an extraction or a scan is shown (ours): a pasted book must not use up the allowance.
        gate: What decides whether the fast answer stands: the quality gate (the method), or the two votes it was compared with (tiers 3.4).
        filter: Whether one call chooses among the facts before the answer (tiers 3.3: the optional variant).
        votes: Answers that are voted on (tiers 3.4: 3).
        vote_temperature: Temperature of those answers (tiers 3.4: 0.7).
    """

    similar: int = Field(default=10, ge=0)
    recent: int = Field(default=9, ge=0)
    neighbours: int = Field(default=5, ge=1)
    at_least_lexical: float = Field(default=0.5, ge=0, le=1)
    k: int = Field(default=30, ge=1)
    chunk: int = Field(default=60, ge=1)
    overlap: int = Field(default=4, ge=0)
    returned: int = Field(default=5, ge=0, le=10)
    kept: int = Field(default=6, ge=0, le=10)
    filter_from: int = Field(default=6, ge=1)
    workers: int = Field(default=8, ge=1)
    fact_budget: int = Field(default=2_048, ge=1)
    deliberate_budget: int = Field(default=3_072, ge=1)
    deliberate_max_tokens: int = Field(default=64_000, ge=0)
    message_chars: int = Field(default=8_000, ge=1)
    gate: Literal["quality", "majority", "consensus"] = "quality"
    filter: bool = False
    votes: int = Field(default=3, ge=2)
    vote_temperature: float = Field(default=0.7, ge=0)


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


class EmbeddingSettings(_Group):
    """How vectors are made and held.

    Attributes:
        batch: Events embedded between two transactions (ours: about two seconds of a small encoder on one core).
        part_bytes: A longer text gets several vectors, one for each part of about this many bytes (ours: what a window of 256 word pieces
            holds; encoders cut the rest off without a word).
        most_parts: Vectors of one event; what lies beyond is found by its words only (ours: some 30 kB).
        gather_s: Seconds without a write after which vectors are made in the background; twenty times that at the latest, however many come
            (ours: what passes between two turns is longer, what passes in a burst shorter). Until then, words find what is new.
        index_bytes: Memory that the vectors of recently used scopes may hold together. A scope that is larger alone is read from the store
            for each question: slower, and never more memory.
    """

    batch: int = Field(default=128, ge=1)
    part_bytes: int = Field(default=1_000, ge=64)
    most_parts: int = Field(default=32, ge=1)
    gather_s: float = Field(default=0.05, ge=0)
    index_bytes: int = Field(default=512 * 1024 * 1024, ge=0)


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
    dense: float = 3.0
    """Weight of similarity, for each standard deviation that an event stands above `dense_floor`. Measured with a small encoder: +1.7 and
    +2.0 on chat, +2.6 on a project dialogue; flat from 2 to 4. Random numbers in its place cost 1.3 to 1.7 on chat."""
    dense_floor: float = 1.0
    """Standard deviations above the scope's mean similarity from which similarity counts. Measured flat from 0.5 to 1.25."""
    dense_neighbour: float = 0.2
    """Share of the adjacent event's similarity that an event receives, either side. Measured flat from 0 to 0.4."""
    source: float = 1.0
    """Weight of what speaks for a record's source message against the record's own score, each scaled to its best. Measured in the
    simulation of docs/benchmarks.md: escalations of `dmem` 27 % with it, 30 % without; 2.0 is no better."""
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


class RerankSettings(_Group):
    """Re-ranking of a search's best hits by a `Reranker` (`retrieve/rerank.py`); without one nothing here is read.

    Attributes:
        n: Hits that are read again (ours: about twice what 2,048 tokens of chat hold, so that what stands just outside can come in; others
            advise at most 50 where every tenth of a second counts).
        weight: Share of the re-ranker's score in the blend; the rest is the search's own (ours: below a half, so that the search leads. A
            cross-encoder trained on web search made the ranking of conversations worse by 6.9 points when it replaced the scores).
        text_chars: Characters of a text that it is shown (ours: about the 512 tokens that most cross-encoders read).
    """

    n: int = Field(default=100, ge=2)
    weight: float = Field(default=0.3, ge=0, le=1)
    text_chars: int = Field(default=2_000, ge=20)


class MemSifterSettings(_Group):
    """MemSifter (arXiv 2603.03379): a small model ranks conversations before anything of them is read (strategies 5.14).

    Attributes:
        sessions: Conversations that the model ranks (strategies 5.14: the top 20).
        kept: Conversations whose messages become evidence (strategies 5.14: the top 5).
        best_events: Best messages whose scores, added up, are a conversation's score (ours).
        wide_k: Messages searched for (ours: 200 and 400 gave the same evidence).
        shown_tokens: Tokens of the conversations in one prompt, shared out evenly (ours).
        line_chars: Characters of a message that are shown there (ours).
        elsewhere: Share of its score that a message of any other conversation keeps; 0 leaves it out, as the paper does (ours).
        reply_tokens: Longest reply, reasoning included (ours).
    """

    sessions: int = Field(default=20, ge=1)
    kept: int = Field(default=5, ge=1)
    best_events: int = Field(default=3, ge=1)
    wide_k: int = Field(default=200, ge=1)
    shown_tokens: int = Field(default=4_096, ge=1)
    line_chars: int = Field(default=240, ge=20)
    elsewhere: float = Field(default=0.0, ge=0, le=1)
    reply_tokens: int = Field(default=1_024, ge=64)


class GuardSettings(_Group):
    """What may come in from outside, and what it may cause (`guard/`; guard spec 6 and 7).

    Attributes:
        require_origin: Refuse a write that names neither `origin=` nor a role, instead of taking it for the user's own word (for servers).
        outside_bytes: UTF-8 bytes of one record from outside (T6: 16 KiB). What people type themselves is bounded by `Limits` alone.
        outside_records: Records from outside in one write (T6: 256).
        meta_keys: Keys of one message's `meta`, at every depth together (T6: 64).
        meta_depth: Depth of one message's `meta` (T6: 8).
        rate_burst: Records that one outside origin may write at once into one scope (ours; T6 asks for a token bucket).
        rate_per_s: Records that it may write each second after that (ours).
        corroborate: Independent trusted principals that must assert a value before it may stand behind an action (guard spec 6: k = 2).
        rate_origins: Outside origins whose rate is remembered at once; the one that wrote least recently is dropped (ours).
        hub_share: Share of a window of dissimilar questions that one memory from outside may be among the best of (T17: 5 %).
        hub_k: Best hits of a question that count for it (guard spec 4.3: K of 3, 5 or 10).
        hub_window: Questions in the window (ours).
        hub_least: Dissimilar questions from which a memory can count as a hub at all (ours).
        confirm_s: Seconds for which a confirmation can be used (ours: ten minutes).
        act_from: From which origin on a memory may stand behind an action: only what was confirmed or said by an operator (guard spec 5.2),
            or the user's own words too.
    """

    require_origin: bool = False
    outside_bytes: int = Field(default=16_384, ge=1)
    outside_records: int = Field(default=256, ge=1)
    meta_keys: int = Field(default=64, ge=1)
    meta_depth: int = Field(default=8, ge=1)
    rate_burst: int = Field(default=1_024, ge=1)
    rate_per_s: float = Field(default=50.0, gt=0)
    rate_origins: int = Field(default=4_096, ge=1)
    hub_share: float = Field(default=0.05, gt=0, le=1)
    hub_k: int = Field(default=5, ge=1)
    hub_window: int = Field(default=200, ge=1)
    hub_least: int = Field(default=5, ge=2)
    corroborate: int = Field(default=2, ge=2)
    confirm_s: float = Field(default=600.0, gt=0)
    act_from: Literal["confirmed", "user"] = "confirmed"


#: What happens to a text in which something of a class is found: it stays, it is replaced by a mark, or the whole text is quarantined.
Handling = Literal["keep", "redact", "quarantine"]


class RedactionSettings(_Group):
    """What is taken out of texts before they are stored or embedded (`guard/redaction.py`; guard spec T5).

    Attributes:
        secrets: Keys and tokens in a published format, private keys, passwords in addresses (ours: no memory needs them).
        passwords: What is said or assigned to be a password or key, in no known format.
        cards: Payment card numbers (Luhn).
        ibans: Bank accounts (mod 97).
        national_ids: Numbers of persons, such as the US social security number.
        phones: Phone numbers. Kept by default, like all that follows: a personal memory must be able to know them.
        emails: E-mail addresses.
        mask_embedder: Mask all of the above, kept or not, in what an embedder is given: it may be a server of others.
        libraries: Also ask phonenumbers and python-stdnum (the extra `redaction`): more countries' numbers, and slower.
        region: Country (ISO 3166, "PT") in which a phone number without a country code is read, with `libraries`.
    """

    secrets: Handling = "redact"
    passwords: Handling = "redact"
    cards: Handling = "keep"
    ibans: Handling = "keep"
    national_ids: Handling = "keep"
    phones: Handling = "keep"
    emails: Handling = "keep"
    mask_embedder: bool = True
    libraries: bool = False
    region: str = Field(default="US", pattern="^[A-Z]{2}$")


class SafeHarborSettings(_Group):
    """SafeHarbor (arXiv 2605.05704; guard spec section 2). The paper's own constants were not to be had; the released code's are 2.7.

    Attributes:
        mode: "paper", or "code": what the released code does when the tree grows.
        novelty: What makes a new leaf: the paper's information "gain", or the distance to the nearest leaf ("residual"; guard spec 2.3).
        gamma: Temperature of the gain's softmax (2.3: 0.1).
        tau_sim: Least cosine to a centroid; below it, a new cluster (2.3: 0.5).
        tau_gain: Gain in bits above which there is a new leaf (2.3: 0.3).
        tau_residual: 1 - cosine to the nearest leaf above which there is one (2.3: 0.25).
        most_leaves: Leaves of a cluster at most, with "residual" (2.3: 64).
        tau_split: Code mode: score above which there is a new cluster (2.7: 0.6).
        ood: Code mode: cosine below which an attack is out of distribution (2.7: 0.5).
        sharpening: Code mode: temperature of the score (2.7: 0.1).
        assign: Cosine above which a benign text is a cluster's neighbour (2.7: 0.20).
        reservoir: Benign texts kept for all clusters together (2.7: 1,000).
        tau_low: s_harm below which a text may take the fast path (2.7: 0.20; fewer than 2 % of our held-out harmful texts lie below).
        tau_high: Similarity to a benign text above which it may, and above which nothing is blocked (2.7: 0.55).
        tau_block: s_harm above which a text is blocked without a model (2.7: 0.85; ours: the least multiple of 0.05 that none of the 330
            held-out benign texts of the shipped base passes).
        clusters: Clusters whose best leaf is looked at (2.3: k = 3).
        part_chars: Characters of a text that are scored at a time: an encoder of sentences blurs longer ones (ours).
        most_parts: Parts of a text that are scored; what comes after is not read (ours: 16,800 characters, what may come from outside).
        reply_tokens: Longest reply of a model (2.7: 1,024; ours: the replies are short).
        shown_texts: Attacks, and benign texts, that a model is shown when it words a pair (2.6: 8 each).
        delta: Margin of the contrastive loss (2.3: 0.5).
        lam: Weight of the contrastive loss (2.3: 0.5).
        hidden: Units of the projector's first layer (ours; the released one has 512).
        out: Units of its output (ours; the released one has 128).
        dropout: While training (ours; the released one has 0.1).
        epochs: Of training at most; the best on the held-out texts is kept (2.4: 20, without held-out texts).
        batch: Texts of a training step (ours).
        rate: Learning rate (2.4: 1e-3).
        held_out: Share of the texts that are held out (ours).
    """

    mode: Literal["paper", "code"] = "paper"
    novelty: Literal["gain", "residual"] = "gain"
    gamma: float = Field(default=0.1, gt=0)
    tau_sim: float = Field(default=0.5, ge=-1, le=1)
    tau_gain: float = 0.3
    tau_residual: float = Field(default=0.25, ge=0, le=2)
    most_leaves: int = Field(default=64, ge=1)
    tau_split: float = 0.6
    ood: float = Field(default=0.5, ge=-1, le=1)
    sharpening: float = Field(default=0.1, gt=0)
    assign: float = Field(default=0.20, ge=-1, le=1)
    reservoir: int = Field(default=1_000, ge=0)
    tau_low: float = Field(default=0.20, ge=0, le=1)
    tau_high: float = Field(default=0.55, ge=-1, le=1)
    tau_block: float = Field(default=0.80, ge=0, le=1)
    clusters: int = Field(default=3, ge=1)
    part_chars: int = Field(default=400, ge=100)
    most_parts: int = Field(default=56, ge=1)
    reply_tokens: int = Field(default=512, ge=64)
    shown_texts: int = Field(default=8, ge=1)
    delta: float = Field(default=0.5, ge=0)
    lam: float = Field(default=0.5, ge=0)
    hidden: int = Field(default=128, ge=1)
    out: int = Field(default=64, ge=1)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    epochs: int = Field(default=20, ge=1)
    batch: int = Field(default=64, ge=1)
    rate: float = Field(default=1e-3, gt=0)
    held_out: float = Field(default=0.2, gt=0, lt=1)


class AMemGuardSettings(_Group):
    """A-MemGuard (arXiv 2510.02373; guard spec section 3): consensus and lessons.

    Attributes:
        mode: "guarded" has our repairs; "code" does what the released code does, for comparing: what cannot be judged is dropped, no
            quorum, no check of side effects (guard spec 3.3 and 3.10).
        spare_user: Never hold back what the user or the operator said themselves; they vote all the same. False where several people
            write to one memory as its user (ours).
        compared: Best hits that are compared with one another; later ones are looked at for side effects alone (ours: twice what 2,048
            tokens of chat hold).
        judged: Hits that a model is asked about (3.6: K is 4 or 5; ours: the largest K of the test list 9.4).
        quorum: Independent origins below which nothing is decided (3.9: 3).
        spread: Deviations above the median from which a divergence stands out (3.9: 3).
        least: Divergence that it must have at least (3.9: 0.6).
        outlier_voices: Voices below which no divergence stands out (ours, measured: the deviation of three values is chance, and with three
            voices 2 to 4 % of benign memories were held back).
        agreeing: Median divergence above which nobody agrees with anybody, so that nobody can stand out (ours, measured: without it 1 to
            4 % of benign memories were held back, and up to a third of them among a majority of poison).
        eps: Cosine distance of neighbours in the clustering of paths (3.6: 0.5).
        min_samples: Neighbours, itself included, that make a core (3.6: 2).
        read_chars: Characters of a memory from which claims are read (ours: what a record from outside may have).
        shown_chars: Characters of a memory that the path extractor sees (ours).
        path_tokens: Longest reply for one path (3.6: 1,024 for a single one; ours for one of a batch).
        verdict_tokens: Longest reply for one verdict (ours).
        cached: Paths and claims that are remembered, over all scopes (ours).
        lesson_ttl_days: Days after which a lesson is gone (3.10.3: 30).
        lesson_cap: Lessons of one scope (3.10.3: 256).
        lesson_sessions: Independent sessions that must have seen it before it counts, and that must speak against it before it is retired
            (3.10.3: 2).
        lesson_top: Lessons that are shown before an action (3.7: 6 is the paper's best).
        lesson_cosine: Least cosine of two actions, with an embedder (ours).
        lesson_overlap: Least share of a lesson's slots that an action must have, without one (ours).
    """

    mode: Literal["guarded", "code"] = "guarded"
    spare_user: bool = True
    compared: int = Field(default=96, ge=1)
    judged: int = Field(default=10, ge=1)
    quorum: int = Field(default=3, ge=2)
    spread: float = Field(default=3.0, gt=0)
    least: float = Field(default=0.6, ge=0, le=1)
    outlier_voices: int = Field(default=4, ge=1)
    agreeing: float = Field(default=0.85, ge=0, le=1)
    eps: float = Field(default=0.5, gt=0, le=2)
    min_samples: int = Field(default=2, ge=1)
    read_chars: int = Field(default=16_384, ge=1)
    shown_chars: int = Field(default=1_200, ge=20)
    path_tokens: int = Field(default=160, ge=16)
    verdict_tokens: int = Field(default=48, ge=16)
    cached: int = Field(default=4_096, ge=1)
    lesson_ttl_days: int = Field(default=30, ge=1)
    lesson_cap: int = Field(default=256, ge=1)
    lesson_sessions: int = Field(default=2, ge=1)
    lesson_top: int = Field(default=6, ge=1)
    lesson_cosine: float = Field(default=0.8, ge=-1, le=1)
    lesson_overlap: float = Field(default=0.6, gt=0, le=1)


class RetentionSettings(_Group):
    """How much one owner's memory may hold, and for how long (`keeping.py`). None sets no limit.

    Attributes:
        max_events: Events of one owner (ours).
        max_chars: Characters of their texts together (ours).
        when_full: What a write does that would pass a limit: "refuse" it, or forget the "oldest_first", from outside before all else.
        slack: Share of the limit that is freed beyond what is needed then, so that not every write forgets (ours).
        days: Days after which an event expires, counted from the time it was said at (ours).
        days_untrusted: The same for what came from outside and was not confirmed; the shorter of both holds (OWASP ASI06: expire memory
            that is not verified).
    """

    max_events: int | None = Field(default=None, ge=1)
    max_chars: int | None = Field(default=None, ge=1)
    when_full: Literal["refuse", "oldest_first"] = "refuse"
    slack: float = Field(default=0.05, ge=0, le=0.5)
    days: float | None = Field(default=None, gt=0, le=365_000)
    days_untrusted: float | None = Field(default=None, gt=0, le=365_000)


class TurnSettings(_Group):
    """What an integration recalls and keeps around one turn of an agent (`turns.py`, `toolbox.py`).

    Attributes:
        budget: Tokens of the evidence in front of the user's message (ours: half of a targeted read, because every turn pays it).
        deadline_s: Seconds that a model call waits for it at most (ours).
        tool_chars: Characters of a tool's result that are kept; the rest is cut off, and said (ours: below one record from outside).
        tool_budget: Tokens of the evidence that the recall tool returns to a model (ours).
        forget_ids: Memories that one call of the forget tool may remove (ours).
        cached: Recalls that are remembered, so that a loop of model calls asks once (ours).
    """

    budget: int = Field(default=1_024, ge=1)
    deadline_s: float = Field(default=2.0, gt=0)
    tool_chars: int = Field(default=4_000, ge=1)
    tool_budget: int = Field(default=1_024, ge=1)
    forget_ids: int = Field(default=20, ge=1)
    cached: int = Field(default=256, ge=1)


class Settings(_Group):
    """All settings of one memory.

    Attributes:
        timezone: IANA zone in which times without an offset are read.
        index_bytes: Memory that the lexical indexes of recently used scopes (of events, records and items) may hold together (ours).
        answer_items: Best evidence items that the extractive answerer looks at (tiers 5.3.6: top 3 for dates, top 10 else).
    """

    limits: Limits = Limits()
    budgets: Budgets = Budgets()
    ceilings: Ceilings = Ceilings()
    gate: GateSettings = GateSettings()
    deriving: Deriving = Deriving()
    opening: OpeningSettings = OpeningSettings()
    hymem: HyMemSettings = HyMemSettings()
    dmem: DMemSettings = DMemSettings()
    profile: ProfileSettings = ProfileSettings()
    rerank: RerankSettings = RerankSettings()
    memsifter: MemSifterSettings = MemSifterSettings()
    retrieval: RetrievalSettings = RetrievalSettings()
    embedding: EmbeddingSettings = EmbeddingSettings()
    guard: GuardSettings = GuardSettings()
    redaction: RedactionSettings = RedactionSettings()
    safeharbor: SafeHarborSettings = SafeHarborSettings()
    amemguard: AMemGuardSettings = AMemGuardSettings()
    turns: TurnSettings = TurnSettings()
    retention: RetentionSettings = RetentionSettings()
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
