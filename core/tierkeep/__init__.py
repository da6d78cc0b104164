"""tierkeep: tiered, guarded memory for agents, offline by default.

Importing does no work: it loads no framework, opens no file and no socket.
"""

from __future__ import annotations

from tierkeep.errors import TierkeepError
from tierkeep.memory import Memory
from tierkeep.protocols import ChatModel, Embedder
from tierkeep.records import Answer, Authority, Evidence, Message, Origin, Record, Scope
from tierkeep.settings import Settings

__version__ = "0.6.1"

__all__ = [
    "Answer",
    "Authority",
    "ChatModel",
    "Embedder",
    "Evidence",
    "Memory",
    "Message",
    "Origin",
    "Record",
    "Scope",
    "Settings",
    "TierkeepError",
]
