"""Text to index terms: the one analysis that documents and queries share.

The chain is NFKC and case folding, Unicode words, and then by script and language. Latin words go through the English chain (stop words
out, irregular forms to their base form, Snowball stems); in a text that is evidently in another language they get that language's stems as
well, and its stop words are left out. Arabic and Cyrillic words have stemmers of their own. Scripts written without spaces become
characters and character bigrams. Every step is linear in the text, so an event of several megabytes, or one written to be expensive,
costs no more than its length.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from functools import lru_cache
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from tierkeep.terms.arabic import arabic_terms, is_arabic, without_diacritics
from tierkeep.terms.english import english_term
from tierkeep.terms.evidence import MARKERS, language_of
from tierkeep.terms.latin import latin_terms
from tierkeep.terms.marks import stream_safe
from tierkeep.terms.stemming import MAX_CACHED, MAX_WORD, stemmer
from tierkeep.terms.stopwords import RUSSIAN_STOP
from tierkeep.terms.unspaced import UNSPACED, unspaced_terms

__all__ = ["MAX_TERMS", "MAX_WORD", "analyze", "fingerprint", "stream_safe", "term_id", "term_ids"]

MAX_TERMS = 8192
"""Terms indexed per text; later words of a longer text are not searchable. About 60 kB of English prose."""

#: The groups of both patterns: a number, a word, and of any text also a run of letters without spaces between words.
_NUMBER, _WORD, _RUN = 1, 2, 3
_ASCII_PIECES = re.compile(r"(\d+(?:[.,]\d+)*)(?:(?:st|nd|rd|th)\b)?|([a-z][a-z0-9]*(?:'[a-z0-9]+)*)", re.ASCII)
_PIECES = re.compile(
    r"(\d+(?:[.,]\d+)*)(?:(?:st|nd|rd|th)\b)?"
    rf"|((?:(?![{UNSPACED}])[^\W\d_])(?:(?![{UNSPACED}])[^\W_])*(?:'(?:(?![{UNSPACED}])[^\W_])+)*)"
    rf"|([{UNSPACED}]+)"
)
_CYRILLIC = re.compile("[\u0400-\u052f]")


def _folded(text: str) -> str:
    folded = unicodedata.normalize("NFKC", stream_safe(text)).casefold().replace("\u2019", "'").replace("\u02bc", "'")
    return folded if folded.isascii() else without_diacritics(folded)


def _chain(folded: str, language: str | None) -> tuple[list[str], list[str]]:
    """The terms of a folded text, at most `MAX_TERMS` and a word's worth, and its words, in order and with repetitions."""
    terms: list[str] = []
    words: list[str] = []
    for match in (_ASCII_PIECES if folded.isascii() else _PIECES).finditer(folded):
        kind = match.lastindex
        if kind == _WORD:
            word = match[0]
            words.append(word)
            if len(word) > 2 * MAX_WORD:
                terms.append(word[:MAX_WORD])
            elif language is None and word.isascii():
                if term := english_term(word):
                    terms.append(term)
            else:
                terms += _word_terms(word, language)
        elif kind == _NUMBER:
            terms.append(_figures(match[1]))
        else:
            terms += islice(unspaced_terms(match[0]), MAX_TERMS)
        if len(terms) >= MAX_TERMS:
            break
    return terms, words


def _figures(number: str) -> str:
    """The number without thousands separators, in European digits whatever it is written in."""
    plain = number.replace(",", "")[:MAX_WORD]
    return plain if plain.isascii() else "".join(c if c == "." else str(unicodedata.decimal(c)) for c in plain)


@lru_cache(maxsize=MAX_CACHED)
def _word_terms(word: str, language: str | None) -> tuple[str, ...]:
    """The terms of a word: by its script, and for a Latin one by the language of the text, None for English and unknown."""
    if is_arabic(word[0]):
        return arabic_terms(word)
    if _CYRILLIC.match(word):
        return () if word in RUSSIAN_STOP or len(word) > MAX_WORD else (stemmer("russian")(word),)
    if language is not None:
        return latin_terms(word, language)
    term = english_term(word)
    return (term,) if term else ()


def _in_one_language(folded: str, language: str) -> list[str]:
    terms = []
    for match in _PIECES.finditer(folded):
        if match.lastindex == _WORD:
            word = match[0]
            terms.append(word[:MAX_WORD] if len(word) > MAX_WORD else stemmer(language)(word))
        elif match.lastindex == _NUMBER:
            terms.append(_figures(match[1]))
        else:
            terms += islice(unspaced_terms(match[0]), MAX_TERMS)
        if len(terms) >= MAX_TERMS:
            break
    return terms


def analyze(text: str, language: str = "english") -> list[str]:
    """The index terms of a text, in order and with repetitions, at most `MAX_TERMS`.

    Args:
        text: Any text; lone surrogates are tolerated.
        language: "english" for English unless the text is evidently in another language; any other Snowball language to have every
            word stemmed by that language's rules alone, no stop words left out.

    Returns:
        Stems, numbers without thousands separators, and for unspaced scripts characters and bigrams.
    """
    folded = _folded(text)
    if language != "english":
        return _in_one_language(folded, language)[:MAX_TERMS]
    terms, words = _chain(folded, None)
    if not folded.isascii():
        words = [*(sign for sign in "\u00bf\u00a1" if sign in folded), *words]
    if not MARKERS.isdisjoint(words) and (spoken := language_of(words)) is not None:
        terms, _ = _chain(folded, spoken)
    return terms[:MAX_TERMS]


@lru_cache(maxsize=MAX_CACHED)
def term_id(term: str) -> int:
    """The stable 32-bit id of a term: CRC-32 of its UTF-8 bytes, the same in every process and release."""
    return zlib.crc32(term.encode("utf-8", "surrogatepass"))


def term_ids(text: str, language: str = "english") -> NDArray[np.uint32]:
    """The ids of `analyze(text)`, shape (terms,), in order and with repetitions, so counts and adjacency can be derived.

    Two terms share an id with probability 2**-32 each pair; a collision can only add a false match, never hide one.
    """
    return np.fromiter((term_id(term) for term in analyze(text, language)), dtype=np.uint32)


#: Words on which stemmers, stop lists and normalisations differ; a release that treats one otherwise shows. One language a line.
_SAMPLES = """
    Generously communicating generations of skies, skis and dying lilies; exceeding successes proceeded inwardly. Universities organised \
news, happily running, hoping and hopped; relational, conditional, fluently, studies studied studying. He's gone; they've bought \
children's teeth, didn't they? Café naïve İstanbul straße ﬁne 1,234.50 2nd ٢٠٢٦ 한국어는
    Ich habe die Häuser unserer Freundinnen nicht gesehen; Kinder spielten auf den Straßen, und Vögel sangen schoener als gestern.
    Mis hermanas y yo comíamos las naranjas que compró el niño; ayer íbamos rápidamente por los caminos.
    Nous avons mangé les gâteaux que ma sœur préparait; l'amie d'hier était heureuse dans cette maison.
    Eu não comi as maçãs que minha irmã comprou; os meninos jogavam nas ruas com felicidade.
    Non ho mangiato le mele che mia sorella comprava; dell'acqua e i bambini giocavano nelle strade.
    Ik heb de huizen van mijn vrienden niet gezien; kinderen speelden op straat en zongen het mooiste lied.
    Мои сёстры не ели яблоки, которые купили дети в городах.
    ذَهَبْتُ إلى المَدرسة والسّيارات بسيارتي للطبيبــة كتابها وأكلت يذهبون
    我们什么时候去了那家餐厅？我的猫叫老虎。 我們甚麼時候去那裡
    昨日は友達とコーヒーショップへ行きました。りんごを食べている人々
"""


@lru_cache(maxsize=1)
def fingerprint() -> int:
    """A number for how this analysis treats words; a store whose terms were made under another one makes them again."""
    lines = [line.strip() for line in _SAMPLES.splitlines() if line.strip()]
    return zlib.crc32("\n".join(" ".join(analyze(line)) for line in lines).encode("utf-8"))
