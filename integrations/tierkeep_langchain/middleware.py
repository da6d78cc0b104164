"""The memory around an agent's turns: recall before its model is asked, keep what was said, gate its tools."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, NotRequired

from langchain.agents.middleware.types import AgentMiddleware, AgentState, ModelRequest, PrivateStateAttr, ToolCallRequest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langgraph.types import Command, interrupt

from tierkeep import Memory, Origin
from tierkeep.errors import SettingsError, TierkeepError
from tierkeep.gating import ToolPolicy, refusal
from tierkeep.records import ActionDecision, Role
from tierkeep.scoped import ScopedMemory
from tierkeep.toolbox import FORGET, STORE, TOOL_NAMES
from tierkeep.turns import UNKNOWN, Part, Turns, at_work, request_outside
from tierkeep_langchain.convert import Named, as_message, fronted, guided, named, source_of, wholly_text
from tierkeep_langchain.owners import owners, within_a_tool
from tierkeep_langchain.tools import memory_tools

__all__ = ["MemoryMiddleware"]

_LOG = logging.getLogger(__name__)
#: Marks the gate's refusals as nobody's word, as LangChain marks its summaries.
_OURS = "tierkeep"


class MemoryState(AgentState[Any]):
    """What a thread keeps for the middleware: ids only, so that what is forgotten stands nowhere else."""

    memory_asked: NotRequired[Annotated[list[str], PrivateStateAttr]]


class _Turn(NamedTuple):
    """Its owner, the thread, where the turn begins in it, the ids of the messages that ask, the latest one's text, and the turn's name.

    `request` is what the user asks for: the question, unless it comes from another agent's tool.
    """

    owner: ScopedMemory
    thread: list[Named]
    start: int
    asked: list[str]
    question: str
    key: tuple[str | None, str]
    request: str
    by_user: bool


class MemoryMiddleware(AgentMiddleware[MemoryState, Any, Any]):
    """Gives an agent a memory. One object serves many users, threads and tasks at once, sync and async.

    What was recalled stands in front of the user's latest message for the model alone; the thread's state does not get it. What the turn
    brings is kept: the user's words, the agent's, and the results of tools, as data. A memory that is slow or down never breaks the agent.

    Args:
        memory: The memory.
        user: Whose memory: a text, a function of the runtime, or `from_run("user_id")`. A run that names nobody ends with a ScopeError.
        tenant: The organisation, in the same way.
        agent: The agent, when agents must not share, in the same way.
        session: The conversation, in the same way; the thread's id otherwise.
        budget: Tokens of what is recalled for a turn.
        deadline_s: Seconds that it may take.
        keep: Whose messages are kept.
        origins: Where the results of a tool come from, by its name; an untrusted tool otherwise.
        gate: What the application says of its tools, by name, or True: each call is checked before the tool runs. None checks nothing.
        on_deny: "refuse" tells the model that the call was not made; "interrupt" asks a person, whose True lets it pass once.
        guidance: Whether the system prompt says what the memory is.
        tools: Names of the memory tools that the model gets as well: memory_recall, memory_store, memory_forget.

    Raises:
        ScopeError: Nothing says whose memory it is.
        SettingsError: An argument cannot be used.
    """

    state_schema = MemoryState

    def __init__(
        self, memory: Memory, *, user: Part = None, tenant: Part = None, agent: Part = None, session: Part = None,
        budget: int | None = None, deadline_s: float | None = None, keep: Collection[Role] = ("user", "assistant", "tool"),
        origins: Mapping[str, Origin] | None = None, gate: Mapping[str, ToolPolicy] | bool | None = None,
        on_deny: Literal["refuse", "interrupt"] = "refuse", guidance: bool = True, tools: Sequence[str] = (),
    ) -> None:  # fmt: skip
        if on_deny not in ("refuse", "interrupt"):
            raise SettingsError(f'on_deny must be "refuse" or "interrupt", not {on_deny!r}')
        if not isinstance(gate, (Mapping, bool, type(None))):
            raise SettingsError(f"gate must be True or map names of tools to ToolPolicy(…), not {gate!r}")
        self._gated = isinstance(gate, Mapping) or bool(gate)
        if on_deny == "interrupt" and not self._gated:
            raise SettingsError('on_deny="interrupt" asks a person about what the gate refuses: say gate=True, or what your tools do')
        policies = gate if isinstance(gate, Mapping) else None
        self._turns = Turns(memory, budget=budget, deadline_s=deadline_s, keep=keep, origins=origins, tools=policies)
        self._owner = owners(self._turns, session, user=user, tenant=tenant, agent=agent)
        self._on_deny = on_deny
        self._guidance = guidance
        self.tools = memory_tools(memory, user=user, tenant=tenant, agent=agent, session=session, names=tools)

    def before_agent(self, state: Any, runtime: Any) -> dict[str, Any]:
        """Refuse a run without an owner, and note what the user asks: what comes later in the user's name is not theirs."""
        self._owner(runtime)
        return {"memory_asked": _asked(state["messages"])}

    def wrap_model_call(self, request: ModelRequest[Any], handler: Any) -> Any:
        """Recall for the user's message."""
        return handler(self._prompted(request))

    def wrap_tool_call(self, request: ToolCallRequest, handler: Any) -> Any:
        """Ask the gate, and keep what the tool returns at once, so that the gate knows it."""
        turn = self._turn(request.state, request.runtime)
        if refused := self._refused(request, turn):
            return refused
        try:
            with at_work(turn.owner.scope.partition, turn.request):
                result = handler(request)
        except BaseException:
            self._keep(turn)  # the run may end here, and the next one asks something else
            raise
        return self._kept(request, result)

    def after_agent(self, state: Any, runtime: Any) -> None:
        """Keep what this turn brought."""
        self._keep(self._turn(state, runtime), last=True)

    async def abefore_agent(self, state: Any, runtime: Any) -> dict[str, Any]:
        """Do the same as `before_agent`."""
        return await asyncio.to_thread(self.before_agent, state, runtime)

    async def awrap_model_call(self, request: ModelRequest[Any], handler: Any) -> Any:
        """Do the same as `wrap_model_call`."""
        return await handler(await asyncio.to_thread(self._prompted, request))

    async def awrap_tool_call(self, request: ToolCallRequest, handler: Any) -> Any:
        """Do the same as `wrap_tool_call`."""
        turn = await asyncio.to_thread(self._turn, request.state, request.runtime)
        if refused := await asyncio.to_thread(self._refused, request, turn):
            return refused
        try:
            with at_work(turn.owner.scope.partition, turn.request):
                result = await handler(request)
        except BaseException:
            await asyncio.to_thread(self._keep, turn)
            raise
        return await asyncio.to_thread(self._kept, request, result)

    async def aafter_agent(self, state: Any, runtime: Any) -> None:
        """Do the same as `after_agent`."""
        await asyncio.to_thread(self.after_agent, state, runtime)

    def _turn(self, state: Mapping[str, Any], runtime: Any, fresh: Sequence[BaseMessage] = ()) -> _Turn:
        owner = self._owner(runtime)
        asked = state.get("memory_asked") or []
        thread = named([*state["messages"], *fresh], owner.scope.session)
        theirs = {one.message.id: place for place, one in reversed([*enumerate(thread)]) if one.message.id in asked}
        last = asked[-1] if asked else ""
        question = str(thread[theirs[last]].message.text) if last in theirs else ""
        outside = request_outside(owner.scope.partition)
        outside = "" if outside is None and within_a_tool(runtime) else outside
        request, by_user = (question, True) if outside is None else (outside, False)
        return _Turn(owner, thread, min(theirs.values(), default=0), asked, question, (owner.scope.session, last), request, by_user)

    def _prompted(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        turn = self._turn(request.state, request.runtime)
        messages = list(request.messages)
        for place, message in enumerate(messages):
            if message.id and message.id == turn.key[1]:
                seen = [one.id for one in named(messages, turn.owner.scope.session)]
                messages[place] = fronted(message, self._turns.recall(turn.owner, turn.question, seen=seen, key=turn.key))
        system = guided(request.system_message) if self._guidance else request.system_message
        return request.override(system_message=system, messages=messages)

    def _keep(self, turn: _Turn, *, last: bool = False) -> None:
        theirs = turn.asked if turn.by_user else ()
        new = [one for one in turn.thread[turn.start :] if not isinstance(one.message, HumanMessage) or one.message.id in theirs]
        evidence = self._turns.shown(turn.owner, turn.question, key=turn.key, last=last)
        messages = [message for one in new if (message := as_message(one)) is not None]
        self._turns.keep(turn.owner, messages, evidence=evidence, rests_on=[id_ for one in new for id_ in _looked_up(one)])

    def _kept(self, request: ToolCallRequest, result: Any) -> Any:
        if request.tool_call["name"] not in TOOL_NAMES and (fresh := _messages(result)):
            self._keep(self._turn(request.state, request.runtime, fresh))
        return result

    def _refused(self, request: ToolCallRequest, turn: _Turn) -> ToolMessage | None:
        """Return what the model is told when the call may not be made."""
        if not self._gated:
            return None
        call = request.tool_call
        evidence = self._turns.shown(turn.owner, turn.question, key=turn.key)
        window = _window(turn) if evidence is not None else [UNKNOWN]
        check = functools.partial(self._turns.check, turn.owner, call["name"], call["args"], request=turn.request, window=window)
        decision = check(evidence=evidence)
        if not decision and self._on_deny == "interrupt" and (token := _person(turn.owner, decision, call["args"])):
            decision = check(evidence=evidence, confirmation=token)
        return None if decision else ToolMessage(
            f"{refusal(decision)}. Tell the user what you wanted to do; they can say the values themselves.",
            name=call["name"], tool_call_id=call["id"] or "", status="error", additional_kwargs={"lc_source": _OURS},
        )  # fmt: skip


def _person(owner: ScopedMemory, decision: ActionDecision, arguments: dict[str, Any]) -> str | None:
    """Ask a person about exactly this call; return the token of their yes, which never leaves this process."""
    try:
        question = owner.guard.gate().ask(decision.tool, arguments)
    except TierkeepError as error:
        _LOG.error("nobody could be asked about a call of %s: %s: %s", decision.tool, type(error).__name__, error)
        return None
    asked = {"question": question.text, "action": decision.tool, "args": arguments, "reasons": list(decision.reasons)}
    if interrupt(asked) is not True:
        return None
    # Who is asked is refused once before they can answer: else the yes was to another call, such as one that was changed since.
    refused = [entry for entry in owner.guard.log() if entry.verb == "deny" and entry.subject == decision.subject]
    return question.token if len(refused) > 1 else None


def _asked(messages: Sequence[BaseMessage]) -> list[str]:
    """Return the ids of what the user said last, in one message or several."""
    ids: list[str] = []
    for message in reversed(messages):
        said = isinstance(message, HumanMessage) and not source_of(message)
        if ids and not said:
            break
        ids += [message.id] if said and message.id else []
    return ids[::-1]


def _looked_up(one: Named) -> list[str]:
    """Return the ids of what one of our tools gave the model."""
    if one.tool not in TOOL_NAMES or one.tool in (STORE.name, FORGET.name):
        return []
    found = getattr(one.message, "artifact", None)
    return list(found["sources"]) if isinstance(found, Mapping) and "sources" in found else [UNKNOWN]


def _window(turn: _Turn) -> list[str]:
    """Return the ids of all that the model has seen beside the request; what was not kept has one that no memory knows."""
    ids: list[str] = []
    for place, one in enumerate(turn.thread):
        message = one.message
        calling = isinstance(message, AIMessage) and (not message.text or (place >= turn.start and message.tool_calls))
        if calling or not message.content or source_of(message) == _OURS:
            continue  # the model's own words of this turn, nothing
        if not isinstance(message, AIMessage) and not wholly_text(message):
            ids.append(UNKNOWN)
        if message.id != turn.key[1] or not turn.by_user:  # it is not the request
            ids += _looked_up(one) if one.tool in TOOL_NAMES else [one.id or UNKNOWN]
    return ids


def _messages(result: Any) -> list[ToolMessage]:
    """Return the messages of what a tool gave back: a message, a command, or several of them."""
    if isinstance(result, Command):
        return _messages(result.update["messages"]) if isinstance(result.update, Mapping) and "messages" in result.update else []
    return [message for one in result for message in _messages(one)] if isinstance(result, list) else [
        one for one in (result,) if isinstance(one, ToolMessage)
    ]  # fmt: skip
