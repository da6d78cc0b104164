"""More countries' phone numbers and personal numbers: phonenumbers and python-stdnum (the extra `redaction`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from tierkeep.errors import MissingExtraError
from tierkeep.guard.personal_data import NATIONAL_ID, PHONE

#: Numbers whose form and check digits together leave little to chance; others need a word beside them, which no library reads.
_FORMS: tuple[tuple[str, str], ...] = (
    ("es.dni", r"\d{8}-?[A-Za-z]"), ("es.nie", r"[XYZxyz]-?\d{7}-?[A-Za-z]"), ("fr.nir", r"[12]\d{2}(?: ?\d){9,10} ?\d{2}"),
    ("it.codicefiscale", r"[A-Za-z]{6}\d{2}[A-Za-z]\d{2}[A-Za-z]\d{3}[A-Za-z]"), ("br.cpf", r"\d{3}\.\d{3}\.\d{3}-\d{2}"),
    ("cn.ric", r"\d{17}[\dXx]"), ("gb.nhs", r"\d{3} \d{3} \d{4}"), ("pl.pesel", r"\d{11}"), ("se.personnummer", r"\d{6}[-+]\d{4}"),
    ("fi.hetu", r"\d{6}[-+A]\d{3}[0-9A-Za-z]"), ("in.aadhaar", r"\d{4} \d{4} \d{4}"), ("be.nn", r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}"),
)  # fmt: skip
#: A text with no run of digits like this has no number of either kind.
_WORTH = re.compile(r"\d(?:[ ().\-/]{0,2}\d){5}")
#: Characters that the matcher of phone numbers reads: it takes far longer than a pattern.
_SCAN = 16_384


def with_libraries(region: str) -> Callable[[str], Iterator[tuple[int, int, str]]]:
    """Return a detector that yields (start, end, class).

    Args:
        region: Country in which a phone number without a country code is read.

    Raises:
        MissingExtraError: The libraries are not installed.
    """
    try:
        import phonenumbers
        from stdnum.util import get_cc_module
    except ImportError as error:
        raise MissingExtraError("RedactionSettings(libraries=True)", extra="redaction") from error
    valid = []
    for name, form in _FORMS:
        module = get_cc_module(*name.split("."))
        if module is not None:
            valid.append((re.compile(rf"(?<![\w.-]){form}(?![\w-])"), module.is_valid))

    def detect(text: str) -> Iterator[tuple[int, int, str]]:
        if not _WORTH.search(text):
            return
        for pattern, is_valid in valid:
            yield from ((*match.span(), NATIONAL_ID) for match in pattern.finditer(text) if is_valid(match.group()))
        for match in phonenumbers.PhoneNumberMatcher(text[:_SCAN], region):
            yield match.start, match.end, PHONE

    return detect
