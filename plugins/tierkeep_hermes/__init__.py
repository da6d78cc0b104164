"""tierkeep as the memory of Hermes agent: a `MemoryProvider` that recalls before a turn and keeps what the turn brought.

In the environment in which Hermes is installed:

```console
$ pip install tierkeep
$ python -m tierkeep_hermes      # writes $HERMES_HOME/plugins/tierkeep/
$ hermes memory setup            # choose tierkeep
```

Hermes finds memory providers in folders only. Its loader reads this file for the words `register_memory_provider` and calls `register`.
"""

from __future__ import annotations

import logging
from typing import Any

from .config import Config, install

__all__ = ["Config", "install", "register"]

_LOG = logging.getLogger(__name__)


def register(ctx: Any) -> None:
    """Hand the provider to Hermes. Its general plugin loader, which comes through the entry point, takes none: the log says what to do."""
    if not hasattr(ctx, "register_memory_provider"):
        _LOG.warning("Hermes takes memory providers from $HERMES_HOME/plugins/ only: run python -m tierkeep_hermes")
        return
    from .provider import TierkeepProvider  # needs Hermes; the configuration and the command do not

    ctx.register_memory_provider(TierkeepProvider())
