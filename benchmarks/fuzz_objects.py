"""Damages scan files in a thousand ways and loads each: none may crash, hang or exhaust memory.

    python benchmarks/fuzz_objects.py [--count 1000] [--seed 0] [--scans ../shared/scans/clean]

Each file goes through `load_object`, as a user's would. Every 20th is decomposed into convex
pieces; the others get one hull, which saves hours and still runs all code that reads the file.
"""

from __future__ import annotations

import argparse
import collections
import importlib.util
import os
import platform
import re
import tempfile
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

from r2s_core.errors import AssetError
from r2s_envs_objects import ObjectOptions, load_object, samples

ROOT = Path(__file__).resolve().parents[1]
LONGEST, MOST = 60.0, 2 * 2**30  # limits per file, s and bytes
PAGE = os.sysconf("SC_PAGE_SIZE")


class Outcome(NamedTuple):
    """The result for a file: "accepted", "refused", or a failure that must not occur."""

    verdict: str
    damage: str
    said: str
    seconds: float
    peak: int  # bytes, resident in all processes together


def main() -> None:
    """Fuzz, and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scans", type=Path, default=ROOT.parent / "shared/scans/clean")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".md"))
    arguments = parser.parse_args()
    sources = [samples.path(name) for name in samples.names()]
    if arguments.scans.is_dir():
        sources += sorted(arguments.scans.iterdir())
    scans = [(path.suffix, path.name, path.read_bytes()) for path in sources]
    mutations = _mutations()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["R2S_CACHE_DIR"] = folder + "/cache"
        for i in range(arguments.count):
            rng = np.random.default_rng([arguments.seed, i])
            suffix, name, content = scans[i % len(scans)]
            data, damage = mutations.mutated(content, rng)
            path = Path(folder) / f"{i}{suffix}"
            path.write_bytes(data)
            outcomes.append(_load(path, damage, 16 if i % 20 == 0 else 1))
            path.unlink()
            if outcomes[-1].verdict not in ("accepted", "refused"):
                print(f"{i} {name} {outcomes[-1]}", flush=True)
            if i % 50 == 49:
                print(f"{i + 1}: {collections.Counter(o.verdict for o in outcomes)}", flush=True)
                arguments.output.write_text(_page(outcomes, len(scans), arguments.seed))
    arguments.output.write_text(_page(outcomes, len(scans), arguments.seed))
    print(arguments.output.read_text())


def _mutations() -> ModuleType:
    path = ROOT / "r2s_envs/objects/tests/mutations.py"
    spec = importlib.util.spec_from_file_location("mutations", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _load(path: Path, damage: str, max_pieces: int) -> Outcome:
    start, said = time.monotonic(), ""
    with _Memory() as memory:
        try:
            asset = load_object(path, ObjectOptions(max_pieces=max_pieces, force=True))
            numbers = np.concatenate([asset.inertia.ravel(), asset.size, [asset.mass, asset.iou]])
            sound = bool(np.isfinite(numbers).all()) and asset.mass > 0.0
            verdict = "accepted" if sound else "accepted, but not sound"
        except AssetError as error:
            said = str(error)
            verdict = "refused" if "\n" not in said else "refused in several lines"
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            verdict, said = "crashed", repr(error)
    seconds = time.monotonic() - start
    if seconds > LONGEST:
        verdict = "hung"
    if memory.peak > MOST:
        verdict = "took over 2 GB"
    return Outcome(verdict, damage, said.replace(str(path), "FILE"), seconds, memory.peak)


class _Memory:
    """Peak resident memory of this process and its descendants, sampled 50 times a second.

    Shared pages count for each process, so it is an upper bound.
    """

    def __enter__(self) -> _Memory:
        self.peak, self._stop = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self.peak = max(self.peak, _resident(os.getpid()))


def _resident(process: int) -> int:
    try:
        folder = Path(f"/proc/{process}")
        own = int((folder / "statm").read_text().split()[1]) * PAGE
        tasks = [(task / "children").read_text().split() for task in (folder / "task").iterdir()]
    except OSError:  # it has ended
        return 0
    return own + sum(_resident(int(child)) for children in tasks for child in children)


def _page(outcomes: list[Outcome], sources: int, seed: int) -> str:
    counts = collections.Counter(o.verdict for o in outcomes)
    bad = [o for o in outcomes if o.verdict not in ("accepted", "refused")]
    seconds = np.array([o.seconds for o in outcomes])
    lines = [
        "# Damaged scan files",
        "",
        f"`python benchmarks/fuzz_objects.py` on {platform.machine()}, seed {seed}: "
        f"{len(outcomes)} damaged copies of {sources} scans through `load_object`.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {verdict} | {n} ({n / len(outcomes):.1%}) |" for verdict, n in counts.most_common()),
        f"| crashes, hangs over {LONGEST:.0f} s, peaks over 2 GB | {len(bad)} |",
        f"| seconds: median, 95 %, worst | {np.median(seconds):.2f}, "
        f"{np.percentile(seconds, 95):.2f}, {seconds.max():.2f} |",
        f"| peak memory of all processes, MB | {max(o.peak for o in outcomes) / 2**20:.0f} |",
        "",
        "| damage | files | accepted |",
        "|---|---|---|",
    ]
    for name in sorted({name for o in outcomes for name in o.damage.split(" + ")}):
        some = [o for o in outcomes if name in o.damage]
        share = sum(o.verdict == "accepted" for o in some) / len(some)
        lines.append(f"| {name.replace('_', ' ')} | {len(some)} | {share:.0%} |")
    lines += ["", "## Refusals", "", "| files | for example |", "|---|---|"]
    kinds: dict[str, list[str]] = collections.defaultdict(list)
    for outcome in outcomes:
        if outcome.said:
            kinds[re.sub(r"'[^']*'|[-\d.,]+", "#", outcome.said)[:60]].append(outcome.said)
    for said in sorted(kinds.values(), key=len, reverse=True):
        example = said[0].encode("ascii", "backslashreplace").decode().replace("|", "\\|")
        lines.append(f"| {len(said)} | {example} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
