"""A local model of transformers as a chat model of tierkeep: in bounded memory, and with replies that fit their schema by construction."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import torch
from transformers import LogitsProcessorList, PreTrainedModel, StoppingCriteriaList

from tierkeep.errors import ModelError, ModelReplyError, SettingsError, TierkeepError
from tierkeep.models.framework import outcome, reply_data, system_text
from tierkeep.protocols import ChatReply, ChatRequest
from tierkeep_transformers.attach import Bounded, attach, check_parts
from tierkeep_transformers.codecs import Codec
from tierkeep_transformers.constrained import Complete, Constraint, Grammars
from tierkeep_transformers.loading import check_source, display_name, load
from tierkeep_transformers.policies.policy import Policy
from tierkeep_transformers.prompting import Prompt, prompt_of
from tierkeep_transformers.reply_pieces import GeneratedReply, Stop, Teller
from tierkeep_transformers.turn_taking import lock_of

__all__ = ["Structured", "TransformersChat"]

_LOG = logging.getLogger(__name__)
Structured: TypeAlias = Literal["grammar", "prompt"]


class TransformersChat:
    """A chat model that runs here, with a key-value cache that a policy bounds.

    The policy is attached for the length of a call, so between calls the model is its owner's. Calls take turns. An object is asked for in
    the prompt and by a grammar that lets no other token through; a schema that no grammar can say is asked for in the prompt alone, and
    checked. A reply that is cut off at `max_tokens` is an error. Temperature 0 is greedy. The n-th sampled reply of a chat is the same in
    every run.

    Args:
        model: The model; or its folder, or its name in the local cache of transformers, to be loaded with the first request.
        tokenizer: The model's tokenizer; from the same folder when the model is named.
        policy: What the cache keeps; None for everything.
        codec: How it is stored.
        timeout_s: Seconds that a call may take, unless the request says otherwise; None for no limit.
        structured: "grammar" for constrained decoding, "prompt" to ask and check only.
        seed: Of sampling.
        template: Further variables of the chat template, such as `{"enable_thinking": False}`.
        dtype: Of a model that is named; "auto" for that of its file.
        device: Of a model that is named; None for a GPU where there is one.
        download: Whether a model that is named may be fetched when it is not here.

    Raises:
        MissingExtraError: `llguidance` is not installed, and replies are to fit a grammar.
        SettingsError: The tokenizer is missing, the policy does not fit the model, or another argument cannot hold.
    """

    def __init__(
        self,
        model: PreTrainedModel | str | Path,
        tokenizer: Any = None,
        policy: Policy | None = None,
        codec: Codec | None = None,
        *,
        timeout_s: float | None = 120.0,
        structured: Structured = "grammar",
        seed: int = 0,
        template: Mapping[str, Any] | None = None,
        dtype: str = "auto",
        device: str | None = None,
        download: bool = False,
    ) -> None:
        if structured not in get_args(Structured):
            raise SettingsError(f"structured must be one of {', '.join(get_args(Structured))}, not {structured!r}")
        if codec is not None and policy is None:
            raise SettingsError("codec= stores a bounded cache: say policy= too, FullCache() to keep everything")
        if not isinstance(model, (PreTrainedModel, str, Path)) or not str(model):
            raise SettingsError(f"model= is a model of transformers or the folder of one, not {str(model)!r:.40}")
        if policy is not None:
            check_parts(policy, codec)
        if timeout_s is not None and not timeout_s > 0:
            raise SettingsError(f"timeout_s= is a number of seconds above 0, or None for no limit; it is {timeout_s!r}")
        if not isinstance(model, PreTrainedModel):
            check_source(model)
        self.name = f"transformers/{display_name(model)}"
        self._policy = policy
        self._codec = codec
        self._timeout_s = timeout_s
        self._structured = structured
        self._seeds = itertools.count(seed)
        self._template = dict(template or {})
        self._loading = threading.Lock()
        self._ready: _Ready | None = None
        if isinstance(model, PreTrainedModel):
            if tokenizer is None:
                raise SettingsError("hand over the model's tokenizer too, such as AutoTokenizer.from_pretrained(…)")
            self._ready = self._checked(model, tokenizer)
        else:
            self._load = partial(load, model, dtype=dtype, device=device, download=download)
        self._tokenizer = tokenizer

    def complete(self, request: ChatRequest) -> ChatReply:
        """Return the reply; with a schema, `data` fits it. `stats` says how full the cache was.

        Raises:
            InputError: The request's schema is not a JSON schema.
            ModelReplyError: The reply was cut off at `max_tokens`, or does not fit the schema.
            ModelError: There is no such model, the prompt is longer than the model can read, it failed, or it took too long.
        """
        system = system_text(request)
        stop = Stop()
        try:
            return outcome(lambda: self._reply(system, request, stop, None), self.name, self._limit(request))
        finally:
            stop.set()

    def stream(self, request: ChatRequest) -> GeneratedReply:
        """Return an iterator over the pieces of the reply, as they come; it has the whole reply at the end.

        Raises:
            InputError: The request's schema is not a JSON schema. What fails later is raised by the iterator.
        """
        system = system_text(request)
        return GeneratedReply(lambda stop, tell: self._reply(system, request, stop, tell), self.name, self._limit(request))

    def _limit(self, request: ChatRequest) -> float | None:
        return self._timeout_s if request.timeout_s is None else request.timeout_s

    def _checked(self, model: PreTrainedModel, tokenizer: Any) -> _Ready:
        """Return the model with what belongs to it, once it is clear that the policy fits."""
        ready = _Ready(model, tokenizer, Grammars(tokenizer, ends_of(model, tokenizer)) if self._structured == "grammar" else None)
        if self._policy is not None:
            with ready.lock, attach(model, self._policy, codec=self._codec):
                pass
        return ready

    def _loaded(self) -> _Ready:
        with self._loading:
            if self._ready is None:
                try:
                    model, own = self._load()
                    self._ready = self._checked(model, own if self._tokenizer is None else self._tokenizer)
                except TierkeepError as error:
                    # A memory goes on with its rules then, so the log says what has to be put right.
                    _LOG.warning("%s cannot be used: %s", self.name, error)
                    raise
            return self._ready

    def _reply(self, system: str, request: ChatRequest, stop: Stop, tell: Callable[[str], None] | None) -> ChatReply:
        ready = self._loaded()
        prompt = prompt_of(ready.tokenizer, system, request.user, self._template)
        room = self._room(ready.model, prompt.ids.shape[1], request.max_tokens)
        constraint = _constraint(ready, prompt, request)
        teller = None if tell is None else Teller(ready.tokenizer, tell)
        stop.check()
        with ready.lock, self._attached(ready.model, stop) as bounded:
            cache = None if bounded is None else bounded.new_cache()
            options = {**_options(ready, request, room, constraint), "streamer": teller}
            ids = prompt.ids.to(ready.model.device)
            inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            with self._seeded(ready.model, request.temperature):
                made = ready.model.generate(**inputs, **options) if bounded is None else bounded.generate(**inputs, cache=cache, **options)
            stats: Mapping[str, float | int | str] = {"policy": "none", "tokens": made.shape[1] - 1}
            if bounded is not None and cache is not None:
                stats = cache.stats().summary()
        new = made[0, ids.shape[1] :].tolist()
        text = _decoded(ready.tokenizer, new) if teller is None else teller.text
        whole = new[-1:] and (new[-1] in ready.ends or (constraint is not None and constraint.finished))
        if not whole:
            limit = f"max_tokens={request.max_tokens}" if room == request.max_tokens else "the last position that the model knows"
            raise ModelReplyError(f"the reply of {self.name} was cut off at {limit}", reply=text, stats=stats)
        try:
            return ChatReply(text, reply_data(text, request, self.name), ids.shape[1], len(new), stats)
        except ModelReplyError as error:  # asked for in the prompt alone
            error.stats = dict(stats)
            raise

    def _room(self, model: PreTrainedModel, read: int, wanted: int) -> int:
        """Return how many tokens the reply may have."""
        positions = getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None)
        if positions is None:
            return wanted
        if read >= positions:
            raise ModelError(
                f"the prompt has {read} tokens and {self.name} knows {positions} positions: lower the budget of the evidence, or "
                "take a model with a longer context. A bounded cache saves memory, not positions"
            )
        return min(wanted, int(positions) - read)

    @contextmanager
    def _attached(self, model: PreTrainedModel, stop: Stop) -> Iterator[Bounded | None]:
        with ExitStack() as stack:
            stack.callback(model.get_decoder().register_forward_pre_hook(stop.check).remove)
            yield None if self._policy is None else stack.enter_context(attach(model, self._policy, codec=self._codec))

    @contextmanager
    def _seeded(self, model: PreTrainedModel, temperature: float) -> Iterator[None]:
        """Draw from a seed of this reply's own, and leave torch's generators as they were."""
        if temperature <= 0:
            yield
            return
        with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []):
            torch.manual_seed(next(self._seeds))
            yield


class _Ready:
    """A loaded model with its tokenizer, its grammars, the tokens that end its replies, and the lock of all who use it."""

    def __init__(self, model: PreTrainedModel, tokenizer: Any, grammars: Grammars | None) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.grammars = grammars
        self.ends = ends_of(model, tokenizer)
        self.lock = lock_of(model)


def ends_of(model: PreTrainedModel, tokenizer: Any) -> list[int]:
    """Return the tokens that end a reply: those of the model's settings for generation, and the tokenizer's own."""
    own = getattr(model.generation_config, "eos_token_id", None)
    ends = own if isinstance(own, list) else [own]
    return list(dict.fromkeys(int(end) for end in [*ends, tokenizer.eos_token_id] if end is not None))


def _constraint(ready: _Ready, prompt: Prompt, request: ChatRequest) -> Constraint | None:
    if request.schema is None or ready.grammars is None:
        return None
    thought = (lambda ids: "</think>" not in _decoded(ready.tokenizer, ids)) if prompt.thinking else None
    return ready.grammars.constraint(request.schema, thought)


def _options(ready: _Ready, request: ChatRequest, room: int, constraint: Constraint | None) -> dict[str, Any]:
    """Return what `generate` is told."""
    samples = request.temperature > 0
    pad = ready.tokenizer.pad_token_id
    options: dict[str, Any] = {
        "max_new_tokens": room, "do_sample": samples, "num_beams": 1, "use_cache": True, "return_dict_in_generate": False,
        "eos_token_id": ready.ends or None, "pad_token_id": pad if pad is not None else next(iter(ready.ends), 0),
    }  # fmt: skip
    # Greedy decoding has no use for a model's own defaults of sampling, and transformers would complain about them.
    options |= {"temperature": request.temperature} if samples else {"temperature": None, "top_p": None, "top_k": None}
    if constraint is not None:
        options["logits_processor"] = LogitsProcessorList([constraint])
        options["stopping_criteria"] = StoppingCriteriaList([Complete(constraint)])
    return options


def _decoded(tokenizer: Any, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
