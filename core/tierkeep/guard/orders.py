"""What the words of a sentence amount to: a control taken away, something sent out, a rule set up (guard spec, section 9, lexicon).

A sentence is read as a row of word classes, in whatever language; a signal is two or three classes near one another. "Never skip the check"
is no order to skip it, and a question is no order at all. Linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import reduce
from operator import or_

from tierkeep.guard.languages import INDEX
from tierkeep.guard.languages import lexicon as word

# Most tokens are plain words: letters behind which nothing stands that an address, a number or a compound could go on with. They are tried
# first and on their own, because what comes after is dear: it looks for an "@" behind every word, and for a hyphen.
_TOKEN = re.compile(
    r"(?-i:([^\W\d_\u3400-\u9fff]++)(?:(?![\w.+%@'’:-])|(?=\.\s)))"
    r"|(https?://[^\s<>\"')\]]{1,512}|[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,6}|\bwww\.[\w./-]{1,256})"
    r"|(\b(?:[A-Z]{2}\d{2}[A-Z0-9]{10,30}|[A-Z]{2,16}(?:-[A-Z0-9]{1,16}){0,3}-(?:[A-Z]{1,16}|\d{2,12})"
    r"|(?:\w{1,16}-){0,3}0x[0-9a-fA-F]{2,64}|\d{8,20})\b)"
    r"|([\u3400-\u9fff]{1,256})"
    r"|([^\W\d_][\w]*(?:[-'’][^\W_]+)*|2fa)"
    r"|([.!?;。！？；\n…]+)",
    re.IGNORECASE,
)  # fmt: skip
#: The groups of the pattern.
_PLAIN, _ADDRESS, _ACCOUNT, _RUN, _WORD, _END = range(1, 7)
#: How many words apart the parts of a signal may be (ours: a clause).
_CLOSE = 6
_CLAUSE = 16
_QUESTION = frozenset("?？")


class _Reader:
    """Rows of word classes, of one sentence by lines and of the same across line ends, and the signals that they give."""

    def __init__(self) -> None:
        self.by_line: dict[str, None] = {}
        self.across: dict[str, None] = {}
        self.words: list[str] = []
        self.row: list[int] = []
        self._line = 0  # where the present line begins in the row
        self._crossing: dict[int, int] = {}  # classes of phrases that begin on a line and end on a later one

    def close(self, end: str) -> None:
        """Take a run of signs that end sentences; a line end ends one only by lines."""
        line = self.row[self._line :] if self._line else self.row
        asks = not _QUESTION.isdisjoint(end)
        if line and not asks:
            self.by_line.update(dict.fromkeys(_signals(line)))
        self._line = len(self.row)
        first = end.strip("\n").partition("\n")[0]  # what else stands there ends nothing more
        if not first:
            return
        if _QUESTION.isdisjoint(first) and self.row:
            self.finish(asks or line is not self.row)
        self.row, self.words, self._line = [], [], 0
        if self._crossing:
            self._crossing = {}

    def finish(self, apart: bool) -> None:
        """Read the row across line ends, if it is another than what was read by lines."""
        for place, bits in self._crossing.items():
            self.row[place] |= bits
        self.across.update(dict.fromkeys(_signals(self.row)) if apart else {})

    def phrases(self, ends: tuple[tuple[tuple[str, ...], int], ...]) -> None:
        """Give the last word the class of each phrase that ends with it."""
        words = self.words
        for phrase, bit in ends:
            if len(phrase) <= len(words) and tuple(words[-len(phrase) :]) == phrase:
                if len(phrase) <= len(words) - self._line:
                    self.row[-1] |= bit
                else:
                    self._crossing[len(words) - 1] = self._crossing.get(len(words) - 1, 0) | bit


def orders(text: str) -> dict[str, None]:
    """Return the signals of a text that reads as plain letters (`rendering.reads_as`), and the hints, each once.

    The text is read by lines, each beginning a sentence, and then as the prompt will show it, on one line.
    """
    reader = _Reader()
    classes, phrase_ends = INDEX.of, INDEX.phrase_ends
    for match in _TOKEN.finditer(text):
        kind, token = match.lastindex, match[0]
        if kind == _END:
            reader.close(token)
        elif kind == _RUN:
            run = _unspaced(token)
            reader.row += run
            reader.words += [""] * len(run)
        else:
            small = token.lower()
            if kind == _PLAIN:
                bits = classes(small)
            else:
                small = small.replace("’", "'")
                own = word.ADDRESS if kind == _ADDRESS else word.ACCOUNT if kind == _ACCOUNT and token.upper() == token else 0
                bits = own or classes(small)
            reader.words.append(small)
            reader.row.append(bits)
            if small in phrase_ends:
                reader.phrases(phrase_ends[small])
    reader.close("\n.")
    return reader.by_line | reader.across


def _unspaced(run: str) -> list[int]:
    """Return the classes of a run without spaces: the longest known words from the left; what is unknown counts one for two signs."""
    row: list[int] = []
    at = unknown = 0
    while at < len(run):
        for length in range(min(INDEX.longest, len(run) - at, 6), 0, -1):
            if bits := INDEX.exact(run[at : at + length]):
                row.append(bits)
                at += length
                break
        else:
            at += 1
            unknown += 1
            if unknown % 2:
                row.append(0)
    return row


def _turned(row: list[int]) -> list[int]:
    """Return the row with negations worked in: a negated weakening is none, and a control that is not asked for is one."""
    turned = list(row)
    for place, bits in enumerate(row):
        if bits & (word.WEAKEN | word.ASK):
            before = any(other & word.NOT for other in row[max(0, place - 4) : place])
            if bits & word.WEAKEN and (before or (place + 1 < len(row) and row[place + 1] & word.NOT)):
                turned[place] &= ~word.WEAKEN
            elif bits & word.ASK and before and not bits & (word.WEAKEN | word.CONTROL):  # "verification" is no verb
                turned[place] |= word.WEAKEN
    return turned


def _near(row: list[int], one: int, other: int, gap: int) -> bool:
    """Return whether two different words of the two classes stand at most `gap` apart, in any order."""
    last_one = last_other = -gap - 1
    for place, bits in enumerate(row):
        if (bits & one and place - last_other <= gap) or (bits & other and place - last_one <= gap):
            return True
        last_one = place if bits & one else last_one
        last_other = place if bits & other else last_other
    return False


def _signals(row: list[int]) -> Iterator[str]:
    """Yield the signals of a sentence, given as its words' classes; a word without a class is 0."""
    every = reduce(or_, row, 0)
    if not every:
        return
    if every & (word.WEAKEN | word.ASK):
        row = _turned(row)
        every = reduce(or_, row, 0)
    has = every.__and__
    standing = has(word.STANDING)
    if has(word.OVERRIDE) and has(word.RULES) and has(word.PRIOR) and _overrides(row):
        yield "overrides"
    if has(word.CONTROL):
        if _near(row, word.WEAKEN, word.CONTROL, _CLOSE) or (has(word.WITHOUT) and has(word.ACT) and _left_out(row)):
            yield "weakens_control"
        if has(word.DEFER) and _near(row, word.DEFER, word.CONTROL, _CLOSE):
            yield "defers_control"
    target = word.ADDRESS | word.ACCOUNT
    if has(word.EGRESS):
        if has(target) and (standing or has(word.INSTEAD)) and _goes_to(row, target):
            yield "standing_egress"
        elif has(target | word.OUTSIDE) and has(word.SENSITIVE) and _sent_out(row, target, standing):
            yield "exfiltrates"
    if has(word.AGENT) and has(word.MUST) and standing and _near(row, word.AGENT, word.MUST, _CLOSE):
        yield "addresses_agent"
    if has(word.REMEMBER) and has(word.MEMORY) and standing and row and any(bits & word.REMEMBER for bits in row[:2]):
        yield "plants_memory"
    if has(word.HIDE) and has(word.USER) and has(word.NOT | word.WITHOUT) and _hides(row):
        yield "secrecy"
    if has(word.CLAIM) and has(word.CONSENT) and _near(row, word.CLAIM, word.CONSENT, 4):
        yield "claims_consent"
    if has(word.RUSH) and has(word.ACT):
        yield "rushes"


def _overrides(row: list[int]) -> bool:
    """Return whether a verb that sets aside stands before rules, with which ones near them."""
    for place, bits in enumerate(row):
        after = row[place + 1 : place + 9]
        if bits & word.OVERRIDE and any(other & word.RULES for other in after) and any(other & word.PRIOR for other in after):
            return not any(other & word.NOT for other in row[max(0, place - 3) : place])
    return False


def _left_out(row: list[int]) -> bool:
    """Return whether "without" stands right before a control, and what goes ahead is not itself negated."""
    for place, bits in enumerate(row):
        if bits & word.WITHOUT and any(other & word.CONTROL for other in row[place + 1 : place + 4]):
            return not any(other & word.NOT and not other & word.WITHOUT for other in row[:place])
    return False


def _goes_to(row: list[int], target: int) -> bool:
    """Return whether something is sent, and not forbidden to be, with an address near."""
    for place, bits in enumerate(row):
        forbidden = any(other & word.NOT for other in row[max(0, place - 3) : place])
        if bits & word.EGRESS and not forbidden and any(other & target for other in row[max(0, place - _CLAUSE) : place + 1 + _CLAUSE]):
            return True
    return False


def _sent_out(row: list[int], target: int, standing: int) -> bool:
    """Return whether something sensitive goes to an address, or by a rule to somewhere outside."""
    for place, bits in enumerate(row):
        if bits & word.EGRESS and not any(other & word.NOT for other in row[max(0, place - 3) : place]):
            after = row[place + 1 : place + 1 + _CLAUSE]
            what = any(other & word.SENSITIVE for other in after)
            if what and (any(other & target for other in after) or (standing and any(other & word.OUTSIDE for other in after))):
                return True
    return False


def _hides(row: list[int]) -> bool:
    """Return whether a verb of telling is negated, right before it, and says to whom, right behind it."""
    for place, bits in enumerate(row):
        if bits & word.HIDE and any(other & (word.NOT | word.WITHOUT) for other in row[max(0, place - 3) : place]):
            return any(other & word.USER for other in row[place + 1 : place + 5])
    return False
