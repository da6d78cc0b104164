"""Reads the timestamps that people's exports carry, and says in notes what had to be assumed."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo

from dateutil import parser as dateutil_parser

_ADVICE = "write it like 2024-03-15, or 2024-03-15T21:41:00+01:00 with a time"
_MAX_LENGTH = 120
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS_FROM = 10**11
_MICROSECONDS_FROM = 10**14

_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060\ufeff]")
_NUMBER = re.compile(r"[+-]?[0-9]{1,19}(?:\.[0-9]{1,9})?")
_COMPACT = re.compile(r"((?:19|20|21)[0-9]{2})(0[1-9]|1[0-2])([0-2][0-9]|3[01])")
_CLOCK = re.compile(
    r"(?:(?<=[0-9])t|(?<![0-9.:/-]))(?P<h>[0-9]{1,2})(?::(?P<m>[0-9]{2})(?::(?P<s>[0-9]{2})(?:[.,]"
    r"(?P<f>[0-9]{1,9}))?)?\s?(?P<half>[ap]\.?m\b\.?)?"
    r"|\s?(?P<bare>[ap]\.?m\b\.?))\s?(?P<zone>z\b|(?:utc|gmt)?[+-][0-9]{1,2}(?::?[0-9]{2})?(?![0-9])|(?:utc"
    r"|gmt)\b)?(?P<name>\s?\(?(?-i:(?!JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)[A-Z]{2,5}\b)\)?)?",
    re.IGNORECASE | re.ASCII,
)
_WEEKDAY = re.compile(r"\(?\b(?:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?\b\.?\)?,?", re.IGNORECASE)
_YEAR_FIRST = re.compile(r"(?P<y>[+-]?[0-9]{4,9})([-/.])(?P<m>[0-9]{1,2})\2(?P<d>[0-9]{1,2})")
_YEAR_LAST = re.compile(r"(?P<a>[0-9]{1,2})(?P<mark>[-/.])(?P<b>[0-9]{1,2})(?P=mark)(?P<y>[0-9]{4,9}|[0-9]{2})\.?")
_WORDED = re.compile(r"(?=.*[a-z]{3})[a-z0-9 ,.'/-]+", re.IGNORECASE | re.ASCII)
_YEAR_LEADS = re.compile(r"[0-9]{4}(?:-[0-9W]|[0-9]{4}T)")
_DIGIT = re.compile(r"[0-9]")
_SHORT_YEAR = re.compile(r"(?P<head>[^0-9]*[0-9]{1,2}[^0-9].*?)[ ,'/-]+(?P<y>[0-9]{2})")
_ZONE_SUFFIX = re.compile(r"\[[A-Za-z][\w/+-]{1,40}\]?$", re.ASCII)
_LONE_YEAR = re.compile(r"(?<![0-9])[0-9]{5,}|(?<![0-9])0{3,4}(?![0-9])")
_EDGE = " ,;-@|\t"


@dataclass(frozen=True, slots=True)
class ParsedTime:
    """A timestamp as it was understood.

    Attributes:
        value: An aware date-time; midnight in the default time zone when only a date was given.
        iso: ISO 8601: a date alone when only a date was given, else the date-time with its offset.
        day: The calendar day as written (for epoch numbers: in the default time zone).
        precise: True when a time of day was given.
        notes: What had to be assumed, in plain sentences; empty when nothing was.
    """

    value: datetime
    iso: str
    day: date
    precise: bool
    notes: tuple[str, ...] = ()


def parse_at(value: str | int | float | date | datetime, *, default_tz: tzinfo, day_first: bool | None = None) -> ParsedTime:
    """What ``value`` says about when something happened.

    Reads ISO 8601, worded dates ("1:56 pm on 8 May, 2023", "March-15-2024"), dotted ("29.12.2023, 22:42:04") and
    slashed ones ("12/25/23, 9:41 PM"), a weekday beside them, and epoch seconds, milliseconds or microseconds as a
    number or its digits. An ambiguous "3/4/2024" is month first and "3.4.2024" day first, unless ``day_first`` says
    otherwise; when one reading is impossible the other is taken. Eight digits that form a date are that date, not an
    epoch.

    Args:
        value: What to read.
        default_tz: The zone a time without one is read in.
        day_first: How to read figures whose order is open.

    Raises:
        ValueError: No date can be read, or no calendar has it; the message says what to write instead.
        TypeError: ``value`` is of another type.
    """
    if isinstance(value, bool):
        raise ValueError(f"a truth value is not a date; {_ADVICE}")
    if isinstance(value, datetime):
        return _at_time(value, default_tz, [])
    if isinstance(value, date):
        return _at_day(value, default_tz, [])
    if isinstance(value, int | float):
        return _number(value, str(value), default_tz)
    if not isinstance(value, str):
        raise TypeError(f"a time must be a string, number, date or datetime, not {type(value).__name__}; {_ADVICE}")
    text = " ".join(_INVISIBLE.sub("", value[: 2 * _MAX_LENGTH]).split()).strip("[]" + _EDGE)
    if not text or len(value) > _MAX_LENGTH:
        raise ValueError(f"{'an empty text' if not text else 'a text this long'} is not a date; {_ADVICE}")
    if _NUMBER.fullmatch(text):
        return _number(float(text) if "." in text else int(text), text, default_tz)
    return _written(text, default_tz, day_first)


def _refuse(value: object, reason: str) -> ValueError:
    return ValueError(f"cannot read {str(value)[:60]!r} as a date: {reason}; {_ADVICE}")


def _at_day(day: date, default_tz: tzinfo, notes: list[str]) -> ParsedTime:
    return ParsedTime(datetime.combine(day, time(), default_tz), day.isoformat(), day, False, tuple(notes))


def _at_time(value: datetime, default_tz: tzinfo, notes: list[str]) -> ParsedTime:
    """The parsed form of a date-time, made aware.

    Raises:
        ValueError: It is so close to year 1 or 9999 that UTC has no such time.
    """
    if value.utcoffset() is None:
        value = value.replace(tzinfo=default_tz)
        notes = [*notes, f"no time zone given: read as wall-clock time in {default_tz}"]
    try:
        value.astimezone(UTC)
    except OverflowError:
        raise _refuse(value.isoformat(), "it is outside years 1 to 9999 in UTC") from None
    return ParsedTime(value, value.isoformat(), value.date(), True, tuple(notes))


def _number(number: int | float, written: str, default_tz: tzinfo) -> ParsedTime:
    """An epoch, its unit told by its size, or eight digits that are a date."""
    if isinstance(number, float) and not math.isfinite(number):
        raise _refuse(written, "it is not a finite number")
    if compact := _COMPACT.fullmatch(written):
        day = _day(written, *(int(part) for part in compact.groups()))
        return _at_day(day, default_tz, ["eight digits were read as year, month, day"])
    size = abs(number)
    if isinstance(number, int) and size < 10_000 and len(written) <= 4:
        raise _refuse(written, "a year alone, or a number this small, does not name a day")
    unit, per_second = ("seconds", 1)
    if size >= _MICROSECONDS_FROM:
        unit, per_second = ("microseconds", 10**6)
    elif size >= _MILLISECONDS_FROM:
        unit, per_second = ("milliseconds", 1000)
    try:
        seconds, rest = divmod(number, per_second)
        moment = _EPOCH + timedelta(seconds=seconds, microseconds=rest * (10**6 // per_second))
        local = moment.astimezone(default_tz)
    except (OverflowError, ValueError):
        raise _refuse(written, "as an epoch it is outside years 1 to 9999") from None
    return _at_time(local, default_tz, [f"read as {unit} since 1970 (UTC)"])


def _written(text: str, default_tz: tzinfo, day_first: bool | None) -> ParsedTime:
    notes: list[str] = []
    if suffix := _ZONE_SUFFIX.search(text):
        text = text[: suffix.start()]
        notes.append("the zone name in brackets was not used; an offset is")
    if (iso := _iso(text, default_tz, notes)) is not None:
        return iso
    clock = _CLOCK.search(text)
    rest = text
    moment: time | None = None
    if clock:
        moment = _clock(text, clock, notes)
        rest = f"{text[: clock.start()]} {text[clock.end() :]}"
    day = _written_day(text, _bare(rest), day_first, notes)
    if moment is None:
        return _at_day(day, default_tz, notes)
    return _at_time(datetime.combine(day, moment), default_tz, notes)


def _iso(text: str, default_tz: tzinfo, notes: list[str]) -> ParsedTime | None:
    """``text`` read as ISO 8601 in any of its forms, or None when it is not that."""
    if not _YEAR_LEADS.match(text):
        return None
    try:
        return _at_day(date.fromisoformat(text), default_tz, notes)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return _at_time(moment, default_tz, notes)


def _bare(rest: str) -> str:
    """``rest`` without weekday, brackets and the little words between a date and a time."""
    rest = _WEEKDAY.sub(" ", rest)
    rest = re.sub(r"\b(?:at|on|um|uhr)\b|[()\[\]@|]", " ", rest, flags=re.IGNORECASE)
    return " ".join(rest.split()).strip(_EDGE)


def _clock(text: str, clock: re.Match[str], notes: list[str]) -> time:
    """The time of day, with its offset when one is written."""
    hour, minute, second = int(clock["h"]), int(clock["m"] or 0), int(clock["s"] or 0)
    half = (clock["half"] or clock["bare"] or "")[:1].lower()
    if half and not 1 <= hour <= 12:
        raise _refuse(text, f"there is no {hour} o'clock {half}m")
    if half:
        hour = hour % 12 + (12 if half == "p" else 0)
    name = (clock["name"] or "").strip(" ()")
    if name and not clock["zone"] and not _WEEKDAY.fullmatch(name):
        notes.append(f"the time zone name {name!r} is ambiguous and was not used")
    try:
        fraction = int((clock["f"] or "0").ljust(6, "0")[:6])
        return time(hour, minute, second, fraction, _offset(clock["zone"]))
    except ValueError:
        raise _refuse(text, "there is no such time of day") from None


def _offset(zone: str | None) -> timezone | None:
    """The offset written as "Z", "+0200", "UTC+2"; None when there is none."""
    if not zone:
        return None
    sign, digits = (-1 if "-" in zone else 1), re.sub(r"[^0-9]", "", zone)
    if not digits:
        return UTC
    hours, minutes = (int(digits[:-2]), int(digits[-2:])) if len(digits) > 2 else (int(digits), 0)
    if hours > 23 or minutes > 59:
        raise ValueError("no such offset")
    return timezone(sign * timedelta(hours=hours, minutes=minutes))


def _day(written: str, year: int, month: int, day: int) -> date:
    if not 1 <= year <= 9999:
        raise _refuse(written, f"year {year} is outside 1 to 9999")
    if not 1 <= month <= 12:
        raise _refuse(written, f"there is no month {month}")
    try:
        return date(year, month, day)
    except ValueError:
        raise _refuse(written, f"month {month} of {year} has no day {day}") from None


def _written_day(text: str, rest: str, day_first: bool | None, notes: list[str]) -> date:
    if found := _YEAR_FIRST.fullmatch(rest):
        return _day(text, int(found["y"]), int(found["m"]), int(found["d"]))
    if found := _YEAR_LAST.fullmatch(rest):
        return _figures(text, found, day_first, notes)
    if compact := _COMPACT.fullmatch(rest):
        return _day(text, *(int(part) for part in compact.groups()))
    if not _WORDED.fullmatch(rest) or not _DIGIT.search(rest):
        raise _refuse(text, "no date was found in it")
    if _LONE_YEAR.search(rest):
        raise _refuse(text, "its year is outside 1 to 9999")
    return _worded(text, _four_digit_year(text, rest, notes))


def _four_digit_year(text: str, rest: str, notes: list[str]) -> str:
    """``rest`` with a closing two-digit year written out: dateutil would guess its century from today's date."""
    if re.search(r"(?<![0-9])[0-9]{4}(?![0-9])", rest):
        return rest
    found = _SHORT_YEAR.fullmatch(rest)
    if not found:
        raise _refuse(text, "day, month and year must all be written")
    year = int(found["y"]) + (1900 if int(found["y"]) >= 69 else 2000)
    notes.append(f"a two-digit year was read as {year}")
    return f"{found['head']} {year}"


def _figures(text: str, found: re.Match[str], day_first: bool | None, notes: list[str]) -> date:
    """A date in figures with the year last, its order told by the mark, ``day_first`` or what is possible."""
    first, second, year = int(found["a"]), int(found["b"]), int(found["y"])
    if len(found["y"]) == 2:
        year += 1900 if year >= 69 else 2000
        notes.append(f"a two-digit year was read as {year}")
    leading_day = day_first if day_first is not None else found["mark"] == "."
    if first > 12 >= second:
        leading_day = True
    elif second > 12 >= first:
        leading_day = False
    elif first != second and day_first is None:
        notes.append(f"the order of day and month is open: read {'day' if leading_day else 'month'} first")
    day, month = (first, second) if leading_day else (second, first)
    return _day(text, year, month, day)


def _worded(text: str, rest: str) -> date:
    """A date with its month in words, read by dateutil; each part must be written, none is filled in."""
    try:
        read = [
            dateutil_parser.parse(rest, default=default, dayfirst=False, ignoretz=True)
            for default in (datetime(2000, 1, 1), datetime(2004, 3, 2))
        ]
    except (ValueError, OverflowError, TypeError):
        raise _refuse(text, "it names no day that a calendar has") from None
    if read[0] != read[1]:
        raise _refuse(text, "day, month and year must all be written")
    return read[0].date()
