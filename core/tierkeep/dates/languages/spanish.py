"""Spanish words for times; accents may be missing."""

from __future__ import annotations

import re

from tierkeep.dates.languages.lexis import Lexis, forms
from tierkeep.dates.languages.readers import counted, day_word, decade, nothing, season, stepped, weekday, weekend, written
from tierkeep.dates.lexicon import W
from tierkeep.dates.spans import FEW, SEVERAL, Unit
from tierkeep.dates.tense import Cues

__all__ = ["SPANISH"]

_MONTHS = "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre"
_NUMBERS = "cero un dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince"
_COUNTS = {word: count for count, word in enumerate(_NUMBERS.split())} | {"una": 1, "uno": 1, "veinte": 20, "treinta": 30}
_COUNTS |= {"primero": 1, "1º": 1, "1ro": 1}

_PAST = re.compile(
    r"\b(?:fui|fue|fuimos|fueron|hice|hizo|hicimos|hicieron|estuve|estuvo|estuvimos|tuve|tuvo|tuvimos|vi|vio|vimos|vine|vino|dijo|dije|era|eran|"
    r"puse|puso|pude|quise|supe|traje|di|dio|estaba|estaban|"
    r"había|habíamos|(?:he|ha|hemos|han|has)\s[a-zñáéíóú]{1,12}[aei]do|ayer|anoche|pasad[oa]|"
    r"[a-zñáéíóú]{2,14}(?:ó|ieron|aron|aste|iste|amos|imos|aba|aban|ía|ían)|(?![a-zñáéíóú]{1,14}(?:ar|er|ir|dr)é\b)[a-zñáéíóú]{2,14}[éí])\b"
)
_FUTURE = re.compile(
    r"\b(?:(?:voy|vas|va|vamos|van)\sa|[a-zñáéíóú]{1,12}(?:ar|er|ir|dr)(?:é|á|ás|emos|án)|quiero|queremos|quiere|pienso|espero|planeo|tengo\s(?:que|una?|cita)|"
    r"tenemos\s(?:que|una?)|viajo|viajamos|salgo|salimos|empiez[oa]|hay\sque|debo|cita|próxim[oa]|viene|mañana|pronto|hasta)\b"
)


def _number(words: str) -> int | tuple[int, int]:
    if words.isdigit():
        return int(words)
    if "medi" in words:
        return 0
    if "par" in words:
        return 2
    if words.startswith(("unos", "unas", "poc", "algun")):
        return FEW
    return SEVERAL if words.startswith(("vari", "much")) else _COUNTS[words]


_STEPS = {
    "pasado": -1, "pasada": -1, "anterior": -1, "último": -1, "última": -1, "ultimo": -1, "ultima": -1, "antepasado": -2, "antepasada": -2,
    "este": 0, "esta": 0, "próximo": 1, "próxima": 1, "proximo": 1, "proxima": 1, "siguiente": 1, "entrante": 1, "que viene": 1,
}  # fmt: skip
_UNITS = {
    "minuto": Unit.MINUTE, "minutos": Unit.MINUTE, "hora": Unit.HOUR, "horas": Unit.HOUR, "día": Unit.DAY, "días": Unit.DAY,
    "dia": Unit.DAY, "dias": Unit.DAY, "semana": Unit.WEEK, "semanas": Unit.WEEK, "fin de semana": Unit.WEEKEND,
    "fines de semana": Unit.WEEKEND, "mes": Unit.MONTH, "meses": Unit.MONTH, "año": Unit.YEAR, "años": Unit.YEAR,
    "década": Unit.DECADE, "décadas": Unit.DECADE, "decada": Unit.DECADE, "decadas": Unit.DECADE,
}  # fmt: skip
_WEEKDAYS = {
    "lunes": 0, "martes": 1, "miércoles": 2, "miercoles": 2, "jueves": 3, "viernes": 4, "sábado": 5, "sabado": 5, "domingo": 6,
}  # fmt: skip

SPANISH = Lexis(
    cues=Cues(_PAST, _FUTURE, pause=re.compile(r",|\s(?:pero|y|porque|luego|mientras)\s")),
    days={
        "anteayer": -2, "antier": -2, "antes de ayer": -2, "anteanoche": -2, "ayer": -1, "anoche": -1, "hoy": 0, "esta mañana": 0,
        "esta tarde": 0, "esta noche": 0, "mañana": 1, "pasado mañana": 2,
    },
    steps=_STEPS,
    units=_UNITS,
    months={name: number for number, name in enumerate(_MONTHS.split(), 1)} | {"setiembre": 9},
    weekdays=_WEEKDAYS,
    seasons={"primavera": "spring", "verano": "summer", "otoño": "autumn", "invierno": "winter"},
    parts={"principios": "early", "comienzos": "early", "inicios": "early", "mediados": "mid", "finales": "late", "fines": "late"},
    number=_number,
)  # fmt: skip

_MONTH = forms(" ".join(SPANISH.months), r"\b")
_WEEKDAY = forms(" ".join(_WEEKDAYS))
_SEASON = forms(" ".join(SPANISH.seasons))
_BEFORE = r"(?P<step>pasad[oa]|últim[oa]|ultim[oa]|próxim[oa]|proxim[oa]|siguiente)"
_AFTER = rf"(?P<step>(?:ante)?pasad[oa]|anterior|próxim[oa]|proxim[oa]|siguiente|entrante|que{W}viene)"
_CALENDAR = rf"(?:semana|fin{W}de{W}semana|mes|año|d[ée]cada)"
_PART = rf"(?:a{W})?(?P<part>principios|comienzos|inicios|mediados|finales|fines){W}de(?:l)?"
_YEAR = rf"(?:{W}del?(?:{W}año)?{W}|,?\s)(?P<y>[0-9]{{4}})(?![0-9])"
_LAST_YEAR = rf"{W}del{W}(?:año{W})?(?P<year>(?:ante)?pasado|que{W}viene|próximo|proximo|anterior)(?:{W}año)?\b"
_N = (
    rf"(?P<n>[0-9]{{1,4}}|un{W}par{W}de|un[oa]s(?:{W}(?:poc[oa]s|cuant[oa]s))?|poc[oa]s|algun[oa]s|vari[oa]s|much[oa]s|medi[oa]"
    rf"|{forms(' '.join([*_NUMBERS.split(), 'una', 'uno', 'veinte', 'treinta']))})"
)
_UNIT = rf"(?P<unit>{forms(' '.join(unit.replace(' ', '_') for unit in _UNITS))})\b"
_ABOUT = rf"(?:(?:ya|casi|aproximadamente|como|cerca{W}de|más{W}de|alrededor{W}de){W})?"
_HALF = rf"(?P<half>{W}y{W}medio)?"

SPANISH.rule(
    nothing,
    rf"\b(?:cada|todos{W}los|todas{W}las|algún|algun|los|tod[oa]{W}(?:el|la)){W}"
    rf"(?:{_WEEKDAY}|años?|mes(?:es)?|semanas?|d[ií]as?|fines?{W}de{W}semana|noches?|mañanas?|tardes?|verano|invierno)\b(?!{W}pasad)",
    rf"\b(?:(?:por|de|en|a){W}la|una|la|buena|cada){W}mañana\b",
)
SPANISH.rule(
    day_word,
    rf"(?<![\w-])(?P<now>anteayer|antier|antes{W}de{W}ayer|anteanoche|ayer|anoche|hoy|esta{W}(?:mañana|tarde|noche)|pasado{W}mañana|mañana)"
    rf"(?:{W}(?:por{W}la|en{W}la|a{W}la){W}(?:mañana|tarde|noche))?\b",
)
SPANISH.rule(
    stepped,
    rf"\b(?:{_PART}(?:{W}(?:la|el))?{W}|(?:la|el){W})?(?P<unit>{_CALENDAR}){W}{_AFTER}\b",
    rf"\b(?:{_PART}(?:{W}(?:la|el))?{W}|(?:la|el){W}){_BEFORE}{W}(?P<unit>{_CALENDAR})\b",
    rf"\b(?:{_PART}{W})?(?P<step>est[ea]){W}(?P<unit>{_CALENDAR})\b",
)
SPANISH.rule(weekend, rf"\b(?:el|durante{W}el|en{W}el){W}fin{W}de{W}semana\b(?!{W}(?:de|en){W})")
SPANISH.rule(
    counted,
    rf"\b(?P<back>(?:desde{W})?hace){W}{_ABOUT}{_N}{W}{_UNIT}{_HALF}",
    rf"\b{_N}{W}{_UNIT}{_HALF}{W}(?P<back>atr[aá]s)\b",
    rf"\b(?:dentro{W}de|en){W}{_ABOUT}{_N}{W}{_UNIT}{_HALF}",
)
SPANISH.rule(
    weekday,
    rf"\b(?:el{W}|del{W}|al{W})?(?P<weekday>{_WEEKDAY})(?:{W}(?:por{W}la|en{W}la){W}(?:mañana|tarde|noche))?"
    rf"(?:{W}de{W}(?:(?:la{W})?semana{W}(?P<week>(?:ante)?pasada|próxima|proxima|anterior|que{W}viene)))\b",
    rf"\b(?:el{W}|del{W}|al{W})?(?P<weekday>{_WEEKDAY}){W}{_AFTER}\b",
    rf"\b(?:el{W}|del{W}|al{W}){_BEFORE}{W}(?P<weekday>{_WEEKDAY})\b",
    rf"\b(?:(?P<step>este){W}|(?:el|del|al){W})?(?P<weekday>{_WEEKDAY})\b(?:{W}(?:por{W}la|en{W}la){W}(?:mañana|tarde|noche))?",
)
SPANISH.rule(
    written,
    rf"(?<!\w)(?:(?:el{W})?{_WEEKDAY},?{W})?(?:(?:el|del|al?){W})?(?P<d>[0-9]{{1,2}}|primero|1º|1ro)(?:\s?(?:-|al?|y)\s?(?P<d2>[0-9]{{1,2}}))?"
    rf"{W}de{W}(?P<m>{_MONTH})(?:{_YEAR}|{_LAST_YEAR})?",
    r"(?<![\w.,:/-])(?P<d>[0-9]{1,2})([-/.])(?P<m>[0-9]{1,2})\2(?P<y>[0-9]{4}|[0-9]{2})(?![0-9]|\2[0-9])",
    rf"\bel{W}(?:d[ií]a{W})?(?P<d>[0-9]{{1,2}}){W}de{W}(?P<month>este){W}mes\b",
    rf"\bel{W}(?:d[ií]a{W})?(?P<d>[0-9]{{1,2}}){W}del{W}mes{W}(?P<month>pasado|próximo|que{W}viene|anterior)\b",
    rf"\b(?:(?:en|desde|hasta|para|durante|{_PART}){W})?(?P<m>{_MONTH})(?:{_YEAR}|{_LAST_YEAR})",
    rf"\b(?:en|desde|hasta|para|durante|{_PART}){W}(?P<m>{_MONTH})(?!{W}de{W}[0-9])",
    rf"\b(?:el{W})?(?P<m>{_MONTH}){W}(?P<step>pasado|próximo|que{W}viene)\b",
    rf"\b(?:el{W})?(?P<step>pasado|próximo|este){W}(?:mes{W}de{W})?(?P<m>{_MONTH})\b",
    rf"\b(?:en|desde|hasta|del?|(?:el{W})?año|{_PART}){W}(?:el{W}año{W}|año{W})?(?P<y>(?:19|20)[0-9]{{2}})(?![0-9]|[.,:/-][0-9]|{W}(?:euros|pesos|personas|metros)\b)",
)
SPANISH.rule(
    season,
    rf"\b(?P<season>{_SEASON}){_YEAR}",
    rf"\b(?:el|la){W}(?P<season>{_SEASON}){W}{_AFTER}\b",
    rf"\b(?:(?:el|la){W})?(?P<step>pasad[oa]|próxim[oa]|est[ea]){W}(?P<season>{_SEASON})\b",
)
SPANISH.rule(decade, rf"\b(?:los{W}años|(?:la{W})?d[ée]cada{W}de(?:{W}los)?){W}(?P<decade>(?:19|20)?[0-9]0)\b")
