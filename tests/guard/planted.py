"""Secrets and numbers of persons, made up by a seeded generator, inside sentences of several languages. None of them is real."""

from __future__ import annotations

import base64
import random
import string
from typing import NamedTuple

from tierkeep.guard.personal_data import luhn

_ALNUM = string.ascii_letters + string.digits
_SENTENCES = (
    "Please use {} for the deployment.", "I think it was {} but ask Bo.", "Here it is: {}", "{}", "{} is what the console printed",
    "Das steht im Handbuch: {}, sonst nichts.", "Ich habe {} gestern aufgeschrieben.", "El valor es {} según Ana.", "Guarda {} en la nota.",
    "Voici la valeur : {} pour demain.", "On m'a donné {} hier.", "请使用 {} 登录。", "这是 {} ，不要告诉别人。",
    "Meu colega mandou {} ontem.",
    "export VALUE={}\nmake deploy", '{{"note": "{}"}}', "| field | {} |", "(see {})",
)  # fmt: skip


class Planted(NamedTuple):
    """A text, what was put into it, and which kind it is."""

    text: str
    what: str
    kind: str


def _of(chance: random.Random, alphabet: str, length: int) -> str:
    return "".join(chance.choice(alphabet) for _ in range(length))


def _segment(chance: random.Random, length: int) -> str:
    return base64.urlsafe_b64encode(chance.randbytes(length)).decode().rstrip("=")


def _jwt(chance: random.Random) -> str:
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').decode().rstrip("=")
    body = base64.urlsafe_b64encode(f'{{"sub":"{chance.randrange(10**9)}"}}'.encode()).decode().rstrip("=")
    return f"{head}.{body}.{_segment(chance, 32)}"


def _pem(chance: random.Random) -> str:
    lines = "\n".join(_of(chance, _ALNUM + "+/", 64) for _ in range(6))
    kind = chance.choice(["RSA ", "EC ", "OPENSSH ", "", "ENCRYPTED "])
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{lines}\n-----END {kind}PRIVATE KEY-----"


def secret(chance: random.Random) -> tuple[str, str]:
    """Return (kind, secret)."""
    made = {
        "aws": lambda: "AKIA" + _of(chance, string.ascii_uppercase + "234567", 16),
        "aws secret": lambda: "aws_secret_access_key = " + _segment(chance, 30).replace("-", "/").replace("_", "+"),
        "github": lambda: chance.choice(["ghp_", "gho_", "ghs_"]) + _of(chance, _ALNUM, 36),
        "github fine": lambda: "github_pat_" + _of(chance, _ALNUM, 22) + "_" + _of(chance, _ALNUM, 59),
        "gitlab": lambda: "glpat-" + _of(chance, _ALNUM, 20),
        "google": lambda: "AIza" + _of(chance, _ALNUM + "_-", 35),
        "slack": lambda: f"xoxb-{_of(chance, string.digits, 12)}-{_of(chance, string.digits, 12)}-{_of(chance, _ALNUM, 24)}",
        "stripe": lambda: chance.choice(["sk_live_", "sk_test_", "rk_live_"]) + _of(chance, _ALNUM, 24),
        "openai": lambda: chance.choice(["sk-", "sk-proj-"]) + _of(chance, _ALNUM, 48),
        "anthropic": lambda: "sk-ant-api03-" + _of(chance, _ALNUM + "_-", 80),
        "jwt": lambda: _jwt(chance),
        "pem": lambda: _pem(chance),
        "hugging face": lambda: "hf_" + _of(chance, string.ascii_letters, 34),
        "sendgrid": lambda: f"SG.{_segment(chance, 16)}.{_segment(chance, 32)}",
        "address": lambda: f"postgresql://app:{_of(chance, _ALNUM + '!_', 14)}@db.example.net:5432/main",
        "password": lambda: chance.choice(["password: ", "Passwort: ", "contraseña: ", "密码：", "pwd=", "mot de passe : "])
        + _of(chance, string.ascii_lowercase, 6) + _of(chance, string.digits, 2) + "!",
        "api key": lambda: chance.choice(["api_key = ", "API key: ", "client_secret: ", "token="]) + _of(chance, "0123456789abcdef", 32),
        "bearer": lambda: "Authorization: Bearer " + _of(chance, _ALNUM, 40),
    }  # fmt: skip
    kind = chance.choice(sorted(made))
    return kind, made[kind]()


def _card(chance: random.Random) -> str:
    prefix, length = chance.choice([("4", 16), ("51", 16), ("55", 16), ("2221", 16), ("37", 15), ("6011", 16), ("3530", 16)])
    body = prefix + _of(chance, string.digits, length - len(prefix) - 1)
    number = next(body + check for check in string.digits if luhn(body + check))
    return chance.choice(["", " ", "-"]).join(number[at : at + 4] for at in range(0, length, 4))


def _iban(chance: random.Random) -> str:
    country, length = chance.choice([("DE", 22), ("ES", 24), ("NL", 18), ("PT", 25), ("CH", 21), ("AT", 20), ("BE", 16)])
    letters = 4 if country == "NL" else 0
    body = _of(chance, string.ascii_uppercase, letters) + _of(chance, string.digits, length - 4 - letters)
    check = 98 - int("".join(str(int(c, 36)) for c in body + country + "00")) % 97
    compact = f"{country}{check:02d}{body}"
    return compact if chance.random() < 0.5 else " ".join(compact[at : at + 4] for at in range(0, length, 4))


def _phone(chance: random.Random) -> str:
    def digits(n: int) -> str:
        return str(chance.randrange(1, 10)) + _of(chance, string.digits, n - 1)

    def north(n: int) -> str:
        return str(chance.randrange(2, 10)) + _of(chance, string.digits, n - 1)

    return chance.choice([
        lambda: f"+351 9{digits(2)} {digits(3)} {digits(3)}", lambda: f"+49 30 {digits(7)}",
        lambda: f"+1 {north(3)}-{north(3)}-{digits(4)}",
        lambda: f"({north(3)}) {north(3)}-{digits(4)}", lambda: f"{north(3)}-{north(3)}-{digits(4)}",
        lambda: f"030 {digits(7)}",
        lambda: f"06 {digits(2)} {digits(2)} {digits(2)} {digits(2)}", lambda: f"+44 20 {digits(4)} {digits(4)}", lambda: f"138{digits(8)}",
        lambda: f"6{digits(2)} {digits(3)} {digits(3)}", lambda: f"+34{digits(9)}", lambda: f"call {digits(7)}",
    ])()  # fmt: skip


def personal(chance: random.Random) -> tuple[str, str]:
    """Return (kind, number or address of a person)."""
    kind = chance.choice(["card", "iban", "national id", "phone", "e-mail"])
    name = _of(chance, string.ascii_lowercase, 6)
    made = {
        "card": lambda: _card(chance), "iban": lambda: _iban(chance), "phone": lambda: _phone(chance),
        "national id": lambda: f"{chance.randrange(100, 600):03d}-{chance.randrange(1, 100):02d}-{chance.randrange(1, 10_000):04d}",
        "e-mail": lambda: f"{name}{chance.choice(['', '.k', '+x'])}@{chance.choice(['example.org', 'mail.example.co.uk', 'correo.es'])}",
    }  # fmt: skip
    return kind, made[kind]()


def planted(seed: int, count: int, *, keys: bool) -> list[Planted]:
    """Return `count` texts, each with one secret (`keys`) or one number or address of a person in it."""
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        kind, what = secret(chance) if keys else personal(chance)
        made.append(Planted(chance.choice(_SENTENCES).format(what), what, kind))
    return made
