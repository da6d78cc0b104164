"""Options that name a chat model, an embedder and a preset, for the commands that may use one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from tierkeep import ChatModel, Embedder
from tierkeep.cli.embedder import NAMES, embedder_from
from tierkeep.cli.output import Output
from tierkeep.errors import SettingsError
from tierkeep.records import MaintainReport

if TYPE_CHECKING:
    from tierkeep.scoped import ScopedMemory

#: What a model's name begins with when it is a folder, and runs here.
_HERE = "transformers:"

Model = Annotated[
    str,
    typer.Option(
        "--model", envvar="TIERKEEP_MODEL",
        help="A chat model to route, answer, judge and derive; none otherwise. transformers:FOLDER runs one here.",
    ),
]
BaseUrl = Annotated[
    str, typer.Option("--base-url", envvar="TIERKEEP_BASE_URL", help="Where an OpenAI-compatible server listens.")
]
Preset = Annotated[str, typer.Option("--preset", envvar="TIERKEEP_PRESET", help="auto, memflow, hymem or dmem.")]

EmbedderName = Annotated[
    str, typer.Option("--embedder", envvar="TIERKEEP_EMBEDDER", help=f"Search by vectors too: {NAMES}.", show_default="none")
]


def embedder(name: str, base_url: str) -> Embedder | None:
    """Return the embedder that was asked for; `--base-url` is for it when it is a server's, and for the chat model only otherwise."""
    return embedder_from(name, base_url if name.lower().startswith("openai") else None)


@contextmanager
def indexed(mine: ScopedMemory, out: Output, *, tidy: bool = False) -> Iterator[MaintainReport]:
    """Make the vectors that are missing before the block, with a bar where somebody looks on."""
    if out.as_json or not sys.stderr.isatty():
        yield mine.index(tidy=tidy)
        return
    with Bar(TextColumn("indexing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=out.err, transient=True) as bar:
        task = bar.add_task("indexing", total=None)
        report = mine.index(tidy=tidy, progress=lambda progress: bar.update(task, completed=progress.done, total=progress.total))
    yield report


def chat_model(model: str, base_url: str) -> ChatModel | None:
    """Return the model that was asked for. Its key comes from TIERKEEP_API_KEY, or, for OpenAI itself, from OPENAI_API_KEY.

    `transformers:FOLDER` names a model that runs here, from files that are here, with everything in its cache: which policy may drop
    something is for an application to choose.

    Raises:
        SettingsError: A server is named, and none of its models; or both a server and a folder.
        MissingExtraError: The extra that runs the model is not installed.
    """
    if not model:
        if base_url:
            raise SettingsError("--base-url names a server, but --model does not say which of its models to use")
        return None
    if model.startswith(_HERE):
        if base_url:
            raise SettingsError(f"--model {_HERE}… runs a model here, and --base-url names a server: leave out one of them")
        if model == _HERE:
            raise SettingsError(f"--model {_HERE}FOLDER names the folder of a model, and none is named")
        from tierkeep_transformers.chat import TransformersChat

        return TransformersChat(model.removeprefix(_HERE))
    from tierkeep.models.openai import OpenAIChat

    return OpenAIChat(model, base_url=base_url or None, api_key=os.environ.get("TIERKEEP_API_KEY") or None)
