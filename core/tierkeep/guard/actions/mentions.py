"""Whether a text holds a value, and whether it stands behind it: "pay ACCT-7" does, "never pay ACCT-7" and "what is ACCT-7?" do not.

There are two measures. What counts against a value is looked for loosely: look-alike letters, hidden characters, other separators. What
counts for it must have it as the call has it, because a look-alike of an address is another address.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib.resources import files
from typing import NamedTuple

from tierkeep import rendering
from tierkeep.guard.actions.figures import JOINT, figures, is_figure, loose_figures

__all__ = ["Spellings", "asserts", "forbids", "mentions", "normal", "own_words", "spellings"]

_SENTENCE = re.compile(r"(?<=[.!?\u3002\uff01\uff1f])(?=\s|[\u3000-\u9fff])")
#: Where a clause ends. The point of "x.org" does not end one.
_CLAUSE = re.compile(r"[,;:\uff0c\u3001\uff1b\uff1a]| (?:and|but|und|aber|y|pero|et|mais|e|ma|mas|en|maar|that|dass|que|che) ")
#: What may stand right behind a value that ends there, and what ties it to more: "/data" is no part of "/data/ana" that one may take.
_ENDS = (
    r"""\s"'`)\]}>\u00bb\u201d\u2019\u3001\u3002\uff0c\uff01\uff1f\uff1b\uff1a"""
    r"\u300d\u300f\uff09\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
)
_BEFORE = rf"(?<!{JOINT})(?<![@+/\\.\-~%&=?^|])(?<!\d[,:])"
_AFTER = rf"(?!{JOINT})(?![/\\][^{_ENDS}])(?![@+\-%#&=?!~*^|$.:,]+[^{_ENDS}@+\-%#&=?!~*^|$.:,])"
_QUOTED = r"""["'`\u201c\u201e\u00ab\u2018]{}["'`\u201d\u201c\u00bb\u2019]"""
_AUTHORITY = re.compile(r"\b[A-Za-z][A-Za-z0-9+.\-]{0,15}://[^/\s@]{0,256}")
#: A mail that was pasted into a request: quoted lines, and all after the line that says so or after its heading.
_QUOTED_LINE = re.compile(r"^[ \t]*>.*$", re.MULTILINE)
_FORWARDED = re.compile(
    r"^[ \t]*-{2,}[^\n\-]{0,60}(?:message|nachricht|mensaje|mensagem|messaggio|bericht|\u90ae\u4ef6)[^\n]{0,20}$", re.I | re.M
)
_SENDER = re.compile(r"^[ \t*]*(?:from|von|de|da|van|\u043e\u0442|\u53d1\u4ef6\u4eba|\u5dee\u51fa\u4eba)[*]*[ ]?[:\uff1a]", re.I | re.M)
_SUBJECT = re.compile(
    r"^[ \t*]*(?:subject|betreff|asunto|objet|oggetto|assunto|onderwerp|\u0442\u0435\u043c\u0430|\u4e3b\u9898|\u4ef6\u540d)"
    r"[*]*[ ]?[:\uff1a]", re.I | re.M,
)  # fmt: skip
_HEADING_CHARS = 600
_CLAUSE_CHARS = 200
_LONGEST_SPELLED = 128
_LEAST_SPELLED = 6
_LEAST_PART = 4
_MOST_PARTS = 4


def normal(text: str) -> str:
    """Return the text as a reader takes it: compatibility forms, look-alike letters and case as one, blanks as one space."""
    return " ".join(rendering.reads_as(rendering.visible(text)).casefold().split())


@cache
def _phrases(heading: str) -> re.Pattern[str]:
    """Return what finds any phrase under a heading of `phrases.txt` in a normal text."""
    found: list[str] = []
    here = False
    for line in files(__package__).joinpath("phrases.txt").read_text("utf-8").splitlines():
        if line.startswith("["):
            here = line.strip("[]") == heading
        elif here and line and not line.startswith("#"):
            found += [phrase for part in line.split(",") if (phrase := normal(part))]
    bounded = (re.escape(phrase).replace(r"\*", r"\w*") for phrase in found)
    return re.compile("|".join(rf"\b{one}\b" if re.match(JOINT, phrase) else one for one, phrase in zip(bounded, found, strict=True)))


# ------------------------------------------------------------------------------------------------ what counts against


@lru_cache(maxsize=1024)
def _pattern(value: str) -> re.Pattern[str]:
    """Return what finds a normal value as a whole: not as part of a longer word, address, path or number."""
    before = rf"(?<!{JOINT})(?<![@+/\-])(?<!\d[.,:])(?<!\w\.)" if re.match(JOINT, value) else ""
    after = rf"(?!{JOINT})(?![@+\-][^\W_])(?![./:,]\w)" if re.search(rf"{JOINT}$", value) else ""
    return re.compile(before + re.escape(value) + after)


@lru_cache(maxsize=1024)
def _respelled(value: str) -> re.Pattern[str] | None:
    """Return what finds a normal value with other separators in it, or none; None for what is too short or long to tell."""
    bare = re.sub(r"[\W_]", "", value)
    if not _LEAST_SPELLED <= len(bare) <= _LONGEST_SPELLED or not re.search(r"\d", bare):
        return None
    return re.compile(r"(?<![^\W_])" + r"[\W_]{0,3}".join(map(re.escape, bare)) + r"(?![^\W_])")


def _places(value: str, text: str) -> list[tuple[int, int]]:
    """Return where a normal text holds a normal value, loosely."""
    if is_figure(value):
        found = loose_figures(value, text)
    else:
        found = [match.span() for match in _pattern(value).finditer(text)] if len(value) <= len(text) else []
    respelled = None if found else _respelled(value)
    return [match.span() for match in respelled.finditer(text)] if respelled else found


class Spellings(NamedTuple):
    """What to look a value up by.

    Attributes:
        whole: The value as others may have written it; one that has all words of one of these may hold it.
        parts: Words of it that are left when hidden characters cut others in two. Worth a look where few have them.
    """

    whole: tuple[str, ...]
    parts: tuple[str, ...] = ()


def spellings(value: str) -> Spellings:
    """Return what to look a value up by: as it is, bare, in groups of four, letters apart from digits."""
    shown = normal(value)
    found = [value, shown]
    if not _respelled(shown):
        return Spellings(tuple(dict.fromkeys(found)))
    bare = re.sub(r"[\W_]", "", shown)
    runs = re.findall(r"\d+|[^\W\d]+", bare)
    found += [bare, " ".join(bare[at : at + 4] for at in range(0, len(bare), 4)), " ".join(runs)]
    return Spellings(tuple(dict.fromkeys(found)), tuple(dict.fromkeys(run for run in runs if len(run) >= _LEAST_PART))[:_MOST_PARTS])


def mentions(value: str, text: str) -> bool:
    """Return whether a text holds a value, both as `normal` gives them, perhaps written otherwise."""
    return bool(value) and bool(_places(value, text))


# ------------------------------------------------------------------------------------------------------ what counts for


def _exact(text: str, *, case: bool) -> str:
    """Return the text with one form for each letter and blank; case as one too, but for paths, which differ by it."""
    whole = unicodedata.normalize("NFC", text)
    shown = _AUTHORITY.sub(lambda match: match.group().lower(), whole) if case else whole.lower()
    return " ".join(shown.split())


@lru_cache(maxsize=1024)
def _exact_pattern(value: str) -> re.Pattern[str]:
    # Signs alone are in every text: who means "/" or "." puts it into quotation marks.
    return re.compile(_BEFORE + re.escape(value) + _AFTER if re.search(r"[^\W_]", value) else _QUOTED.format(re.escape(value)))


def _states(value: str, sentence: str) -> bool:
    """Return whether a sentence has a value as the call has it."""
    shown = normal(value)
    if is_figure(shown):
        text = normal(sentence)
        return any(not _phrases("multiplies").match(text[end : end + 24].lstrip()) for _, end in figures(shown, text))
    case = "/" in value or "\\" in value
    wanted = _exact(value, case=case)
    if not wanted:
        return False
    forms = (sentence, unicodedata.normalize("NFKC", rendering.visible(sentence)))
    return any(len(wanted) <= len(form) and bool(_exact_pattern(wanted).search(_exact(form, case=case))) for form in forms)


def asserts(value: str, text: str) -> bool:
    """Return whether some sentence of a text has a value, as it is, and neither forbids it nor only asks about it.

    Args:
        value: As the call has it.
        text: As it was written: sentences are cut at its marks and line ends.
    """
    return any(_states(value, sentence) and not _denies(value, sentence) and not _only_asks(sentence) for sentence in _sentences(text))


def forbids(value: str, text: str) -> bool:
    """Return whether some sentence of a text forbids a value, however it is written there."""
    return any(_denies(value, sentence) for sentence in _sentences(text))


def own_words(request: str) -> str:
    """Return a request without what is evidently a mail that somebody pasted into it."""
    shown = _QUOTED_LINE.sub("", request)
    cut = [match.start() for match in _FORWARDED.finditer(shown)]
    cut += [match.start() for match in _SENDER.finditer(shown) if _SUBJECT.search(shown, match.end(), match.end() + _HEADING_CHARS)]
    return shown[: min(cut)] if cut else shown


def _sentences(text: str) -> Iterator[str]:
    """Yield sentences. The lines of a list carry the words before its colon: "never mail these:"."""
    heading = ""
    for line in text.splitlines():
        if not line.strip():
            heading = ""
            continue
        pieces = [piece for piece in _SENTENCE.split(line) if piece.strip()]
        yield from (f"{heading} {piece}" if heading else piece for piece in pieces)
        if pieces and pieces[-1].rstrip(" *_").endswith((":", "\uff1a")):
            heading = pieces[-1].strip()
            if len(heading) > 2 * _CLAUSE_CHARS:  # else many lines under a long one would cost their product
                heading = f"{heading[:_CLAUSE_CHARS]} {heading[-_CLAUSE_CHARS:]}"


def _denies(value: str, sentence: str) -> bool:
    shown, wanted = normal(sentence), normal(value)
    places = _places(wanted, shown) if wanted else []
    if not places:
        return False
    meant = _phrases("asks all the same")
    if _phrases("forbids").search(meant.sub(" ", shown[: places[-1][0]])):
        return True
    for _, end in places:
        clause = meant.sub(" ", _CLAUSE.split(shown[end : end + _CLAUSE_CHARS], maxsplit=1)[0]).strip(" \"'`)*.")
        if _phrases("forbids right after").match(clause) or _phrases("forbids after").search(clause):
            return True
    return False


def _only_asks(sentence: str) -> bool:
    shown = normal(sentence).lstrip(" \"'(*\u00bf")
    asked = shown.rstrip(" \"')*").endswith(("?", "\uff1f")) or bool(_phrases("asks").match(shown))
    return asked and (not _phrases("orders").search(shown) or bool(_phrases("wants to know").search(shown)))
