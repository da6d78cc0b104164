"""English words to terms: stop words out, irregular forms to their base form, Snowball stems.

It is also the analysis of every Latin word whose language is not evident.
"""

from __future__ import annotations

from functools import lru_cache

from tierkeep.terms.stemming import MAX_CACHED, MAX_WORD, fold, stemmer

__all__ = ["ENGLISH_STOP", "english_term"]

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
ENGLISH_STOP = frozenset(_STOP_WORDS.split())
"""Words that make no term of an English text."""

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


_BASE = _forms(_IRREGULAR_VERBS, _IRREGULAR_NOUNS, _SPELLINGS)


@lru_cache(maxsize=MAX_CACHED)
def english_term(word: str) -> str:
    """The term of one case-folded word, or "" for a stop word."""
    if "'" in word:
        head, _, tail = word.partition("'")
        word = head if tail in _ENDINGS else word.replace("'", "")
    if len(word) > MAX_WORD:
        return word[:MAX_WORD]
    word = fold(word)
    if word in ENGLISH_STOP or (len(word) == 1 and word.isascii()):
        return ""
    return stemmer("english")(_BASE.get(word, word))
