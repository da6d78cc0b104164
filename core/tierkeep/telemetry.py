"""What a memory tells of its work: OpenTelemetry spans and metrics, and log lines for machines. Off by default, and never with content.

What is told: which verb, how long, how many, which kind of error. Not told: texts, questions, names and ids of owners, messages of errors.
Names are those of OpenTelemetry's conventions for generative AI (`gen_ai.operation.name` and its memory operations), which are still in
development there; what they have no name for begins with `tierkeep.`.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

from tierkeep.clock import SystemClock
from tierkeep.errors import MissingExtraError
from tierkeep.records import Answer, Evidence, ForgetReport, MaintainReport, Receipt, Usage

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

__all__ = ["OpenTelemetry", "OperationLog", "Telemetry", "counts_of", "observed"]

_P = ParamSpec("_P")
_R = TypeVar("_R")
_S = TypeVar("_S", bound="_Observed")
#: What is told of an operation, by attribute.
Counts = Mapping[str, "bool | int | float | str"]
#: The verbs, as OpenTelemetry's conventions call them; the others keep their own names.
_OPERATIONS = {"add": "update_memory", "recall": "search_memory", "ask": "search_memory", "forget": "delete_memory"}
_CLOCK = SystemClock()
_LOG = logging.getLogger("tierkeep.operations")
_FAILURES = logging.getLogger(__name__)


class Telemetry(Protocol):
    """Is told of every operation of a memory.

    What an implementation raises is logged, by its type, and goes no further: a memory does not stop because nobody could be told of it.
    """

    def operation(self, verb: str) -> AbstractContextManager[Callable[[Counts], None]]:
        """Begin an operation; what it gives is called with what is known of the result. An error leaves through the context manager."""
        ...


class _Observed(Protocol):
    @property
    def _memory(self) -> Any: ...


def observed(verb: Callable[Concatenate[_S, _P], _R]) -> Callable[Concatenate[_S, _P], _R]:
    """Have a verb's calls told to the memory's telemetry. Without one, a call costs nothing but this."""

    @functools.wraps(verb)
    def call(self: _S, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        listeners: tuple[Telemetry, ...] = self._memory._telemetry
        if not listeners:
            return verb(self, *args, **kwargs)
        with ExitStack() as stack:
            told = [stack.enter_context(_Contained(listener, verb.__name__.lstrip("_"))) for listener in listeners]
            result = verb(self, *args, **kwargs)
            counts = counts_of(result)
            for tell in told:
                tell(counts)
            return result

    return call


class _Contained:
    """One operation as one listener is told of it. The listener's own failures end here, and it cannot hide the operation's."""

    def __init__(self, listener: Telemetry, verb: str) -> None:
        self._listener = listener
        self._verb = verb
        self._inner: AbstractContextManager[Callable[[Counts], None]] | None = None
        self._tell: Callable[[Counts], None] | None = None

    def __enter__(self) -> Callable[[Counts], None]:
        try:
            inner = self._listener.operation(self._verb)
            self._tell = inner.__enter__()
            self._inner = inner
        except Exception as failure:  # noqa: BLE001 - whatever it is, it is the listener's
            self._failed(failure)
        return self._told

    def _told(self, counts: Counts) -> None:
        if self._tell is not None:
            try:
                self._tell(counts)
            except Exception as failure:  # noqa: BLE001 - whatever it is, it is the listener's
                self._failed(failure)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._inner is None:
            return
        try:
            self._inner.__exit__(kind, error, trace)
        except Exception as failure:  # noqa: BLE001 - whatever it is, it is the listener's
            if failure is not error:
                self._failed(failure)

    def _failed(self, failure: Exception) -> None:
        _FAILURES.warning("%s could not be told of %s: %s", type(self._listener).__name__, self._verb, type(failure).__name__)


def counts_of(result: object) -> Counts:
    """Return what may be told of a result: numbers and the names of tiers, no content."""
    if isinstance(result, Receipt):
        quarantined = sum(note.startswith("quarantined") for note in result.notes)
        return {"tierkeep.events": len(result.ids), "tierkeep.skipped": len(result.skipped), "tierkeep.quarantined": quarantined}
    if isinstance(result, Evidence):
        return _of_evidence(result) | _of_usage(result.usage)
    if isinstance(result, Answer):
        tried = {"tierkeep.tiers": " ".join(result.tiers)}
        judged = {"tierkeep.abstained": result.abstained, "tierkeep.accepted": result.verdict.accept}
        return {**_of_evidence(result.evidence), **tried, **judged, **_of_usage(result.usage)}
    if isinstance(result, ForgetReport):
        return {"tierkeep.events": result.events, "tierkeep.complete": result.complete}
    if isinstance(result, MaintainReport):
        made = {"tierkeep.spans": result.spans, "tierkeep.vectors": result.vectors, "tierkeep.pending": result.pending}
        return {**made, **_of_usage(result.usage)}
    return {}


def _of_evidence(evidence: Evidence) -> dict[str, bool | int | float | str]:
    return {"tierkeep.items": len(evidence.items), "tierkeep.evidence_tokens": evidence.tokens, "tierkeep.partial": evidence.partial}


def _of_usage(usage: Usage) -> dict[str, bool | int | float | str]:
    calls = sum(usage.calls.values())
    if not calls:
        return {}
    return {"tierkeep.calls": calls, "gen_ai.usage.input_tokens": usage.tokens_in, "gen_ai.usage.output_tokens": usage.tokens_out}


class OpenTelemetry:
    """Spans and metrics, sent where the application's OpenTelemetry is set up to send them.

    Metrics: `gen_ai.client.operation.duration` (seconds, by operation and error), `gen_ai.client.token.usage` (tokens that models were sent
    and gave), `tierkeep.evidence.tokens` (by search), `tierkeep.events` (by operation) and `tierkeep.quarantined`.

    Args:
        tracers: Where spans go; the application's own otherwise.
        meters: Where metrics go; the application's own otherwise.

    Raises:
        MissingExtraError: OpenTelemetry is not installed.
    """

    def __init__(self, *, tracers: TracerProvider | None = None, meters: MeterProvider | None = None) -> None:
        if importlib.util.find_spec("opentelemetry") is None:
            raise MissingExtraError("OpenTelemetry spans and metrics", extra="otel")
        from opentelemetry import metrics, trace

        self._tracer = trace.get_tracer("tierkeep", tracer_provider=tracers)
        meter = metrics.get_meter("tierkeep", meter_provider=meters)
        self._duration = meter.create_histogram("gen_ai.client.operation.duration", unit="s", description="How long operations take")
        self._tokens = meter.create_histogram("gen_ai.client.token.usage", unit="{token}", description="Tokens sent to models and received")
        self._evidence = meter.create_histogram("tierkeep.evidence.tokens", unit="{token}", description="Tokens of evidence by search")
        self._events = meter.create_counter("tierkeep.events", unit="{event}", description="Events stored and forgotten")
        self._quarantined = meter.create_counter("tierkeep.quarantined", unit="{event}", description="Events stored in quarantine")

    @contextmanager
    def operation(self, verb: str) -> Iterator[Callable[[Counts], None]]:
        """Open a span, and measure when it ends."""
        from opentelemetry.trace import SpanKind, Status, StatusCode

        named: dict[str, bool | int | float | str] = {
            "gen_ai.operation.name": _OPERATIONS.get(verb, verb), "gen_ai.provider.name": "tierkeep", "tierkeep.verb": verb,
        }  # fmt: skip
        found: dict[str, bool | int | float | str] = {}
        began = _CLOCK.monotonic()
        # Neither the error's message nor its traceback is recorded: both may quote what was said.
        with self._tracer.start_as_current_span(
            str(named["gen_ai.operation.name"]), kind=SpanKind.INTERNAL, attributes=named,
            record_exception=False, set_status_on_exception=False,
        ) as span:  # fmt: skip
            try:
                yield found.update
            except BaseException as error:
                named["error.type"] = type(error).__qualname__
                span.set_status(Status(StatusCode.ERROR, type(error).__qualname__))
                span.set_attribute("error.type", type(error).__qualname__)
                raise
            finally:
                span.set_attributes(found)
                self._duration.record(_CLOCK.monotonic() - began, named)
                self._measure(named, found)

    def _measure(self, named: Counts, found: Counts) -> None:
        for attribute, kind in (("gen_ai.usage.input_tokens", "input"), ("gen_ai.usage.output_tokens", "output")):
            if attribute in found:
                self._tokens.record(int(found[attribute]), {**named, "gen_ai.token.type": kind})
        if "tierkeep.evidence_tokens" in found:
            self._evidence.record(int(found["tierkeep.evidence_tokens"]), named)
        if "tierkeep.events" in found:
            self._events.add(int(found["tierkeep.events"]), named)
        if found.get("tierkeep.quarantined"):
            self._quarantined.add(int(found["tierkeep.quarantined"]), named)


class OperationLog:
    """One log record for each operation, at INFO (WARNING after an error), on the logger `tierkeep.operations`.

    What is known stands in the record's attributes (`tierkeep_verb`, `tierkeep_ms`, …), where the formatters for machines that applications
    use, such as python-json-logger, find it; the message has the same as `name=value`.
    """

    @contextmanager
    def operation(self, verb: str) -> Iterator[Callable[[Counts], None]]:
        """Measure, and log at the end."""
        found: dict[str, bool | int | float | str] = {}
        began = _CLOCK.monotonic()
        failed = ""
        try:
            yield found.update
        except BaseException as error:
            failed = type(error).__qualname__
            raise
        finally:
            known = {"verb": verb, "ms": round((_CLOCK.monotonic() - began) * 1000, 3)}
            known |= {"error": failed} if failed else {}
            known |= {name.rpartition(".")[2]: value for name, value in found.items()}
            level = logging.WARNING if failed else logging.INFO
            text = " ".join(f"{name}={value}" for name, value in known.items())
            _LOG.log(level, "%s", text, extra={f"tierkeep_{name}": value for name, value in known.items()})
