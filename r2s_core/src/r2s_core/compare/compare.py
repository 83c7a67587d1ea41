"""`r2s compare` from its arguments to its report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from r2s_core.compare.analysis import analyse
from r2s_core.compare.execute import run_jobs
from r2s_core.compare.page import write_comparison
from r2s_core.compare.plan import Job, State, is_finished, make_jobs, sort_inputs, state_of
from r2s_core.compare.records import Run, find_runs, group_runs, read_run
from r2s_core.compare.tables import markdown, print_comparison
from r2s_core.config.user_code import require
from r2s_core.errors import R2SError
from r2s_core.record.folder import shown
from r2s_core.record.history import EVALUATED
from r2s_core.system.console import stderr_console
from r2s_core.system.files import write_json, write_text
from r2s_core.system.text import printable

#: Times compare only where these are equal.
_MACHINE = ("cpu", "cpu_cores", "jax_devices")


def compare(
    inputs: Sequence[str],
    *,
    seeds: int = 5,
    vary: Sequence[str] = (),
    output: Path,
    trust: bool = False,
) -> int:
    """Run the configurations among `inputs`, collect the runs, report on all of them.

    Args:
      inputs: YAML files, folders of runs, and key=value for every YAML.
      seeds: number of runs of each configuration, with the seeds 0 to seeds - 1.
      vary: KEY=V1,V2,...: each YAML once for every value.
      output: folder of the runs, and of compare.html, compare.json and compare.md.
      trust: allow the reward functions in files that the configurations name to run.

    Returns the exit status: 1 where a run failed and the report covers only the others. Raises
    `ConfigError` before anything is run where any argument is wrong, and `ComparisonStopped`.
    """
    console = stderr_console()
    files, folders, overrides = sort_inputs(inputs)
    jobs = make_jobs(files, overrides, vary, seeds, output)
    states: list[State] = [state_of(job) for job in jobs]
    for job, state in zip(jobs, states, strict=True):
        if state != "finished":
            require(job.config, trust)
    found = [find_runs(folder) for folder in folders]
    _make_folder(output)

    failed = run_jobs(jobs, states, console, ["--trust"] if trust else [])
    paths = [path for paths, _ in found for path in paths]
    paths += [job.folder for job in _in_order(jobs) if is_finished(job.folder)]
    if not paths:
        raise R2SError("No run finished, so there is nothing to compare.")
    runs = [read_run(path) for path in dict.fromkeys(path.resolve() for path in paths)]
    groups, repeated = group_runs(runs, {job.folder.resolve(): job.label for job in jobs})
    numbers = analyse(groups)
    skipped = [note for _, notes in found for note in notes]
    numbers["notes"] = [*failed, *skipped, *repeated, *_cautions(runs, numbers)]
    _write(output, numbers)
    print_comparison(numbers)
    for name in ("compare.html", "compare.md", "compare.json"):
        print(printable(shown(output.absolute() / name)))
    return 1 if failed else 0


def _in_order(jobs: Sequence[Job]) -> list[Job]:
    """The jobs group by group, in the order of the arguments; they are run seed by seed."""
    labels = list(dict.fromkeys(job.label for job in jobs))
    return sorted(jobs, key=lambda job: (labels.index(job.label), job.config.seed))


def _cautions(runs: Iterable[Run], numbers: dict[str, Any]) -> list[str]:
    """Notes on what limits the comparison."""
    runs, notes = list(runs), []
    machines = {
        tuple(str((run.result.get("hardware") or {}).get(key)) for key in _MACHINE) for run in runs
    }
    if len(machines) > 1:
        notes.append("The runs are from different machines: their times do not compare.")
    evaluated = [run for run in runs if any(EVALUATED in row for row in run.rows)]
    if 0 < len(evaluated) < len(runs):
        notes.append(
            f"{len(runs) - len(evaluated)} of {len(runs)} runs have no evaluations during training "
            "(evaluation.curve_points), so times to success are those of training episodes for all."
        )
    without = [str(shown(run.path)) for run in runs if not run.rows]
    if without:
        notes.append(f"No metrics (hook csv), hence no times to success: {', '.join(without)}")
    few = [group["label"] for group in numbers["groups"] if len(group["runs"]) < 2]
    if few:
        notes.append(f"A single run does not show how runs vary: {', '.join(few)}")
    return notes


def _make_folder(output: Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or error
        raise R2SError(f"Cannot make the folder {output}: {cause}; name another.") from error


def _write(output: Path, numbers: dict[str, Any]) -> None:
    write_json(output / "compare.json", numbers)
    write_text(output / "compare.md", markdown(numbers))
    write_comparison(output / "compare.html", numbers)
