"""Numbers and addresses of persons: cards, bank accounts, phone numbers, e-mail addresses. With checksums, where there are any.

As with secrets, every pattern is bounded and begins where a run of its characters begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tierkeep.guard.secret_formats import lowered

CARD, IBAN, NATIONAL_ID, PHONE, EMAIL = "card", "iban", "national id", "phone", "e-mail"

_DIGIT = re.compile(r"\d")
_NOT_DIGIT = re.compile(r"\D+")
_CARD = re.compile(r"(?<![\d.,+])(?<!\d[ -])\d(?:[ -]?\d){12,18}(?![\d])(?![ -]\d)")
#: Ranges of issuers (ISO/IEC 7812, as the networks publish them), each with the lengths of its numbers.
_ISSUERS = (
    (re.compile("4"), (13, 16, 19)),
    (re.compile("5[1-5]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)"), (16,)),
    (re.compile("3[47]"), (15,)),
    (re.compile("6(?:011|5|4[4-9])"), (16, 19)),
    (re.compile("3(?:0[0-5]|[68])"), (14,)),
    (re.compile("35(?:2[89]|[3-8])"), (16,)),
    (re.compile("62"), (16, 17, 18, 19)),
    (re.compile("5[0678]|6[37]"), (16, 17, 18, 19)),
)
#: Lengths of IBANs by country (the SWIFT registry).
_IBAN_LENGTHS = {
    entry[:2]: int(entry[2:])
    for entry in """
    AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18
    FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27
    MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27
    SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30
    """.split()
}
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,29}")
_SSN = re.compile(r"(?<![\d-])(?P<area>\d{3})(?P<gap>[- ])(?P<group>\d{2})(?P=gap)(?P<serial>\d{4})(?![\d-])")
_SSN_SAID = re.compile(r"(?i)\b(?:ssn|social security)\b[^\d\n]{0,24}(?P<number>\d{9})(?!\d)")
_EMAIL = re.compile(r"(?<![\w.%+-])[\w%+-][\w.%+-]{0,63}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,24}")
_PHONES = (
    re.compile(r"(?<![\w+])(?:\+|00)[ ]?\d{1,3}(?:[ ().\-/\u00a0]{0,3}\d){6,14}(?!\d)"),  # with a country code
    re.compile(r"(?<![\d.\-/])(?:1[ .-])?\(?[2-9]\d{2}\)?[ .-]{1,2}[2-9]\d{2}[ .-]\d{4}(?![\d-])"),  # North America
    re.compile(r"(?<![\d.,\-/:])\(?0\d{1,4}\)?[ /-]{1,3}\d{2,8}(?:[ -]\d{2,5}){0,3}(?![\d:])"),  # with a trunk zero
    re.compile(r"(?<![\d.,\-/:])[679]\d{2}(?: \d{3} \d{3}|(?: \d{2}){3})(?![\d:])"),  # Spain, Portugal, Poland
    re.compile(r"(?<![\d.])1[3-9]\d(?:[ -]?\d{4}){2}(?!\d)"),  # mobile in China
)
#: Words behind which a phone number stands, in small letters.
_SAYS_PHONE = (
    "phone", "tel", "mobile", "cell", "fax", "whatsapp", "call", "ring", "text", "sms", "handy", "rufnummer", "móvil", "movil", "celular",
    "llam", "téléphone", "portable", "appel", "my number", "meine nummer", "mi número",
    "mon numéro", "телефон", "电话", "電話", "手机", "手機", "号码",
)  # fmt: skip
_PHONE_AFTER = re.compile(r"[^\d\n+(#]{0,24}(?<![\w#])(?P<number>\+?\(?\d(?:[ ().\-/]{0,2}\d){6,14})(?![.,:\-/]?\d)(?!\w)")
#: What every number of them but an IBAN has: seven digits with little between.
_SEVEN = re.compile(r"\d(?:[ ().\-/\u00a0]{0,3}\d){6}")
_DATE = re.compile(
    r"^\(?(?:\d{1,2}[-/. ]\d{1,2}[-/. ](?:19|20)?\d{2}|(?:19|20)\d{2}[-/. ]\d{1,2}[-/. ]\d{1,2}|(?:19|20)\d{6})(?:[ ]\d{1,2})?$"
)
#: Most digits of a phone number (ITU-T E.164).
_E164 = 15


def personal_data(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield (start, end, class) of what identifies or pays for a person; they may overlap. Linear in the text."""
    if "@" in text:
        yield from ((*match.span(), EMAIL) for match in _EMAIL.finditer(text))
    if not _DIGIT.search(text):
        return
    yield from _ibans(text)
    if not _SEVEN.search(text):
        return
    yield from ((*match.span(), CARD) for match in _CARD.finditer(text) if is_card(_NOT_DIGIT.sub("", match.group())))
    yield from ((*match.span(), NATIONAL_ID) for match in _SSN.finditer(text) if is_ssn(_NOT_DIGIT.sub("", match.group())))
    yield from ((*match.span("number"), NATIONAL_ID) for match in _SSN_SAID.finditer(text) if is_ssn(match.group("number")))
    for pattern in _PHONES:
        yield from ((*match.span(), PHONE) for match in pattern.finditer(text) if _is_phone(match.group()))
    yield from _phones_said(text)


def _phones_said(text: str) -> Iterator[tuple[int, int, str]]:
    small = lowered(text)
    for word in _SAYS_PHONE:
        at = small.find(word)
        while at >= 0:
            begins = at == 0 or not small[at - 1].isalpha() or not word.isascii()
            match = _PHONE_AFTER.match(text, at + len(word)) if begins or word == "phone" else None
            if match and _is_phone(match.group("number")):
                yield *match.span("number"), PHONE
            at = small.find(word, at + len(word))


def luhn(digits: str) -> bool:
    """Return whether the digits hold the check digit of ISO/IEC 7812."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0


def is_card(digits: str) -> bool:
    """Return whether the digits are a card number: in an issuer's range and length, and right by Luhn."""
    ranged = any(len(digits) in lengths and prefix.match(digits) for prefix, lengths in _ISSUERS)
    return ranged and len(set(digits)) > 1 and luhn(digits)


def is_iban(compact: str) -> bool:
    """Return whether the capital letters and digits are an IBAN: of its country's length, and right by mod 97 (ISO 13616)."""
    if _IBAN_LENGTHS.get(compact[:2]) != len(compact) or not (compact.isascii() and compact.isalnum()):
        return False
    return int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1


def is_ssn(digits: str) -> bool:
    """Return whether nine digits can be a US social security number: area, group and serial are ones that are given out."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def _ibans(text: str) -> Iterator[tuple[int, int, str]]:
    for match in _IBAN.finditer(text):
        wanted = _IBAN_LENGTHS.get(match.group()[:2].upper(), 0)
        letters = 0
        for place, character in enumerate(match.group()):
            letters += character.isalnum()
            if letters == wanted:  # what stands behind may be the next word
                own = match.group()[: place + 1]
                if is_iban("".join(filter(str.isalnum, own)).upper()):
                    yield match.start(), match.start() + place + 1, IBAN
                break


def _is_phone(number: str) -> bool:
    digits = _NOT_DIGIT.sub("", number)
    return 7 <= len(digits) <= _E164 and len(set(digits)) > 2 and number.count("(") < 2 and not _DATE.match(number.strip())
