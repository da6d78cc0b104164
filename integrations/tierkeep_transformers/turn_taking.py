"""One reader at a time for each model: a policy is attached to the model itself, so two of them cannot work at once."""

from __future__ import annotations

import threading
from weakref import WeakKeyDictionary

from transformers import PreTrainedModel

__all__ = ["lock_of"]

_locks: WeakKeyDictionary[PreTrainedModel, threading.Lock] = WeakKeyDictionary()
_making = threading.Lock()


def lock_of(model: PreTrainedModel) -> threading.Lock:
    """Return the lock of a model, the same for all who use it."""
    with _making:
        return _locks.setdefault(model, threading.Lock())
