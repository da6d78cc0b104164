"""Arabic words for times, as `widely_folded` writes them: alef without hamza, yeh for alef maksura, heh for ta marbuta, European digits."""

from __future__ import annotations

import re

from tierkeep.dates.languages.lexis import Lexis, forms, widely_folded
from tierkeep.dates.languages.readers import counted, day_word, nothing, season, stepped, weekday, weekend, written
from tierkeep.dates.lexicon import W
from tierkeep.dates.spans import FEW, SEVERAL, Unit
from tierkeep.dates.tense import Cues

__all__ = ["ARABIC"]

_MONTHS = (
    "يناير فبراير مارس أبريل مايو يونيو يوليو أغسطس سبتمبر أكتوبر نوفمبر ديسمبر",
    "كانون_الثاني شباط آذار نيسان أيار حزيران تموز آب أيلول تشرين_الأول تشرين_الثاني كانون_الأول",
    "جانفي فيفري مارس أفريل ماي جوان جويلية أوت سبتمبر أكتوبر نوفمبر ديسمبر",
    "يناير فبراير مارس إبريل مايو يونيه يوليه أغسطس سبتمبر أكتوبر نوفمبر ديسمبر",
)
_NUMBERS = "صفر واحد اثنين ثلاث أربع خمس ست سبع ثمان تسع عشر"


def _table(words: str) -> list[str]:
    return [word.replace("_", " ") for word in widely_folded(words).split()]


_COUNTS = {word: count for count, word in enumerate(_table(_NUMBERS))}
_COUNTS |= {f"{word}ه": count for word, count in _COUNTS.items()} | {"ثماني": 8, "ثمانيه": 8, "عشرين": 20, "ثلاثين": 30}
#: Units that say how many by themselves: the dual, and the plural alone ("days ago").
_TWO = {
    "يومين": Unit.DAY, "اسبوعين": Unit.WEEK, "شهرين": Unit.MONTH, "سنتين": Unit.YEAR, "عامين": Unit.YEAR, "ساعتين": Unit.HOUR,
}  # fmt: skip
_SOME = {"ايام": Unit.DAY, "اسابيع": Unit.WEEK, "اشهر": Unit.MONTH, "شهور": Unit.MONTH, "سنوات": Unit.YEAR, "سنين": Unit.YEAR}

_PAST = re.compile(
    r"(?<!\w)(?:[وف])?(?:لقد|كان|كانت|كنت|كنا|كانوا|ذهب|ذهبت|ذهبنا|امس|الماضي|الماضيه|(?!بيت|وقت|بنت|تحت|انت|ست|صوت|اخت)\w{3,8}(?:ت|نا))(?!\w)"
)
_FUTURE = re.compile(r"(?<!\w)(?:[وف])?(?:سوف|س[اأيتن]\w{2,10}|غدا|القادم|القادمه|المقبل|المقبله|اريد|نريد|انوي|ساكون|يجب|موعد|لدي)(?!\w)")


def _number(words: str) -> int | tuple[int, int]:
    if words.isdigit():
        return int(words)
    if not words or words == "نصف":
        return 0 if words else 1
    if words in _TWO:
        return 2
    if words in _SOME or words.startswith("بضع"):
        return FEW
    return SEVERAL if words == "عده" else _COUNTS[words]


_STEPS = {
    "الماضي": -1, "الماضيه": -1, "الفائت": -1, "الفائته": -1, "المنصرم": -1, "المنصرمه": -1, "السابق": -1, "السابقه": -1,
    "قبل الماضي": -2, "قبل الماضيه": -2, "هذا": 0, "هذه": 0, "القادم": 1, "القادمه": 1, "المقبل": 1, "المقبله": 1, "التالي": 1,
}  # fmt: skip
_CALENDAR = {
    "اسبوع": Unit.WEEK, "الاسبوع": Unit.WEEK, "شهر": Unit.MONTH, "الشهر": Unit.MONTH, "سنه": Unit.YEAR, "السنه": Unit.YEAR,
    "عام": Unit.YEAR, "العام": Unit.YEAR, "نهايه الاسبوع": Unit.WEEKEND, "عطله نهايه الاسبوع": Unit.WEEKEND, "عقد": Unit.DECADE,
    "نهايه": Unit.WEEKEND,
}  # fmt: skip
#: The accusative is written with its vowel sign on either side of the alef, or without.
_ACCUSATIVE = {
    f"{stem}{ending}": unit
    for stem, unit in (("يوم", Unit.DAY), ("اسبوع", Unit.WEEK), ("شهر", Unit.MONTH), ("عام", Unit.YEAR))
    for ending in ("\u064bا", "ا\u064b", "ا")
}
_UNITS = _CALENDAR | _TWO | _ACCUSATIVE | {
    "دقيقه": Unit.MINUTE, "دقائق": Unit.MINUTE, "ساعه": Unit.HOUR, "ساعات": Unit.HOUR, "يوم": Unit.DAY, "ايام": Unit.DAY,
    "اسابيع": Unit.WEEK, "اشهر": Unit.MONTH, "شهور": Unit.MONTH, "سنوات": Unit.YEAR,
    "سنين": Unit.YEAR, "اعوام": Unit.YEAR, "عقود": Unit.DECADE,
}  # fmt: skip
_WEEKDAYS = {"الاثنين": 0, "الثلاثاء": 1, "الاربعاء": 2, "الخميس": 3, "الجمعه": 4, "السبت": 5, "الاحد": 6}

ARABIC = Lexis(
    cues=Cues(_PAST, _FUTURE, stop=re.compile(r"[.!?;\n\u061f\u061b]"), pause=re.compile(r"[,\u060c]|\s(?:لكن|ثم|لان|عندما)\s")),
    days={
        "امس الاول": -2, "اول امس": -2, "اول من امس": -2, "امس": -1, "البارحه": -1, "الليله الماضيه": -1, "اليوم": 0, "الليله": 0,
        "غدا": 1, "غدًا": 1, "غداً": 1, "بعد غد": 2,
    },
    steps=_STEPS,
    units=_UNITS,
    months={name: number for names in _MONTHS for number, name in enumerate(_table(names), 1)},
    weekdays=_WEEKDAYS,
    seasons={name: season for stem, season in (("ربيع", "spring"), ("صيف", "summer"), ("خريف", "autumn"), ("شتاء", "winter"))
             for name in (stem, f"ال{stem}")},
    parts={"اوائل": "early", "بدايه": "early", "مطلع": "early", "منتصف": "mid", "اواخر": "late", "نهايه": "late"},
    number=_number,
)  # fmt: skip

_B, _E = r"(?<!\w)(?:[وف])?", r"(?!\w)"  # a word begins, perhaps with "and"; a word ends
_MONTH = forms(" ".join(name.replace(" ", "_") for name in ARABIC.months if name != "اب"), _E)
_WEEKDAY = forms(" ".join(_WEEKDAYS))
_STEPS_AFTER = forms(" ".join(step.replace(" ", "_") for step in _STEPS if not step.startswith("هذ")))
_SEASON = forms(" ".join(ARABIC.seasons))
_COUNTED = (
    rf"(?:(?P<n>[0-9]{{1,4}}|بضعه?|عده|نصف|{forms(' '.join(_COUNTS))}){W})?"
    rf"(?P<unit>{forms(' '.join(unit.replace(' ', '_') for unit in _UNITS))}){_E}"
)
_BY_ITSELF = rf"(?P<n>(?P<unit>{forms(' '.join([*_TWO, *_SOME]))})){_E}"
_ABOUT = rf"(?:(?:حوالي|نحو|تقريبا|اكثر{W}من){W})?"
_YEAR = rf"(?:\s{{0,2}}[\u060c,]?{W}(?:من{W})?(?:(?:عام|سنه){W})?(?P<y>[0-9]{{4}})(?![0-9]))"
_LAST_YEAR = rf"(?:{W}(?:من{W})?(?:العام|السنه){W}(?P<year>الماضي|الماضيه|القادم|القادمه|المقبل|المقبله){_E})"
_PART = rf"(?P<part>{forms(' '.join(ARABIC.parts))})"

ARABIC.rule(
    nothing,
    rf"(?:{_B}كل{W}(?:{_WEEKDAY}|يوم(?:{W}{_WEEKDAY})?|ليله|صباح|مساء|اسبوع|شهر|سنه|عام){_E})",
    rf"{_B}(?:ايام|اليوم{W}(?:التالي|الذي|نفسه|السابق|الاول|الثاني)){_E}",
)
ARABIC.rule(
    day_word,
    rf"{_B}(?:(?:مساء|صباح|ليله|يوم|فجر|ظهر){W})?(?P<now>امس{W}الاول|اول{W}امس|اول{W}من{W}امس|امس|البارحه|الليله{W}الماضيه|اليوم|الليله|بعد{W}غد){_E}",
    rf"{_B}(?:يوم{W})?(?P<now>غد(?:[\u064b]?ا[\u064b]?)){_E}",
)
ARABIC.rule(
    stepped,
    rf"{_B}(?:(?!نهايه{W}الاسبوع){_PART}{W})?(?:في{W})?(?P<unit>نهايه{W}الاسبوع|عطله{W}نهايه{W}الاسبوع|الاسبوع|الشهر|السنه|العام){W}(?P<step>{_STEPS_AFTER}){_E}",
    rf"{_B}(?P<step>هذا|هذه){W}(?P<unit>الاسبوع|الشهر|السنه|العام){_E}",
    rf"{_B}(?P<unit>نهايه){W}(?P<step>هذا){W}الاسبوع{_E}",
)
ARABIC.rule(weekend, rf"{_B}(?:في{W})?(?:عطله{W})?نهايه{W}الاسبوع{_E}")
ARABIC.rule(
    counted,
    *(rf"{_B}{way}{W}{_ABOUT}{distance}" for distance in (_BY_ITSELF, _COUNTED) for way in ("(?P<back>قبل|منذ)", "بعد")),
)
ARABIC.rule(
    weekday,
    rf"(?<!\w)(?:[وفبل])?(?:يوم{W})?(?P<weekday>{_WEEKDAY})(?:{W}من{W}الاسبوع{W}(?P<week>{_STEPS_AFTER})){_E}",
    rf"(?<!\w)(?:[وفبل])?(?:(?P<step>هذا){W})?(?:يوم{W})?(?P<weekday>{_WEEKDAY}){_E}",
    rf"(?<!\w)(?:[وفبل])?(?:يوم{W})?(?P<weekday>{_WEEKDAY}){W}(?P<step>{_STEPS_AFTER}){_E}",
)
_LEAD = rf"(?:(?:في|منذ|حتي){W}){{0,1}}(?:{_PART}{W})|(?:في|منذ|حتي){W}"
_DAY_MONTH = rf"(?P<d>[0-9]{{1,2}})(?:\s?[-\u2013]\s?(?P<d2>[0-9]{{1,2}}))?{W}(?:من{W})?(?:شهر{W})?"
ARABIC.rule(
    written,
    rf"(?<![\w./])(?:(?:يوم{W})?{_WEEKDAY}\s?[\u060c,]?{W})?{_DAY_MONTH}(?P<m>{_MONTH}|اب{_E})(?:{_YEAR}|{_LAST_YEAR})?",
    r"(?<![\w.,:/-])(?P<d>[0-9]{1,2})([-/])(?P<m>[0-9]{1,2})\2(?P<y>[0-9]{4})(?![0-9]|\2[0-9])",
    r"(?<![\w.,:/-])(?P<y>[0-9]{4})([-/])(?P<m>[0-9]{1,2})\2(?P<d>[0-9]{1,2})(?![0-9]|\2[0-9])",
    rf"{_B}(?:{_LEAD})?(?:شهر{W})?(?P<m>{_MONTH})(?:{_YEAR}|{_LAST_YEAR})",
    rf"{_B}(?:{_LEAD})(?:شهر{W})?(?P<m>{_MONTH})",
    rf"{_B}شهر{W}(?P<m>{_MONTH})",
    rf"{_B}(?:{_LEAD})?(?:شهر{W})?(?P<m>{_MONTH}){W}(?P<step>{_STEPS_AFTER}){_E}",
    rf"{_B}(?:{_LEAD})?(?:عام|سنه){W}(?P<y>(?:19|20)[0-9]{{2}})(?![0-9])",
    rf"{_B}(?:في|منذ|حتي){W}(?P<y>(?:19|20)[0-9]{{2}})(?![0-9]|[.,:/-][0-9])",
)
ARABIC.rule(
    season,
    rf"{_B}(?:في{W})?(?P<season>{_SEASON}){_YEAR}",
    rf"{_B}(?P<season>{_SEASON}){W}(?P<step>{_STEPS_AFTER}){_E}",
    rf"{_B}(?P<step>هذا){W}(?P<season>{_SEASON}){_E}",
)
