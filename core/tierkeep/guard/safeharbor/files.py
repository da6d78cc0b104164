"""Rule bases on disk: JSON for words, safetensors for numbers, hashes for both (guard spec 2.8 and 2.9).

A folder holds `base.json` (format, embedder, hashes), `clusters/NAME.json` (rules and exemplars, for people to review), `reservoir.json`,
`vectors.safetensors` and, when there is one, `projector.safetensors`. Nothing in it can run: there is no pickle. The hashes find damage
and files that do not belong together; who may write the folder is the operator's to decide.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tierkeep.errors import InputError, MissingExtraError, SchemaTooNew, StoreCorrupt, StoreUnavailable
from tierkeep.guard.safeharbor.calibration import with_benign
from tierkeep.guard.safeharbor.projector import TENSORS, Projector, Weights, fingerprint
from tierkeep.guard.safeharbor.tree import BenignExemplar, BenignRecord, Cluster, Exemplar, Leaf, RiskTree, RulePair, mean, unit
from tierkeep.protocols import Embedder

SCHEMA = 1
FORMAT = "tierkeep-safeharbor"
_MANIFEST, _RESERVOIR, _VECTORS, _PROJECTOR, _CLUSTERS = (
    "base.json", "reservoir.json", "vectors.safetensors", "projector.safetensors", "clusters",
)  # fmt: skip
_MOST_BYTES = 64 * 1024 * 1024  # of one file; the released tree of 4,956 leaves takes a quarter
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_KINDS = ("centroids", "leaves", "benign", "reservoir")


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LeafFile(_File):
    """A leaf without its vector."""

    id: str
    rule: RulePair | None
    exemplars: tuple[Exemplar, ...] = Field(min_length=1)
    n_merged: int = Field(default=1, ge=1)


class ClusterFile(_File):
    """A cluster without its vectors."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    label: str
    category: str = ""
    rule: RulePair | None = None
    leaves: tuple[LeafFile, ...] = Field(min_length=1)
    benign: tuple[BenignRecord, ...] = ()


class _ReservoirFile(_File):
    benign: tuple[BenignRecord, ...]


class _Manifest(_File):
    format: str
    schema_version: int
    embedder: str
    dimension: int = Field(ge=1, le=65_536)
    clusters: tuple[str, ...]
    sha256: Mapping[str, str]


class RuleBase(NamedTuple):
    """A tree, and the projector that goes with it."""

    tree: RiskTree
    projector: Projector | None = None


class Texts(NamedTuple):
    """The words of a rule base: what people write and review."""

    clusters: tuple[ClusterFile, ...]
    reservoir: tuple[BenignRecord, ...] = ()


_M = TypeVar("_M", bound=BaseModel)


def read_texts(folder: str | os.PathLike[str]) -> Texts:
    """Return the words in a folder: its `clusters/*.json`, in order of name, and its `reservoir.json`.

    Raises:
        InputError: The folder has no clusters, or two of one name.
        StoreCorrupt: A file cannot be read.
    """
    where = Path(folder)
    files = sorted((where / _CLUSTERS).glob("*.json"))
    if not files:
        raise InputError(f"{where} has no clusters/*.json: write the rules there, one file for each kind of harm", field="folder")
    clusters = tuple(_parsed(path, _read(path), ClusterFile) for path in files)
    if len({cluster.id for cluster in clusters}) < len(clusters):
        raise InputError(f"two clusters in {where} have one id", field="folder")
    reservoir = where / _RESERVOIR
    return Texts(clusters, _parsed(reservoir, _read(reservoir), _ReservoirFile).benign if reservoir.exists() else ())


def embed_texts(texts: Texts, embedder: Embedder) -> RiskTree:
    """Return the tree of reviewed rules: each leaf stands at the unit mean of its exemplars.

    Raises:
        ModelError: The embedder is down.
    """
    clusters = []
    for file in texts.clusters:
        leaves = tuple(
            Leaf(leaf.id, mean(_vectors(embedder, [one.text for one in leaf.exemplars])), leaf.rule, leaf.exemplars, len(leaf.exemplars))
            for leaf in file.leaves
        )
        cluster = Cluster(file.id, file.label, mean(np.stack([leaf.z for leaf in leaves])), leaves, file.category, file.rule)
        clusters.append(with_benign(cluster, _exemplars(file.benign, _vectors(embedder, [one.intent for one in file.benign]))))
    reservoir = _exemplars(texts.reservoir, _vectors(embedder, [one.intent for one in texts.reservoir]))
    return RiskTree(embedder.identity, embedder.dimension, tuple(clusters), reservoir)


def save(base: RuleBase, folder: str | os.PathLike[str]) -> None:
    """Write a rule base into a folder; what the folder holds of another one goes.

    Raises:
        InputError: A cluster's id is no file name.
        MissingExtraError: safetensors is not installed.
        StoreUnavailable: The folder cannot be written.
    """
    bad = [cluster.id for cluster in base.tree.clusters if not _NAME.fullmatch(cluster.id)]
    if bad:
        raise InputError(f"{bad[0]!r} is no name of a cluster: small letters, digits and hyphens", field="clusters")
    where = Path(folder)
    written: dict[str, bytes] = {f"{_CLUSTERS}/{one.id}.json": _json(_cluster_file(one)) for one in base.tree.clusters}
    written[_RESERVOIR] = _json(_ReservoirFile(benign=tuple(one.record for one in base.tree.reservoir)))
    written[_VECTORS] = _packed(_tensors(base.tree), {"embedder": base.tree.embedder, "dimension": str(base.tree.dimension)})
    if base.projector is not None:
        written[_PROJECTOR] = pack_projector(base.projector)
    manifest = _Manifest(
        format=FORMAT, schema_version=SCHEMA, embedder=base.tree.embedder, dimension=base.tree.dimension,
        clusters=tuple(one.id for one in base.tree.clusters),
        sha256={name: hashlib.sha256(content).hexdigest() for name, content in sorted(written.items())},
    )  # fmt: skip
    written[_MANIFEST] = _json(manifest)  # last: a folder that was half written has none, or one that does not fit
    try:
        (where / _CLUSTERS).mkdir(parents=True, exist_ok=True)
        for old in (where / _MANIFEST, where / _PROJECTOR, *(where / _CLUSTERS).glob("*.json")):
            old.unlink(missing_ok=True)
        for name, content in written.items():
            (where / name).write_bytes(content)
    except OSError as error:
        raise StoreUnavailable(f"the rule base cannot be written to {where}: {error}", path=str(where)) from error


def load(folder: str | os.PathLike[str]) -> RuleBase:
    """Return the rule base in a folder.

    Raises:
        InputError: There is none.
        MissingExtraError: safetensors is not installed.
        SchemaTooNew: A newer tierkeep wrote it.
        StoreCorrupt: A file is missing, changed, damaged, or not what it should be.
    """
    where = Path(folder)
    if not (where / _MANIFEST).is_file():
        raise InputError(f"{where} has no rule base (no {_MANIFEST}): make one with tierkeep safeharbor build", field="folder")
    manifest = _manifest(where / _MANIFEST)
    names = [f"{_CLUSTERS}/{name}.json" for name in manifest.clusters]
    if not all(_NAME.fullmatch(name) for name in manifest.clusters) or len(set(manifest.clusters)) < len(manifest.clusters):
        raise StoreCorrupt(f"{where / _MANIFEST} names a cluster twice, or one that is no file name", path=str(where))
    files = [_parsed(where / name, _verified(where, name, manifest), ClusterFile) for name in names]
    reservoir = _parsed(where / _RESERVOIR, _verified(where, _RESERVOIR, manifest), _ReservoirFile).benign
    _verified(where, _VECTORS, manifest)
    tensors, _ = _unpacked(where / _VECTORS)
    tree = _assembled(where, manifest, files, reservoir, tensors)
    if _PROJECTOR not in manifest.sha256:
        return RuleBase(tree)
    _verified(where, _PROJECTOR, manifest)
    return RuleBase(tree, load_projector(where / _PROJECTOR))


def pack_projector(projector: Projector) -> bytes:
    """Return a projector as a safetensors file, with embedder, dimension, head and fingerprint in its header."""
    facts = {
        "embedder": projector.embedder, "dimension": str(projector.dimension), "head": projector.head, "sha256": projector.sha256(),
        "schema_version": str(SCHEMA),
    }  # fmt: skip
    return _packed(projector.weights, facts)


def load_projector(path: str | os.PathLike[str]) -> Projector:
    """Return the projector in a file.

    Raises:
        MissingExtraError: safetensors is not installed.
        SchemaTooNew: A newer tierkeep wrote it.
        StoreCorrupt: It is none, or its weights are not those that its header speaks of.
    """
    where = Path(path)
    _read(where)
    tensors, facts = _unpacked(where)
    head = facts.get("head", "")
    version = facts.get("schema_version", "")[:9]
    if version.isdecimal() and int(version) > SCHEMA:
        raise SchemaTooNew(f"{where} is of a newer tierkeep", path=str(where), found=int(version), supported=SCHEMA)
    if head not in TENSORS or fingerprint(tensors, head) != facts.get("sha256"):
        raise StoreCorrupt(f"{where} is no projector, or its weights were changed", path=str(where))
    try:
        projector = Projector(cast("Weights", tensors), head, facts.get("embedder", ""))
    except (InputError, ValueError, IndexError) as error:
        raise StoreCorrupt(f"{where} is no projector: {error}", path=str(where)) from error
    if facts.get("dimension") != str(projector.dimension):
        raise StoreCorrupt(f"{where} says that its vectors have the length {facts.get('dimension')!r}", path=str(where))
    return projector


# --------------------------------------------------------------------------------------------------------- the parts


def _cluster_file(cluster: Cluster) -> ClusterFile:
    leaves = tuple(LeafFile(id=leaf.id, rule=leaf.rule, exemplars=leaf.exemplars, n_merged=leaf.n_merged) for leaf in cluster.leaves)
    benign = tuple(one.record for one in cluster.benign)
    return ClusterFile(id=cluster.id, label=cluster.label, category=cluster.category, rule=cluster.rule, leaves=leaves, benign=benign)


def _tensors(tree: RiskTree) -> dict[str, NDArray[np.float16]]:
    """Return the tree's vectors; half precision moves a cosine by less than 0.001."""
    every = {
        "centroids": [cluster.centroid for cluster in tree.clusters],
        "leaves": [leaf.z for _, leaf in tree.leaves()],
        "benign": [one.embedding for cluster in tree.clusters for one in cluster.benign],
        "reservoir": [one.embedding for one in tree.reservoir],
    }
    return {name: np.asarray(rows, dtype=np.float16).reshape(len(rows), tree.dimension) for name, rows in every.items()}


def _assembled(
    where: Path, manifest: _Manifest, files: Iterable[ClusterFile], reservoir: tuple[BenignRecord, ...], tensors: Mapping[str, NDArray[Any]]
) -> RiskTree:
    files = list(files)
    counts = (len(files), sum(len(one.leaves) for one in files), sum(len(one.benign) for one in files), len(reservoir))
    wanted = {kind: (count, manifest.dimension) for kind, count in zip(_KINDS, counts, strict=True)}
    if {name: tensor.shape for name, tensor in tensors.items()} != wanted or not all(np.isfinite(one).all() for one in tensors.values()):
        raise StoreCorrupt(f"the vectors in {where} are not those of its texts: make them anew with safeharbor build", path=str(where))
    rows = {name: iter(unit(tensor.astype(np.float32))) for name, tensor in tensors.items()}
    clusters = []
    for file, centroid in zip(files, rows["centroids"], strict=True):
        leaves = tuple(Leaf(one.id, next(rows["leaves"]), one.rule, one.exemplars, one.n_merged) for one in file.leaves)
        cluster = Cluster(file.id, file.label, centroid, leaves, file.category, file.rule)
        clusters.append(with_benign(cluster, [BenignExemplar(one, next(rows["benign"])) for one in file.benign]))
    return RiskTree(manifest.embedder, manifest.dimension, tuple(clusters), _exemplars(reservoir, list(rows["reservoir"])))


def _exemplars(records: Iterable[BenignRecord], rows: Iterable[NDArray[np.float32]]) -> tuple[BenignExemplar, ...]:
    return tuple(BenignExemplar(record, row) for record, row in zip(records, rows, strict=True))


def _vectors(embedder: Embedder, texts: list[str]) -> NDArray[np.float32]:
    return unit(embedder.embed(texts)) if texts else np.zeros((0, embedder.dimension), np.float32)


def _manifest(path: Path) -> _Manifest:
    content = _read(path)
    try:
        version = json.loads(content).get("schema_version")
    except (ValueError, AttributeError, RecursionError) as error:
        raise StoreCorrupt(f"{path} is no manifest of a rule base", path=str(path)) from error
    if isinstance(version, int) and version > SCHEMA:
        raise SchemaTooNew(f"{path} was written by a newer tierkeep", path=str(path), found=version, supported=SCHEMA)
    manifest = _parsed(path, content, _Manifest)
    if manifest.format != FORMAT:
        raise StoreCorrupt(f"{path} is no manifest of a rule base", path=str(path))
    return manifest


def _verified(where: Path, name: str, manifest: _Manifest) -> bytes:
    content = _read(where / name)
    if hashlib.sha256(content).hexdigest() != manifest.sha256.get(name):
        raise StoreCorrupt(
            f"{where / name} is not the file that {_MANIFEST} speaks of: if you changed it on purpose, run tierkeep safeharbor build",
            path=str(where / name),
        )
    return content


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise StoreCorrupt(f"{path} is larger than any file of a rule base", path=str(path))
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise StoreCorrupt(f"{path} cannot be read: {error}", path=str(path)) from error


def _parsed(path: Path, content: bytes, model: type[_M]) -> _M:
    try:
        return model.model_validate_json(content)
    except (ValidationError, RecursionError) as error:
        said = error.errors(include_input=False, include_url=False)[0] if isinstance(error, ValidationError) else {"msg": "nested too deep"}
        place = ".".join(map(str, said.get("loc", ()))) or "file"
        raise StoreCorrupt(f"{path} is not as it should be: {place}: {said['msg']}", path=str(path)) from None


def _json(model: BaseModel) -> bytes:
    return (json.dumps(model.model_dump(mode="json"), ensure_ascii=False, indent=1) + "\n").encode()


def _packed(tensors: Mapping[str, NDArray[Any]], facts: dict[str, str]) -> bytes:
    # One entry of metadata: the library writes several in an order of its own, and the same base must give the same bytes.
    told = {FORMAT: json.dumps(facts, sort_keys=True)}
    made: bytes = _safetensors("numpy").save({name: np.ascontiguousarray(one) for name, one in tensors.items()}, metadata=told)
    return made


def _unpacked(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    library = _safetensors()
    try:
        with library.safe_open(str(path), framework="np") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - it is no mapping
            facts = json.loads((opened.metadata() or {}).get(FORMAT, "{}"))
        return tensors, {str(name): str(value) for name, value in facts.items()}
    except (library.SafetensorError, OSError, TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
        raise StoreCorrupt(f"{path} is no safetensors file that can be read: {error}", path=str(path)) from error


def _safetensors(part: str = "") -> ModuleType:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError:
        raise MissingExtraError("A rule base of SafeHarbor (safetensors)", extra="minilm") from None
    return safetensors.numpy if part else safetensors
