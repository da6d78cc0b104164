"""tierkeep beside other memory systems: `python tests/benchmarks/peers/run.py --sizes 1000 [--systems chromadb mem0] [--data LOCOMO]`.

Each system runs in an environment of its own with pinned versions (`requirements/`), one process for each of: storing the data, and opening
and asking what was stored. All get the same memories, owners, questions and vectors, the latter through their own embedder interfaces.
Results are kept in `--work`, so a run that was broken off goes on; `--redo` measures again. Needs the environment of `make test`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import tierkeep  # noqa: E402
from peers import data as made  # noqa: E402
from peers import environments, evidence, figures, fsyncs  # noqa: E402
from peers.systems import SYSTEMS, System, chosen  # noqa: E402

ROOT = HERE.parents[2]
#: Nearest memories that are asked for.
K = 10
#: Of what the workers write: results of another one are measured again.
FORMAT = 4
Job = dict[str, Any]


class Failed(Exception):
    """A worker did not end, or ended with an error; the message says which."""


def say(text: str) -> None:
    """Tell how far the run is."""
    print(text, file=sys.stderr, flush=True)


def slug(system: System) -> str:
    """Return a system's name as a file's."""
    return "".join(c if c.isalnum() else "-" for c in system.name.casefold())


def environ(system: System) -> dict[str, str]:
    """Return a worker's environment variables: peers see the benchmark and nothing of tierkeep."""
    path = [str(HERE.parent), *([] if system.env else filter(None, [os.environ.get("PYTHONPATH")]))]
    return os.environ | {"PYTHONPATH": os.pathsep.join(path), "ANONYMIZED_TELEMETRY": "False", "MEM0_TELEMETRY": "False"}


def worked(system: System, python: Path, phase: str, job: Job, redo: bool, patience_s: float, kept: bool = False) -> Job:
    """Return a worker's result, an earlier one where the job was the same, and no other with `kept`.

    Raises:
        Failed: It did not come to an end.
    """
    out = Path(job["out"])
    asked = {key: value for key, value in job.items() if key not in ("out", "store", "started")}
    if out.exists() and not redo:
        earlier: Job = json.loads(out.read_text(encoding="utf-8"))
        if earlier.get("job") == asked:
            return earlier
    if kept:
        raise Failed("not measured")
    out.unlink(missing_ok=True)
    command = [str(python), "-W", "ignore", "-m", "peers.worker", phase, json.dumps(job | {"started": time.perf_counter()})]
    load = os.getloadavg()[0]
    began = time.perf_counter()
    try:
        done = subprocess.run(command, env=environ(system), capture_output=True, text=True, check=False, timeout=patience_s)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{phase} did not end within {patience_s:.0f} s") from error
    if done.returncode or not out.exists():
        last = [line for line in done.stderr.splitlines() if line.strip()][-1:]
        raise Failed(f"{phase} failed: {last[0][:300] if last else f'exit status {done.returncode}'}")
    result: Job = json.loads(out.read_text(encoding="utf-8")) | {
        "job": asked,
        "load": round(load, 2),
        "wall_s": round(time.perf_counter() - began, 1),
    }
    out.write_text(json.dumps(result), encoding="utf-8")
    return result


class Run:
    """One run of the benchmark.

    Args:
        given: The command line.
    """

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.work = Path(given.work).resolve()
        self.results = self.work / "results"
        self.results.mkdir(parents=True, exist_ok=True)
        self.systems = chosen(given.systems)
        self.report: Job = {
            "sizes": given.sizes,
            "limit": given.limit,
            "per_scope": given.per_scope,
            "questions": given.questions,
            "singles": given.singles,
            "k": K,
            "dimension": made.DIMENSION,
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
            "versions": {},
            "about": {},
            "import_s": {},
            "fsyncs": {},
            "main": {},
            "writing": [],
            "reading": [],
            "missing": [],
        }

    def whole(self) -> Job:
        """Measure everything that was asked for, and return the report."""
        pythons: dict[str, tuple[Path | None, str]] = {}
        for env in dict.fromkeys(system.env for system in self.systems):
            pythons[env] = environments.interpreter(env, self.work)
        unfinished: dict[str, str] = {}
        for size in sorted(self.given.sizes):
            data = self._data(size)
            for system in self.systems:
                python, why = pythons[system.env]
                if system.name in unfinished:
                    self.report["missing"].append({"system": system.name, "size": size, "why": unfinished[system.name]})
                    continue
                if python is None:
                    self.report["missing"].append({"system": system.name, "size": size, "why": why})
                    continue
                try:
                    self._measure(system, python, size, data)
                    last = self.report["writing"][-1]
                    if last["batched"] < last["of"]:
                        unfinished[system.name] = f"not tried, because {size:,} did not end in time"
                except Failed as error:
                    say(f"{system.name}, {size:,}: {error}")
                    self.report["missing"].append({"system": system.name, "size": size, "why": str(error)})
        kept = self.results / "evidence.json"
        if self.given.data:
            self._evidence(pythons)
            kept.write_text(json.dumps(self.report["evidence"]), encoding="utf-8")
        elif kept.exists():
            self.report["evidence"] = json.loads(kept.read_text(encoding="utf-8"))
        self.report["ratios"] = figures.ratios(self.report)
        return self.report

    def _data(self, size: int) -> tuple[Path, made.Data]:
        given = self.given
        singles = min(given.singles, size // 2)
        data = made.make(size, per_scope=given.per_scope, singles=singles, questions=given.questions)
        folder = self.work / "data" / f"{FORMAT}-{size}-{given.per_scope}-{singles}-{given.questions}"
        if not (folder / "done").exists():
            made.save(data, folder)
            (folder / "done").touch()
        return folder, data

    def _measure(self, system: System, python: Path, size: int, prepared: tuple[Path, made.Data]) -> None:
        """Fill and ask one system at one size."""
        given, (folder, data) = self.given, prepared
        if system.name not in self.report["versions"]:
            self.report["versions"][system.name] = environments.versions(python, system.packages)
            self.report["about"][system.name] = system.about
        name = slug(system)
        store = self.work / "stores" / f"{name}-{size}"
        job = {
            "adapter": system.adapter,
            "options": system.options,
            "data": str(folder),
            "store": str(store),
            "limit": given.limit,
            "k": K,
            "singles": min(given.singles, size // 2),
            "versions": self.report["versions"][system.name],
            "format": FORMAT,
        }
        out = {phase: self.results / f"{name}-{size}-{phase}.json" for phase in ("fill", "ask")}
        redo = given.redo or not all(path.exists() for path in list(out.values())[: 1 + system.asked])
        if (given.fsyncs or given.kept) and system.name not in self.report["fsyncs"]:
            self.report["fsyncs"][system.name] = self._fsyncs(system, python, name)
        say(f"{system.name}, {size:,} memories …")
        if redo and not given.kept:
            shutil.rmtree(store, ignore_errors=True)
        try:
            filled = worked(system, python, "fill", job | {"out": str(out["fill"])}, redo, 3 * given.limit + 120, given.kept)
            self._known(filled, system)
            self.report["writing"].append(figures.writing(system.name, size, filled) | {"load": filled["load"]})
            if system.asked:
                self._ask(system, python, size, data, filled, job | {"out": str(out["ask"])}, redo)
        finally:
            if not given.kept:  # another run may be at work
                shutil.rmtree(store, ignore_errors=True)

    def _ask(self, system: System, python: Path, size: int, data: made.Data, filled: Job, job: Job, redo: bool) -> None:
        asked = worked(system, python, "ask", job, redo, 3 * self.given.limit + 120, self.given.kept)
        self._known(asked, system, own=24)  # tierkeep embeds everyday sentences to compare with
        stored = [*range(filled["batched"]), *range(filled["of"], filled["of"] + filled["singles"])]
        truth = made.nearest(stored, data, K)
        modes = [key for key, value in asked.items() if isinstance(value, dict) and "ms" in value]
        self.report["main"][system.name] = modes[0]
        for mode in modes:
            recall = made.recall_of(asked[mode]["found"], truth) if not mode.startswith("recall") else None
            row = figures.reading(system.name, size, mode, asked, recall, filled["count"])
            self.report["reading"].append(row | {"load": asked["load"]})
        if system.name not in self.report["import_s"]:
            self.report["import_s"][system.name] = self._import(system, python)

    @staticmethod
    def _known(result: Job, system: System, own: int = 0) -> None:
        """See that the system embedded what it was given, and at most so many sentences of its own."""
        if result["unknown"] > own:
            raise Failed(f"{system.name} embedded {result['unknown']} texts that were not given to it")

    def _import(self, system: System, python: Path) -> float:
        """Return the median seconds of the import in fresh interpreters, the bare interpreter's start taken off. A warm disk."""
        kept = self.results / f"import-{system.imports.replace(', ', '-')}.json"
        if kept.exists() and not self.given.redo:
            return float(json.loads(kept.read_text()))

        def spent(code: str) -> float:
            began = time.perf_counter()
            subprocess.run([str(python), "-W", "ignore", "-c", code], check=True, capture_output=True, env=environ(system))
            return time.perf_counter() - began

        spent(f"import {system.imports}")
        found = statistics.median(spent(f"import {system.imports}") for _ in range(5)) - statistics.median(spent("pass") for _ in range(5))
        kept.write_text(json.dumps(round(found, 3)))
        return round(found, 3)

    def _fsyncs(self, system: System, python: Path, name: str) -> float | None:
        """Return how often one add waits for the disk, after 150 memories."""
        kept = self.results / f"fsyncs-{name}.json"
        if kept.exists() and not self.given.redo:
            count: float | None = json.loads(kept.read_text())
            return count
        if self.given.kept:
            return None
        say(f"{system.name}, waits for the disk …")
        folder, store = self.work / "data" / "fsyncs", self.work / "stores" / f"{name}-fsyncs"
        made.save(made.make(200, singles=50, questions=10), folder)
        job = {"adapter": system.adapter, "options": system.options, "data": str(folder), "store": str(store), "limit": 60, "singles": 50}

        def command(singles: int) -> list[str]:
            shutil.rmtree(store, ignore_errors=True)
            own = job | {"out": str(self.work / "fsyncs.json"), "most": singles}
            return [str(python), "-W", "ignore", "-m", "peers.worker", "fill", json.dumps(own)]

        found = fsyncs.counted(command, environ(system), self.work)
        shutil.rmtree(store, ignore_errors=True)
        kept.write_text(json.dumps(found))
        return found

    def _ours(self, path: Path, model: Any) -> Job:
        """Return tierkeep's own reports, earlier ones where data and version are the same."""
        kept = self.results / "tierkeep-evidence.json"
        wanted = {"data": hashlib.sha256(path.read_bytes()).hexdigest(), "version": tierkeep.__version__}
        if kept.exists() and not self.given.redo:
            earlier: Job = json.loads(kept.read_text(encoding="utf-8"))
            if earlier["job"] == wanted:
                return earlier
        found = evidence.ours(path, model) | {"job": wanted}
        kept.write_text(json.dumps(found), encoding="utf-8")
        return found

    def _evidence(self, pythons: dict[str, tuple[Path | None, str]]) -> None:
        """Compare evidence recall on a labelled set."""
        path, model = Path(self.given.data), evidence.embedder(self.work)
        say("embedding the labelled set …")
        folder = evidence.prepare(path, self.work / "evidence", model)
        say("evidence recall of tierkeep …")
        own = self._ours(path, model)
        report = own["with"]
        rows: dict[str, Any] = {"tierkeep, with vectors": report, "tierkeep, by words alone": own["without"]}
        rows |= {f"baseline {name}": one for name, one in report["baselines"].items()}
        for system in self.systems:
            python, _ = pythons[system.env]
            if not system.ranks or python is None:
                continue
            say(f"evidence recall of {system.name} …")
            name = slug(system)
            store = self.work / "stores" / f"{name}-evidence"
            shutil.rmtree(store, ignore_errors=True)
            job = {
                "adapter": system.adapter,
                "options": system.options,
                "data": str(folder),
                "store": str(store),
                "k": evidence.K,
                "out": str(self.results / f"{name}-evidence.json"),
                "versions": environments.versions(python, system.packages),
            }
            try:
                found = worked(system, python, "evidence", job, self.given.redo, 3 * self.given.limit + 600)
                self._known(found, system)
                rows[system.name] = evidence.of_peer(path, found["ranked"], report)
            except Failed as error:
                self.report["missing"].append({"system": system.name, "size": 0, "why": str(error)})
            finally:
                shutil.rmtree(store, ignore_errors=True)
        keys = ("evidence_recall", "all_evidence", "mrr", "mean_tokens", "difference")
        self.report["evidence"] = {
            "name": report["name"],
            "questions": report["scored_questions"],
            "budget": evidence.BUDGET,
            "tokenizer": report["tokenizer"],
            "embedder": report["embedder"],
            "data_sha256": report["data_sha256"],
            "rows": {name: {key: one.get(key) for key in keys} for name, one in rows.items()},
        }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark and print its tables, or its report as JSON."""
    names = "; ".join(system.name for system in SYSTEMS)
    parser = argparse.ArgumentParser(description="tierkeep beside other memory systems, in one run on one machine.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 50_000], help="memories stored")
    parser.add_argument("--systems", nargs="+", default=[], metavar="NAME", help=f"beginnings of names; all otherwise: {names}")
    parser.add_argument(
        "--data",
        help="a labelled set for evidence recall, such as LoCoMo (docs/benchmarks.md says where it is from); an earlier run's otherwise",
    )
    parser.add_argument("--limit", type=float, default=300, help="seconds of one fill; what is stored by then is what is asked")
    parser.add_argument("--per-scope", type=int, default=250, help="memories of one owner")
    parser.add_argument("--singles", type=int, default=300, help="memories that are added one by one")
    parser.add_argument("--questions", type=int, default=300, help="questions, each within one owner")
    parser.add_argument("--work", default=str(ROOT / ".bench-peers"), help="folder for environments, data and results")
    parser.add_argument("--fsyncs", action="store_true", help="count how often one add waits for the disk, with strace")
    parser.add_argument("--redo", action="store_true", help="measure again what an earlier run has measured")
    parser.add_argument("--kept", action="store_true", help="measure nothing, and report what earlier runs have measured")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/benchmarks.md and docs/figures")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON document")
    given = parser.parse_args(arguments)
    if min(given.sizes) < 100 or min(given.questions, given.per_scope, given.singles) < 1:
        parser.error("sizes begin at 100, other numbers at 1")
    try:
        run = Run(given)
    except ValueError as error:
        parser.error(str(error))
    report = run.whole()
    tables = figures.tables(report)
    folder = ROOT / "docs" / "figures" if given.write else run.work
    (folder / "peers.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    figures.draw(report, folder / "peers.png")
    if given.write:
        page = ROOT / "docs" / "benchmarks.md"
        page.write_text(figures.into(page.read_text(encoding="utf-8"), tables), encoding="utf-8")
    print(json.dumps(report, indent=1) if given.json else "\n\n".join(tables.values()))


if __name__ == "__main__":
    main()
