from __future__ import annotations

import io
import json
import os
import signal
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tierkeep.errors import InputError
from tierkeep_transformers import GateSet
from tierkeep_transformers.train import STOPPED, main
from tierkeep_transformers.training.text import TextWindows, read_text

WORDS = [f"w{number}" for number in range(30)]


def tokenizer(**more: str) -> PreTrainedTokenizerFast:
    inner = Tokenizer(WordLevel({word: index for index, word in enumerate(["<unk>", "<s>", "</s>", *WORDS])}, unk_token="<unk>"))  # noqa: S106
    inner.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", eos_token="</s>", **more)  # noqa: S106


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, its tokeniser, and next to it a folder of text."""
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=33, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1, head_dim=8
    )
    LlamaForCausalLM(config).save_pretrained(folder / "model")
    tokenizer().save_pretrained(folder / "model")
    (folder / "text" / "deep").mkdir(parents=True)
    for number, name in enumerate(("a.txt", "b.md", "deep/c.txt", "left-out.py")):
        words = " ".join(WORDS[(7 * place * (number + 1)) % 30] for place in range(100))
        (folder / "text" / name).write_text(words, encoding="utf-8")
    return folder


def options(base: Path, out: Path, *more: str) -> list[str]:
    return [
        "--model", str(base / "model"), "--text", str(base / "text"), "--out", str(out), "--budget", "4", "--length", "16", "--steps", "6",
        "--accumulation", "2", "--hidden", "8", "--validate-every", "3", "--save-every", "2", "--device", "cpu", "--quiet", *more,
    ]  # fmt: skip


def test_a_training_from_the_command_line(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "gates"
    assert main(options(base, out, "--json")) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert [bool(line["hard"]) for line in lines] == [False, False, True, False, False, True]
    assert set(lines[-1]["hard"]) == {"4", "8", "16"}
    assert {path.name for path in out.iterdir()} == {"gates.safetensors", "README.md", "checkpoints"}
    assert {path.suffix for path in out.rglob("*") if path.is_file()} == {".safetensors", ".json", ".md"}

    gates = GateSet.load(out / "gates.safetensors", LlamaForCausalLM.from_pretrained(base / "model"))
    assert gates.about["base_model"] == "model"
    assert gates.about["data"].startswith("3 documents")
    card = (out / "README.md").read_text(encoding="utf-8")
    assert str(tmp_path) not in card
    assert str(base) not in card
    for said in ("Retention gates for model", "| 4 | ", "Soft size by layer", "## Licence", "budget=4"):
        assert said in card
    assert main(options(base, out)) == 2
    assert "holds a training already" in capsys.readouterr().err
    assert main(options(base, out, "--resume")) == 0  # nothing is left to do


class Reader(io.StringIO):
    """Somebody who reads the lines of a training, and presses Ctrl-C some times at step 3."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def write(self, text: str) -> int:
        if json.loads(text)["step"] == 3:
            for _ in range(self.times):
                os.kill(os.getpid(), signal.SIGINT)
        return super().write(text)


def test_ctrl_c_finishes_the_step_and_saves_and_resume_goes_on(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert main(options(base, whole)) == 0
    before = signal.getsignal(signal.SIGINT)
    with redirect_stdout(Reader(1)) as reader:
        assert main(options(base, broken, "--json")) == STOPPED
    assert len(reader.getvalue().splitlines()) == 3
    assert signal.getsignal(signal.SIGINT) is before
    assert [path.name for path in sorted((broken / "checkpoints").iterdir())] == ["step-0000002", "step-0000003"]
    assert not (broken / "gates.safetensors").exists()

    assert main(options(base, broken, "--resume", "--lr", "0.1")) == 2
    assert "lr was 'auto' and is 0.1" in capsys.readouterr().err
    assert main(options(base, broken, "--resume")) == 0
    one, other = (GateSet.load(out / "gates.safetensors").state_dict() for out in (whole, broken))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_a_second_ctrl_c_ends_at_once(base: Path, tmp_path: Path) -> None:
    with redirect_stdout(Reader(2)), pytest.raises(KeyboardInterrupt):
        main(options(base, tmp_path / "gates", "--json"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--model", "nowhere"], "--model is a folder with config.json"), (["--text", "nowhere.txt"], "no text file or folder nowhere.txt"),
        (["--length", "300"], "windows of 300 need at least 600"), (["--resume"], "no checkpoint to go on from"),
        (["--budget", "0"], "budget="), (["--save-every", "0"], "--save-every is at least 1"),
    ],
    ids=["model", "text", "short", "resume", "budget", "save-every"],
)  # fmt: skip
def test_what_has_to_be_put_right_is_said(
    base: Path, tmp_path: Path, wrong: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(options(base, tmp_path / "gates", *wrong)) == 2
    assert message in capsys.readouterr().err


def test_a_name_on_the_hub_is_not_looked_up(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    watching, asked = [True], []

    def watch(event: str, _: tuple[object, ...]) -> None:
        if watching and event in ("socket.connect", "socket.getaddrinfo"):
            asked.append(event)

    sys.addaudithook(watch)  # it cannot be taken away again, so it is told to sleep
    try:
        assert main(options(base, tmp_path / "gates", "--model", "some-owner/some-model")) == 2
    finally:
        watching.clear()
    assert asked == []
    assert "or add --allow-download" in capsys.readouterr().err


# -------------------------------------------------------------------------------------------------------------------- text


def test_windows_are_in_an_order_that_the_seed_decides(base: Path) -> None:
    windows = read_text([base / "text"], tokenizer(), 16)
    assert (len(windows), windows.documents) == (303 // 16, 3)
    held_out = {tuple(row) for row in torch.cat(windows.validation(2, 4)).tolist()}
    feed, again, other = windows.batches(4, 1, 4), windows.batches(4, 1, 4), windows.batches(4, 2, 4)
    first = [next(feed) for _ in range(7)]
    assert all(torch.equal(one, next(again)) for one in first)
    assert not torch.equal(first[0], next(other))
    rows = torch.cat(first).tolist()
    assert len({tuple(row) for row in rows[:14]}) == 14  # once each before any comes again
    assert not held_out & {tuple(row) for row in rows}


def test_a_first_mark_begins_each_window(base: Path) -> None:
    windows = TextWindows(torch.arange(10), 4, first=99)
    assert windows.batch(torch.arange(3)).tolist() == [[99, 0, 1, 2], [99, 3, 4, 5], [99, 6, 7, 8]]
    (bad := base / "bad.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InputError, match="UTF-8"):
        read_text([bad], tokenizer(), 4)
