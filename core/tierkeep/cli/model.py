"""Options that name a chat model and a preset, for the commands that may use one."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from tierkeep import ChatModel
from tierkeep.errors import SettingsError

Model = Annotated[
    str, typer.Option("--model", envvar="TIERKEEP_MODEL", help="A chat model to route, answer, judge and derive; none otherwise.")
]
BaseUrl = Annotated[
    str, typer.Option("--base-url", envvar="TIERKEEP_BASE_URL", help="Where an OpenAI-compatible server listens.")
]
Preset = Annotated[str, typer.Option("--preset", envvar="TIERKEEP_PRESET", help="auto, memflow, hymem or dmem.")]


def chat_model(model: str, base_url: str) -> ChatModel | None:
    """Return the model that was asked for. Its key comes from TIERKEEP_API_KEY, or, for OpenAI itself, from OPENAI_API_KEY.

    Raises:
        SettingsError: A server is named, and none of its models.
    """
    if not model:
        if base_url:
            raise SettingsError("--base-url names a server, but --model does not say which of its models to use")
        return None
    from tierkeep.models.openai import OpenAIChat

    return OpenAIChat(model, base_url=base_url or None, api_key=os.environ.get("TIERKEEP_API_KEY") or None)
