"""German words for times."""

from __future__ import annotations

import re

from tierkeep.dates.languages.lexis import Lexis, forms
from tierkeep.dates.languages.readers import counted, day_word, decade, nothing, season, stepped, weekday, weekend, written
from tierkeep.dates.lexicon import W
from tierkeep.dates.spans import FEW, SEVERAL, Unit
from tierkeep.dates.tense import Cues

__all__ = ["GERMAN"]

_MONTHS = "januar februar märz april mai juni juli august september oktober november dezember"
_NUMBERS = "null ein zwei drei vier fünf sechs sieben acht neun zehn elf zwölf"
_ORDINALS = "null ersten zweiten dritten vierten fünften sechsten siebten achten neunten zehnten elften zwölften"
_COUNTS = {word: count for count, word in enumerate(_NUMBERS.split())} | {"einem": 1, "einer": 1, "einen": 1, "eine": 1}
_COUNTS |= {word: count for count, word in enumerate(_ORDINALS.split())}
_COUNTS |= {"fuenf": 5, "zwoelf": 12, "zwo": 2, "anderthalb": 1, "eineinhalb": 1}

_PAST = re.compile(
    r"\b(?:war|waren|warst|hatte|hatten|wurde|wurden|ging|gingen|kam|kamen|fuhr|sah|traf|trafen|fand|bekam|nahm|gab|blieb|schrieb|"
    r"begann|konnte|wollte|musste|gestern|vorgestern|schon|bereits|"
    r"(?!gern\b)(?:[a-zäöüß]{2,6})?ge[a-zäöüß]{2,14}(?:t|en)|(?:be|ver|er|ent)[a-zäöüß]{3,14}t|[a-zäöüß]{2,12}iert|"
    r"(?!heute\b|bitte\b|leute\b)[a-zäöüß]{3,12}te)\b"
)
_FUTURE = re.compile(
    r"\b(?:werde|werden|wird|wirst|will|wollen|möchte|möchten|plane|planen|geplant|muss|müssen|soll|sollen|kann|können|morgen|übermorgen|bald|"
    r"demnächst|termin|gehe|gehen|geht|fahre|fahren|fährt|fliege|fliegen|fliegt|treffe|reise|reisen|komme|kommt|besuche|findet|beginnt|"
    r"vorhabe|freue|bis|nächste[nrsm]?|kommende[nrsm]?)\b"
)


def _number(words: str) -> int | tuple[int, int]:
    if words in _COUNTS or words.isdigit():
        return _COUNTS.get(words) or int(words)
    if "halb" in words:
        return 0
    if "paar" in words or words.startswith("wenig"):
        return FEW
    return FEW if words.startswith("einig") else SEVERAL


def _declined(stem: str, step: int) -> dict[str, int]:
    return {f"{stem}{ending}": step for ending in ("e", "en", "er", "es", "em")}


_STEPS = {
    **_declined("letzt", -1), **_declined("vorig", -1), **_declined("vergangen", -1), **_declined("dies", 0), **_declined("nächst", 1),
    **_declined("kommend", 1), **_declined("vorletzt", -2), **_declined("übernächst", 2), **_declined("naechst", 1),
}  # fmt: skip
_UNITS = {
    "minute": Unit.MINUTE, "minuten": Unit.MINUTE, "stunde": Unit.HOUR, "stunden": Unit.HOUR, "tag": Unit.DAY, "tage": Unit.DAY,
    "tagen": Unit.DAY, "tages": Unit.DAY, "wochenende": Unit.WEEKEND, "wochenenden": Unit.WEEKEND, "wochenendes": Unit.WEEKEND,
    "woche": Unit.WEEK, "wochen": Unit.WEEK, "monat": Unit.MONTH, "monate": Unit.MONTH, "monaten": Unit.MONTH, "monats": Unit.MONTH,
    "jahr": Unit.YEAR, "jahre": Unit.YEAR, "jahren": Unit.YEAR, "jahres": Unit.YEAR, "jahrzehnt": Unit.DECADE,
    "jahrzehnte": Unit.DECADE, "jahrzehnten": Unit.DECADE,
}  # fmt: skip
_WEEKDAYS = {
    "montag": 0, "dienstag": 1, "mittwoch": 2, "donnerstag": 3, "freitag": 4, "samstag": 5, "sonnabend": 5, "sonntag": 6,
}  # fmt: skip

GERMAN = Lexis(
    cues=Cues(_PAST, _FUTURE, pause=re.compile(r",|\s(?:aber|und|dann|weil|denn|während)\s")),
    days={"vorvorgestern": -3, "vorgestern": -2, "gestern": -1, "heute": 0, "morgen": 1, "übermorgen": 2, "uebermorgen": 2}
    | {"letzte nacht": -1, "vorige nacht": -1},
    steps=_STEPS,
    units=_UNITS,
    months={name: number for number, name in enumerate(_MONTHS.split(), 1)}
    | {"jan": 1, "jänner": 1, "feb": 2, "maerz": 3, "mär": 3, "apr": 4, "jun": 6, "jul": 7, "aug": 8, "sep": 9, "sept": 9, "okt": 10}
    | {"nov": 11, "dez": 12},
    weekdays=_WEEKDAYS,
    seasons={"frühling": "spring", "frühjahr": "spring", "sommer": "summer", "herbst": "autumn", "winter": "winter"},
    parts={"anfang": "early", "mitte": "mid", "ende": "late"},
    number=_number,
)

_MONTH = forms(" ".join(GERMAN.months), r"\b\.?")
_FULL_MONTH = forms(f"{_MONTHS} jänner maerz", r"\b")
_STEPPED = forms(" ".join(_STEPS))
_STEP = rf"(?P<step>{_STEPPED})"
_WEEKDAY = forms(" ".join(_WEEKDAYS))
_SEASON = forms(" ".join(GERMAN.seasons))
_PART_OF_DAY = r"(?:früh|morgen|vormittag|mittag|nachmittag|abend|nacht)"
_PART = r"(?P<part>anfang|mitte|ende)"
_YEAR = r"(?P<y>[0-9]{4}|'[0-9]{2})(?![0-9])"
_N = (
    rf"(?P<n>[0-9]{{1,4}}|(?:ein(?:em|er|en|e)?{W})?halb(?:en|er|es|e)|(?:ein|den{W}letzten){W}paar|paar|einig(?:en|e)|mehrer(?:en|e)|wenig(?:en|e)"
    rf"|{forms(' '.join([*_NUMBERS.split(), 'einem einer einen eine fuenf zwoelf zwo']))})"
)
_UNIT = rf"(?P<unit>{forms(' '.join(_UNITS))})\b"
_CALENDAR = forms("woche wochenende wochenendes monat monats jahr jahres jahrzehnt")
_ABOUT = rf"(?:(?:etwa|ungefähr|rund|fast|genau|knapp|gut|über|circa|ca\.|mehr{W}als|weniger{W}als){W})?"

GERMAN.rule(
    nothing,
    rf"\b(?:jede[nrsm]?|alle)(?:{W}(?:zweite[nrsm]?|zwei|paar))?{W}(?:{_WEEKDAY}|{_PART_OF_DAY}|{forms(' '.join(_UNITS))}|{_FULL_MONTH}"
    rf"|sommer|winter|herbst|frühling)\b",
    rf"\b{_WEEKDAY}s\b",
    rf"\b(?:guten|am|eines|den{W}ganzen|früh{W}am){W}morgen\b",
)
GERMAN.rule(
    day_word,
    rf"(?<![\w-])(?P<now>vorvorgestern|vorgestern|gestern|heute|morgen|übermorgen|uebermorgen)(?:{W}{_PART_OF_DAY})?\b(?!-)",
)
GERMAN.rule(day_word, rf"\b(?P<now>letzte{W}nacht|vorige{W}nacht)\b")
GERMAN.rule(stepped, rf"\b(?:{_PART}{W})?(?:de[rs]{W})?{_STEP}{W}(?P<unit>{_CALENDAR})\b")
GERMAN.rule(weekend, rf"\b(?:am|übers){W}wochenende\b")
GERMAN.rule(
    counted,
    rf"\b(?:heute{W})?(?P<back>vor|seit){W}{_ABOUT}{_N}(?P<half>einhalb)?{W}{_UNIT}",
    rf"\b(?P<back>vor|seit){W}{_ABOUT}(?P<n>(?P<half>anderthalb|eineinhalb)){W}{_UNIT}",
    rf"\b(?:heute{W})?in{W}{_ABOUT}{_N}(?P<half>einhalb)?{W}{_UNIT}",
)
GERMAN.rule(
    weekday,
    rf"(?<!\w)(?:{_STEP}{W})?(?P<weekday>{_WEEKDAY})(?:{_PART_OF_DAY}|{W}{_PART_OF_DAY})?(?:{W}(?:in{W}der{W})?(?P<week>{_STEPPED}){W}woche)?\b",
)
GERMAN.rule(
    written,
    rf"(?<![\w.])(?:{_WEEKDAY},?{W}(?:den{W}|dem{W})?)?(?P<d>[0-9]{{1,2}})\.(?:\s?(?:[-\u2013]|bis(?:{W}zum)?)\s?(?P<d2>[0-9]{{1,2}})\.)?\s{{0,3}}"
    rf"(?P<m>{_MONTH})(?:\s{{1,3}}(?:{_YEAR}|(?P<year>{_STEPPED}){W}jahres\b))?",
    rf"\b(?P<d>{forms(' '.join(_ORDINALS.split()[1:]))}){W}(?P<m>{_FULL_MONTH})(?:{W}{_YEAR})?",
    r"(?<![\w.,:/])(?P<d>[0-9]{1,2})\.\s?(?P<m>[0-9]{1,2})\.\s?(?P<y>[0-9]{4}|[0-9]{2})(?![0-9]|[.:,][0-9]|\s?(?:uhr|%|€))",
    rf"\b(?:am|vom|bis|zum|seit|ab|den){W}(?P<d>[0-9]{{1,2}})\.(?P<m>[0-9]{{1,2}})\.(?![0-9])",
    rf"\b(?P<d>[0-9]{{1,2}})\.{W}(?P<month>{_STEPPED}){W}monats\b",
    rf"\b(?:(?:im|seit|bis|ab|in|von|{_PART}){W})?(?P<m>{_FULL_MONTH}){W}(?:{_YEAR}|(?P<year>{_STEPPED}){W}jahres\b)",
    rf"\b(?:(?:im|seit|bis|ab|in|von|{_PART}){W})?(?:{_STEP}{W})?(?P<m>{_FULL_MONTH})(?!{W}[0-9]|-)",
    rf"\b(?:jahr|jahre|seit|bis|ab|{_PART}){W}(?P<y>(?:19|20)[0-9]{{2}})(?![0-9]|[.,:][0-9]|{W}(?:uhr|euro|meter|leute|menschen)\b)",
)
GERMAN.rule(
    season,
    rf"\b(?:(?:im|seit|in){W})?(?:{_STEP}{W})?(?P<season>{_SEASON}){W}{_YEAR}",
    rf"\b{_STEP}{W}(?P<season>{_SEASON})\b",
    rf"\bim{W}(?P<season>{_SEASON})\b(?={W}(?:war|hatte|bin|habe|haben|sind|werde|werden|will|wollen)\b)",
)
GERMAN.rule(decade, r"(?<![\w.])(?P<decade>(?:19|20)?[0-9]0)er(?:\s?-?jahre[n]?)\b")
