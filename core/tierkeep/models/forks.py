"""What a forked child does with the sessions that it inherits from its parent."""

from __future__ import annotations

import ctypes

__all__ = ["keep_for_ever"]


def keep_for_ever(session: object) -> None:
    """Let an inherited session of onnxruntime never end in this process, not even when it exits.

    Its end would wait for threads that only the parent has.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))
