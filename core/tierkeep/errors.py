"""Everything tierkeep raises on purpose.

```
TierkeepError
├── InputError              what the caller handed over cannot be used (also a ValueError)
│   ├── ScopeError          a read or write without an owner, or with an unusable one
│   ├── LimitError          too large, too many, too deep
│   ├── TargetOccupied      a move's target holds something else of an owner
│   └── ImportFormatError   an export file that no reader understands, or that breaks half-way
├── SettingsError           a setting, preset or option that does not exist or cannot hold
├── MissingExtraError       an optional dependency is absent (also an ImportError); says the pip command
├── NotFoundError           an id that this scope does not have
├── WriteRejected           the guard refused a write; carries its reasons
│   ├── RateLimited         too many writes from one origin in a short time; says when to try again
│   └── QuotaExceeded       the owner has as much as the settings allow; says how much, and what makes room
├── ActionDenied            the gate refused a tool call; carries the decision
├── ConfirmationError       a confirmation is unknown, used, expired, or of something else
├── StorageError            the store cannot do its work
│   ├── StoreUnavailable    locked, read-only, disk full, folder missing: the data is as it was
│   ├── StoreCorrupt        not a tierkeep file, damaged, or its ledger chain does not hold
│   ├── SchemaTooNew        written by a newer tierkeep
│   └── OpRefused           a batch of ops breaks a ledger rule; nothing of it was applied
└── ModelError              a chat model or embedder failed or replied with nonsense
    └── ModelReplyError     the reply does not fit the schema
```

Each message says what happened and what to do about it. Each error carries the object it is about.
"""

from __future__ import annotations

from collections.abc import Mapping


class TierkeepError(Exception):
    """Root of every error that tierkeep raises on purpose."""


class InputError(TierkeepError, ValueError):
    """What the caller handed over cannot be used; nothing was written.

    Attributes:
        field: Name of the offending argument or key, when there is one.
    """

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class ScopeError(InputError):
    """A read or write names no owner, or an owner that cannot be used as an isolation key."""


class LimitError(InputError):
    """The input is larger, longer or deeper than the configured limit.

    Attributes:
        limit: The limit that was passed, in the unit the message names.
        actual: What was handed over, in the same unit.
    """

    def __init__(self, message: str, *, field: str | None = None, limit: int = 0, actual: int = 0) -> None:
        super().__init__(message, field=field)
        self.limit = limit
        self.actual = actual


class ImportFormatError(InputError):
    """An export file cannot be read: unknown format, or broken at the named place.

    Attributes:
        path: The file, as given.
        line: 1-based line of the first problem, when known.
    """

    def __init__(self, message: str, *, path: str = "", line: int | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.line = line


class TargetOccupied(InputError):
    """The store that a memory would be moved into holds another memory of an owner; nothing was written.

    Attributes:
        owners: Who they are, as text.
    """

    def __init__(self, message: str, *, owners: tuple[str, ...] = ()) -> None:
        super().__init__(message, field="to")
        self.owners = owners


class SettingsError(TierkeepError, ValueError):
    """A setting, preset or option does not exist or has a value that cannot hold."""


class MissingExtraError(TierkeepError, ImportError):
    """An optional dependency is not installed.

    Attributes:
        extra: The extra of the `tierkeep` distribution that brings it.
    """

    def __init__(self, what: str, *, extra: str) -> None:
        super().__init__(f'{what} needs an optional dependency. Install it with: pip install "tierkeep[{extra}]"')
        self.extra = extra


class NotFoundError(TierkeepError, LookupError):
    """This scope has nothing with that id (another scope's things are never found).

    Attributes:
        ids: The ids that were not found.
    """

    def __init__(self, message: str, *, ids: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.ids = ids


class WriteRejected(TierkeepError):
    """The guard refused a write; nothing of it was stored.

    Attributes:
        reasons: Reason codes, in the order in which the checks ran.
    """

    def __init__(self, message: str, *, reasons: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.reasons = reasons


class RateLimited(WriteRejected):
    """One origin writes faster than it may; nothing of the call was stored.

    Attributes:
        retry_after_s: Seconds after which the same call would fit.
    """

    def __init__(self, message: str, *, reasons: tuple[str, ...] = (), retry_after_s: float = 0.0) -> None:
        super().__init__(message, reasons=reasons)
        self.retry_after_s = retry_after_s


class QuotaExceeded(WriteRejected):
    """The owner would have more than `Settings.retention` allows; nothing of the call was stored.

    Attributes:
        what: "events" or "characters".
        limit: What is allowed.
        actual: What it would have been.
    """

    def __init__(self, message: str, *, what: str = "events", limit: int = 0, actual: int = 0) -> None:
        super().__init__(message, reasons=(f"quota_{what}",))
        self.what = what
        self.limit = limit
        self.actual = actual


class ActionDenied(TierkeepError):
    """The gate refused a tool call: a value of it comes from what may not cause an action.

    Attributes:
        reasons: Reason codes, in the order of the arguments.
        subject: SHA-256 of the action, to which a confirmation can be bound.
    """

    def __init__(self, message: str, *, reasons: tuple[str, ...] = (), subject: str = "") -> None:
        super().__init__(message)
        self.reasons = reasons
        self.subject = subject


class ConfirmationError(TierkeepError):
    """A confirmation cannot be used: it is unknown, was used before, has expired, or belongs to something or somebody else."""


class StorageError(TierkeepError):
    """The store cannot do its work.

    Attributes:
        path: Where the store lives, when it lives in a file.
    """

    def __init__(self, message: str, *, path: str | None = None) -> None:
        super().__init__(message)
        self.path = path


class StoreUnavailable(StorageError):
    """Locked, read-only, full or missing: the data is as it was before the call."""


class StoreCorrupt(StorageError):
    """The file is not a tierkeep store, is damaged, or its ledger chain does not hold."""


class SchemaTooNew(StorageError):
    """The file was written by a newer tierkeep; this one will not guess at it.

    Attributes:
        found: Schema version of the file.
        supported: Newest schema version that this tierkeep understands.
    """

    def __init__(self, message: str, *, path: str | None = None, found: int = 0, supported: int = 0) -> None:
        super().__init__(message, path=path)
        self.found = found
        self.supported = supported


class OpRefused(StorageError):
    """A batch of ops breaks a ledger rule; nothing of the batch was applied."""


class ModelError(TierkeepError):
    """A chat model or an embedder failed, timed out or replied with nonsense."""


class ModelReplyError(ModelError):
    """A model's reply does not fit the schema that was asked for.

    Attributes:
        reply: The raw reply, for the trace; never shown to a model again.
        stats: What a model that runs here says of its work on it, as in `ChatReply.stats`.
    """

    def __init__(self, message: str, *, reply: str = "", stats: Mapping[str, float | int | str] | None = None) -> None:
        super().__init__(message)
        self.reply = reply
        self.stats = dict(stats or {})
