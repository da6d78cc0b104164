"""tierkeep in other processes: an MCP server, and the worker behind plugins in other languages.

```
python -m tierkeep_mcp --path ./memory --user ana          an MCP server on standard input and output
python -m tierkeep_mcp.worker --path ./memory              a worker: one JSON request a line
```
"""

from __future__ import annotations

from tierkeep_mcp.service import Service

__all__ = ["Service"]
