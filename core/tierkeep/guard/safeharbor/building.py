"""A rule base from attacks: disguise each, insert every variant, word its rules (guard spec 2.3). Offline; nothing learns from traffic."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from tierkeep.errors import InputError
from tierkeep.guard.safeharbor.insertion import insert
from tierkeep.guard.safeharbor.mutation import PARADIGMS, Paradigm
from tierkeep.guard.safeharbor.rules import RuleWriter
from tierkeep.guard.safeharbor.tree import AttackSample, BenignRecord, RiskTree
from tierkeep.protocols import Embedder
from tierkeep.settings import SafeHarborSettings

Progress = Callable[[int, int], None]
_M = TypeVar("_M", bound=BaseModel)
_MOST_LINES, _MOST_CHARS = 100_000, 100_000


def build(
    samples: Sequence[AttackSample],
    embedder: Embedder,
    writer: RuleWriter,
    settings: SafeHarborSettings | None = None,
    *,
    tree: RiskTree | None = None,
    paradigms: Sequence[Paradigm] = PARADIGMS,
    seed: int = 0,
    progress: Progress | None = None,
) -> RiskTree:
    """Return the tree with attacks inserted, each as it is and in one variant of every paradigm.

    Args:
        samples: Attacks that somebody chose.
        embedder: Makes the vectors.
        writer: Words the rules.
        settings: Mode and thresholds.
        tree: To add to; an empty one otherwise.
        paradigms: How to disguise them; none for the attacks alone.
        seed: Of the templates.
        progress: Is told (attacks done, attacks in all).

    Raises:
        InputError: The tree is of another embedder.
        ModelError: The embedder is down.
    """
    settings = settings or SafeHarborSettings()
    tree = tree or RiskTree(embedder.identity, embedder.dimension)
    if tree.embedder != embedder.identity:
        raise InputError(f"the tree is of the embedder {tree.embedder!r}, not of {embedder.identity!r}", field="embedder")
    for done, sample in enumerate(samples, start=1):
        every = [sample, *(writer.disguise(sample, paradigm, seed) for paradigm in paradigms)]
        for one, z in zip(every, embedder.embed([one.prompt for one in every]), strict=True):
            tree = insert(tree, one, z, writer, settings).tree
        if progress is not None:
            progress(done, len(samples))
    return tree


def read_attacks(path: str | Path) -> list[AttackSample]:
    """Return the attacks of a JSONL file: id, prompt, category, and the other fields of `AttackSample` where there are any.

    Raises:
        InputError: The file cannot be read, or a line is no attack.
    """
    return _lines(Path(path), AttackSample)


def read_benign(path: str | Path) -> list[BenignRecord]:
    """Return the benign requests of a JSONL file: intent, and tool_pattern and outcome where there are any.

    Raises:
        InputError: The file cannot be read, or a line is no request.
    """
    return _lines(Path(path), BenignRecord)


def _lines(path: Path, model: type[_M]) -> list[_M]:
    found: list[_M] = []
    try:
        with path.open(encoding="utf-8") as opened:
            for number, line in enumerate(opened, start=1):
                if number > _MOST_LINES or len(line) > _MOST_CHARS:
                    raise InputError(f"{path}, line {number}: more lines, or a longer one, than such a file may have", field="path")
                if line.strip():
                    found.append(model.model_validate(json.loads(line)))
    except ValidationError as error:
        said = error.errors(include_input=False, include_url=False)[0]
        raise InputError(f"{path}, line {number}: {'.'.join(map(str, said['loc']))}: {said['msg']}", field="path") from None
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read as JSON lines in UTF-8: {type(error).__name__}", field="path") from None
    return found
