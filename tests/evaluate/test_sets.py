"""Each set's own format, in small files written for these tests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tierkeep import Memory
from tierkeep.errors import ImportFormatError, SettingsError
from tierkeep.evaluate.datasets import ingest, load
from tierkeep.evaluate.sets import FORMATS

Write = Callable[[str, Any], Path]

LOCOMO = [
    {
        "qa": [
            {"question": "What was red?", "answer": "a kite", "evidence": ["D10:1; D2:01", "D99:9"], "category": 1},
            {"question": "When?", "answer": 2026, "evidence": "D:2:1", "category": 2},
            {"question": "What was blue?", "answer": None, "adversarial_answer": "a kite", "evidence": [], "category": 5},
        ],
        "conversation": {
            "speaker_a": "Ana", "speaker_b": "Bo",
            "session_10_date_time": "9:05 am on 3 June, 2026",
            "session_10": [{"speaker": "Bo", "dia_id": "D10:1", "text": "Later."}],
            "session_2_date_time": "1:05 pm on 2 May, 2026",
            "session_2": [{"speaker": "Ana", "dia_id": "D2:1", "text": "Look!", "blip_caption": "a red kite"}],
        },
        "sample_id": "x-1",
    }
]  # fmt: skip


def test_locomo_orders_sessions_and_repairs_evidence_ids(write: Write) -> None:
    data = load(write("locomo.json", LOCOMO))
    (one,) = data.conversations
    assert data.source == "locomo" and data.name == "locomo"
    assert [(e.id, e.session, e.at, e.text) for e in one.events] == [
        ("D2:1", "2", "1:05 pm on 2 May, 2026", "Look! [image: a red kite]"), ("D10:1", "10", "9:05 am on 3 June, 2026", "Later."),
    ]  # fmt: skip
    assert [(q.id, q.answer, q.category, q.evidence) for q in one.questions] == [
        ("x-1_0", "a kite", "1 multi-hop", ("D2:1", "D10:1")), ("x-1_1", "2026", "2 temporal", ("D2:1",)),
        ("x-1_2", "", "5 adversarial", ()),
    ]  # fmt: skip


def test_realtalk_reads_a_chat_or_a_folder_of_them(write: Write, tmp_path: Path) -> None:
    chat = {
        "name": {"speaker_1": "Ana", "speaker_2": "Bo"},
        "session_1": [
            {"clean_text": "A boat!", "speaker": "Ana", "date_time": "29.12.2023, 22:42:04", "dia_id": "D1:1"},
            {"clean_text": "", "speaker": "Bo", "date_time": "29.12.2023, 22:43:00", "dia_id": "D1:3", "blip_caption": "a sail"},
            {"clean_text": "", "speaker": "Bo", "date_time": "29.12.2023, 22:44:00", "dia_id": "D1:4"},
        ],
        "events_session_1": {"agent_a": []},
        "session_1_date_time": "29.12.2023, 22:42:04",
        "qa": [{"question": "What?", "answer": "a boat", "evidence": ["D1:1", "D1:2"], "category": 3}],
    }
    path = write("data/Chat_2_Ana_Bo.json", chat)
    write("data/Chat_10_Ana_Cleo.json", chat)
    (one,) = load(path).conversations
    assert (one.id, [(e.id, e.text) for e in one.events]) == ("Chat_2_Ana_Bo", [("D1:1", "A boat!"), ("D1:3", "[image: a sail]")])
    assert (one.questions[0].category, one.questions[0].evidence) == ("3 commonsense", ("D1:1",))
    both = load(tmp_path / "data")
    assert (both.source, [c.id for c in both.conversations]) == ("realtalk", ["Chat_2_Ana_Bo", "Chat_10_Ana_Cleo"])


def _instance(id: str, **changes: Any) -> dict[str, Any]:
    return {
        "question_id": id, "question_type": "multi-session", "question": "How many boats?", "answer": 2,
        "question_date": "2023/06/01 (Thu) 09:00",
        "haystack_session_ids": ["answer_b", "noise", "answer_a"],
        "haystack_dates": ["2023/05/21 (Sun) 10:00", "2023/05/20 (Sat) 23:00", "2023/05/20 (Sat) 02:21"],
        "haystack_sessions": [
            [{"role": "user", "content": "A second boat.", "has_answer": True}, {"role": "assistant", "content": "Nice."}],
            [{"role": "user", "content": "Rain."}],
            [{"role": "user", "content": "A boat.", "has_answer": True}],
        ],
        "answer_session_ids": ["answer_a", "answer_b"], **changes,
    }  # fmt: skip


def test_longmemeval_has_evidence_by_turn_and_by_session(write: Write) -> None:
    data = load(write("lme.json", [_instance("q1"), _instance("q2_abs")]))
    one, absent = data.conversations
    assert (data.source, [e.id for e in one.events]) == ("longmemeval", ["answer_a_1", "noise_1", "answer_b_1", "answer_b_2"])
    (question,) = one.questions
    assert (question.answer, question.at) == ("2", "2023/06/01 (Thu) 09:00")
    assert (question.evidence, question.sessions) == (("answer_a_1", "answer_b_1"), ("answer_a", "answer_b"))
    (unanswerable,) = absent.questions
    assert (unanswerable.evidence, unanswerable.sessions, unanswerable.category) == ((), (), "multi-session (abstention)")


def test_longmemeval_with_lists_of_different_lengths_is_broken(write: Write) -> None:
    with pytest.raises(ImportFormatError, match="q1 has haystack lists of different lengths"):
        load(write("lme.json", [_instance("q1", haystack_dates=[])]))


_TRAJECTORY = {
    "tid": 0,
    "message_list": [
        {"mid": 0, "message": "我买了一条船。", "time": "2024年04月01日 周一 08:30", "place": "上海"},
        {"mid": 1, "message": "今天下雨。", "time": "2024年04月02日 周二 07:08", "place": "上海"},
    ],
}
_QA = {"qid": 0, "question": "我买了什么？", "answer": "一条船", "target_step_id": [0], "time": "2024年04月04日 周四 07:42"}


def test_memdaily_by_type_and_scenario(write: Write) -> None:
    data = load(write("memdaily.json", {"simple": {"events": [_TRAJECTORY | {"QA": _QA}], "items": None}}))
    (one,) = data.conversations
    assert (data.source, one.id) == ("memdaily", "simple/events/0")
    assert [(e.id, e.at, e.session) for e in one.events] == [
        ("0", "2024-04-01T08:30", "2024-04-01"), ("1", "2024-04-02T07:08", "2024-04-02"),
    ]  # fmt: skip
    assert (one.questions[0].evidence, one.questions[0].category, one.questions[0].at) == (("0",), "simple", "2024-04-04T07:42")


def test_memdaily_raw_part_without_what_its_makers_discard(write: Write) -> None:
    bad = _TRAJECTORY | {"tid": 1, "question_list": [_QA | {"question": "[ERRORQ]"}]}
    data = load(write("01_simple_events.json", [_TRAJECTORY | {"question_list": [_QA]}, bad]))
    assert [c.id for c in data.conversations] == ["simple/events/0"]


def _beam(write: Write, folder: str) -> None:
    batches = [
        {"batch_number": 1, "turns": [[
            {"role": "user", "id": 0, "time_anchor": "March-15-2024", "content": "I build a boat. ->-> 1,1"},
            {"role": "assistant", "id": 1, "content": "Good."}], [{"role": "user", "id": 2, "content": "Of oak. ->-> 1,2"}]]},
        {"batch_number": 2, "turns": [[{"role": "user", "id": 3, "time_anchor": "April-05-2024", "content": "Of pine now."}]]},
    ]  # fmt: skip
    asked = {
        "knowledge_update": [
            {"question": "Of what wood?", "answer": "pine", "source_chat_ids": {"original_info": [2], "updated_info": [[3]]}}
        ],
        "abstention": [{"question": "Of what cost?", "ideal_response": "unknown"}],
    }
    write(f"{folder}/chat.json", batches)
    write(f"{folder}/probing_questions/probing_questions.json", asked)


def test_beam_chats_with_the_plan_numbers_cut_off(write: Write, tmp_path: Path) -> None:
    _beam(write, "chats/100K/2")
    _beam(write, "chats/100K/10")
    data = load(tmp_path / "chats" / "100K")
    assert (data.source, [c.id for c in data.conversations]) == ("beam", ["100K_2", "100K_10"])
    one = data.conversations[0]
    assert [(e.id, e.session, e.at, e.text) for e in one.events] == [
        ("0", "1", "March-15-2024", "I build a boat."), ("1", "1", "March-15-2024", "Good."), ("2", "1", "March-15-2024", "Of oak."),
        ("3", "2", "April-05-2024", "Of pine now."),
    ]  # fmt: skip
    assert [(q.id, q.answer, q.evidence) for q in one.questions] == [
        ("100K_2_abstention_0", "", ()), ("100K_2_knowledge_update_0", "pine", ("2", "3")),
    ]  # fmt: skip


def test_beam_is_read_from_the_shortened_chat_where_there_is_one(write: Write, tmp_path: Path) -> None:
    _beam(write, "100K/1")
    write("100K/1/chat_trunecated.json", [{"batch_number": 1, "turns": [[{"role": "user", "id": 2, "content": "Of oak."}]]}])
    (one,) = load(tmp_path / "100K" / "1").conversations
    assert [e.id for e in one.events] == ["2"]
    assert one.questions[1].evidence == ("2",), "what was cut off cannot be evidence"


def test_realmem_asks_before_the_session_and_takes_the_source_turn(write: Write) -> None:
    memory = {"index": "m", "type": "Dynamic", "content": "Wants oak.", "source_turn": 1, "session_uuid": "aa"}
    own = memory | {"content": "Asks about nails.", "session_uuid": "bb"}
    used = [{"session_uuid": "aa", "content": "Wants oak."}, {"session_uuid": "bb", "content": "Asks about nails."},
            {"session_uuid": "aa", "content": "Unknown turn."}]  # fmt: skip
    document = {
        "_metadata": {"person_name": "Ana_B"},
        "dialogues": [
            {"session_identifier": "P:S1", "session_uuid": "aa", "current_time": "2025-12-20 (Saturday)",
             "dialogue_turns": [{"speaker": "User", "content": "Oak, please.", "is_query": False, "query_id": None},
                                {"speaker": "Assistant", "content": "Oak it is.", "is_query": False}],
             "extracted_memory": [memory, memory | {"content": "Unknown turn.", "source_turn": 0}]},
            {"session_identifier": "P:S2", "session_uuid": "bb", "current_time": "2025-12-21 (Sunday)",
             "dialogue_turns": [{"speaker": "User", "content": "Which nails?", "is_query": True, "query_id": "Q-1",
                                 "category_name": "Dynamic Incremental"},
                                {"speaker": "Assistant", "content": "Brass.", "memory_used": used}],
             "extracted_memory": [own]},
        ],
    }  # fmt: skip
    data = load(write("Ana_B_dialogues_256k.json", document))
    (one,) = data.conversations
    assert (data.source, one.id, [e.id for e in one.events]) == ("realmem", "Ana_B", ["0:0", "0:1", "1:0", "1:1"])
    (question,) = one.questions
    assert (question.id, question.before, question.evidence) == ("Ana_B_dialogues_256k_Q-1_1_0", 2, ("0:0",))


def test_lifebench_is_one_record_a_unit_and_one_day_a_session(write: Write, tmp_path: Path) -> None:
    base = "data_en/ana"
    write(f"{base}/phone_data/sms.json", [
        {"type": "sms", "message_content": "Bring the oars.", "contactName": "Bo", "datetime": "2025-01-03 10:00:00",
         "message_type": "Send", "phone_id": 4},
    ])  # fmt: skip
    write(f"{base}/phone_data/call.json", [
        {"type": "call", "contactName": "Bo", "datetime": "2025-01-02 08:00:00", "call_type": "Dial", "phone_id": 7},
    ])
    write(f"{base}/phone_data/photo.json", [
        {"caption": "A boat", "datetime": "2025-01-02 09:00:00", "location": {"poi": "The pier"}, "phone_id": 1},
    ])
    write(f"{base}/phone_data/calendar.json", [
        {"title": "Row.", "description": "With Bo", "start_time": "2025-01-05 09:00:00", "datetime": "2025-01-04 09:00:00", "phone_id": 2},
    ])
    write(f"{base}/phone_data/agent_chat.json", [
        {"date": "2025-01-05", "phone_id": 0, "conversation": {"turn 1": {"user": {"content": "Hi"}, "assistant": {"content": "Hello"}}}},
    ])
    write(f"{base}/phone_data/contact.json", [{"name": "Bo"}])
    write(f"{base}/QA/QA_clean.json", [
        {"question": "Who?", "answer": "Bo", "question_type": "Multi-hop reasoning",
         "evidence": [{"type": "sms", "id": "4"}, {"type": "call", "id": 7}, {"type": "sms", "id": 99}]},
    ])  # fmt: skip
    data = load(tmp_path / "data_en")
    (one,) = data.conversations
    assert (data.source, one.id) == ("lifebench", "ana")
    assert [(e.id, e.session, e.speaker, e.text) for e in one.events] == [
        ("call:7", "2025-01-02", "Call", "Call with Bo (Dial)"), ("photo:1", "2025-01-02", "Photo", "A boat at The pier"),
        ("sms:4", "2025-01-03", "SMS Send Bo", "Bring the oars."), ("calendar:2", "2025-01-04", "Calendar", "Row. With Bo"),
        ("agent_chat:0", "2025-01-05", "Assistant chat", "Hi Hello"),
    ]  # fmt: skip
    assert one.questions[0].evidence == ("call:7", "sms:4")
    assert load(tmp_path / "data_en" / "ana").conversations[0].id == "ana"


_PERSONA = [
    {"role": "system", "content": "Current user persona: Ana likes boats."}, {"role": "user", "content": "User: I like boats."},
    {"role": "assistant", "content": "Assistant: Noted."}, {"role": "system", "content": "persona"},
    {"role": "user", "content": "No more boats."},
]  # fmt: skip


def test_personamem_leaves_the_persona_out_and_keeps_the_ends(write: Write) -> None:
    table = write("questions_32k.csv", (
        "persona_id,question_id,question_type,user_question_or_message,correct_answer,all_options,shared_context_id,end_index_in_shared_context\n"
        "1,q1,recall,What now?,(b),\"['(a) Cars', '(b) Boats, of course']\",ctx,3\n"
        '1,q2,update,And now?,(a),"[""(a) No boats"", ""(b) Cars""]",ctx,5\n'
    ))  # fmt: skip
    write("shared_contexts_32k.jsonl", json.dumps({"ctx": _PERSONA}) + "\n")
    data = load(table)
    (one,) = data.conversations
    assert (data.source, [(e.id, e.session, e.text) for e in one.events]) == (
        "personamem", [("ctx:1", "1", "I like boats."), ("ctx:2", "1", "Noted."), ("ctx:4", "2", "No more boats.")],
    )  # fmt: skip
    assert [(q.before, q.answer, q.evidence) for q in one.questions] == [(2, "Boats, of course", ()), (3, "No boats", ())]


def test_personamem_without_its_contexts_says_so(write: Write) -> None:
    with pytest.raises(ImportFormatError, match=r"shared_contexts_32k\.jsonl has no shared contexts beside it"):
        load(write("questions_32k.csv", "question_id,shared_context_id\nq,ctx\n"))


# ------------------------------------------------------------------------------------------------------------- all of them


def test_the_generic_format_is_read_as_it_stands(chat_file: Path) -> None:
    data = load(chat_file)
    assert (data.source, data.name, len(data.conversations)) == ("tierkeep-bench/1", "boats", 2)
    assert data.sha256 == hashlib.sha256(chat_file.read_bytes()).hexdigest()


def test_the_hash_of_a_folder_changes_with_any_file_of_it(write: Write, tmp_path: Path) -> None:
    _beam(write, "100K/1")
    before = load(tmp_path / "100K").sha256
    assert load(tmp_path / "100K").sha256 == before
    path = tmp_path / "100K/1/chat.json"
    path.write_text(path.read_text().replace("Good.", "Well."))
    assert load(tmp_path / "100K").sha256 != before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[", "of no known data format"),
        ('{"format": "tierkeep-bench/1"', "is not JSON"),
        ('{"format": "tierkeep-bench/1", "name": "x", "conversations": []}', "conversations: "),
        ('[{"qa": [], "conversation": {"session_1": "text"}}]', r"0\.conversation\.session_1"),
        ('[{"qa": [], "conversation": {}}]', "has no turn"),
        ('[{"qa": [{"question": 1, "category": "x"}], "conversation": {}}]', r"0\.qa\.0\.category"),
        ('[{"question_id": "q", "haystack_sessions": 3}]', r"0\.question"),
        ('{"dialogues": [{"dialogue_turns": 1}], "x": {"extracted_memory": 1}}', r"dialogues\.0\.dialogue_turns"),
        ('{"simple": {"events": [{"message_list": []}]}}', "of no known data format|tid"),
    ],
)
def test_broken_files_name_the_place(write: Write, content: str, said: str) -> None:
    with pytest.raises(ImportFormatError, match=said):
        load(write("Some_dialogues.json", content))


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(ImportFormatError, match="no such file"):
        load(tmp_path / "gone.json")
    (tmp_path / "latin.json").write_bytes(b'{"format": "tierkeep-bench/1", "name": "caf\xe9"}')
    with pytest.raises(ImportFormatError, match="not UTF-8"):
        load(tmp_path / "latin.json")


def test_a_format_can_be_forced_and_must_exist(write: Write) -> None:
    path = write("plain.json", [_instance("q1")])
    assert load(path, "longmemeval").source == "longmemeval"
    with pytest.raises(ImportFormatError, match="is not what it should be"):
        load(path, "locomo")
    with pytest.raises(SettingsError, match=r"no data format 'magic'; there are: tierkeep-bench/1, .*personamem"):
        load(path, "magic")


def test_names_of_formats_are_unique() -> None:
    assert len({one.name for one in FORMATS}) == len(FORMATS)


def test_what_has_no_words_is_stored_as_its_label_and_times_are_understood(write: Write, memory: Memory) -> None:
    events = [
        {"id": "1", "session": "a", "at": "2023/05/20 (Sat) 02:21", "speaker": "Call with Bo", "text": " "},
        {"id": "2", "session": "a", "at": "March-15-2024", "speaker": "Ana", "text": "Hello."},
    ]
    document = {"format": "tierkeep-bench/1", "name": "x", "conversations": [{"id": "c", "events": events, "questions": []}]}
    scope = memory.scope(user="bench")
    assert ingest(scope, load(write("x.json", document)).conversations[0].events) == 2
    assert [(event.text, event.at[:10]) for event in scope.events()] == [("Call with Bo", "2023-05-20"), ("Hello.", "2024-03-15")]
