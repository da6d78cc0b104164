"""For `tierkeep doctor`: a tiny local model in bounded memory reads what another conversation left, and replies inside a grammar."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from tierkeep import Memory
from tierkeep.protocols import ChatRequest
from tierkeep_transformers.chat import TransformersChat
from tierkeep_transformers.policies import StreamingLLM

__all__ = ["remembers", "tiny_model"]

_SCHEMA = {"type": "object", "properties": {"seen": {"type": "boolean"}}, "required": ["seen"], "additionalProperties": False}


def tiny_model(*, layers: int = 2, width: int = 64, seed: int = 0) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Return a Llama with random weights, whose tokens are bytes, and its tokenizer: to try the parts without a download.

    Args:
        layers: Layers of the model.
        width: Numbers in a hidden state, a multiple of 16.
        seed: Of the weights.
    """
    special = ["<pad>", "<s>", "</s>"]
    tokens = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    plain = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=[]))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    plain.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, **dict(zip(("pad_token", "bos_token", "eos_token"), special, strict=True)))
    config = LlamaConfig(
        vocab_size=len(tokens), hidden_size=width, intermediate_size=2 * width, num_hidden_layers=layers, num_attention_heads=width // 16,
        num_key_value_heads=max(width // 32, 1), max_position_embeddings=16_384, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config).eval(), tokenizer


def remembers(memory: Memory, told: str, question: str, *, tenant: str, user: str) -> str:
    """Return what the model read with a question, after another conversation in which the user said something.

    Raises:
        ModelError: The model does not run here.
        ModelReplyError: Its reply is not inside the grammar.
    """
    mine = memory.scope(tenant=tenant, user=user)
    mine.add(told, session="told")
    model, tokenizer = tiny_model()
    read: list[int] = []
    handle = model.get_decoder().register_forward_pre_hook(lambda _, args, kwargs: _note(read, kwargs), with_kwargs=True)
    chat = TransformersChat(model, tokenizer, StreamingLLM(budget=64, buffer=8))
    chat.complete(ChatRequest("answer", "Was it seen?", f"{mine.recall(question).text}\n{question}", schema=_SCHEMA, max_tokens=16))
    handle.remove()
    return str(tokenizer.decode(read))


def _note(read: list[int], kwargs: dict[str, torch.Tensor]) -> None:
    read.extend(kwargs["input_ids"][0].tolist())
