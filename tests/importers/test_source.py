from __future__ import annotations

import io
import json
import os
import threading
import zipfile
from pathlib import Path

import pytest

from tierkeep.errors import ImportFormatError, InputError, LimitError
from tierkeep.importers import READERS, ImportFile, ReadOptions, Tally, by_name, detect, read


def test_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ImportFormatError, match="no such file") as caught:
        ImportFile(tmp_path / "gone.txt")
    assert caught.value.path.endswith("gone.txt")


def test_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportFormatError, match="folder"):
        ImportFile(tmp_path)


@pytest.mark.parametrize("content", [b"", b"   \n\t\n", b"\xef\xbb\xbf \n"])
def test_empty_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "empty.txt"
    path.write_bytes(content)
    with pytest.raises(ImportFormatError, match="empty"):
        detect(ImportFile(path))


def test_unknown_format_lists_the_known_ones_and_how_to_force_one() -> None:
    with pytest.raises(ImportFormatError) as caught:
        detect(ImportFile("essay.txt", data=b"An essay about rivers.\nIt goes on and on.\n"))
    message = str(caught.value)
    assert all(reader.name in message for reader in READERS)
    assert "--format" in message


def test_unknown_format_name_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="chatgpt, claude, openai, markdown, transcript"):
        by_name("msn")


@pytest.mark.parametrize("reader", [one for one in READERS if one.name != "markdown"], ids=lambda reader: reader.name)
def test_a_forced_format_that_does_not_fit_is_an_import_error(reader: object) -> None:  # but Markdown: every text is that
    source = ImportFile("note.txt", data=b"nothing of the sort")
    with pytest.raises(ImportFormatError):
        list(read(source, reader, ReadOptions()))  # type: ignore[arg-type]


def test_byte_order_mark_is_not_part_of_the_text() -> None:
    source = ImportFile("a.txt", data=b"\xef\xbb\xbfAna: hi\r\nBo: hello\r\n")
    assert [line for _, line in source.lines()] == ["Ana: hi", "Bo: hello"]


def test_not_utf8_names_the_line_and_the_option() -> None:
    source = ImportFile("old.txt", data="Ana: hi\nBo: caf\u00e9\n".encode("latin-1"))
    with pytest.raises(ImportFormatError, match="--encoding cp1252") as caught:
        list(source.lines())
    assert caught.value.line == 2


def test_utf16_is_recognised_and_named() -> None:
    source = ImportFile("w.json", data='[{"role": "user"}]'.encode("utf-16"))
    with pytest.raises(ImportFormatError, match="--encoding utf-16"):
        source.text()


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252", "UTF-8", "utf-8-sig"])
def test_a_named_encoding_is_used(encoding: str) -> None:
    source = ImportFile("a.txt", data="Ana: caf\u00e9\nBo: th\u00e9\n".encode(encoding), encoding=encoding)
    assert [line for _, line in source.lines()] == ["Ana: caf\u00e9", "Bo: th\u00e9"]
    assert source.text() == "Ana: caf\u00e9\nBo: th\u00e9\n"


def test_wrong_named_encoding_is_an_import_error() -> None:
    source = ImportFile("a.txt", data="Ana: caf\u00e9".encode("utf-16"), encoding="ascii")
    with pytest.raises(ImportFormatError, match="not ascii"):
        list(source.lines())


def test_unknown_encoding_is_an_import_error() -> None:
    with pytest.raises(ImportFormatError, match="no text encoding"):
        ImportFile("a.txt", data=b"Ana: hi", encoding="klingon")


@pytest.mark.parametrize("text", ["[" * 200_000, "[" + "9" * 10_000 + "]", '{"a": }', "[1,\n2,\n}"])
def test_json_that_cannot_be_read_is_an_import_error(text: str) -> None:
    with pytest.raises(ImportFormatError):
        ImportFile("a.json", data=text.encode()).json()


def test_json_error_names_the_line() -> None:
    with pytest.raises(ImportFormatError) as caught:
        ImportFile("a.json", data=b'[\n{"role": "user"},\n{"role" "user"}\n]').json()
    assert caught.value.line == 3


def test_too_long_document_and_line_are_refused() -> None:
    data = b"Ana: hi\nAna: " + b"x" * 40
    with pytest.raises(LimitError, match="split the file"):
        ImportFile("a.txt", data=data, max_document=20).text()
    with pytest.raises(LimitError, match="line 2"):
        list(ImportFile("a.txt", data=data, max_line=20).lines())
    with pytest.raises(LimitError, match="line 2"):
        list(ImportFile("a.txt", data=data, max_line=20, encoding="latin-1").lines())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(b"Ana: hi\nBo: ho\n",))
    writer.start()
    source = ImportFile(path)
    writer.join()
    assert [m.text for _, m in read(source, detect(source), ReadOptions())] == ["hi", "ho"]


def _zip(members: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def test_zip_stands_for_its_conversations() -> None:
    inner = json.dumps([{"uuid": "c1", "chat_messages": [{"sender": "human", "text": "hello"}]}])
    source = ImportFile("export.zip", data=_zip({"data/conversations.json": inner, "users.json": "[]"}))
    tally = Tally()
    messages = list(read(source, detect(source), ReadOptions(), tally))
    assert [m.text for _, m in messages] == ["hello"]


def test_a_zip_that_unpacks_to_hundreds_of_times_its_size_is_refused_unread() -> None:
    bomb = _zip({"conversations.json": "[" + "[]," * 2**20 + "[]]"})
    assert len(bomb) < 10_000
    with pytest.raises(LimitError, match="200 times") as caught:
        ImportFile("export.zip", data=bomb)
    assert caught.value.actual == 3 * 2**20 + 4


def test_a_small_file_may_shrink_as_well_as_it_likes() -> None:
    text = json.dumps([" " * 900_000])
    assert ImportFile("export.zip", data=_zip({"conversations.json": text})).text() == text


def test_a_document_in_a_zip_has_a_limit_of_its_own() -> None:
    inner = json.dumps([{"n": n} for n in range(1000)])
    assert ImportFile("conversations.json", data=inner.encode(), max_unpacked=2000).text() == inner
    with pytest.raises(LimitError, match="unpack it"):
        ImportFile("export.zip", data=_zip({"conversations.json": inner}), max_unpacked=2000).text()


@pytest.mark.parametrize("text", ["[" + "[]," * 60 + "[]]", "[" + "0," * 120 + "0]", "[" + "{}," * 60 + "{}]"])
def test_json_of_too_many_values_is_refused_before_it_is_read(text: str) -> None:
    with pytest.raises(LimitError, match="values"):
        ImportFile("a.json", data=text.encode(), max_values=100).json()
    assert ImportFile("a.json", data=text.encode(), max_values=200).json()


def test_zip_without_conversations_and_damaged_zip_are_import_errors() -> None:
    with pytest.raises(ImportFormatError, match="holds no conversations"):
        ImportFile("export.zip", data=_zip({"other.json": "[]"}))
    with pytest.raises(ImportFormatError, match="zip"):
        ImportFile("export.zip", data=_zip({"conversations.json": "[]"})[:30])
    whole = bytearray(_zip({"conversations.json": json.dumps(list(range(2000)))}))
    whole[200:260] = bytes(60)
    with pytest.raises(ImportFormatError, match="zip"):
        ImportFile("export.zip", data=bytes(whole)).text()
