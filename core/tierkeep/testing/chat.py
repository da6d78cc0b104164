"""The chat-model contract: subclass it, build your model in `make_chat`, and let pytest collect it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tierkeep.errors import ModelError
from tierkeep.protocols import ChatModel, ChatReply, ChatRequest
from tierkeep.streaming import StreamingChatModel

#: A schema that any model can fill; the contract looks at the shape of the reply, never at its sense.
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string"}, "needs_more": {"type": "boolean"}},
    "required": ["answer", "needs_more"],
    "additionalProperties": False,
}


class ChatModelContract:
    """What every `ChatModel` must hold. Each test's docstring says where a failure usually comes from.

    A model without `stream` skips the tests of streams.
    """

    def make_chat(self) -> ChatModel:
        """Return a model that answers free text, and fills `SCHEMA` when it is given."""
        raise NotImplementedError("override make_chat() and return your model")

    def make_broken_chat(self) -> ChatModel:
        """Return a model whose server is down or talks nonsense."""
        raise NotImplementedError("override make_broken_chat() and return a model that cannot answer")

    def test_is_a_chat_model(self) -> None:
        """Usual cause: `name` is missing."""
        chat = self.make_chat()
        assert isinstance(chat, ChatModel)
        assert chat.name

    def test_free_text(self) -> None:
        """Usual cause: None for an empty reply, or a reply object of the client library."""
        reply = self.make_chat().complete(ChatRequest("answer", "Answer briefly.", "What is the capital of France?"))
        assert isinstance(reply, ChatReply)
        assert isinstance(reply.text, str)
        assert reply.data is None

    def test_schema(self) -> None:
        """Usual cause: the parsed object is not returned in `data`, or keys are missing."""
        reply = self.make_chat().complete(ChatRequest("answer", "Answer as JSON.", "What is the capital of France?", schema=SCHEMA))
        assert reply.data is not None
        assert isinstance(reply.data["answer"], str)
        assert isinstance(reply.data["needs_more"], bool)

    def test_tokens_are_counted(self) -> None:
        """Usual cause: the usage of the response is thrown away. Costs are part of every answer."""
        reply = self.make_chat().complete(ChatRequest("answer", "Answer briefly.", "What is the capital of France?"))
        assert reply.tokens_in > 0
        assert reply.tokens_out >= 0

    def test_failure_is_ours(self) -> None:
        """Usual cause: the client library's own exception comes through."""
        try:
            self.make_broken_chat().complete(ChatRequest("answer", "Answer briefly.", "Anyone there?", schema=SCHEMA, timeout_s=5.0))
        except ModelError:
            return
        raise AssertionError("a model that cannot answer must raise ModelError or ModelReplyError")

    def _streaming(self, chat: ChatModel) -> StreamingChatModel:
        if not isinstance(chat, StreamingChatModel):
            pytest.skip("the model gives its replies whole")
        return chat

    @pytest.mark.parametrize("schema", [None, SCHEMA], ids=["text", "schema"])
    def test_a_stream_is_the_reply_in_pieces(self, schema: Mapping[str, Any] | None) -> None:
        """Usual cause: pieces of a reply that was asked for twice, or `reply` set before its end."""
        request = ChatRequest("answer", "Answer briefly.", "What is the capital of France?", schema=schema)
        stream = self._streaming(self.make_chat()).stream(request)
        assert stream.reply is None
        text = "".join(stream)
        assert isinstance(stream.reply, ChatReply)
        assert stream.reply.text == text
        assert stream.reply.tokens_in > 0
        assert (stream.reply.data is None) is (schema is None)
        assert list(stream) == []
        stream.close()

    def test_a_stream_may_be_closed(self) -> None:
        """Usual cause: the rest is still given, or a second close fails."""
        stream = self._streaming(self.make_chat()).stream(ChatRequest("answer", "Answer briefly.", "What is the capital of France?"))
        stream.close()
        stream.close()
        assert list(stream) == []

    def test_failure_of_a_stream_is_ours(self) -> None:
        """Usual cause: the client library's own exception comes through, or the pieces just end."""
        chat = self._streaming(self.make_broken_chat())
        try:
            list(chat.stream(ChatRequest("answer", "Answer briefly.", "Anyone there?", schema=SCHEMA, timeout_s=5.0)))
        except ModelError:
            return
        raise AssertionError("a stream that cannot answer must raise ModelError or ModelReplyError")
