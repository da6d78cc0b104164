"""A request as the tokens that a local model reads: through its chat template, whatever roles that has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from jinja2 import TemplateError
from torch import Tensor

__all__ = ["Prompt", "prompt_of"]


class Prompt(NamedTuple):
    """What a model reads.

    Attributes:
        ids: Shape (1, tokens).
        thinking: Whether the template has opened a thought, with which the reply then begins.
    """

    ids: Tensor
    thinking: bool


def prompt_of(tokenizer: Any, system: str, user: str, options: Mapping[str, Any]) -> Prompt:
    """Return the prompt of a system text and a user text.

    A template without a system role (Gemma's) is given both in one turn. Without a template the roles are written out. Special tokens that
    stand in the texts are broken up: what somebody once wrote must not end a turn or begin another.

    Args:
        tokenizer: Of transformers.
        system: Duties and format.
        user: Evidence and question.
        options: Further variables of the template, such as `enable_thinking`.
    """
    system, user = (_without_special(text, tokenizer) for text in (system.strip(), user.strip()))
    if not getattr(tokenizer, "chat_template", None):
        head = f"{system}\n\n" if system else ""
        return Prompt(tokenizer(f"{head}User: {user}\nAssistant:", return_tensors="pt")["input_ids"], False)
    text = _rendered(tokenizer, system, user, options)
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    return Prompt(ids, text.rstrip().endswith("<think>"))


def _rendered(tokenizer: Any, system: str, user: str, options: Mapping[str, Any]) -> str:
    render = dict(tokenize=False, add_generation_prompt=True, **options)
    own = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    if system:
        try:
            text: str = tokenizer.apply_chat_template(own, **render)
        except TemplateError:  # "System role not supported"
            text = ""
        if system in text:  # some templates leave it out without a word
            return text
    both = f"{system}\n\n{user}" if system else user
    merged: str = tokenizer.apply_chat_template([{"role": "user", "content": both}], **render)
    return merged


def _without_special(text: str, tokenizer: Any) -> str:
    special = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    for token in sorted(special, key=len, reverse=True):
        if len(token) > 1 and token in text:
            text = text.replace(token, f"{token[0]} {token[1:]}")
    return text
