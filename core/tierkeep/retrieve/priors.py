"""What a question says beyond its terms: who is meant, and when. Each prior is a factor per event, at least 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tierkeep.retrieve.index import ScopeIndex
from tierkeep.retrieve.question import DateWords, Question
from tierkeep.settings import RetrievalSettings

__all__ = ["date_prior", "name_shares", "speaker_prior"]

_DAY = 86_400


def _named(index: ScopeIndex, question: Question) -> list[int]:
    return index.named_speakers(frozenset(question.terms.tolist()))


def name_shares(index: ScopeIndex, question: Question, settings: RetrievalSettings) -> dict[int, float]:
    """The factor for the terms that are names of speakers: others say a name, its bearer seldom does."""
    codes = _named(index, question)
    return {term: settings.speaker_term for code in codes for term in index.speaker_terms(code)}


def speaker_prior(index: ScopeIndex, question: Question, settings: RetrievalSettings) -> NDArray[np.float32] | None:
    """Favours the one speaker a question names, else the user when it is in the first person; None for nobody.

    Shape (N,). "What did Ana say" is answered by Ana's turns.
    """
    named = _named(index, question)
    if len(named) == 1:
        return _favour(index.speaker == named[0], settings.speaker)
    if named or not question.first_person:
        return None
    return _favour(index.own, settings.self_speaker)


def date_prior(index: ScopeIndex, dates: DateWords, settings: RetrievalSettings) -> NDArray[np.float32] | None:
    """Favours events at the days, months or years the question names; None when it names none. Shape (N,)."""
    if not dates.days and not dates.months:
        return _year_prior(index, dates, settings)
    near = np.zeros(len(index), np.bool_)
    if dates.months:
        near |= np.isin(_calendar(index.ts)[1], sorted(dates.months))
    for slack in range(-settings.date_slack_days, settings.date_slack_days + 1) if dates.days else ():
        _, months, days = _calendar(index.ts + slack * _DAY)
        for month, day in sorted(dates.days):
            near |= (months == month) & (days == day)
    if dates.years:
        near &= np.isin(_calendar(index.ts)[0], sorted(dates.years))
    return _favour(near, settings.date)


def _year_prior(index: ScopeIndex, dates: DateWords, settings: RetrievalSettings) -> NDArray[np.float32] | None:
    if not dates.years:
        return None
    return _favour(np.isin(_calendar(index.ts)[0], sorted(dates.years)), settings.date)


def _calendar(ts: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Year, month and day of each time in UTC, three arrays of the shape of `ts`."""
    days = np.floor(ts / _DAY).astype(np.int64).astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    years = months.astype("datetime64[Y]")
    of_month = (days - months).astype(np.int64) + 1
    return years.astype(np.int64) + 1970, (months - years).astype(np.int64) + 1, of_month


def _favour(chosen: NDArray[np.bool_], bonus: float) -> NDArray[np.float32]:
    return np.where(chosen, np.float32(1 + bonus), np.float32(1))
