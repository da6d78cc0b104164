"""Text without spaces between words to terms: characters and bigrams of Han, words and bigrams of katakana, bigrams of hiragana.

No dictionary of words is needed, and a question and a text cut alike. What only holds a sentence together makes no term: the text is cut at
function words of two characters and more; of single characters that are also parts of words only the character itself is left out, and
the bigram with its neighbour stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tierkeep.terms.stemming import MAX_WORD

__all__ = ["UNSPACED", "unspaced_terms"]

UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\U00020000-\U0003ffff"
"""Letters of Thai, Lao, Myanmar, Khmer, kana, Han and Hangul, as the inside of a character class."""

_HAN = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
_RUN = re.compile(rf"(?P<han>[{_HAN}]+)|(?P<katakana>[\u30a1-\u30ff]+)|(?P<hiragana>[\u3040-\u309f]+)|(?P<other>.)", re.DOTALL)

#: Chinese, in both ways of writing, and Japanese in kanji. The text is cut here.
_HAN_WORDS = """
    什么时候 什麼時候 什么 什麼 甚麼 为什么 為什麼 怎么样 怎麼樣 怎么 怎麼 怎样 怎樣 哪里 哪裡 哪裏 哪儿 哪兒 哪个 哪個 哪些 哪天 哪年
    多少 几个 幾個 几点 幾點 几次 幾次 多久 多长 多長 我们 我們 你们 你們 他们 他們 她们 她們 它们 它們 咱们 这个 這個 那个 那個 这些
    這些 那些 这里 這裡 那里 那裡 这儿 那儿 一个 一個 没有 沒有 是不是 有没有 有沒有 因为 因為 所以 但是 不过 不過 如果 的时候 的時候
    时候 時候 还是 還是 就是 可是 而且 然后 然後 已经 已經 何時 何処 何故 私達
"""
_HAN_CHARACTERS = frozenset(
    "的了着过過吗嗎呢吧啊呀嘛哦嗯我你您他她它们們咱是在有和与與及或就都也很还還又才只把被给給让讓跟对對从從向这這那个個么麼谁誰哪什怎几幾何不没沒会會能可要请請而但因为為所以如之其此私僕俺"
)
_HANGUL_CHARACTERS = frozenset("은는이가을를의에도로와과다요")

#: Japanese verb endings, copulas and words of reference in hiragana. The text is cut here.
_KANA_WORDS = """
    ていました ていません ています ている ていた ました ません ましょう ます でした でしょう です だった ください なかった からの まで
    から ので けれど けど という について ところ ために とき こと もの それ これ あれ その この あの どこ いつ だれ なに なん どれ どの
    どう わたし あなた ぼく には では とは のは のが のを ですか ますか ましたか さん ちゃん くん だと った って たい ない
"""


def _cut(words: str) -> re.Pattern[str]:
    return re.compile("|".join(sorted(words.split(), key=lambda word: (-len(word), word))))


_HAN_CUT = _cut(_HAN_WORDS)
_KANA_CUT = _cut(_KANA_WORDS)


def unspaced_terms(run: str) -> Iterator[str]:
    """Yields the terms of a run of such letters in order, repetitions included. Linear."""
    other = ""
    for match in _RUN.finditer(run):
        if match.lastgroup == "other":
            yield from _plain(other, match[0])
            other = match[0]
            continue
        other = ""
        if match.lastgroup == "han":
            yield from _han(match[0])
        elif match.lastgroup == "katakana":
            yield from _katakana(match[0])
        else:
            yield from _hiragana(match[0])


def _plain(before: str, character: str) -> Iterator[str]:
    """A character of a script that has no rules of its own, and its bigram with the one before."""
    if character not in _HANGUL_CHARACTERS:
        yield character
    if before:
        yield before + character


def _pieces(run: str, cut: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """Where the stretches between function words begin and end."""
    start = 0
    for match in cut.finditer(run):
        if match.start() > start:
            yield start, match.start()
        start = match.end()
    if start < len(run):
        yield start, len(run)


def _han(run: str) -> Iterator[str]:
    for start, end in _pieces(run, _HAN_CUT):
        before = ""
        for at in range(start, end):
            character = run[at]
            function = character in _HAN_CHARACTERS
            if not function:
                yield character
            if before and not (function and before in _HAN_CHARACTERS):
                yield before + character
            before = character


def _katakana(run: str) -> Iterator[str]:
    """The word, and its bigrams where it has more than one: compounds are written in one."""
    yield run[:MAX_WORD]
    if len(run) > 2:
        for at in range(1, len(run)):
            yield run[at - 1 : at + 1]


def _hiragana(run: str) -> Iterator[str]:
    for start, end in _pieces(run, _KANA_CUT):
        for at in range(start + 1, end):
            yield run[at - 1 : at + 1]
