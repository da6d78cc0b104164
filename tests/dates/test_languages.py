"""Times in Chinese, Japanese, German, Spanish and Arabic: what their words stand for, and what is no time."""

from __future__ import annotations

from datetime import date

import pytest

from tierkeep.dates import answer_time, asks_for_time, describe, find_times
from tierkeep.dates.languages import calendar_dates

THURSDAY = date(2026, 9, 10)


def read(text: str, anchor: date = THURSDAY) -> str:
    """The one time in a text as its phrase and what it stands for; "" for none."""
    found = find_times(text, anchor)
    assert len(found) < 2, found
    return "".join(f"{span.phrase} = {describe(span)}" for span in found)


CHINESE = {
    "2026年5月2日": "2026年5月2日 = 2 May 2026",
    "5月2日": "5月2日 = 2 May 2026",
    "二〇二六年五月二日": "二〇二六年五月二日 = 2 May 2026",
    "昨天去了": "昨天 = 9 September 2026",
    "前天": "前天 = 8 September 2026",
    "明天": "明天 = 11 September 2026",
    "上周很忙": "上周 = the week before 10 September 2026",
    "上个月": "上个月 = August 2026",
    "去年": "去年 = 2025",
    "三天前": "三天前 = 7 September 2026",
    "两周前": "两周前 = around two weeks before 10 September 2026",
    "周六": "周六 = 5 September 2026",
    "星期六我去了": "星期六 = 5 September 2026",
    "上周六": "上周六 = 5 September 2026",
    "下周三我要去看牙": "下周三 = 16 September 2026",
    "三个月前": "三个月前 = around June 2026",
    "五年前": "五年前 = around 2021",
    "半年前": "半年前 = around March 2026",
    "几天前": "几天前 = a few days before 10 September 2026",
    "两三天前": "两三天前 = around 7 September 2026 to 8 September 2026",
    "去年五月": "去年五月 = May 2025",
    "去年夏天": "去年夏天 = the summer of 2025",
    "上个月15号": "上个月15号 = 15 August 2026",
    "今年五月底": "今年五月底 = late May 2026",
    "五月": "五月 = May 2026",
    "上周末": "上周末 = the weekend before 10 September 2026",
    "这周末": "这周末 = the weekend after 10 September 2026",
    "下个月": "下个月 = October 2026",
    "三天后我要走": "三天后 = 13 September 2026",
    "90年代": "90年代 = the 1990s",
    "2019年": "2019年 = 2019",
    "周五我要去看医生": "周五 = 11 September 2026",
    "周五我去看了医生": "周五 = 4 September 2026",
}
NO_TIME_CHINESE = [
    "每周六",
    "周一到周五",
    "一周三次",
    "以前天气好",
    "2020年前",
]

JAPANESE = {
    "昨日": "昨日 = 9 September 2026",
    "一昨日": "一昨日 = 8 September 2026",
    "先週": "先週 = the week before 10 September 2026",
    "先月": "先月 = August 2026",
    "去年": "去年 = 2025",
    "三日前": "三日前 = 7 September 2026",
    "3日前に買いました": "3日前 = 7 September 2026",
    "土曜日に行きました": "土曜日 = 5 September 2026",
    "先週の土曜日": "先週の土曜日 = 5 September 2026",
    "来週の月曜日に会います": "来週の月曜日 = 14 September 2026",
    "二週間前": "二週間前 = around two weeks before 10 September 2026",
    "三か月前": "三か月前 = around June 2026",
    "5年前": "5年前 = around 2021",
    "2026年5月2日": "2026年5月2日 = 2 May 2026",
    "5月に結婚しました": "5月 = May 2026",
    "去年の夏": "去年の夏 = the summer of 2025",
    "来年": "来年 = 2027",
    "先週末": "先週末 = the weekend before 10 September 2026",
    "数日前": "数日前 = a few days before 10 September 2026",
    "この前の日曜日": "この前の日曜日 = 6 September 2026",
    "明後日": "明後日 = 12 September 2026",
}
NO_TIME_JAPANESE = [
    "毎週土曜日",
    "3日間",
]

GERMAN = {
    "gestern": "gestern = 9 September 2026",
    "Vorgestern war ich im Kino": "Vorgestern = 8 September 2026",
    "heute Morgen": "heute Morgen = 10 September 2026",
    "Ich gehe morgen zum Arzt": "morgen = 11 September 2026",
    "übermorgen": "übermorgen = 12 September 2026",
    "vor drei Tagen": "vor drei Tagen = 7 September 2026",
    "vor zwei Wochen": "vor zwei Wochen = around two weeks before 10 September 2026",
    "letzte Woche": "letzte Woche = the week before 10 September 2026",
    "letzten Monat": "letzten Monat = August 2026",
    "letztes Jahr": "letztes Jahr = 2025",
    "nächste Woche": "nächste Woche = the week after 10 September 2026",
    "am letzten Wochenende": "letzten Wochenende = the weekend before 10 September 2026",
    "letzten Samstag": "letzten Samstag = 5 September 2026",
    "am Samstag war ich": "Samstag = 5 September 2026",
    "Am Freitag muss ich zum Zahnarzt": "Freitag = 11 September 2026",
    "2. Mai 2026": "2. Mai 2026 = 2 May 2026",
    "am 2. Mai": "2. Mai = 2 May 2026",
    "2.5.2026": "2.5.2026 = 2 May 2026",
    "am 2.5.26 war ich": "2.5.26 = 2 May 2026",
    "im Mai 2025": "im Mai 2025 = May 2025",
    "im Juni haben wir geheiratet": "im Juni = June 2026",
    "Anfang Mai": "Anfang Mai = early May 2026",
    "seit drei Jahren wohne ich": "seit drei Jahren = since around 2023",
    "vor einem halben Jahr": "vor einem halben Jahr = around March 2026",
    "vor ein paar Tagen": "vor ein paar Tagen = a few days before 10 September 2026",
    "in drei Tagen fliege ich": "in drei Tagen = 13 September 2026",
    "im Sommer 2021": "im Sommer 2021 = the summer of 2021",
    "letzten Sommer": "letzten Sommer = the summer of 2026",
    "vorletzte Woche": "vorletzte Woche = the week before 3 September 2026",
    "Freitag letzter Woche": "Freitag letzter Woche = 4 September 2026",
    "Ende letzten Monats": "Ende letzten Monats = late August 2026",
    "vor anderthalb Jahren": "vor anderthalb Jahren = around March 2025",
    "Seit Mai wohne ich hier": "Seit Mai = since May 2026",
    "im Jahr 2019": "Jahr 2019 = 2019",
    "in den 90er Jahren": "90er Jahren = the 1990s",
    "vom 3. bis 9. September 2023": "3. bis 9. September 2023 = 3 September 2023 to 9 September 2023",
    "am Wochenende waren wir": "am Wochenende = the weekend before 10 September 2026",
}
NO_TIME_GERMAN = [
    "jeden Freitag",
    "montags",
    "guten Morgen, ich bin da",
]

SPANISH = {
    "ayer": "ayer = 9 September 2026",
    "anteayer": "anteayer = 8 September 2026",
    "mañana voy al médico": "mañana = 11 September 2026",
    "esta mañana": "esta mañana = 10 September 2026",
    "la semana pasada": "la semana pasada = the week before 10 September 2026",
    "hace dos semanas": "hace dos semanas = around two weeks before 10 September 2026",
    "hace tres días": "hace tres días = 7 September 2026",
    "el lunes pasado": "el lunes pasado = 7 September 2026",
    "el próximo lunes": "el próximo lunes = 14 September 2026",
    "el lunes que viene": "el lunes que viene = 14 September 2026",
    "el viernes tengo cita": "el viernes = 11 September 2026",
    "el viernes compré": "el viernes = 4 September 2026",
    "2 de mayo de 2026": "2 de mayo de 2026 = 2 May 2026",
    "el 2 de mayo": "el 2 de mayo = 2 May 2026",
    "2/5/2026 fui": "2/5/2026 = 2 May 2026",
    "en mayo fuimos": "en mayo = May 2026",
    "mayo de 2026": "mayo de 2026 = May 2026",
    "el mes pasado": "el mes pasado = August 2026",
    "el año pasado": "el año pasado = 2025",
    "el mes que viene": "el mes que viene = October 2026",
    "este fin de semana": "este fin de semana = the weekend after 10 September 2026",
    "el fin de semana pasado": "el fin de semana pasado = the weekend before 10 September 2026",
    "el verano pasado": "el verano pasado = the summer of 2026",
    "el verano de 2021": "verano de 2021 = the summer of 2021",
    "hace unos días": "hace unos días = a few days before 10 September 2026",
    "hace un par de días": "hace un par de días = 8 September 2026",
    "hace medio año": "hace medio año = around March 2026",
    "hace un año y medio": "hace un año y medio = around March 2025",
    "desde hace dos años vivo": "desde hace dos años = since around 2024",
    "dentro de tres días": "dentro de tres días = 13 September 2026",
    "principios de mayo de 2025": "principios de mayo de 2025 = early May 2025",
    "en mayo del año pasado": "en mayo del año pasado = May 2025",
    "el 3 del mes pasado": "el 3 del mes pasado = 3 August 2026",
    "anoche": "anoche = 9 September 2026",
    "pasado mañana": "pasado mañana = 12 September 2026",
    "en 2019 me mudé": "en 2019 = 2019",
    "hace varias semanas": "hace varias semanas = several weeks before 10 September 2026",
    "del 3 al 9 de septiembre de 2023": "del 3 al 9 de septiembre de 2023 = 3 September 2023 to 9 September 2023",
    "el sábado de la semana pasada": "el sábado de la semana pasada = 5 September 2026",
}
NO_TIME_SPANISH = [
    "por la mañana",
    "los lunes",
    "cada lunes",
]

ARABIC = {
    "أمس": "أمس = 9 September 2026",
    "أمس الأول": "أمس الأول = 8 September 2026",
    "غدا": "غدا = 11 September 2026",
    "غدًا": "غدًا = 11 September 2026",
    "بعد غد": "بعد غد = 12 September 2026",
    "اليوم": "اليوم = 10 September 2026",
    "قبل ثلاثة أيام": "قبل ثلاثة أيام = 7 September 2026",
    "قبل يومين": "قبل يومين = 8 September 2026",
    "قبل أسبوعين": "قبل أسبوعين = around two weeks before 10 September 2026",
    "منذ شهرين": "منذ شهرين = around July 2026",
    "قبل سنة": "قبل سنة = around 2025",
    "قبل 3 سنوات": "قبل 3 سنوات = around 2023",
    "قبل بضعة أيام": "قبل بضعة أيام = a few days before 10 September 2026",
    "الأسبوع الماضي": "الأسبوع الماضي = the week before 10 September 2026",
    "الشهر الماضي": "الشهر الماضي = August 2026",
    "العام الماضي": "العام الماضي = 2025",
    "السنة الماضية": "السنة الماضية = 2025",
    "الأسبوع القادم": "الأسبوع القادم = the week after 10 September 2026",
    "نهاية الأسبوع الماضي": "نهاية الأسبوع الماضي = the weekend before 10 September 2026",
    "يوم السبت": "يوم السبت = 5 September 2026",
    "السبت الماضي": "السبت الماضي = 5 September 2026",
    "يوم الاثنين القادم": "يوم الاثنين القادم = 14 September 2026",
    "٢ مايو ٢٠٢٦": "٢ مايو ٢٠٢٦ = 2 May 2026",
    "2 مايو": "2 مايو = 2 May 2026",
    "في مايو 2025": "في مايو 2025 = May 2025",
    "في أغسطس": "في أغسطس = August 2026",
    "الصيف الماضي": "الصيف الماضي = the summer of 2026",
    "٢/٥/٢٠٢٦": "٢/٥/٢٠٢٦ = 2 May 2026",
    "ذهبت يوم الجمعة إلى الطبيب": "يوم الجمعة = 4 September 2026",
    "لدي موعد يوم الجمعة": "يوم الجمعة = 11 September 2026",
    "هذا الأسبوع": "هذا الأسبوع = the week of 10 September 2026",
    "بعد ثلاثة أيام سأسافر": "بعد ثلاثة أيام = 13 September 2026",
    "قبل أيام": "قبل أيام = a few days before 10 September 2026",
    "عام 2019": "عام 2019 = 2019",
}
NO_TIME_ARABIC = [
    "كل جمعة",
    "اليوم التالي",
]


@pytest.mark.parametrize(("text", "time"), [pair for table in (CHINESE, JAPANESE, GERMAN, SPANISH, ARABIC) for pair in table.items()])
def test_times(text: str, time: str) -> None:
    assert read(text) == time


@pytest.mark.parametrize("text", [*NO_TIME_CHINESE, *NO_TIME_JAPANESE, *NO_TIME_GERMAN, *NO_TIME_SPANISH, *NO_TIME_ARABIC])
def test_what_is_no_time_is_left_alone(text: str) -> None:
    assert read(text) == ""


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("我从来没去过五月花餐厅，那里有三个月饼。", ""),
        ("他住在三号楼，坐五号线。", ""),
        ("我每周三和周五去游泳。", ""),
        ("这本书有2019页。", ""),
        ("我们聊了三天。", ""),
        ("先日、面白い本を読んだ。", ""),
        ("三年間ドイツに住んでいた。", ""),
        ("Die Kinder spielen jeden Sonntag im Garten.", ""),
        ("Ich habe 3 Tage gewartet.", ""),
        ("Der Mai-Tai war gut.", ""),
        ("Wir wohnen im 2. Stock.", ""),
        ("Trabajé allí durante tres años.", ""),
        ("Me gusta la mayonesa y el martillo.", ""),
        ("Por la mañana tomo café.", ""),
        ("انتظرت ثلاثة أيام.", ""),
        ("كل يوم أشرب القهوة.", ""),
    ],
)
def test_lengths_habits_and_lookalikes_are_no_times(text: str, time: str) -> None:
    assert read(text) == time


@pytest.mark.parametrize(
    "text",
    [
        "Mr Ayer called the mayo factory.", "Mai Tai and Gin Tonic", "Sabado Gigante was a show.", "The Morgen Street café",
        "I ate 2 de Luxe burgers", "die 1, das 2",
    ],
)  # fmt: skip
def test_english_text_with_foreign_words_names_no_foreign_times(text: str) -> None:
    assert read(text) == ""


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("去年二月三十日", ""),
        ("2026年2月29日", ""),
        ("am 31. Juni 2026", ""),
        ("el 31 de abril de 2026", ""),
        ("٣١ يونيو ٢٠٢٦", ""),
        ("vor 9999 Jahren", ""),
        ("9999年前", ""),
        ("十二三十天前", ""),
    ],
)
def test_days_that_no_calendar_has_are_no_times(text: str, time: str) -> None:
    assert read(text) == time


def test_a_bare_weekday_looks_where_the_clause_looks() -> None:
    sunday = date(2026, 9, 13)
    assert read("上周六我们去爬山了", sunday) == "上周六 = 5 September 2026"  # the Saturday of last week, not yesterday
    assert read("我们周六去爬山了", sunday) == "周六 = 12 September 2026"
    assert read("土曜日に会う予定です", sunday) == "土曜日 = 19 September 2026"
    assert read("Am Samstag werden wir wandern", sunday) == "Samstag = 19 September 2026"
    assert read("El sábado fuimos al monte", sunday) == "El sábado = 12 September 2026"
    assert read("سأسافر يوم السبت", sunday) == "يوم السبت = 19 September 2026"


@pytest.mark.parametrize(
    "question",
    [
        "我什么时候去的牙医？", "你哪天搬家？", "會議是什麼時候？", "あなたはいつ結婚しましたか？", "何月に引っ越しましたか",
        "Wann war ich beim Zahnarzt?",
        "Weißt du noch, wann wir umgezogen sind?", "In welchem Jahr wurde das Haus gebaut?", "Seit wann wohne ich hier?",
        "¿Cuándo me mudé?", "cuando fui a Lima?", "¿En qué año nos casamos?", "¿Hace cuánto tiempo vendí el coche?", "متى زرت الطبيب؟",
        "في أي يوم وصلنا؟",
    ],
)  # fmt: skip
def test_questions_for_a_time(question: str) -> None:
    assert asks_for_time(question) == "when"


@pytest.mark.parametrize(
    "question",
    [
        "我去的时候带了什么？", "我什么时候都可以去", "いつも何を飲みますか？", "いつか行きたい場所は？",
        "Wann immer ich koche, was vergesse ich?",
        "Was habe ich gegessen, als ich krank war?", "Cuando fui a Lima, ¿qué compré?", "¿Qué compré?", "ماذا اشتريت عندما سافرت؟", "",
    ],
)  # fmt: skip
def test_questions_for_something_else(question: str) -> None:
    assert asks_for_time(question) is None


def test_the_time_next_to_the_words_asked_about_answers() -> None:
    said = "我五月卖了旧车，昨天买了一辆自行车，下周三要去修手表。"
    asked = {"我什么时候卖的车？": "May 2026", "我什么时候买了自行车？": "9 September 2026", "我什么时候要去修手表？": "16 September 2026"}
    for question, day in asked.items():
        span = answer_time(question, said, THURSDAY)
        assert span is not None
        assert describe(span) == day


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("2026年5月2日我在哪里？", [(2026, 5, 2, 2, "")]),
        ("去年5月底", [(0, 5, 0, 0, "late")]),
        ("5月3日から5日", [(0, 5, 3, 5, "")]),
        ("Was war am 2. Mai?", [(0, 5, 2, 2, "")]),
        ("Was war im Mai 2025?", [(2025, 5, 0, 0, "")]),
        ("¿Qué hice el 2 de mayo de 2026?", [(2026, 5, 2, 2, "")]),
        ("ماذا حدث في ٢ مايو ٢٠٢٦؟", [(2026, 5, 2, 2, "")]),
        ("What happened on 2 May 2026?", []),
    ],
)
def test_written_dates_of_a_question(question: str, expected: list[tuple[int, int, int, int, str]]) -> None:
    assert [tuple(found) for found in calendar_dates(question)] == expected


@pytest.mark.parametrize(
    "unit", ["上", "上周六", "5月2日", "一二三四五六七八九十", "几天前", "土曜日の", "毎週", "ich vor drei ", "ich am 2. Mai ",
    "ich seit ", "yo hace dos ", "el lunes que ", "قبل ثلاثة ", "٢/٥/"]
)  # fmt: skip
def test_hostile_texts_come_back(unit: str) -> None:
    assert isinstance(find_times(unit * 100_000, THURSDAY), list)
