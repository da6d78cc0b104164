"""Text to index terms: the one analysis that documents and queries share.

The chain is NFKC and case folding, Unicode words, stop words out, irregular English forms to their base form, Snowball
stems. Scripts written without spaces become single characters and character bigrams. Every step is linear in the text,
so an event of several megabytes, or one written to be expensive, costs no more than its length.
"""

from __future__ import annotations

import re
import threading
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice

import numpy as np
import snowballstemmer
from numpy.typing import NDArray

__all__ = ["MAX_TERMS", "MAX_WORD", "analyze", "fingerprint", "stream_safe", "term_id", "term_ids"]

MAX_TERMS = 8192
"""Terms indexed per text; later words of a longer text are not searchable. About 60 kB of English prose."""

MAX_WORD = 64
"""Characters of a word that count; the rest of a longer run (base64, a URL's token) is dropped, and it is not stemmed."""

_MARKS = 30  # combining marks kept in a row: no script needs more (Unicode Standard Annex 15, Stream-Safe Text Format)
# Every character whose compatibility decomposition begins with a mark is in here, beside signs that no mark follows on.
_MARK_RUN = re.compile(rf"(?:[^\w\x00-\u02ff]|[\uff9e\uff9f]){{{_MARKS + 1},}}+")

_CACHE = 65_536  # distinct words whose term is remembered; about 10 MB, the vocabulary of a large scope

# Letters of scripts written without spaces between words: Thai, Lao, Myanmar, Khmer, kana, Han, Hangul.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\U00020000-\U0003ffff"
_WORD = re.compile(
    rf"(?P<unspaced>[{_UNSPACED}]+)"
    r"|(?P<number>\d+(?:[.,]\d+)*)(?P<ordinal>(?:st|nd|rd|th)\b)?"
    rf"|(?P<word>(?:(?![{_UNSPACED}])[^\W\d_])(?:(?![{_UNSPACED}])[^\W_])*(?:'(?:(?![{_UNSPACED}])[^\W_])+)*)"
)

_STOP_WORDS = """
    a about after again all also am an and any are as at be because been before being both but by can could did do does
    doing done during each else ever every few for from had has have having he her here hers herself him himself his how i
    if in into is it its itself just me might mine more most much must my myself no nor not of off on once one only or
    other our ours ourselves out over own same shall she should so some such than that the their theirs them themselves
    then there these they this those through to too under until up upon us very was we well were what when where whether which
    while who whom whose why will with would yes you your yours yourself yourselves
    cannot dont doesnt didnt isnt arent wasnt werent hasnt havent hadnt wont wouldnt cant couldnt shouldnt mustnt aint
    im ive youre youve hes theyre whats thats lets theres
    ok okay oh hey hi hello wow yeah yep um uh hmm please
"""
_STOP = frozenset(_STOP_WORDS.split())
_ENDINGS = frozenset(("s", "d", "m", "ll", "re", "ve"))  # after an apostrophe: not part of the word

# Base form first. Forms that are far more often another word (found a firm, a rose, the ground) are left out.
_IRREGULAR_VERBS = """
    arise arose arisen/awake awoke awoken/bear bore borne/beat beaten/become became/begin began begun/bend bent/bet
    bind bound/bite bit bitten/bleed bled/blow blew blown/break broke broken/breed bred/bring brought/build built
    burn burnt/buy bought/catch caught/choose chose chosen/cling clung/come came/creep crept/deal dealt/dig dug
    draw drew drawn/dream dreamt/drink drank drunk/drive drove driven/eat ate eaten/fall fell fallen/feed fed/feel felt
    fight fought/find found/flee fled/fly flew flown flies/forbid forbade forbidden/forget forgot forgotten
    forgive forgave forgiven/freeze froze frozen/get got gotten/give gave given/go goes went gone/grind/grow grew grown
    hang hung/hear heard/hide hid hidden/hold held/keep kept/kneel knelt/know knew known/lead led/lean leant
    learn learnt/leave left/lend lent/lie lay lain/light lit/lose lost/make made/mean meant/meet met
    mistake mistook mistaken/overcome overcame/pay paid/plead pled/prove proven/ride rode ridden/ring rang rung
    rise rose risen/run ran/say said/see saw seen/seek sought/sell sold/send sent/sew sewn/shake shook shaken/shine shone
    shoot shot/show shown/shrink shrank shrunk/sing sang sung/sink sank sunk/sit sat/sleep slept/slide slid
    speak spoke spoken/spell spelt/spend spent/spill spilt/spin spun/split/spoil spoilt/spring sprang sprung
    stand stood/steal stole stolen/stick stuck/sting stung/strike struck stricken/strive strove/swear swore sworn
    sweep swept/swell swollen/swim swam swum/swing swung/take took taken/teach taught/tear tore torn/tell told
    think thought/throw threw thrown/undergo underwent undergone/understand understood/wake woke woken/wear wore worn
    weave wove woven/weep wept/win won/withdraw withdrew withdrawn/write wrote written
"""
_IRREGULAR_NOUNS = """
    child children/person people/man men/woman women/foot feet/tooth teeth/mouse mice/goose geese/life lives
    wife wives/knife knives/half halves/shelf shelves/leaf leaves/thief thieves/wolf wolves/loaf loaves/self selves
    good better best/bad worse worst/far further farther furthest
"""
# One meaning, several everyday spellings. Only pairs that are interchangeable whatever the topic.
_SPELLINGS = """
    mother mom mum mommy mummy mama/father dad daddy papa/grandmother grandma granny/grandfather grandpa
    photograph photo photos pic pics/picture pictures image images/television tv/telephone phone/bicycle bike
    advertisement ad ads advert/application app apps/laboratory lab/mathematics math maths/refrigerator fridge
    vegetable veggie veggies/favorite favourite fav fave/color colour/movie film films/kid kiddo/center centre
    theater theatre/neighbor neighbour/behavior behaviour/honor honour/humor humour/flavor flavour/traveling travelling
    canceled cancelled/jewelry jewellery/gray grey/program programme/license licence/tire tyre/pajamas pyjamas
    doctor doc dr/veterinarian vet/university uni/exam examination/info information/thanks thank/birthday bday
    monday mon/tuesday tue tues/wednesday wed/thursday thu thurs/friday fri
    january jan/february feb/august aug/september sep sept/october oct/november nov/december dec
    2 two/3 three/4 four/5 five/6 six/7 seven/8 eight/9 nine/10 ten/11 eleven/12 twelve
"""


def _forms(*tables: str) -> dict[str, str]:
    """The map from every listed form to the base form of its group."""
    found: dict[str, str] = {}
    for table in tables:
        for group in table.replace("\n", "/").split("/"):
            base, *others = group.split() or [""]
            found.update((other, base) for other in others)
    return found


_BASE = {"english": _forms(_IRREGULAR_VERBS, _IRREGULAR_NOUNS, _SPELLINGS)}
_local = threading.local()


def _stemmer(language: str) -> Callable[[str], str]:
    """This thread's Snowball stemmer; its object keeps the word it works on, so threads must not share one."""
    known: dict[str, Callable[[str], str]] = _local.__dict__.setdefault("stemmers", {})
    if language not in known:
        known[language] = snowballstemmer.stemmer(language).stemWord
    return known[language]


def stream_safe(text: str) -> str:
    """The text with at most 30 combining marks in a row, the rest of a longer run left out.

    Normalisation sorts the marks of a run, in time quadratic in its length: one crafted message of 64,000 characters would take
    seconds. So every text is cut like this before it is normalised (UAX 15, Stream-Safe Text Format). Linear.
    """
    return text if text.isascii() else _MARK_RUN.sub(lambda run: _few_marks(run.group()), text)


def _few_marks(run: str) -> str:
    kept: list[str] = []
    marks = 0
    for character in run:
        marks = marks + 1 if _is_mark(character) else 0
        if marks <= _MARKS:
            kept.append(character)
    return "".join(kept)


@lru_cache(maxsize=4096)
def _is_mark(character: str) -> bool:
    return unicodedata.combining(unicodedata.normalize("NFKD", character)[0]) != 0


def _fold(word: str) -> str:
    """The word without Latin diacritics, so that a name typed on another keyboard is still found."""
    if word.isascii():
        return word
    plain = "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))
    return plain if plain.isascii() and plain else word


@lru_cache(maxsize=_CACHE)
def _word_term(word: str, language: str) -> str:
    """The term of one case-folded word, or "" for a stop word."""
    if "'" in word:
        head, _, tail = word.partition("'")
        word = head if tail in _ENDINGS else word.replace("'", "")
    if len(word) > MAX_WORD:
        return word[:MAX_WORD]
    if language != "english":
        return _stemmer(language)(word)
    word = _fold(word)
    if word in _STOP or (len(word) == 1 and word.isascii()):
        return ""
    base = _BASE[language].get(word, word)
    return _stemmer(language)(base)


def _terms(text: str, language: str) -> Iterator[str]:
    """Yields the terms of a text in order, repetitions included."""
    folded = unicodedata.normalize("NFKC", stream_safe(text)).casefold().replace("\u2019", "'").replace("\u02bc", "'")
    for match in _WORD.finditer(folded):
        if (word := match["word"]) is not None:
            if term := _word_term(word, language) if len(word) <= 2 * MAX_WORD else word[:MAX_WORD]:
                yield term
        elif (run := match["unspaced"]) is not None:
            for at, character in enumerate(run):
                yield character
                if at:
                    yield run[at - 1] + character
        else:
            yield match["number"].replace(",", "")[:MAX_WORD]


def analyze(text: str, language: str = "english") -> list[str]:
    """The index terms of a text, in order and with repetitions, at most `MAX_TERMS`.

    Args:
        text: Any text; lone surrogates are tolerated.
        language: A Snowball language. Stop words and irregular forms are known for English only.

    Returns:
        Stems, numbers without thousands separators, and for unspaced scripts characters and bigrams.
    """
    return list(islice(_terms(text, language), MAX_TERMS))


@lru_cache(maxsize=_CACHE)
def term_id(term: str) -> int:
    """The stable 32-bit id of a term: CRC-32 of its UTF-8 bytes, the same in every process and release."""
    return zlib.crc32(term.encode("utf-8", "surrogatepass"))


def term_ids(text: str, language: str = "english") -> NDArray[np.uint32]:
    """The ids of `analyze(text)`, shape (terms,), in order and with repetitions, so counts and adjacency can be derived.

    Two terms share an id with probability 2**-32 each pair; a collision can only add a false match, never hide one.
    """
    return np.fromiter((term_id(term) for term in islice(_terms(text, language), MAX_TERMS)), dtype=np.uint32)


#: Words on which stemmers, stop lists and normalisations differ; any release that treats one of them otherwise shows.
_SAMPLE = """
    Generously communicating generations of skies, skis and dying lilies; exceeding successes proceeded inwardly. Universities
    organised news, happily running, hoping and hopped; relational, conditional, fluently, studies studied studying. He's
    gone; they've bought children's teeth, didn't they? Café naïve İstanbul straße ﬁne 1,234.50 2nd 日本語テスト 한국어
"""


@lru_cache(maxsize=1)
def fingerprint() -> int:
    """A number for how this analysis treats words; a store whose terms were made under another one makes them again."""
    return zlib.crc32(" ".join(analyze(_SAMPLE)).encode("utf-8"))
