"""Figures as people write them: 5000, 5,000, 5.000, 5 000, 12.50, 12,50."""

from __future__ import annotations

import re
from decimal import Decimal

__all__ = ["JOINT", "figures", "is_figure", "loose_figures"]

#: Letters that may join a value to a longer word. Scripts without spaces between words have no such joint.
JOINT = r"[^\W\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u1100-\u11ff]"
#: A number; what begins with a nought and is no fraction is a name made of digits.
_WHOLE = re.compile(r"[+\-]?(?:0|[1-9]\d{0,299})(?:\.\d{1,300})?")
_GROUPED = re.compile(r"([1-9]\d{0,2}(?:([.,' ])\d{3})(?:\2\d{3}){0,8})(?:(?!\2)[.,](\d{1,300}))?")
_PLAIN = re.compile(r"(\d{1,300})(?:[.,](\d{1,300}))?")
_UNITS = r"(?:euros?|eur|usd|gbp|chf|kg|g|km|cm|mm|h|min|am|pm|px|x|st|nd|rd|th|pcs)"
#: A figure that stands for itself: no part of a name, an address, a date, a time, a range or a longer number.
_ALONE = re.compile(
    rf"(?:(?<!{JOINT})|(?<=\beur)|(?<=\busd)|(?<=\bgbp)|(?<=\bchf))(?<![@/\\.%&\-+])(?<!\d[:,'])"
    r"(?P<figure>(?P<sign>[+\-\u2212]?)(?P<bare>[1-9]\d{0,2}(?:(?P<mark>[.,' ])\d{3})(?:(?P=mark)\d{3}){0,8}(?:(?!(?P=mark))[.,]\d{1,300})?"
    rf"|\d{{1,300}}(?:[.,]\d{{1,300}})?))(?:(?={_UNITS}(?!{JOINT}))|(?!{JOINT}))(?![.,:/\-'@]\w)"
)
_ANYWHERE = re.compile(r"\d{1,300}(?:[.,\u00a0' ]\d{3}){0,8}(?:[.,]\d{1,300})?")


def is_figure(value: str) -> bool:
    """Return whether a normal value is a number and not a name made of digits."""
    return bool(_WHOLE.fullmatch(value))


def figures(value: str, text: str) -> list[tuple[int, int]]:
    """Return where a normal text states a number, by itself."""
    wanted = Decimal(value)
    return [
        match.span("figure")
        for match in _ALONE.finditer(text)
        if wanted in _readings(match["bare"], negative=match["sign"] in ("-", "\u2212") and bool(match["sign"]))
    ]


def loose_figures(value: str, text: str) -> list[tuple[int, int]]:
    """Return where a normal text has the number's digits, also within a name."""
    wanted = abs(Decimal(value))
    return [match.span() for match in _ANYWHERE.finditer(text) if wanted in _readings(match.group(), negative=False)]


def _readings(figure: str, *, negative: bool) -> set[Decimal]:
    """Return what a figure can mean: "5.000" is five thousand or five, "12.50" is never 1250."""
    found: set[str] = set()
    if grouped := _GROUPED.fullmatch(figure):
        found.add(re.sub(r"[.,' ]", "", grouped[1]) + ("." + grouped[3] if grouped[3] else ""))
    if plain := _PLAIN.fullmatch(figure):
        found.add(plain[1] + ("." + plain[2] if plain[2] else ""))
    return {-Decimal(one) if negative else Decimal(one) for one in found}
