"""Small conversations in six languages through the front door: the right turn first, dates resolved, and no language disturbs another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tierkeep import Evidence, Memory


class Talk(NamedTuple):
    """What one user said, all on Thursday 10 September 2026; questions with the turn that answers; "when" questions with turn and date."""

    turns: tuple[str, ...]
    finds: tuple[tuple[str, int], ...]
    dates: tuple[tuple[str, int, str], ...]


TALKS = {
    "english": Talk(
        (
            "My sister Mara opened a bakery in Porto.", "I adopted a grey cat called Pixel two weeks ago.",
            "The boiler broke last Saturday.",
            "I am allergic to hazelnuts.", "We painted the kitchen yellow.", "My dentist moved to Harbour Street.",
            "I sold the old bicycle to Bo.", "The neighbours got a loud parrot.", "Coffee after six keeps me awake.",
            "My dentist appointment is on 2 October 2026.", "I read a novel about whales.", "The tram was late again.",
        ),
        (("What did my sister open?", 0), ("What colour did we paint the kitchen?", 4), ("Who bought my bicycle?", 6)),
        (("When did the boiler break?", 2, "5 September 2026"), ("When did I adopt the cat?", 1, "two weeks before 10 September 2026")),
    ),
    "chinese": Talk(
        (
            "我妹妹在波尔图开了一家面包店。", "我两周前领养了一只叫豆豆的灰猫。", "上周六锅炉坏了。", "我对榛子过敏。",
            "我们把厨房刷成了黄色。",
            "我的牙医搬到了港口街。", "我把旧自行车卖给了小波。", "邻居养了一只很吵的鹦鹉。", "六点以后喝咖啡我会睡不着。",
            "我2026年10月2日要去看牙医。",
            "我读了一本关于鲸鱼的小说。", "电车今天又晚点了。",
        ),
        (("我妹妹开了什么店？", 0), ("我对什么过敏？", 3), ("谁买了我的自行车？", 6), ("鹦鹉是谁养的？", 7)),
        (
            ("锅炉是什么时候坏的？", 2, "5 September 2026"), ("我什么时候领养了豆豆？", 1, "two weeks before 10 September 2026"),
            ("我什么时候要去看牙医？", 9, "2 October 2026"),
        ),
    ),
    "japanese": Talk(
        (
            "妹がポルトでパン屋を開きました。", "二週間前にピクセルという灰色の猫を引き取りました。",
            "先週の土曜日にボイラーが壊れました。", "私はヘーゼルナッツのアレルギーがあります。",
            "台所の壁を黄色に塗りました。", "歯医者が港通りに引っ越しました。", "古い自転車をボーさんに売りました。",
            "隣の人がうるさいオウムを飼い始めました。",
            "六時以降にコーヒーを飲むと眠れません。", "歯医者の予約は2026年10月2日です。", "鯨についての小説を読みました。",
            "路面電車がまた遅れました。",
        ),
        (("妹は何を開きましたか？", 0), ("私は何のアレルギーがありますか？", 3), ("自転車を誰に売りましたか？", 6),
        ("オウムを飼っているのは誰？", 7)),
        (
            ("ボイラーはいつ壊れましたか？", 2, "5 September 2026"),
            ("猫のピクセルをいつ引き取りましたか？", 1, "two weeks before 10 September 2026"),
            ("歯医者の予約はいつですか？", 9, "2 October 2026"),
        ),
    ),
    "german": Talk(
        (
            "Meine Schwester hat in Porto eine Bäckerei eröffnet.", "Vor zwei Wochen habe ich eine graue Katze namens Pixel adoptiert.",
            "Letzten Samstag ist der Heizkessel kaputtgegangen.", "Ich bin gegen Haselnüsse allergisch.",
            "Wir haben die Küche gelb gestrichen.",
            "Mein Zahnarzt ist in die Hafenstraße gezogen.", "Ich habe das alte Fahrrad an Bo verkauft.",
            "Die Nachbarn haben jetzt einen lauten Papagei.",
            "Kaffee nach sechs Uhr hält mich wach.", "Am 2. Oktober 2026 muss ich zum Zahnarzt.", "Ich habe einen Roman über Wale gelesen.",
            "Die Straßenbahn war schon wieder zu spät.",
        ),
        (
            ("Was hat meine Schwester eröffnet?", 0), ("Gegen welche Nuss bin ich allergisch?", 3),
            ("An wen habe ich mein Fahrrad verkauft?", 6),
            ("In welcher Strasse ist mein Zahnarzt?", 5), ("Wer hat die Papageien?", 7),
        ),
        (
            ("Wann ist der Heizkessel kaputtgegangen?", 2, "5 September 2026"),
            ("Wann habe ich die Katze adoptiert?", 1, "two weeks before 10 September 2026"),
            ("Wann muss ich zum Zahnarzt?", 9, "2 October 2026"),
        ),
    ),
    "spanish": Talk(
        (
            "Mi hermana abrió una panadería en Oporto.", "Hace dos semanas adopté una gata gris llamada Pixel.",
            "El sábado pasado se rompió la caldera.", "Soy alérgica a las avellanas.", "Pintamos la cocina de amarillo.",
            "Mi dentista se mudó a la calle del Puerto.", "Vendí la bicicleta vieja a Bo.", "Los vecinos tienen un loro muy ruidoso.",
            "El café después de las seis no me deja dormir.", "El 2 de octubre de 2026 tengo cita con el dentista.",
            "Leí una novela sobre ballenas.",
            "El tranvía llegó tarde otra vez.",
        ),
        (
            ("¿Qué abrió mi hermana?", 0), ("¿A qué soy alérgica?", 3), ("¿A quién le vendí mi bicicleta?", 6), ("¿Quién tiene loros?", 7),
            ("¿Qué novelas leo?", 10),
        ),
        (
            ("¿Cuándo se rompió la caldera?", 2, "5 September 2026"), ("¿Cuándo adopté la gata?", 1, "two weeks before 10 September 2026"),
            ("¿Cuándo tengo cita con el dentista?", 9, "2 October 2026"),
        ),
    ),
    "arabic": Talk(
        (
            "افتتحت أختي مخبزًا في بورتو.", "تبنيت قطة رمادية اسمها بيكسل قبل أسبوعين.", "تعطل السخان يوم السبت الماضي.",
            "لدي حساسية من البندق.",
            "دهنّا المطبخ باللون الأصفر.", "انتقل طبيب الأسنان إلى شارع الميناء.", "بعت الدراجة القديمة لصديقي بو.",
            "اشترى الجيران ببغاءً مزعجًا.",
            "القهوة بعد السادسة تمنعني من النوم.", "موعدي مع طبيب الأسنان في ٢ أكتوبر ٢٠٢٦.", "قرأت رواية عن الحيتان.",
            "تأخر الترام مرة أخرى.",
        ),
        (("ماذا افتتحت أختي؟", 0), ("من ماذا لدي حساسية؟", 3), ("لمن بعت دراجتي؟", 6), ("أين انتقل طبيب أسناني؟", 5),
        ("مَن اشترى الببغاء؟", 7)),
        (
            ("متى تعطل السخان؟", 2, "5 September 2026"), ("متى تبنيت القطة؟", 1, "two weeks before 10 September 2026"),
            ("متى موعدي مع طبيب الأسنان؟", 9, "2 October 2026"),
        ),
    ),
}  # fmt: skip


def tell(memory: Memory, *languages: str) -> None:
    scope = memory.scope(user="ana")
    for language in languages:
        for number, turn in enumerate(TALKS[language].turns):
            scope.add(turn, speaker="Ana", at="2026-09-10", session=f"{language}-{number // 4}")


@pytest.fixture(scope="module")
def memories() -> Iterator[dict[str, Memory]]:
    """A memory for each language, and one that was told everything."""
    opened = {name: Memory.open(":memory:") for name in (*TALKS, "all")}
    for name, memory in opened.items():
        tell(memory, *(TALKS if name == "all" else (name,)))
    yield opened
    for memory in opened.values():
        memory.close()


def best(evidence: Evidence) -> str:
    return max(evidence.items, key=lambda item: item.score).text


FINDS = [(name, question, talk.turns[turn]) for name, talk in TALKS.items() for question, turn in talk.finds]
DATES = [(name, question, talk.turns[turn], day) for name, talk in TALKS.items() for question, turn, day in talk.dates]


@pytest.mark.parametrize("among", ["its own", "all"])
@pytest.mark.parametrize(("name", "question", "told"), FINDS)
def test_the_right_turn_comes_first(memories: dict[str, Memory], name: str, question: str, told: str, among: str) -> None:
    memory = memories[name if among == "its own" else "all"]
    assert best(memory.scope(user="ana").recall(question, budget=1_000)) == told


@pytest.mark.parametrize("among", ["its own", "all"])
@pytest.mark.parametrize(("name", "question", "told", "day"), DATES)
def test_when_is_answered_with_a_date(memories: dict[str, Memory], name: str, question: str, told: str, day: str, among: str) -> None:
    memory = memories[name if among == "its own" else "all"]
    answer = memory.scope(user="ana").ask(question)
    assert day in answer.text
    assert told in answer.text


@pytest.mark.parametrize(("name", "phrase"), [
    ("chinese", "上周六 = 5 September 2026"), ("japanese", "先週の土曜日 = 5 September 2026"),
    ("german", "Letzten Samstag = 5 September 2026"),
    ("spanish", "El sábado pasado = 5 September 2026"), ("arabic", "يوم السبت الماضي = 5 September 2026"),
])  # fmt: skip
def test_evidence_shows_what_the_words_stand_for(memories: dict[str, Memory], name: str, phrase: str) -> None:
    question = TALKS[name].dates[0][0]
    assert phrase in memories[name].scope(user="ana").recall(question).text


def test_an_english_question_is_not_disturbed_by_other_languages(memories: dict[str, Memory]) -> None:
    for question, turn in TALKS["english"].finds:
        items = memories["all"].scope(user="ana").recall(question).items
        spoken = {item.text: item.score for item in items}
        others = [score for text, score in spoken.items() if text not in TALKS["english"].turns]
        assert spoken[TALKS["english"].turns[turn]] > 2 * max(others, default=0.0)
