"""Chinese and Japanese words for times: one grammar, because most of the words are written alike and mean the same."""

from __future__ import annotations

import re

from tierkeep.dates.languages.lexis import Lexis
from tierkeep.dates.languages.readers import counted, day_of_month, day_word, decade, nothing, season, stepped, weekday, weekend, written
from tierkeep.dates.spans import FEW, SEVERAL, Unit
from tierkeep.dates.tense import Cues

__all__ = ["EAST_ASIAN"]

_DIGITS = {digit: value for value, digit in enumerate("〇一二三四五六七八九")} | {"零": 0, "两": 2, "兩": 2}

#: "Went", "did" and the like; a plain verb says nothing.
_PAST = re.compile(
    "[了过過]|刚|剛|曾|已经|已經|昨|前天|去年|上周|ました|でした|だった|した|[っいきしえけせてねべめれん][ただ](?=[。、\\s！!]|$)"
)
_FUTURE = re.compile(
    "(?<![重主必需])要|将|將|打算|准备|準備|计划|計劃|明天|后天|下周|想|约了|約了|预约|預約|予定|つもり|ましょう|たい|ます|しよう|までに"
)


def _number(words: str) -> int | tuple[int, int]:
    """The count that words stand for: figures, numerals to 99, years digit by digit; ranges for "two or three" and "some", 0 for a half."""
    if words.isascii() and words.isdigit():
        return int(words)
    if words in ("半", "半个", "半個"):
        return 0
    if words in ("好几", "好幾"):
        return SEVERAL
    if words in ("几", "幾", "数", "數") or words.startswith("前"):
        return FEW
    if len(words) > 2 and "十" not in words:
        return int("".join(str(_digit(digit)) for digit in words))
    tens, ten, ones = words.partition("十")
    if ten:
        return 10 * (_digit(tens) if tens else 1) + (_digit(ones) if ones else 0)
    if len(words) == 2:
        low, high = map(_digit, words)
        if high != low + 1:
            raise ValueError("neighbouring numbers make a range, others nothing")
        return low, high
    return _digit(words)


def _digit(numeral: str) -> int:
    """The value of one numeral.

    Raises:
        ValueError: It is none, or several.
    """
    if numeral not in _DIGITS:
        raise ValueError("not a numeral")
    return _DIGITS[numeral]


_STEPS = {
    "上上": -2, "上": -1, "上一": -1, "这": 0, "這": 0, "这一": 0, "這一": 0, "本": 0, "今": 0, "下": 1, "下一": 1, "下下": 2,
    "先々": -2, "先": -1, "来": 1, "來": 1, "再来": 2, "去": -1, "昨": -1, "明": 1, "前": -2, "后": 2, "後": 2, "大前": -3, "一昨": -2,
    "この前の": -1, "前の": -1, "この間の": -1, "次の": 1, "今度の": 1, "この": 0, "おととし": -2,
}  # fmt: skip
_UNITS = {
    "分": Unit.MINUTE, "分钟": Unit.MINUTE, "分鐘": Unit.MINUTE, "小时": Unit.HOUR, "小時": Unit.HOUR, "时间": Unit.HOUR, "時間": Unit.HOUR,
    "天": Unit.DAY, "日": Unit.DAY, "周": Unit.WEEK, "週": Unit.WEEK, "星期": Unit.WEEK, "礼拜": Unit.WEEK, "禮拜": Unit.WEEK,
    "周间": Unit.WEEK, "週間": Unit.WEEK, "月": Unit.MONTH, "年": Unit.YEAR, "周末": Unit.WEEKEND, "週末": Unit.WEEKEND,
}  # fmt: skip
_DAYS = {
    "大前天": -3, "前天": -2, "昨天": -1, "昨晚": -1, "昨晩": -1, "昨夜": -1, "昨日": -1,
    "今天": 0, "今日": 0, "今晚": 0, "今早": 0, "今晨": 0, "今朝": 0, "今夜": 0,
    "明天": 1, "明日": 1, "明晚": 1, "明早": 1, "后天": 2, "後天": 2, "大后天": 3, "大後天": 3,
    "一昨日": -2, "おととい": -2, "きのう": -1, "ゆうべ": -1, "きょう": 0, "あした": 1, "明後日": 2, "あさって": 2,
}  # fmt: skip
_SEASONS = {"春": "spring", "夏": "summer", "秋": "autumn", "冬": "winter"}

EAST_ASIAN = Lexis(
    cues=Cues(_PAST, _FUTURE, stop=re.compile(r"[.!?;\n。！？；]"), pause=re.compile("[,，、]")),
    days=_DAYS,
    steps=_STEPS | {f"{word}年": step for word, step in _STEPS.items()},
    units=_UNITS,
    months={},
    weekdays={name: number for names in ("一二三四五六日", "月火水木金土日") for number, name in enumerate(names)} | {"天": 6},
    seasons=_SEASONS,
    parts={"初": "early", "上旬": "early", "中旬": "mid", "半ば": "mid", "下旬": "late", "底": "late", "末": "late"},
    number=_number,
)

_NUMERAL = "一二两兩三四五六七八九十"
_SMALL = rf"(?:[0-9]{{1,2}}|[{_NUMERAL}]{{1,3}})"
_N = rf"(?P<n>[0-9]{{1,4}}|好[几幾]|[几幾数數半]|[{_NUMERAL}]{{1,3}})"
_NOT_COUNTED = rf"(?<![0-9{_NUMERAL}个個第])"
_WEEK = "(?:周|週|星期|礼拜|禮拜)"
_ZH_STEP = "(?P<step>上上|上一|上|这一|這一|这|這|本|下下|下一|下)"
_JA_STEP = "(?P<step>先々|先|今|再来|来|來)"
_NAMED_YEAR = "(?P<year>去年|今年|明年|前年|后年|後年|大前年|昨年|来年|來年|再来年|一昨年|おととし)"
_YEAR = "(?P<y>[0-9]{4}|[〇零一二三四五六七八九]{4})年"
_MONTH = r"(?P<m>1[0-2]|0?[1-9]|十[一二]?|[一二三四五六七八九])月(?![前后後間间花饼餅])"
_PART = "(?P<part>初|上旬|中旬|下旬|底|末|半ば)"
_DAY_MARK = "[日号號](?![前后後間间目内])"

EAST_ASIAN.rule(
    nothing,
    rf"每(?:逢|个|個|一)?(?:{_WEEK}[一二三四五六日天末]?(?:(?:和|、|到|至|[-~～]){_WEEK}?[一二三四五六日天])?|月|年|天|日|晚|{_SMALL}月)",
    rf"{_WEEK}[一二三四五六日天](?:到|至|[-~～]){_WEEK}?[一二三四五六日天]",
    rf"[每毎]年的?の?{_SMALL}月(?:{_SMALL}[日号號])?",
    r"毎(?:週(?:の?[月火水木金土日]曜日?|末)?|月|年|日|朝|晩)",
    # The month of a year that is only counted, and a day's anniversary: nothing says which.
    rf"(?:[0-9]{{1,3}}|[{_NUMERAL}]{{1,3}}|[几幾数數])年前[的の](?:{_SMALL}月(?:{_SMALL}[日号號])?|[春夏秋冬][天季]?|今天|昨天)",
    r"(?:去年|前年|明年|昨年)[的の](?:今天|昨天|今日|昨日)",
    rf"[0-9{_NUMERAL}几幾每]{_WEEK}[一二三四五六]次",
)
EAST_ASIAN.rule(
    day_word,
    r"(?<![以目之一])(?P<now>大前天|前天|大后天|大後天|后天|後天)(?![气氣空下然])",
    r"(?P<now>昨天|昨晚|昨晩|昨夜|一昨日|昨日|今天|今日|今晚|今早|今晨|今朝|今夜|明天|明日|明晚|明早|明後日)(?![香子葉叶])",
    r"(?<![ぁ-ん])(?P<now>おととい|きのう|ゆうべ|きょう|あした|あさって)(?![ぁ-ん]{0,1}[つう])",
)
EAST_ASIAN.rule(
    stepped,
    rf"(?<![晚早马馬以晩]){_ZH_STEP}[个個]?(?P<unit>周末|週末|周|週|星期|礼拜|禮拜)(?![一二三四五六日天年])",
    rf"(?<![晚早马馬以晩]){_ZH_STEP}[个個](?P<unit>月)(?:的)?(?:{_PART})?",
    rf"(?<![以早晚]){_ZH_STEP}(?P<unit>月)(?:{_PART})?(?![球亮光饼餅台])",
    rf"{_JA_STEP}(?P<unit>週末|週|月)(?:の?{_PART})?(?!の?[月火水木金土日]曜)",
    r"(?P<step>先々|先|今|再来|来)週の(?P<unit>週末)",
    r"(?<![0-9〇一二三四五六七八九十])(?P<step>大前|前|去|昨|一昨|今|本|明|后|後|再来|来|來)(?P<unit>年)(?:の?(?P<part>初|底|末|半ば))?(?![前后後代度])",
)
EAST_ASIAN.rule(weekend, r"(?<![上下个個这這本先今来每毎次])(?:周末|週末)(?![都愉])")
_LAST = r"(?:[以之])?(?P<back>前)(?![天年后後])"
_LATER = r"(?:[以之])?[后後](?![天年面悔])"
_FEW_DAYS = rf"(?<![0-9{_NUMERAL}第年月号號]){_N}[个個]?(?P<unit>分钟|分鐘|分|小时|小時|時間|天|日|周|週間|週|星期|礼拜|禮拜)"
_FEW_MONTHS = rf"(?<![0-9{_NUMERAL}第年]){_N}[个個かヶカケ箇](?P<unit>月)"
_FEW_YEARS = rf"(?<![0-9{_NUMERAL}第]){_N}(?P<unit>年)(?P<half>半)?"
EAST_ASIAN.rule(counted, r"(?<![以目之提])(?P<back>(?P<n>前[几幾两兩些]))(?P<unit>天|日|周|週|年)")
EAST_ASIAN.rule(counted, *(distance + way for way in (_LAST, _LATER) for distance in (_FEW_DAYS, _FEW_MONTHS, _FEW_YEARS)))
EAST_ASIAN.rule(
    weekday,
    rf"(?<![晚早马馬以])(?P<week>上上|上|这|這|本|下下|下)[个個]?{_WEEK}(?P<weekday>[一二三四五六日天])(?![次岁歲])",
    rf"(?<![0-9{_NUMERAL}几幾每整]){_WEEK}(?P<weekday>[一二三四五六日天])(?![次岁歲])",
    r"(?:(?P<week>先々|先|今|再来|来)週の?|(?P<step>この前の|前の|この間の|次の|今度の|この))?(?P<weekday>[月火水木金土日])曜日?",
)
EAST_ASIAN.rule(
    written,
    rf"(?:{_YEAR}|{_NAMED_YEAR}[的の]?)?{_NOT_COUNTED}{_MONTH}(?P<d>{_SMALL}){_DAY_MARK}(?:(?:[到至~〜～\u2013-]|から)(?P<d2>{_SMALL}){_DAY_MARK})?"
    rf"(?:\s?[（(]?{_WEEK}[一二三四五六日天][)）]?|\s?[（(]?[月火水木金土日](?:曜日?[)）]?|[)）]))?",
    rf"(?:{_YEAR}|{_NAMED_YEAR}[的の]?)?{_NOT_COUNTED}{_MONTH}份?(?:[的の]?{_PART})?",
    rf"(?P<month>上|这|這|本|下|先|今|来)[个個]?月[的の]?(?P<d>{_SMALL}){_DAY_MARK}",
    r"(?P<year>おととし)",
    r"(?<![0-9])(?P<y>(?:19|20)[0-9]{2}|[一二][〇零一二三四五六七八九]{3})年(?![前后後間间代度])(?:[的の]?(?P<part>初|底|末|半ば))?",
)
EAST_ASIAN.rule(season, rf"(?:{_YEAR}|{_NAMED_YEAR})[的の]?(?P<season>[春夏秋冬])[天季]?(?!節|节)")
EAST_ASIAN.rule(
    day_of_month,
    rf"(?<![0-9月第{_NUMERAL}])(?P<d>{_SMALL})[号號](?=[,，。、！？!?\s]|$|[我你他她去到在来有是要的早晚上下那这就和])",
    r"(?<![0-9月第])(?P<d>[0-9]{1,2})日(?=[には、。])",
)
EAST_ASIAN.rule(decade, r"(?<![0-9])(?P<decade>(?:19|20)?[0-9]0|[一二三四五六七八九]十)年代")
