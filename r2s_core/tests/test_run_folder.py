"""A run's folder: held by one process, whole by itself, and nobody else's by mistake."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from r2s_core.config import load_config, user_code
from r2s_core.errors import ConfigError, R2SError
from r2s_core.record import inputs
from r2s_core.record.folder import RunFolder, config_hash
from r2s_core.system import trust
from r2s_core.system.run_files import MARK

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX processes and files")

_MANIFEST = """
import dataclasses
from pathlib import Path
from r2s_core.plugin import Plugin, option

@dataclasses.dataclass(frozen=True)
class Options:
    scans: tuple[Path | str, ...] = option((), "files")
    size: int = option(3, "how big")
    scale: float = option(1.0, "of the scans; those that are kept have it")

PLUGIN = Plugin("shelf", "environment", "made for a test", "math:floor", Options,
                inputs="shelf_inputs:keep_inputs")
"""
_INPUTS = """
import dataclasses

def keep_inputs(options, keep):
    scans = tuple(keep(s.name, s.read_bytes().upper(), s) for s in options.scans)
    return dataclasses.replace(options, scans=scans, scale=1.0)
"""
_REWARD = "def slow(transition): return 0.0\n"


@pytest.fixture
def project(tmp_path, install, manifest) -> Path:
    """A folder with a configuration, a scan and a reward file."""
    points = {
        "r2s.environments": {"shelf": "shelf:PLUGIN"},
        "r2s.algorithms": {"fake_algo": "fake_algo:PLUGIN"},
    }
    modules = {
        "shelf": _MANIFEST,
        "shelf_inputs": _INPUTS,
        "fake_algo": manifest("fake_algo", "algorithm"),
    }
    install("fake-all", points, modules)
    folder = tmp_path / "project"
    (folder / "scans").mkdir(parents=True)
    (folder / "scans" / "mug.stl").write_text("solid mug")
    (folder / "mine.py").write_text(_REWARD)
    environment = {
        "use": "shelf",
        "scans": ["scans/mug.stl"],
        "rewards": {"slow": {"use": "mine.py:slow"}},
    }
    values = {"environment": environment, "algorithms": {"fake_algo": {}}, "backend": "mujoco"}
    (folder / "x.yaml").write_text(yaml.safe_dump(values))
    return folder


def _begin(config_file: Path, run_dir: Path, resume: bool = False):
    """What `run` does with the folder; the configuration that it goes on with."""
    with RunFolder(run_dir, resume) as folder:
        found = folder.inputs_of(load_config(config_file))
        folder.begin(found)
        return found.config


def test_a_run_keeps_what_it_depends_on_by_the_hash_of_its_content(project):
    run_dir = project / "run"
    began = _begin(project / "x.yaml", run_dir)
    (kept,) = began.environment.options.scans
    assert kept == run_dir / "inputs" / f"mug-{inputs._sha256(b'SOLID MUG')[:16]}.stl"
    assert kept.read_bytes() == b"SOLID MUG"

    again = load_config(run_dir / "config.yaml")
    assert again.environment == began.environment
    assert again.output == run_dir
    ((_, reward),) = user_code.reward_files(again)
    assert trust.location(reward).read_text() == _REWARD
    text = (run_dir / "config.yaml").read_text()
    assert str(project) not in text + (run_dir / "inputs" / "inputs.json").read_text()


def test_a_file_of_the_user_s_is_no_kept_one_by_its_name(tmp_path):
    mine = "/data/inputs/mug-0123456789abcdef.stl"
    kept = str(tmp_path / "inputs" / "mug-0123456789abcdef.stl")
    found = inputs.portable({"a": [mine, kept], "b": f"{kept}:f", "c": 3}, tmp_path)
    name = "inputs/mug-0123456789abcdef.stl"
    assert found == {"a": [mine, name], "b": f"{name}:f", "c": 3}
    assert inputs.portable([mine]) == [name]


def test_moved_without_its_scan_it_loads_and_resumes(project, tmp_path):
    hashed = config_hash(_begin(project / "x.yaml", project / "run"))
    away = tmp_path / "another machine"
    shutil.copytree(project / "run", away)
    shutil.rmtree(project)

    moved = load_config(away / "config.yaml")
    assert moved.environment.options.scans[0].read_bytes() == b"SOLID MUG"
    assert config_hash(moved) == hashed
    inputs.verify(away)
    assert _begin(away / "config.yaml", away, resume=True).environment == moved.environment


def test_a_moved_project_resumes_by_its_own_file(project, tmp_path):
    _begin(project / "x.yaml", project / "run")
    there = tmp_path / "there"
    project.rename(there)
    resumed = _begin(there / "x.yaml", there / "run", resume=True)
    assert resumed.environment.options.scans[0].parent == there / "run" / "inputs"


@pytest.mark.parametrize("name", ["scans/mug.stl", "mine.py"])
def test_another_file_of_that_name_is_told_and_the_run_s_own_goes_on(project, name):
    run_dir = project / "run"
    _begin(project / "x.yaml", run_dir)
    with (project / name).open("a") as file:
        file.write("# other")
    with pytest.raises(ConfigError, match=rf"{name} has changed since the run began"):
        _begin(project / "x.yaml", run_dir, resume=True)
    resumed = _begin(run_dir / "config.yaml", run_dir, resume=True)
    assert resumed.environment.options.scans[0].read_bytes() == b"SOLID MUG"


def test_what_was_kept_and_changed_is_told(project):
    run_dir = project / "run"
    _begin(project / "x.yaml", run_dir)
    (kept,) = (run_dir / "inputs").glob("mug-*")
    kept.write_text("ANOTHER")
    with pytest.raises(R2SError, match=r"mug-\w+\.stl: its content .* is not what its name says"):
        inputs.verify(run_dir)
    with pytest.raises(R2SError, match="not what its name says"):
        _begin(run_dir / "config.yaml", run_dir, resume=True)


def test_another_configuration_is_not_resumed(project):
    run_dir = project / "run"
    _begin(project / "x.yaml", run_dir)
    text = (project / "x.yaml").read_text()
    (project / "x.yaml").write_text(text.replace("use: shelf", "use: shelf\n  size: 4"))
    with pytest.raises(ConfigError, match=r"environment\.size is 4, but the run in .* has 3"):
        _begin(project / "x.yaml", run_dir, resume=True)
    scaled = text.replace("use: shelf", "use: shelf\n  scale: 2.0")
    (project / "x.yaml").write_text(scaled)
    _begin(project / "x.yaml", project / "scaled")
    assert (
        _begin(project / "x.yaml", project / "scaled", resume=True).environment.options.scale == 1
    )
    (project / "x.yaml").write_text(text)
    with pytest.raises(
        ConfigError, match=r"environment\.scale is 1\.0, but the run in .* has 2\.0"
    ):
        _begin(project / "x.yaml", project / "scaled", resume=True)
    (project / "x.yaml").write_text(text.replace("scans/mug.stl", "scans/cup.stl"))
    with pytest.raises(ConfigError, match=r"environment\.scans is .*cup\.stl"):
        _begin(project / "x.yaml", run_dir, resume=True)


def test_run_again_from_its_own_file_it_keeps_the_same(project):
    run_dir = project / "run"
    first = _begin(project / "x.yaml", run_dir)
    again = _begin(run_dir / "config.yaml", project / "again")
    names = [sorted(p.name for p in (d / "inputs").iterdir()) for d in (run_dir, project / "again")]
    assert names[0] == names[1]
    assert config_hash(first) == config_hash(again)
    in_place = _begin(run_dir / "config.yaml", run_dir)  # the first one is moved aside
    assert in_place.environment == first.environment
    assert (project / "run-old-1" / "config.yaml").exists()


@pytest.mark.parametrize("record", ["[]", '{"written": 3}', '{"sources": {"a": 1}}', "{", "{}"])
def test_a_damaged_record_is_one_sentence(project, record):
    run_dir = project / "run"
    _begin(project / "x.yaml", run_dir)
    (run_dir / "inputs" / "inputs.json").write_text(record)
    with pytest.raises(R2SError) as caught:
        _begin(project / "x.yaml", run_dir, resume=True)
    assert "\n" not in str(caught.value)


def test_nothing_is_left_by_a_start_that_fails(project, tmp_path):
    def fails(run_dir):
        with RunFolder(run_dir, False) as folder:
            folder.inputs_of(load_config(project / "x.yaml"))
            raise R2SError("as a backend may")

    empty = tmp_path / "empty"
    empty.mkdir()
    for run_dir in (tmp_path / "fresh", empty):
        with pytest.raises(R2SError, match="backend"):
            fails(run_dir)
    assert not (tmp_path / "fresh").exists()
    assert list(empty.iterdir()) == []
    _begin(project / "x.yaml", tmp_path / "mine")
    with pytest.raises(R2SError, match="backend"):
        fails(tmp_path / "mine")
    assert not (tmp_path / "mine-old-1").exists()


@posix
def test_a_folder_cannot_be_just_anything(tmp_path):
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "fifo")
    for name, kind in (("folder", "mkdir"), ("pipe", "mkfifo")):
        (tmp_path / name).mkdir()
        getattr(os, kind)(tmp_path / name / MARK)
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / MARK).symlink_to(precious)
    places = [tmp_path / n for n in ("file", "fifo", "folder", "pipe", "linked", "x" * 300, "a\0")]
    for place in (*places, Path("/dev/null"), tmp_path / "file" / "below"):
        with pytest.raises(R2SError) as caught, RunFolder(place, False):
            pass
        assert "name another" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert precious.read_text() == "mine"


@posix
def test_links_in_a_run_folder_are_replaced_never_followed(project, tmp_path):
    run_dir, precious = project / "run", tmp_path / "precious"
    _begin(project / "x.yaml", run_dir)
    precious.write_text("mine")
    for name in ("config.writing", "inputs/inputs.json", ".writing-0"):
        (run_dir / name).unlink(missing_ok=True)
        (run_dir / name).symlink_to(precious)
    text = (run_dir / "config.yaml").read_text()
    (run_dir / "config.yaml").unlink()
    (run_dir / "config.yaml").symlink_to(tmp_path / "other.yaml")
    (tmp_path / "other.yaml").write_text(text)
    with RunFolder(run_dir, resume=False) as folder:
        folder.begin(folder.inputs_of(load_config(project / "x.yaml")))
    assert precious.read_text() == "mine"
    assert (tmp_path / "other.yaml").read_text() == text
    for name in ("checkpoints", "policy"):
        (run_dir / name).symlink_to(tmp_path)
        with pytest.raises(R2SError, match=f"{name} is a link"):
            _begin(run_dir / "config.yaml", run_dir, resume=True)
        (run_dir / name).unlink()


_PROCESSES, _ROUNDS = 8, 40
#: In a process of its own, since this one has JAX's threads and must not fork. Each process begins
#: runs in the folder whenever it can be had, and writes down who was there when.
_STARTS = f"""
import multiprocessing, os, sys
from pathlib import Path
from r2s_core.errors import R2SError
from r2s_core.record.inputs import Inputs, Record
from r2s_core.record.folder import RunFolder

os.fsync = lambda descriptor: None  # hundreds of starts, and nothing to lose
run_dir, log = map(Path, sys.argv[1:])

class Anything:
    def resolved(self):
        return {{"output": "", "pid": os.getpid()}}

def start(barrier):
    for _ in range({_ROUNDS}):
        barrier.wait(60)
        try:
            with RunFolder(run_dir, resume=False) as folder:
                folder.begin(Inputs(Anything(), {{}}, Record()))
                for what in ("in", "out"):
                    with log.open("a") as file:
                        file.write(f"{{what}} {{os.getpid()}}\\n")
        except R2SError as error:
            if "Another r2s is running" not in str(error):
                raise

context = multiprocessing.get_context("fork")
barrier = context.Barrier({_PROCESSES})
processes = [context.Process(target=start, args=(barrier,)) for _ in range({_PROCESSES})]
for process in processes:
    process.start()
for process in processes:
    process.join()
sys.exit(any(process.exitcode for process in processes))
"""


@posix
def test_of_many_simultaneous_starts_one_at_a_time_has_the_folder(tmp_path):
    log = tmp_path / "log"
    command = [sys.executable, "-c", _STARTS, str(tmp_path / "x"), str(log)]
    subprocess.run(command, check=True, timeout=120)
    inside, began = None, 0
    for line in log.read_text().splitlines():
        what, pid = line.split()
        assert inside == (None if what == "in" else pid)
        inside, began = (pid, began + 1) if what == "in" else (None, began)
    assert began >= _ROUNDS / 2
    # Every run that began is still there, its own and whole.
    runs = [path for path in tmp_path.glob("x*") if (path / "config.yaml").exists()]
    assert len(runs) == began
    assert all("pid" in (run / "config.yaml").read_text() for run in runs)


def test_the_record_is_plain_json(project):
    _begin(project / "x.yaml", project / "run")
    record = json.loads((project / "run" / "inputs" / "inputs.json").read_text())
    assert record["written"] == {
        "environment.scans": ["scans/mug.stl"],
        "environment.rewards.slow.use": "mine.py:slow",
    }
    assert set(record["sources"]) == {"scans/mug.stl", "mine.py"}
