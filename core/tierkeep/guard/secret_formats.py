"""Keys and tokens in the formats that their issuers publish, and passwords where a text says that something is one.

Every pattern begins where a run of its own characters begins (a look-behind), takes runs without giving them back or bounds them, so that
a hostile text costs its length. `hints` are looked for first: a text without any of them is not searched at all.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple


class Format(NamedTuple):
    """One kind of secret.

    Attributes:
        name: What the mark calls it.
        hints: A text with none of these has no such secret.
        pattern: The secret, or its group 1.
        check: Whether what was matched is one after all.
    """

    name: str
    hints: tuple[str, ...]
    pattern: re.Pattern[str]
    check: Callable[[str], bool] = bool


#: A token does not begin inside a longer one.
_AT = r"(?<![A-Za-z0-9_-])"


def entropy(text: str) -> float:
    """Return the Shannon entropy of the characters, in bits for each."""
    counts = Counter(text).values()
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts) if text else 0.0


def _random(text: str) -> bool:
    """Return whether a token looks drawn at random: digits and letters, and few repetitions."""
    return entropy(text) >= 3.0 and any(c.isdigit() for c in text) and any(c.isalpha() for c in text)


def _mixed(text: str) -> bool:
    """Return whether a token has digits, small and capital letters, as base64 of random bytes has."""
    return _random(text) and any(c.islower() for c in text) and any(c.isupper() for c in text)


def _tokens(name: str, prefixes: str, rest: str, *hints: str) -> Format:
    return Format(name, hints, re.compile(f"{_AT}(?:{prefixes}){rest}"))


SECRETS: tuple[Format, ...] = (
    _tokens("aws key", "AKIA|ASIA|AROA|AIDA|ABIA|ACCA", "[A-Z0-9]{16}(?![A-Za-z0-9])", "AKIA", "ASIA", "AROA", "AIDA", "ABIA", "ACCA"),
    _tokens("github token", "gh[pousr]_", "[A-Za-z0-9]{30,255}", "ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
    _tokens("github token", "github_pat_", "[A-Za-z0-9_]{22,255}", "github_pat_"),
    _tokens("gitlab token", "gl(?:pat|ptt|rt|dt|cbt|ft|soat)-", "[A-Za-z0-9_-]{20,255}", "glp", "glr", "gld", "glc", "glf", "gls"),
    _tokens("google key", "AIza", "[A-Za-z0-9_-]{35}", "AIza"),
    _tokens("google token", r"ya29\.|GOCSPX-|1//0", "[A-Za-z0-9_-]{20,2048}", "ya29.", "GOCSPX-", "1//0"),
    _tokens("slack token", "xox[abceoprs]-|xapp-", "[A-Za-z0-9-]{10,255}", "xox", "xapp-"),
    Format("slack webhook", ("hooks.slack.com",), re.compile(
        r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9/_-]{20,255})")),
    _tokens("stripe key", "[spr]k_(?:live|test)_|whsec_", "[A-Za-z0-9]{16,255}", "k_live_", "k_test_", "whsec_"),
    _tokens("anthropic key", "sk-ant-", "[A-Za-z0-9_-]{20,255}", "sk-ant-"),
    Format("api key", ("sk-",), re.compile(_AT + r"sk-(?:proj-|svcacct-|admin-|or-v1-|lf-)?[A-Za-z0-9_-]{20,255}"), _random),
    _tokens("hugging face token", "hf_|api_org_", "[A-Za-z0-9]{30,64}", "hf_", "api_org_"),
    _tokens("npm token", "npm_", "[A-Za-z0-9]{36}", "npm_"),
    _tokens("pypi token", "pypi-AgEI", "[A-Za-z0-9_-]{50,1024}", "pypi-AgEI"),
    _tokens("twilio key", "SK|AC", "[0-9a-f]{32}(?![0-9a-f])", "SK", "AC"),
    _tokens("sendgrid key", r"SG\.", r"[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}", "SG."),
    _tokens("mailgun key", "key-", "[0-9a-f]{32}(?![0-9a-f])", "key-"),
    _tokens("digitalocean token", "do[opr]_v1_", "[0-9a-f]{64}", "_v1_"),
    _tokens("shopify token", "shp(?:at|ca|pa|ss)_", "[0-9a-fA-F]{32}", "shp"),
    _tokens("square token", "sq0[a-z]{3}-|EAAA", "[A-Za-z0-9_-]{22,64}", "sq0", "EAAA"),
    _tokens("databricks token", "dapi", "[0-9a-f]{32}", "dapi"),
    _tokens("vault token", r"hv[sbr]\.", "[A-Za-z0-9_-]{20,255}", "hvs.", "hvb.", "hvr."),
    _tokens("docker token", "dckr_pat_|dckr_oat_", "[A-Za-z0-9_-]{20,64}", "dckr_"),
    _tokens("atlassian token", "ATATT3|ATCTT3", "[A-Za-z0-9_=-]{20,255}", "ATATT3", "ATCTT3"),
    _tokens("service key", "gsk_|r8_|pplx-|xai-|lin_api_|ntn_|nvapi-|tvly-|fw_", "[A-Za-z0-9_-]{24,255}",
            "gsk_", "r8_", "pplx-", "xai-", "lin_api_", "ntn_", "nvapi-", "tvly-", "fw_"),
    _tokens("postman key", "PMAK-", "[0-9a-f]{24}-[0-9a-f]{34}", "PMAK-"),
    _tokens("new relic key", "NRAK-", "[A-Z0-9]{27}", "NRAK-"),
    _tokens("age key", "AGE-SECRET-KEY-1", "[A-Z0-9]{58}", "AGE-SECRET-KEY-1"),
    Format("telegram token", (":AA",), re.compile(r"(?<![\w:])\d{8,10}:AA[A-Za-z0-9_-]{32,34}(?![A-Za-z0-9_-])")),
    Format("discord token", (".",), re.compile(_AT + r"[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,40}"), _mixed),
    Format("json web token", ("eyJ",), re.compile(_AT + r"eyJ[A-Za-z0-9_-]{8,4096}+\.[A-Za-z0-9_-]{8,16384}+\.[A-Za-z0-9_-]{0,2048}")),
    Format("azure key", ("AccountKey=", "SharedAccessKey="), re.compile(r"(?:AccountKey|SharedAccessKey)=([A-Za-z0-9+/]{40,100}={0,2})")),
    Format("connection string", ("://",), re.compile(
        r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]{1,30}://[^\s/@:\"'<>]{0,128}:([^\s/@\"'<>\[\]{}$]{3,256})@")),
    Format("signed link", ("=",), re.compile(
        r"(?i)[?&](?:access_token|auth_token|id_token|token|sig|signature|api_?key|client_secret|x-amz-signature)=([A-Za-z0-9._~%+/-]{16,2048})"
    ), _random),
    Format("authorization header", ("earer ", "asic ", "EARER ", "ASIC "), re.compile(
        r"(?i)\b(?:bearer|basic)[ \t]{1,4}([A-Za-z0-9._~+/-]{16,4096}={0,2})"), _random),
)  # fmt: skip

#: Words behind which a password stands, and words behind which a key does, in small letters.
_SAYS_PASSWORD = (
    "password", "passwort", "passwd", "passphrase", "passcode", "pwd", "kennwort", "contraseña", "contrasena", "clave secreta",
    "mot de passe", "senha", "palavra-passe", "wachtwoord", "密码", "密碼", "口令", "パスワード", "пароль",
)  # fmt: skip
_SAYS_KEY = (
    "secret", "token", "api key", "api_key", "api-key", "apikey", "access key", "access_key", "access-key", "accesskey", "private key",
    "private_key", "signing key", "signing_key", "encryption key", "encryption_key", "auth key", "auth_key", "credential", "schlüssel",
    "clave", "密钥", "令牌",
)  # fmt: skip
#: From such a word to the value: the rest of the name, a sign or a word for "is", a quote.
_VALUE = re.compile(
    r"(?i)[\w-]{0,20}+(?:[\"'`*]{0,2}[ \t]{0,3}(?::=|=>|[:=：])[ \t]{0,3}|[ \t]{1,3}(?:is|was|ist|lautet|es|est|é|является)[ \t]{1,3}"
    r"(?:now[ \t]{1,3})?|[是为為])[\"'`*]{0,2}([^\s\"'`,;<>()\[\]{}，。；]{4,256}+)(?![(\[])"
)
#: Names of meta keys whose values are secrets whatever they look like.
_SECRET_NAMES = re.compile(
    r"(?i)(?:^|[_\-. ])(?:pass(?:word|wort|wd|phrase|code)|pwd|secret|(?:access|auth|refresh|id|api|bearer|session)[_-]?token|token"
    r"|(?:api|access|private|signing|encryption|auth)[_-]?key|credentials?|authorization|cookie)$"
)
_IDENTIFIER = re.compile(r"[^\W\d][^\W\d.]*+(?:[.-][^\W\d.-]++)*+")
#: What stands where a value will be: not the value.
_PLACEHOLDER = re.compile(
    r"(?i)^[$%*.…-]|^x{3}|^(?:your|my|the|env|os|process|self|config|settings|none|null|true|false|example"
    r"|changeme)\b|^(.)\1+$"
)
_AWS_SECRET = re.compile(r"(?<![A-Za-z0-9/+=])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])")
_AWS_CUE = re.compile(r"(?i)secret|aws")
#: Characters around a bare 40-character key in which something must say that it is one.
_NEAR = 64
#: Every hint with the place of its format: looked for in one go, because most texts have none of them.
_HINTS = tuple((hint, place) for place, form in enumerate(SECRETS) for hint in form.hints)
_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PEM_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
#: What a private key without its end is made of.
_PEM_BODY = re.compile(r"[A-Za-z0-9+/=\s:,\\-]*+")


def secrets(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield (start, end, name) of every key or token in a known format; they may overlap. Linear in the text."""
    yield from _private_keys(text)
    for place in sorted({place for hint, place in _HINTS if hint in text}):
        form = SECRETS[place]
        for match in form.pattern.finditer(text):
            group = 1 if form.pattern.groups else 0
            if form.check(match.group(group)):
                yield *match.span(group), form.name
    if _AWS_CUE.search(text):
        for match in _AWS_SECRET.finditer(text):
            around = text[max(0, match.start() - _NEAR) : match.start()]
            if _mixed(match.group()) and _AWS_CUE.search(around):
                yield *match.span(), "aws secret key"


def _private_keys(text: str) -> Iterator[tuple[int, int, str]]:
    at = 0
    ends = True
    while "-----BEGIN" in text and (begin := _PEM.search(text, at)):
        end = _PEM_END.search(text, begin.end()) if ends else None
        ends = end is not None  # without one after here, there is none later either
        body = _PEM_BODY.match(text, begin.end())
        at = end.end() if end else body.end() if body else begin.end()
        yield begin.start(), at, "private key"


def passwords(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield (start, end, name) of what the text says to be a password or key. Linear in the text."""
    small = lowered(text)
    for words, name, check in ((_SAYS_PASSWORD, "password", _is_password), (_SAYS_KEY, "key", _is_key)):
        for word in words:
            at = small.find(word)
            while at >= 0:
                match = _VALUE.match(text, at + len(word))
                if match and check(match.group(1)):
                    yield *match.span(1), name
                at = small.find(word, at + len(word))


def lowered(text: str) -> str:
    """Return the text in small letters, character for character: its places are those of the text."""
    small = text.lower()
    return small if len(small) == len(text) else "".join(c if len(c.lower()) != 1 else c.lower() for c in text)


def names_secret(name: str) -> bool:
    """Return whether a key of meta says that its value is a secret."""
    return len(name) <= 128 and _SECRET_NAMES.search(name) is not None


def _is_password(value: str) -> bool:
    """Return whether the value can be a password: of two kinds of characters beside a capital first letter, and no placeholder.

    A name of a program's (`db.Column`, `hashed_password`) is none.
    """
    bare = value.rstrip(".!?:")
    if len(bare) < 5 or _PLACEHOLDER.search(bare) or _IDENTIFIER.fullmatch(bare):
        return False
    inner = bare[1:]
    kinds = any(c.islower() for c in bare) + any(c.isupper() for c in inner) + any(c.isdigit() for c in bare)
    return kinds + any(not c.isalnum() and c not in "-'’" for c in bare) >= 2


def _is_key(value: str) -> bool:
    bare = value.rstrip(".!?:")
    return len(bare) >= 12 and not _PLACEHOLDER.search(bare) and _random(bare) and "://" not in bare
