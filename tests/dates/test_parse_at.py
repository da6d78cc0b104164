"""Timestamps as exports write them, and what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierkeep.dates import ParsedTime, parse_at

LISBON = ZoneInfo("Europe/Lisbon")


def at(value: Any, **options: Any) -> ParsedTime:
    """A timestamp read in Lisbon."""
    return parse_at(value, default_tz=LISBON, **options)


@pytest.mark.parametrize(
    ("written", "iso"),
    [
        ("4:05 pm on 9 June, 2022", "2022-06-09T16:05:00+01:00"),
        ("17.10.2022, 08:30:59", "2022-10-17T08:30:59+01:00"),
        ("11/30/21, 9:41 PM", "2021-11-30T21:41:00+00:00"),
        ("[30/11/21, 21:41:04]", "2021-11-30T21:41:04+00:00"),
        ("Nov 30, 2021 at 9:41\u202fPM", "2021-11-30T21:41:00+00:00"),
        ("Tue Nov 30 21:41:04 2021", "2021-11-30T21:41:04+00:00"),
        ("Tue, 30 Nov 2021 21:41:04 +0200", "2021-11-30T21:41:04+02:00"),
        ("30 Nov 2021 03:00 PM UTC", "2021-11-30T15:00:00+00:00"),
        ("2021-11-30T21:41:04Z", "2021-11-30T21:41:04+00:00"),
        ("2021-11-30 21:41:04.250+05:30", "2021-11-30T21:41:04.250000+05:30"),
        ("20211130T214104", "2021-11-30T21:41:04+00:00"),
        ("2021/11/30 21:41", "2021-11-30T21:41:00+00:00"),
        ("12 am, 1 May 2020", "2020-05-01T00:00:00+01:00"),
        (1_638_308_464, "2021-11-30T21:41:04+00:00"),
        ("1638308464", "2021-11-30T21:41:04+00:00"),
        (1_638_308_464.5, "2021-11-30T21:41:04.500000+00:00"),
        (1_638_308_464_000, "2021-11-30T21:41:04+00:00"),
        ("1638308464000000", "2021-11-30T21:41:04+00:00"),
        (datetime(2021, 11, 30, 21, 41), "2021-11-30T21:41:00+00:00"),
    ],
)
def test_date_times(written: Any, iso: str) -> None:
    parsed = at(written)
    assert parsed.iso == iso
    assert parsed.precise
    assert parsed.value.isoformat() == iso
    assert parsed.day == parsed.value.date()


@pytest.mark.parametrize(
    "written",
    [
        "2021-11-30", "2021-11-30 (Tuesday)", "November-30-2021", "30-Nov-2021", "30th of November 2021", "30 Nov 21",
        "Tuesday, November 30th, 2021", "30.11.2021", "11/30/2021", "30/11/2021", "2021.11.30", "20211130", 20211130,
        "2021-W48-2", date(2021, 11, 30),
    ],
)  # fmt: skip
def test_a_date_alone_stays_a_date_alone(written: Any) -> None:
    parsed = at(written)
    assert (parsed.iso, parsed.day, parsed.precise) == ("2021-11-30", date(2021, 11, 30), False)
    assert parsed.value == datetime(2021, 11, 30, tzinfo=LISBON)


def test_open_order_is_month_first_with_slashes_and_day_first_with_dots() -> None:
    assert at("3/4/2024").day == date(2024, 3, 4)
    assert at("3.4.2024").day == date(2024, 4, 3)
    assert any("order" in note for note in at("3/4/2024").notes)


@pytest.mark.parametrize(("day_first", "day"), [(True, date(2024, 4, 3)), (False, date(2024, 3, 4))])
def test_the_caller_settles_an_open_order(day_first: bool, day: date) -> None:
    for written in ("3/4/2024", "3.4.2024", "3-4-2024"):
        parsed = at(written, day_first=day_first)
        assert parsed.day == day
        assert parsed.notes == ()


def test_the_possible_order_beats_the_callers() -> None:
    assert at("25/12/2023", day_first=False).day == at("12/25/2023", day_first=True).day == date(2023, 12, 25)


def test_a_time_without_a_zone_is_noted() -> None:
    assert any("Europe/Lisbon" in note for note in at("2021-11-30 21:41").notes)
    assert at("2021-11-30T21:41:00Z").notes == ()


def test_an_ambiguous_zone_name_is_not_guessed() -> None:
    assert any("CST" in note for note in at("30 Nov 2021 09:41 CST").notes)


def test_an_aware_datetime_is_kept() -> None:
    value = datetime(2021, 11, 30, 23, 30, tzinfo=timezone(timedelta(hours=9)))
    assert at(value).value == value
    assert at(value).day == date(2021, 11, 30)


@pytest.mark.parametrize(
    "written",
    [
        "", "   ", "soon", "Friday", "yesterday", "9 pm", "2023", 2023, "June 2023", "5 June", "Feb 30 2023", "30/02/2023",
        "2023-02-29", "2023-13-01", "13/13/2023", "0000-01-01", "10000-01-01", "1 May 12345", "5 June 2023 25:00",
        "5 June 2023 13:00 pm", "1 2 3", "x" * 5000, "5 June 2023 and 6 July 2024", True, False, float("nan"),
        float("inf"), 1e30, "9" * 19, -10**17, "0001-01-01T00:00+14:00", datetime.max.replace(tzinfo=timezone(timedelta(hours=-2))),
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused_with_advice(written: Any) -> None:
    with pytest.raises(ValueError, match="write it like 2024-03-15"):
        at(written)


def test_another_type_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="not list"):
        at([2023, 1, 1])


@given(st.datetimes(timezones=st.timezones() | st.just(UTC)), st.sampled_from(["T", " "]))
def test_every_iso_date_time_reads_back(value: datetime, mark: str) -> None:
    try:
        value.astimezone(UTC)
    except OverflowError:
        return
    assert at(value.isoformat(mark)).iso == value.isoformat()


@given(st.dates())
def test_every_date_reads_back(day: date) -> None:
    for written in (day, day.isoformat(), f"{day.day}.{day.month}.{day.year:04}"):
        parsed = at(written)
        assert (parsed.day, parsed.precise, parsed.iso) == (day, False, day.isoformat())
        assert isinstance(parsed.value.timestamp(), float)


_MESSY = st.text(alphabet="0123456789:/-., TZ+apmAPMunyebrv()[]\u202f", max_size=40)


@given(st.text(max_size=60) | _MESSY | st.integers() | st.floats() | st.booleans() | st.datetimes())
def test_anything_else_is_read_or_refused_but_never_breaks(value: Any) -> None:
    try:
        parsed = at(value)
    except ValueError as refused:
        assert "write it like" in str(refused)
    else:
        assert parsed.value.tzinfo is not None
        assert parsed.iso.startswith(parsed.day.isoformat())
