"""Rule bases on disk: the same comes back; what is damaged, hostile or of another embedder is refused with a typed error."""

from __future__ import annotations

import hashlib
import json
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tierkeep.errors import InputError, SchemaTooNew, StoreCorrupt, TierkeepError
from tierkeep.guard.safeharbor.files import RuleBase, embed_texts, load, load_projector, pack_projector, read_texts, save
from tierkeep.models.doubles import HashEmbedder

pytest.importorskip("safetensors")


@pytest.fixture
def folder(base: RuleBase, tmp_path: Path) -> Path:
    save(base, tmp_path / "rules")
    return tmp_path / "rules"


def reseal(folder: Path, **changes: Any) -> None:
    """Make the manifest true again after a change of files: hashes alone must not be what keeps hostile files out."""
    manifest = json.loads((folder / "base.json").read_text())
    manifest["sha256"] = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in manifest["sha256"]}
    (folder / "base.json").write_text(json.dumps({**manifest, **changes}))


def test_what_is_saved_comes_back(base: RuleBase, folder: Path) -> None:
    again = load(folder)
    assert [rule.model_dump() for rule in again.tree.rules()] == [rule.model_dump() for rule in base.tree.rules()]
    assert [one.record for one in again.tree.benign()] == [one.record for one in base.tree.benign()]
    for (_, before), (_, after) in zip(base.tree.leaves(), again.tree.leaves(), strict=True):
        assert after.z == pytest.approx(before.z, abs=1e-3)
    assert again.projector is not None
    assert base.projector is not None
    assert again.projector.sha256() == base.projector.sha256()
    assert again.tree.embedder == base.tree.embedder


def test_saving_twice_gives_the_same_bytes_and_drops_what_is_gone(base: RuleBase, folder: Path, embedder: HashEmbedder) -> None:
    before = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    save(base, folder)
    assert {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    texts = read_texts(folder)
    save(RuleBase(embed_texts(texts._replace(clusters=texts.clusters[:1]), embedder)), folder)
    assert len(list((folder / "clusters").iterdir())) == 1
    assert load(folder).projector is None


def test_every_file_is_held_to_its_hash(folder: Path) -> None:
    for path in [one for one in folder.rglob("*") if one.is_file() and one.name != "base.json"]:
        good = path.read_bytes()
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        with pytest.raises(StoreCorrupt, match=path.name):
            load(folder)
        path.unlink()
        with pytest.raises(StoreCorrupt, match=path.name):
            load(folder)
        path.write_bytes(good)
    load(folder)


class Bomb:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("canary"),))


HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "huge header": struct.pack("<Q", 2**62) + b"{}",
    "no json": struct.pack("<Q", 4) + b"\xff\xff\xff\xff",
    "outside": struct.pack("<Q", 72) + b'{"w1":{"dtype":"F32","shape":[1000,1000],"data_offsets":[0,4000000]}}    ',
    "pickle": pickle.dumps(Bomb()),
    "numpy": b"\x93NUMPY\x01\x00",
    "zip": b"PK\x03\x04" + b"\0" * 64,
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("name", ["vectors.safetensors", "projector.safetensors", "clusters/scam.json", "reservoir.json"])
def test_hostile_files_run_nothing_and_give_typed_errors(
    folder: Path, name: str, content: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (folder / name).write_bytes(content)
    reseal(folder)
    with pytest.raises(StoreCorrupt):
        load(folder)
    assert not (tmp_path / "canary").exists()


def test_values_that_are_no_numbers_and_shapes_that_do_not_fit(base: RuleBase, folder: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "vectors.safetensors")
    for changed in (
        {**tensors, "leaves": tensors["leaves"][:1]},
        {**tensors, "leaves": tensors["leaves"] * np.float16(np.nan)},
        {**tensors, "more": tensors["leaves"]},
        {name: value[:, :8] for name, value in tensors.items()},
    ):
        save_file({name: np.ascontiguousarray(value) for name, value in changed.items()}, folder / "vectors.safetensors")
        reseal(folder)
        with pytest.raises(StoreCorrupt, match="vectors"):
            load(folder)


def test_a_projector_says_what_it_is_of(base: RuleBase, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    assert base.projector is not None
    path = tmp_path / "projector.safetensors"
    path.write_bytes(pack_projector(base.projector))
    assert load_projector(path).embedder == base.projector.embedder
    tensors = load_file(path)
    facts = {"embedder": "e", "dimension": "512", "head": "prototypes", "sha256": base.projector.sha256(), "schema_version": "1"}
    for wrong, error in (
        ({**facts, "sha256": "0"}, StoreCorrupt),
        ({**facts, "head": "magic"}, StoreCorrupt),
        ({**facts, "dimension": "384"}, StoreCorrupt),
        ({**facts, "schema_version": "2"}, SchemaTooNew),
        ({}, StoreCorrupt),
    ):
        save_file(tensors, path, metadata={"tierkeep-safeharbor": json.dumps(wrong)})
        with pytest.raises(error):
            load_projector(path)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"schema_version": 2}, SchemaTooNew),
        ({"format": "other"}, StoreCorrupt),
        ({"clusters": ["../../etc/passwd"]}, StoreCorrupt),
        ({"clusters": ["scam", "scam"]}, StoreCorrupt),
        ({"dimension": 0}, StoreCorrupt),
        ({"run": "this"}, StoreCorrupt),
    ],
)
def test_manifests_that_cannot_hold(folder: Path, changes: dict[str, Any], error: type[Exception]) -> None:
    reseal(folder, **changes)
    with pytest.raises(error):
        load(folder)


def test_deep_json_and_missing_folders(folder: Path, tmp_path: Path) -> None:
    for name in ("base.json", "reservoir.json"):
        good = (folder / name).read_bytes()
        (folder / name).write_text("[" * 200_000)
        with pytest.raises(StoreCorrupt):
            load(folder)
        (folder / name).write_bytes(good)
    with pytest.raises(InputError, match="no rule base"):
        load(tmp_path / "absent")
    with pytest.raises(InputError, match="clusters"):
        read_texts(tmp_path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files_give_typed_errors_or_a_base(folder: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["vectors.safetensors", "projector.safetensors", "clusters/scam.json", "base.json"]))
    good = (folder / name).read_bytes()
    place = data.draw(st.integers(0, min(len(good), 600) - 1))
    (folder / name).write_bytes(good[:place] + data.draw(st.binary(max_size=4)) + good[place + data.draw(st.integers(0, 4)) :])
    manifest = (folder / "base.json").read_bytes()
    try:
        if name != "base.json":
            reseal(folder)
        load(folder)
    except TierkeepError:
        pass
    finally:
        (folder / name).write_bytes(good)
        if name != "base.json":
            (folder / "base.json").write_bytes(manifest)
