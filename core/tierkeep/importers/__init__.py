"""Readers of the chat exports and memory files people have: one format, one file.

`detect` says which reader understands a file, `read` yields its messages. Reading is separate from storing: a caller
reads a file once to the end to know that it is whole, and a second time to store it, so nothing of a broken file is
stored. Every message has a stable id; importing a file twice stores nothing twice, and importing a longer export of the
same chat stores what is new.
"""

from tierkeep.importers.chatgpt import ChatGPTExport
from tierkeep.importers.claude import ClaudeExport
from tierkeep.importers.markdown_memory import MarkdownMemory, memory_files
from tierkeep.importers.openai_messages import OpenAIMessages
from tierkeep.importers.reader import Found, ImportedMessage, Place, Reader, ReadOptions, Tally
from tierkeep.importers.reading import READERS, by_name, detect, read
from tierkeep.importers.source import ImportFile
from tierkeep.importers.transcript import Transcript

__all__ = [
    "READERS",
    "ChatGPTExport",
    "ClaudeExport",
    "Found",
    "ImportFile",
    "ImportedMessage",
    "MarkdownMemory",
    "OpenAIMessages",
    "Place",
    "ReadOptions",
    "Reader",
    "Tally",
    "Transcript",
    "by_name",
    "detect",
    "memory_files",
    "read",
]
