"""Whether a question asks for a time, a length of time, or an order: the strict rule of ``spec/tiers.md`` 5.3.1."""

from __future__ import annotations

import re
from typing import Literal

from tierkeep.dates.languages.lexis import widely_folded
from tierkeep.dates.lexicon import W, folded

_MAX_QUESTION = 2_000
_UNITS = "(?:minutes|hours|days|weeks|weekends|months|years|decades)"
_TIME_NOUN = "(?:date|day|month|year|time|week|weekend|season|decade)"
_HEAD = (
    rf"(?:^|[.!?;:\n]\s{{0,3}})(?:(?:and|but|so|ok|okay|well|hey|also|then|now|please){{1}}[,\s]{{1,3}}){{0,2}}"
    rf"(?:(?:do|did){W}(?:you|i|we){W}(?:remember|know|recall|happen{W}to{W}know){W}"
    rf"|(?:can|could|will|would){W}you{W}(?:please{W})?(?:tell{W}me|say|remind{W}me){W}|(?:please{W})?"
    rf"(?:tell{W}me|remind{W}me){W}"
    rf"|i{W}(?:wonder|forgot|forget){W})?"
)
_ORDER = re.compile(
    rf"\b(?:(?:in{W})?(?:what|which){W}order|chronolog|timeline|sequence{W}of|order{W}of{W}events"
    rf"|(?:which|what|who)\b[^.!?\n]{{0,120}}\b(?:first|earlier|earliest|later|latest|most{W}recently|last)(?:{W})?"
    rf"(?:[?,:]|or\b|$)"
    rf"|(?:happened|came|come|occurred|took{W}place|was|did)\b[^.!?\n]{{0,80}}\b(?:before{W}or{W}after"
    rf"|first{W}or|earlier{W}or|later{W}or))"
)
_HOW_LONG_AGO = re.compile(rf"\bhow{W}(?:long|many{W}{_UNITS}){W}ago\b")
_HOW_LONG = re.compile(
    rf"{_HEAD}(?:(?:after|for|in|within|about|since){W})?"
    rf"(?:how{W}long{W}(?:has|have|had|did|does|do|was|were|will|would|it|until|before|after|between|since"
    rf")"
    rf"|how{W}many{W}(?:more{W})?{_UNITS}\b(?!{W}(?:(?:a|per|each|every|in{W}a){W}|(?:of{W})?(?:sleep|vacation"
    rf"|leave|off)\b)))"
)
_WHEN = re.compile(
    rf"{_HEAD}(?:(?:since|until|till|by|from|as{W}of|exactly){W})?(?:when\b|(?:(?:in|on|at|during|around|by"
    rf"|since|for){W})?(?:about{W})?(?:what|which)"
    rf"{W}(?:exact{W})?{_TIME_NOUN}(?:'s)?\b(?!{W}of\b(?!{W}the\b)))"
)
_AUXILIARY = re.compile(
    rf"when(?:'s|'re|'d|'ll)?\b(?:{W}exactly|{W}(?:was{W})?the{W}(?:last|first)|{W}next)?{W}"
    rf"(?:did|does|do|is|was|were|will|would|has|have|had|should|can|could|am|are|shall|might|must)\b"
)
_SECOND_QUESTION = re.compile(
    rf",{W}(?:what|who|whom|where|which|how|why|did|do|does|is|was|were|are|should|can|could|would|will|has|have|had)\b"
)
#: "When" in the other languages whose dates are resolved, and "how long ago". A comma after it makes "cuando" and "wann" set a scene.
_WHEN_ELSEWHERE = re.compile(
    "(?:什么|什麼|甚麼)(?:时候|時候|时间|時間)(?!都|也)|何时|[几幾](?:时|時|号|號)|[几幾]月(?:[几幾]|份)|哪(?:一)?[个個]?(?:天|日|年|月|周|星期)"
    "|(?:星期|周|礼拜|週)[几幾]|多久(?:以|之)?前|是[几幾](?:天|年|周|[个個]月)(?:以|之)?前"
    "|いつ(?!も|か(?!ら)|でも|の間)|何(?:月|曜日|日(?!間)|年(?!間))|どの(?:日|月|年)|ど(?:れ|の)(?:くらい|ぐらい)前"
    rf"|\bwann\b(?!{W}immer)[^,]*$|\b(?:an{W}welchem{W}(?:tag|datum|wochentag)|in{W}welche[mr]{W}(?:monat|jahr|woche)|welches{W}datum)\b"
    rf"|\bwie{W}(?:lange{W}ist{W}(?:es|das){W}her|lange{W}her)|\bvor{W}wie{W}(?:langer{W}zeit|vielen{W}(?:tagen|wochen|monaten|jahren))\b"
    rf"|\bcuándo\b|^\W{{0,3}}(?:(?:desde|hasta){W})?cuando\b[^,]*\?$|\b(?:en|a){W}qu[eé]{W}(?:año|mes|d[íi]a|fecha|semana)\b|\bqu[eé]{W}(?:d[íi]a|fecha)\b"
    rf"|\bhace{W}cu[aá]nt[oa]s?\b|\bcu[aá]nto{W}(?:tiempo{W})?hace\b"
    rf"|(?<!\w)متي(?!\w)|(?<!\w)(?:في{W})?اي{W}(?:يوم|شهر|سنه|عام|تاريخ)(?!\w)|(?<!\w)ما{W}(?:هو{W})?تاريخ(?!\w)"
)


def asks_for_time(question: str) -> Literal["when", "how_long", "order"] | None:
    """What kind of time ``question`` asks for: a point ("when"), a length ("how_long"), an "order", or None.

    "How long ago" asks for a point. "When I was in Rome, what did I eat?" asks for none: its "when" only sets the
    scene. The rule is strict: a question that merely mentions a date is not asking for one. Only the first 2,000
    characters are read. Of Chinese, Japanese, German, Spanish and Arabic questions only those for a point are known.
    """
    text = folded(question[:_MAX_QUESTION]).strip()
    if _HOW_LONG_AGO.search(text):
        return "when"
    if _ORDER.search(text):
        return "order"
    if _HOW_LONG.search(text):
        return "how_long"
    found = _WHEN.search(text)
    if found is None:
        return "when" if _WHEN_ELSEWHERE.search(widely_folded(question[:_MAX_QUESTION]).strip()) else None
    when = found.end() - 4 if found[0].endswith("when") else None
    if when is None or _AUXILIARY.match(text, when):
        return "when"
    return None if _SECOND_QUESTION.search(text, found.end()) or not text.endswith("?") else "when"
