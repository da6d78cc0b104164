"""MemFlow's intent rules: the first stage of the router cascade, and all of it when there is no model (tiers spec, 1.3 and 5.3.1).

A family fires only when it is unambiguous. When none does, the question is a targeted look-up: a wrong cheap tier costs more than
a needless search.
"""

from __future__ import annotations

import re

from tierkeep.allowance import Allowance
from tierkeep.dates.questions import asks_for_time
from tierkeep.plans import about_another, asks_for_advice, plan_for
from tierkeep.protocols import View
from tierkeep.records import Intent, Plan, Query
from tierkeep.settings import Budgets

_COUNT = re.compile(
    r"\bhow many\b(?! (?:days|weeks|months|years))|\bhow often\b|\b(?:list|name) (?:all|every|the)\b|\ball (?:the|of)\b", re.I
)
_CONFLICT = re.compile(
    r"\bchange[ds]? my mind\b|\bcontradict|\bstill\b|\bused to\b|\bwhich (?:one )?is (?:right|correct|true)\b"
    r"|\bbefore (?:that|now)\b",
    re.I,
)
_STATE = re.compile(
    r"\b(?:now|currently|at the moment|these days|nowadays|latest|most recent(?:ly)?|status of|as of|up to date)\b", re.I
)
_CONSTRAINT = re.compile(
    r"\b(?:can|may|could|should) i\b|\bam i allowed\b|\bshould .{1,40} avoid\b|\bsafe for\b|\bwithin my\b"
    r"|\bis it (?:ok|okay|fine) (?:for me )?to\b|\b(?:can|could|would|should) you (?:recommend|suggest)\b|\bi'?m (?:allergic|intolerant)\b",
    re.I,
)
_SUMMARY = re.compile(
    r"\bsummar(?:y|i[sz]e)|\boverview\b|\brecap\b|\bcatch me up\b|\bwhat do you know about\b"
    r"|\btell me (?:everything|all) about\b",
    re.I,
)
_PROFILE = re.compile(
    r"\bmy (?:\w+ )?(?:name|age|job|work|employer|allerg\w+|favou?rite|preferences?|diet"
    r"|address|home|city|birthday|hobb\w+|phone|doctor|dentist)\b"
    r"|\bdo i (?:live|work)\b|\bwho am i\b|\bwhat do i (?:like|prefer|do|avoid|hate)\b|\bam i (?:allergic|vegetarian|vegan)\b"
    r"|\bdo i (?:like|drink|eat|prefer)\b|\b(?:recommend|suggest)\b.{0,60}\b(?:me|my|for me)\b|\bwhat should i call\b"
    r"|\bshould you (?:address|answer|call|give|show|speak|talk|tell|use|write)\b|\bwho(?: is|'s) my\b|\bmy [\w -]{1,30}'s name\b",
    re.I,
)
#: The same questions in Chinese, Japanese, German, Spanish and Arabic. The profile's own rules read English, so nothing is sent there.
_COUNT_ELSEWHERE = re.compile(
    "多少(?:次|[个個]|人|本|只|隻|种|種|家)|[几幾](?:次|[个個](?!月)|人|本|只|隻|种|種|家)|一共|列出|列举|哪些"
    "|いくつ|何(?:回|個|人|冊|匹|度|種類)|すべての|全部の"
    r"|\bwie (?:viele|oft)\b(?! (?:tage|wochen|monate|jahre))|\b(?:nenne|liste) (?:mir )?(?:alle|die)\b"
    r"|\bcu[áa]nt[oa]s\b(?! (?:d[íi]as|semanas|meses|años))|\bcon qué frecuencia\b|\b(?:enumera|lista) (?:tod[oa]s|l[oa]s)\b"
    r"|(?<!\w)كم (?!من الوقت|يوم|[أا]سبوع|شهر|سنة|عام)",
    re.I,
)
_CONFLICT_ELSEWHERE = re.compile(
    "改变主意|改變主意|还在|還在|仍然|仍旧|以前.{0,10}吗|まだ|気が変わ"
    r"|\bimmer noch\b|\bnoch immer\b|\bmeinung geändert\b|\btodavía\b|\baún\b|\bsigo\b|\bsigue\b|\bcambié de (?:idea|opinión)\b"
    "|لا [يأا]زال|ما ?زلت|ما ?زال",
    re.I,
)
_STATE_ELSEWHERE = re.compile(
    "现在|現在|目前|当前|當前|最新|如今|今は"
    r"|\bjetzt\b|\bderzeit\b|\bmomentan\b|\baktuell|\bzurzeit\b|\bahora\b|\bactualmente\b|\ben este momento\b|الآن|الان|حاليا",
    re.I,
)
_SUMMARY_ELSEWHERE = re.compile(
    "总结|總結|概括|概要|摘要|まとめて|要約"
    r"|\bzusammenfass|\bfasse .{1,60} zusammen\b|\büberblick\b|\bresumen\b|\bresume (?:lo|la|todo|mi|mis|nuestr[ao]s?)\b|\bresúmen\b"
    "|لخص|ملخص",
    re.I,
)
#: Families in the order in which MemFlow's cascade asks them, each with its intent and the tier that serves it.
_FAMILIES: tuple[tuple[Intent, str, re.Pattern[str]], ...] = (
    ("conflict", "deep", _CONFLICT),
    ("summary", "targeted", _SUMMARY),
    ("profile", "profile", _PROFILE),
    ("constraint", "deep", _CONSTRAINT),
    ("state", "deep", _COUNT),
    ("state", "deep", _STATE),
    ("conflict", "deep", _CONFLICT_ELSEWHERE),
    ("summary", "targeted", _SUMMARY_ELSEWHERE),
    ("state", "deep", _COUNT_ELSEWHERE),
    ("state", "deep", _STATE_ELSEWHERE),
)


class RuleRouter:
    """Routes by the rules; unsure means targeted.

    Args:
        budgets: Evidence tokens by tier.
    """

    def __init__(self, budgets: Budgets) -> None:
        self._budgets = budgets

    def sure(self, question: str) -> bool:
        """Return whether the rules decide alone: a time is asked for, or families of one tier only fire."""
        if asks_for_time(question) is not None:
            return True
        return len({tier for _, tier in _fired(question)}) == 1

    def route(self, query: Query, view: View, allowance: Allowance) -> Plan:
        """Return the first plan. Temporal questions come first: they are recognised at 90 % precision (tiers 1.3)."""
        when = asks_for_time(query.text)
        if when is not None:
            return plan_for("deep", "temporal", query, self._budgets, reason=f"asks {when.replace('_', ' ')}")
        fired = _fired(query.text)
        if not fired:
            return plan_for("targeted", "targeted", query, self._budgets, reason="no rule fired")
        if len({tier for _, tier in fired}) > 1:
            # Two families that want different tiers: MemFlow would ask a model; without one, the order of the families decides.
            return plan_for(fired[0][1], fired[0][0], query, self._budgets, reason="several rules fired")
        return plan_for(fired[0][1], fired[0][0], query, self._budgets, reason=f"asks for {fired[0][0]}")


def _fired(question: str) -> list[tuple[Intent, str]]:
    """Return (intent, tier) of every family whose pattern the question meets, in the order of the cascade."""
    if asks_for_advice(question):
        return [("constraint", "deep")]  # the rules that bind it, and what was said of the thing
    fired = [(intent, tier) for intent, tier, pattern in _FAMILIES if pattern.search(question)]
    return [(intent, tier) for intent, tier in fired if tier != "profile"] if about_another(question) else fired
