"""Where the authors of each data set keep it, at a fixed state, and on which terms. Nothing of it is shipped with tierkeep.

Hashes are known for some files only; for the others the fixed commit or revision in the address stands for the content.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

_RAW = "https://raw.githubusercontent.com"
_HUB = "https://huggingface.co/datasets"


class RemoteFile(NamedTuple):
    """One file: where it goes below the chosen folder, its address, its SHA-256 ("" when unknown), and whether it may be missing."""

    path: str
    url: str
    sha256: str = ""
    optional: bool = False


class Published(NamedTuple):
    """A data set as its authors publish it.

    Attributes:
        name: What `tierkeep bench fetch` calls it.
        about: What it is, in a few words.
        licence: Its licence, or that none is stated.
        terms: What a user should know before taking it.
        home: The authors' page.
        files: Everything that is fetched.
        data: What to give to `--data` afterwards, below the chosen folder.
    """

    name: str
    about: str
    licence: str
    terms: str
    home: str
    files: tuple[RemoteFile, ...]
    data: str


_UNSTATED = "not stated: ask the authors before passing it on"
_OWN_USE = "For your own measurements. Do not put it into a repository, a package or a fixture."

_REALTALK = {
    "Chat_1_Emi_Elise": "4e947998a751a1ba2c3710fc873b90fbcbc234fda7a5e4e75db2b762e0f25a36",
    "Chat_2_Kevin_Elise": "4ac6e319c206731aa9a025c93325eb1edb43686cf39473f058c87ae7deb2d62a",
    "Chat_3_Kevin_Paola": "10c9208016538cbe7a28aafa6cfd72587b072677964c36ec242159fdf58961f2",
    "Chat_4_Emi_Paola": "80aa012ed6a918f5b317bd942b4d4811a158d27a6e07b7a5c6182994107a9367",
    "Chat_5_Nicolas_Nebraas": "32dd7c45786b1a26861dc1574a1bb698a855196fd2ae3fc0c091f3c9ab2d6d06",
    "Chat_6_Vanessa_Nicolas": "9d5ee072ab5a0667ef71d5644d7cd3a4c6777a1e6e2252bf306f310d982e40ac",
    "Chat_7_Nebraas_Vanessa": "b5716bb093217980e747dec0d98996829b569febc09587a025efc6b79806e9ce",
    "Chat_8_Akib_Muhhamed": "814f64ad7e8a46f0398f550fe84184e2ba495a292290b9ff96ffc95448280800",
    "Chat_9_Fahim_Akib": "05b9b4331bf0e25a2a64dc89c404622c83a61ab5e7c935fb7d844449caf6dd39",
    "Chat_10_Fahim_Muhhamed": "26135a9e3482f40bea4c71de570a2d994a361848111067e60587be1dd82a0127",
}
_REALMEM = (
    "Adeleke_Okonjo", "Ethan_Hunt", "Kenta_Tanaka", "Kim_Ji_young", "Liam_O_Connor", "Lin_Wanyu", "Oliver_Smith", "Pak_Budi",
    "Sarah_Miller", "Sophie_Dubois",
)  # fmt: skip
_LIFEBENCH = (
    "fenghaoran", "leimingxuan", "lumingqiang", "maxiulan", "songyajing", "sunyuwei", "yemingxuan", "yinhao", "yuxiaowei", "yuxiaowen",
)  # fmt: skip
_PHONE = ("agent_chat", "calendar", "call", "note", "photo", "push", "sms")


def _longmemeval(size: str, file: str, sha256: str = "") -> Published:
    base = f"{_HUB}/xiaowu0162/longmemeval-cleaned/resolve/98d7416c24c778c2fee6e6f3006e7a073259d48f"
    return Published(
        f"longmemeval-{size}", f"LongMemEval, {size}: 500 questions, each with its own chat history", "MIT", _OWN_USE,
        "https://github.com/xiaowu0162/LongMemEval", (RemoteFile(file, f"{base}/{file}", sha256),), file,
    )  # fmt: skip


def _personamem(size: str) -> Published:
    base = f"{_HUB}/bowen-upenn/PersonaMem-v1/resolve/73dfd752d477d0c466cd441f1669397f5726d7ab"
    names = (f"questions_{size}.csv", f"shared_contexts_{size}.jsonl")
    return Published(
        f"personamem-{size}", f"PersonaMem, {size} tokens: no evidence is named, so it gives no evidence recall", "MIT", _OWN_USE,
        "https://github.com/bowen-upenn/PersonaMem", tuple(RemoteFile(name, f"{base}/{name}") for name in names), names[0],
    )  # fmt: skip


def _beam(size: str, chats: int) -> Published:
    base = f"{_RAW}/mohammadtavakoli78/BEAM/5a64c992ba05b489b891221b7bcb6b763493dde5/chats/{size}"

    def files() -> Iterator[RemoteFile]:
        for number in range(1, chats + 1):
            for name in ("probing_questions/probing_questions.json", "chat.json"):
                yield RemoteFile(f"{size}/{number}/{name}", f"{base}/{number}/{name}")
            name = "chat_trunecated.json"  # the authors' own spelling; they evaluate on it where it exists
            yield RemoteFile(f"{size}/{number}/{name}", f"{base}/{number}/{name}", optional=True)

    return Published(
        f"beam-{size.lower()}", f"BEAM, {size} tokens a chat: {chats} chats of ten abilities", _UNSTATED, _OWN_USE,
        "https://github.com/mohammadtavakoli78/BEAM", tuple(files()), size,
    )  # fmt: skip


def _lifebench() -> Published:
    base = f"{_RAW}/1754955896/LifeBench/73b3d4e9e6b4a4757aa9dfd8f2e2d3291736bbc2/life_bench_data/data_en"
    paths = [f"{person}/{name}" for person in _LIFEBENCH for name in ("QA/QA_clean.json", *(f"phone_data/{kind}.json" for kind in _PHONE))]
    return Published(
        "lifebench-en", "LifeBench in English: a year of ten people's phone records", "Apache-2.0", _OWN_USE,
        "https://github.com/1754955896/LifeBench", tuple(RemoteFile(f"data_en/{path}", f"{base}/{path}") for path in paths), "data_en",
    )  # fmt: skip


def _by_name(sets: Iterable[Published]) -> dict[str, Published]:
    return {one.name: one for one in sets}


#: Name -> where it is.
PUBLISHED = _by_name((
    Published(
        "locomo", "LoCoMo: ten long conversations of two people", "CC BY-NC 4.0", "No commercial use. " + _OWN_USE,
        "https://github.com/snap-research/locomo",
        (RemoteFile("locomo10.json", f"{_RAW}/snap-research/locomo/3eb6f2c585f5e1699204e3c3bdf7adc5c28cb376/data/locomo10.json",
                    "79fa87e90f04081343b8c8debecb80a9a6842b76a7aa537dc9fdf651ea698ff4"),),
        "locomo10.json",
    ),
    Published(
        "realtalk", "REALTALK: ten chats of real people", _UNSTATED, "Real people wrote these messages. " + _OWN_USE,
        "https://github.com/danny911kr/REALTALK",
        tuple(RemoteFile(f"realtalk/{name}.json", f"{_RAW}/danny911kr/REALTALK/b903e06a9770bf4e5fe9018c3e132889666d3b4a/data/{name}.json",
                         sha256) for name, sha256 in _REALTALK.items()),
        "realtalk",
    ),
    _longmemeval("s", "longmemeval_s_cleaned.json", "d6f21ea9d60a0d56f34a05b609c79c88a451d2ae03597821ea3d5a9678c3a442"),
    _longmemeval("m", "longmemeval_m_cleaned.json"),
    _longmemeval("oracle", "longmemeval_oracle.json"),
    Published(
        "memdaily", "MemDaily: daily messages in Chinese", _UNSTATED, _OWN_USE, "https://github.com/nuster1128/MemSim",
        (RemoteFile("memdaily.json", f"{_RAW}/nuster1128/MemSim/db9d5d552d6cb1d859f692eb7e6c0fd6d61d3815/data_generation/final_dataset/"
                                     "memdaily.json"),),
        "memdaily.json",
    ),
    _personamem("32k"), _personamem("128k"), _personamem("1M"),
    _beam("100K", 20), _beam("500K", 35), _beam("1M", 35),
    Published(
        "realmem", "RealMem: project dialogues of ten people with an assistant", "Apache-2.0 (its badge says MIT)", _OWN_USE,
        "https://github.com/AvatarMemory/RealMemBench",
        tuple(RemoteFile(f"realmem/{name}_dialogues_256k.json", f"{_RAW}/AvatarMemory/RealMemBench/67afd0891d603adcc4458ff0449df306ef296b7a"
                         f"/dataset/{name}_dialogues_256k.json") for name in _REALMEM),
        "realmem",
    ),
    _lifebench(),
))  # fmt: skip
