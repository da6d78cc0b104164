"""An agent with a memory: recall before its model is asked, keep what is said and brought, ask the gate before a tool acts.

smolagents has no hook before a run. So one agent's own `run`, the two methods that make its model's messages and, while it works, what it
calls as tools are replaced. Its `instructions` and `memory` are not touched: there is nothing to restore after an error or a broken stream.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar

from smolagents import ActionStep, ChatMessage, CodeAgent, FinalAnswerStep, LocalPythonExecutor, MessageRole, MultiStepAgent
from smolagents.agents import populate_template

from tierkeep import Memory, Message, Origin
from tierkeep.errors import ActionDenied, ScopeError, SettingsError
from tierkeep.gating import ToolPolicy, refusal
from tierkeep.records import Role, Source
from tierkeep.turns import GUIDANCE, UNKNOWN, Part, Turns, in_front
from tierkeep.windows import Window, text_of

__all__ = ["with_memory", "without_memory"]

_Agent = TypeVar("_Agent", bound=MultiStepAgent)
_KEY = "_tierkeep_wiring"
#: Ids that a conversation may hold; beyond it nobody claims to know what the model has seen (ours).
_MOST_HELD = 512
_HOW_ON = "The user can allow it by naming the value in a request of their own. Go on without it, and say so."
_NO_ANSWER = "Error in generating final LLM output"
_LOG_HEADINGS = ("Execution logs:", "Last output from code snippet:", "None")
#: The run whose tool, or whose managed agent, is at work in this thread.
_CALLER: ContextVar[Window | None] = ContextVar("tierkeep_smolagents_caller", default=None)
#: What generated code and templates may see of a tool behind the gate: no way around it.
_SHOWN = {"name", "description", "inputs", "output_type", "output_schema", "to_code_prompt", "to_tool_calling_prompt", "is_initialized"}


def with_memory(
    agent: _Agent, memory: Memory | str | Path, *, user: Part = None, tenant: Part = None, agent_name: Part = None, session: Part = None,
    budget: int | None = None, deadline_s: float | None = None, keep: Collection[Role] = ("user", "assistant", "tool"),
    origins: Mapping[str, Origin] | None = None, gate: Mapping[str, ToolPolicy] | None = None, managed: bool = False,
) -> _Agent:
    """Give an agent a memory, and return that same agent. Done again, the new wiring takes the place of the old one.

    Args:
        agent: A `CodeAgent`, a `ToolCallingAgent`, or one of your own.
        memory: An open memory, or the folder of one, which is opened here and closed by `without_memory`.
        user: Whose memory: a text, or a function of the run's `additional_args` ({} where there are none). The variables of a `CodeAgent`
            outlive its runs: users who must not see each other's get an agent each.
        tenant: As `user`.
        agent_name: As `user`; for agents that must not share.
        session: Names the conversation, as `user`; the day otherwise. Recall searches all of the owner's conversations.
        budget: Tokens of the evidence; `TurnSettings.budget` otherwise.
        deadline_s: Seconds that a recall, and a check of the gate, may take; `TurnSettings.deadline_s` otherwise.
        keep: What is kept: of "user", "assistant" and "tool".
        origins: Where the results of a tool come from, by its name, such as `{"visit_webpage": Origin.web()}`.
        gate: What you say of your tools, by name; calls of all others are checked. {} checks all, None none.
        managed: Wire the agents that this one manages in the same way.

    Raises:
        SettingsError: An argument cannot hold, or a gate is asked for where tools run on another machine.
        StorageError: The folder cannot be opened.
    """
    if not isinstance(agent, MultiStepAgent):
        raise SettingsError(f"hand over a smolagents agent, such as CodeAgent(…), not an object of type {type(agent).__name__}")
    here = not isinstance(agent, CodeAgent) or isinstance(agent.python_executor, LocalPythonExecutor)
    if gate is not None and not here:
        raise SettingsError(f"a gate cannot stand in front of tools that run elsewhere ({agent.executor_type}): use executor_type='local'")
    without_memory(agent)
    opened = Memory.open(memory) if isinstance(memory, (str, Path)) else None
    said: dict[str, Any] = {"budget": budget, "deadline_s": deadline_s, "keep": keep, "origins": origins}
    team = {name: ToolPolicy(free=("task", "additional_args")) for name in agent.managed_agents}
    turns = Turns(opened or memory, tools=team | dict(gate or {}), **said)  # type: ignore[arg-type]
    wiring = _Wiring(agent, turns, {"user": user, "tenant": tenant, "agent": agent_name}, session, gate, here, opened)
    for one in agent.managed_agents.values() if managed else ():
        whose: dict[str, Any] = {"user": user, "tenant": tenant, "agent_name": agent_name, "session": session}
        wiring.team.append(with_memory(one, opened or memory, **whose, **said, gate=gate, managed=True))
    wiring.install()
    return agent


def without_memory(agent: MultiStepAgent) -> None:
    """Take the wiring off an agent, and off those that were wired with it. An agent without one stays as it is."""
    if wiring := _wiring_of(agent):
        wiring.remove()


def _wiring_of(agent: Any) -> _Wiring | None:
    return vars(agent).get(_KEY) if isinstance(agent, MultiStepAgent) else None


def _told(step: Any, agent: MultiStepAgent) -> None:
    """Is registered once for each agent, because smolagents cannot take a callback back."""
    if (wiring := _wiring_of(agent)) and wiring.current:
        wiring.told(step, wiring.current)


class _Wiring:
    """What stands between one agent and the memory."""

    def __init__(
        self, agent: MultiStepAgent, turns: Turns, whose: Mapping[str, Part], session: Part, gate: Mapping[str, ToolPolicy] | None,
        here: bool, opened: Memory | None,
    ) -> None:
        self.agent, self.turns, self.whose, self.session, self.gate, self.here = agent, turns, whose, session, gate, here
        self.opened = opened
        self.team: list[MultiStepAgent] = []
        self.mine: dict[str, Callable[..., Any]] = {}
        self.lock = RLock()
        self.current: Window | None = None
        self.stand_ins: dict[int, tuple[Any, Any]] = {}
        # What the model may still have before it: in its conversation, and in the variables of its code, which outlive a reset.
        self.held: list[str] = [UNKNOWN] if agent.memory.steps else []
        self.conversation: list[str] = []
        self.last: Any = None
        self.newest: Window | None = None

    def install(self) -> None:
        if _KEY not in vars(self.agent):
            self.agent.step_callbacks.register(ActionStep, _told)
            self.agent.step_callbacks.register(FinalAnswerStep, _told)
        for name, made in (("run", self.run), ("write_memory_to_messages", self.messages), ("initialize_system_prompt", self.prompt)):
            self.mine[name] = functools.wraps(original := getattr(self.agent, name))(functools.partial(made, original))
            setattr(self.agent, name, self.mine[name])
        setattr(self.agent, _KEY, self)

    def remove(self) -> None:
        """Give the agent its methods back. One that somebody has wrapped since stays, and does nothing of its own."""
        for name, made in self.mine.items():
            if vars(self.agent).get(name) is made:
                delattr(self.agent, name)
        setattr(self.agent, _KEY, None)
        for one in self.team:
            without_memory(one)
        if self.opened is not None:
            self.opened.close()

    def run(self, original: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run the agent. One agent works on one task at a time: a second thread waits."""
        if _wiring_of(self.agent) is not self:
            return original(*args, **kwargs)
        with self.lock:
            window = self.begin(**inspect.signature(original).bind(*args, **kwargs).arguments)
            with self.inside(window):
                result = original(*args, **kwargs)
        return self.steps(window, result) if isinstance(result, Generator) else result

    def steps(self, window: Window, steps: Generator[Any, None, Any]) -> Iterator[Any]:
        """Yield the steps of a stream. Between two of them the agent is as it was."""
        try:
            while True:
                if not window.same_owner(self.newest):  # else it would go on with what the other's run has put into the agent
                    raise ScopeError("a run for another owner has begun on this agent: read a stream to its end, or use an agent for each")
                with self.inside(window):
                    try:
                        step = next(steps)
                    except StopIteration:
                        return
                yield step
        finally:
            with self.inside(window):
                steps.close()

    @contextmanager
    def inside(self, window: Window) -> Iterator[None]:
        """While the agent works, it calls our stand-ins, and what it does belongs to this run."""
        with self.lock:
            before, self.current = self.current, window
            places = [self.agent.tools, self.agent.managed_agents] if self.here and before is None else []
            own = [(place, name, tool) for place in places for name, tool in place.items() if name != "final_answer"]
            for place, name, tool in own:
                place[name] = self.standing_in(name, tool)
            try:
                yield
            finally:
                for place, name, tool in own:
                    if place.get(name) is self.standing_in(name, tool):
                        place[name] = tool
                self.current = before
                self.last = self.agent.memory.steps[-1] if self.agent.memory.steps else None

    def begin(self, task: str, reset: bool = True, images: Any = None, additional_args: Any = None, **_: Any) -> Window:
        """Recall for the task and keep it. Raises ScopeError when the run does not say whose memory it is."""
        caller, inner = _CALLER.get(), self.from_manager(task)
        ours = caller is None and inner is None
        # What a manager hands over are a model's words: they name no owner, and are no user's request.
        context = caller.context if caller else dict(additional_args or {}) if ours else {}
        owner = self.turns.owner(context, session=self.session, **self.whose)
        steps = self.agent.memory.steps
        if not reset and self.newest and steps and self.newest.owner.scope.partition != owner.scope.partition:
            raise ScopeError("the agent still has another owner's conversation: run it with reset=True, or use an agent for each")
        unknown = bool(additional_args or images or self.agent.state or (inner and not caller)) or len(self.held) > _MOST_HELD
        unknown |= not reset and bool(steps) and steps[-1] is not self.last
        unknown |= bool(getattr(self.agent, "additional_authorized_imports", ()))  # what code reads with them, no tool has brought
        if len(self.held) > _MOST_HELD or (reset and not isinstance(self.agent, CodeAgent)):
            self.held = []
        self.conversation = [] if reset else self.conversation
        request = caller.request if caller else task if ours else ""
        self.newest = window = Window(
            self.turns, owner, request, held=self.held, conversation=self.conversation, caller=caller, context=context
        )
        if unknown:
            window.saw_unknown()
        window.recall(inner or task)
        if ours:
            window.keep(Message(text=task))
        elif not window.same_owner(caller):  # else the caller's own messages say it
            window.keep(Message(text=inner or task, role="assistant", origin=Origin(source=Source.PEER_AGENT, principal="manager")))
        return window

    def from_manager(self, task: str) -> str | None:
        """Return the task inside the words with which a manager hands it over; None for a task that no manager wrote."""
        before, after = _hand_over(self.agent.prompt_templates["managed_agent"]["task"], self.agent.name)
        handed = before.strip() and task.startswith(before) and task.endswith(after)
        return task[len(before) : len(task) - len(after)] if handed else None

    def prompt(self, original: Callable[[], str], /) -> str:
        """Return the system prompt and the guidance: always the same, so that a provider's cache holds."""
        return original() if _wiring_of(self.agent) is not self else f"{original()}\n\n{GUIDANCE}"

    def messages(self, original: Callable[..., list[ChatMessage]], /, *args: Any, **kwargs: Any) -> list[ChatMessage]:
        """Return the messages with the evidence in front of the task: as data, at the tail, and in no step of the agent's memory."""
        messages = original(*args, **kwargs)
        if self.current is None or not self.current.evidence:
            return messages
        for message in reversed(messages):
            part = message.content[0] if isinstance(message.content, list) and message.content else {}
            if message.role == MessageRole.USER and str(part.get("text", "")).endswith(str(self.agent.task)):
                message.content = [{**part, "text": in_front(self.current.evidence, part["text"])}, *message.content[1:]]
                return messages
        told = ChatMessage(role=MessageRole.USER, content=[{"type": "text", "text": self.current.evidence.text}])
        return [*messages[:1], told, *messages[1:]]

    def told(self, step: ActionStep | FinalAnswerStep, window: Window) -> None:
        """Keep what a step has brought that no tool did: what code printed, and the answer."""
        if isinstance(step, FinalAnswerStep):
            text = text_of(step.output)  # its caller keeps it as what a tool gave
            if not window.same_owner(window.caller) and _NO_ANSWER not in text:
                window.keep(Message(text=text, role="assistant"))
            return
        if step.code_action is not None:
            window.known += [text_of(step.action_output)] if step.is_final_answer else []
            lines = (step.observations or "").replace(_LOG_HEADINGS[1], f"\n{_LOG_HEADINGS[1]}\n").splitlines()
            printed = window.news("\n".join(line for line in lines if line.strip() not in _LOG_HEADINGS))
            window.brought += window.keep(Message(text=printed, role="tool", speaker="python_interpreter"))
        if step.error is not None:
            window.saw_unknown()  # an error repeats what the code was working on

    def standing_in(self, name: str, tool: Any) -> Any:
        """Return the stand-in of a tool or managed agent, always the same one."""
        if id(tool) not in self.stand_ins:
            self.stand_ins[id(tool)] = (tool, _stand_in(tool, functools.partial(self.call, name), gated=self.gate is not None))
        return self.stand_ins[id(tool)][1]

    def call(self, name: str, tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Ask the gate, call the tool, and keep what it gives."""
        window = self.current
        if window is None and self.gate is None:  # a function of generated code, called from outside
            return tool(*args, **kwargs)
        if window is None:
            raise ActionDenied(f"{name} was not called: its agent is not at work, so nobody asks for it")
        if refused := self.refused(window, name, tool, args, kwargs):
            if isinstance(self.agent, CodeAgent):
                raise ActionDenied(refused)  # the lines after it must not take it for done
            return refused
        token = _CALLER.set(window)
        try:
            result = tool(*args, **kwargs)
        except BaseException:
            window.saw_unknown()  # the model reads the error, which may say anything
            raise
        finally:
            _CALLER.reset(token)
        window.bring(name, result)  # at once: the same code may go on to use it
        return result

    def refused(self, window: Window, name: str, tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Return why a call may not be made, "" when it may."""
        if self.gate is None or (name in self.gate and not self.gate[name].side_effects):
            return ""
        if (below := _wiring_of(tool)) and below.gate is not None:
            return ""  # its own tools ask, for this run's request and about all that was seen here
        decision = window.check(name, _arguments_of(tool, args, kwargs))
        return "" if decision else f"{refusal(decision)}. {_HOW_ON}"


@functools.lru_cache  # compiling the template anew in each run takes longer than the recall
def _hand_over(template: str, name: str | None) -> tuple[str, str]:
    before, _, after = populate_template(template, variables={"name": name, "task": "\x00"}).partition("\x00")
    return before, after


def _stand_in(inner: Any, call: Callable[[Any, tuple[Any, ...], dict[str, Any]], Any], *, gated: bool) -> Any:
    """Return what an agent calls in the place of a tool. A closure holds the tool: generated code can reach attributes."""

    class StandIn:
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return call(inner, args, kwargs)

        def __getattr__(self, name: str) -> Any:
            if gated and name not in _SHOWN:
                raise AttributeError(f"{name} of a tool behind the gate cannot be reached while its agent runs")
            return getattr(inner, name)

    return StandIn()


def _arguments_of(tool: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call's arguments by name, as `Tool.__call__` hands them on."""
    named = {name: value for name, value in kwargs.items() if name != "sanitize_inputs_outputs"}
    order = list(getattr(tool, "inputs", ()))
    given = list(args)
    if len(given) == 1 and not named and isinstance(given[0], dict) and all(key in order for key in given[0]):
        only = given.pop()
        named = dict(only) if type(only) is dict else {"arguments": only}
    parameters = list(inspect.signature(tool.forward).parameters.values()) if hasattr(tool, "forward") else None
    if parameters is not None and not any(one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD) for one in parameters):
        order = [one.name for one in parameters if one.name != "self"]  # which the tools of @tool show
    return named | {order[at] if at < len(order) else f"argument {at + 1}": value for at, value in enumerate(given)}
