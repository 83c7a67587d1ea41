"""A run's folder: locking it, starting or resuming a run in it, moving earlier runs aside."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from r2s_core.config import RunConfig, load_config
from r2s_core.config.convert import plain
from r2s_core.config.flat import differing, flat
from r2s_core.config.nodes import Problems, read_file
from r2s_core.env.renderer_choice import with_renderer
from r2s_core.errors import ConfigError, R2SError
from r2s_core.record import inputs
from r2s_core.record.inputs import Inputs
from r2s_core.system import files
from r2s_core.system.run_files import CHECKPOINTS, CONFIG, MARK, is_run_folder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
try:
    import msvcrt
except ImportError:
    msvcrt = None

_FOLDERS = (CHECKPOINTS, inputs.INPUTS, "policy")
#: Keys that may change on resume: length, evaluation and hooks, never what is learned.
_FREE = ("name", "output", "training", "evaluation", "hooks")
_ATTEMPTS = 1000  # to lock a folder that others lock and move at the same time


class RunFolder:
    """The folder of one run, locked against other processes while it is entered.

    Nothing in it changes before `begin`: a failed start leaves an earlier run where it was.
    """

    def __init__(self, path: Path, resume: bool) -> None:
        self.path, self.resume = path, resume
        self._lock: int | None = None
        self._made = self._unmarked = self._began = False

    def __enter__(self) -> RunFolder:
        """Raises `R2SError` if the folder cannot be created, another process is running there, or
        it has other files than a run's.
        """
        with _reporting_bad_path(self.path):
            for attempt in range(_ATTEMPTS):
                try:
                    self._lock = self._acquire()
                except (FileNotFoundError, FileExistsError):
                    # Another process has just moved, made or removed it; or it cannot exist.
                    if attempt + 1 == _ATTEMPTS or _is_no_folder(self.path):
                        raise
                if self._lock is not None:
                    return self
        raise R2SError(
            f"Many other runs are starting in {self.path}; name another folder with --output."
        )

    def _acquire(self) -> int | None:
        """The descriptor of the folder's mark, locked; the kernel unlocks it when we end.

        None where the folder was moved meanwhile: try again.
        """
        self._made = not self.path.is_dir()
        if self._made:
            os.makedirs(self.path, exist_ok=True)
        names = os.listdir(self.path)
        self._unmarked = MARK not in names
        if names and self._unmarked and not is_run_folder(self.path):
            # A folder that merely has a config.yaml may be anyone's, even the working directory.
            raise R2SError(
                f"{self.path} has files that are not a run's; name another folder with --output."
            )
        mark, flags = self.path / MARK, os.O_RDWR | os.O_CREAT
        for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC"):
            flags |= getattr(os, name, 0)
        descriptor = os.open(mark, flags, 0o666)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise R2SError(f"{mark} is not a regular file; name another folder with --output.")
            _lock(descriptor, self.path)
            # The previous holder may have moved the folder: then this is no longer its mark.
            if os.path.samestat(os.fstat(descriptor), os.lstat(mark)):
                descriptor, locked = -1, descriptor
                return locked
        except FileNotFoundError:
            return None
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    @property
    def resumes(self) -> bool:
        """Whether there is a run to resume."""
        return self.resume and (self.path / CONFIG).exists()

    def how_to_continue(self) -> str:
        """A sentence for the user whose run was interrupted."""
        began = self.resumes or self._began
        if began and any((self.path / CHECKPOINTS).glob("step-*")):
            return f"What was saved is intact; continue with: {resume_command(self.path)}"
        return "Nothing had been saved yet; start it again."

    def inputs_of(self, config: RunConfig) -> Inputs:
        """The run's inputs; for a resumed run, those that it has kept.

        Raises `R2SError` where they are not available or, on resume, where the configuration
        differs from the run's.
        """
        if not self.resumes:
            return inputs.collect(config, self.path)
        inputs.verify(self.path)
        own = load_config(self.path / CONFIG)
        if config.environment.engine.renderer.use == "auto":  # as it was chosen when the run began
            config = with_renderer(config, own.environment.engine.renderer)
        changed = changed_keys(self.path, config)
        for key, (saved, wanted) in changed.items():
            if key.split(".")[0] not in _FREE:
                raise ConfigError(
                    f"{key} is {wanted}, but the run in {self.path} has {saved}; "
                    "resume with its own config.yaml, or run without --resume."
                )
        record = inputs.read_record(self.path)
        if config.base_dir != self.path.resolve():
            inputs.check_sources(record, config.base_dir)
        kept = dataclasses.replace(
            config, environment=own.environment, demonstrations=own.demonstrations
        )
        return Inputs(kept, {}, record)

    def begin(self, found: Inputs) -> list[str]:
        """Begin the run: move an earlier one to `<name>-old-<n>`, and write the folder.

        Returns lines for the user.
        """
        notes = []
        with _reporting_bad_path(self.path):
            # Repeated where another run started and ended here after the folder was moved.
            while not self.resume and set(os.listdir(self.path)) - {MARK}:
                notes.append(self._move_aside())
            for folder in (self.path, *(self.path / name for name in _FOLDERS)):
                if folder != self.path and folder.is_symlink():
                    raise R2SError(f"{folder} is a link, which runs do not write to; remove it.")
                files.remove_leftovers(folder)  # of a writer that was killed
            found.write(self.path)
            _write_config(self.path / CONFIG, found.config)
        self._began, self._unmarked = True, False
        return notes

    def _move_aside(self) -> str:
        n = 1
        while True:
            old = self.path.with_name(f"{self.path.name}-old-{n}")
            try:
                if not os.path.lexists(old):
                    self.path.rename(old)
                    break
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
            n += 1
        assert self._lock is not None
        moved, self._lock = self._lock, None
        os.close(moved)
        self.__enter__()
        return f"The earlier run is now {shown(old)}."

    def release(self) -> None:
        """Unlock the folder; a failed start removes what it created."""
        if self._lock is None:
            return
        if self._unmarked:
            with contextlib.suppress(OSError):
                if os.listdir(self.path) == [MARK]:
                    (self.path / MARK).unlink()
                if self._made:
                    self.path.rmdir()
        os.close(self._lock)  # which unlocks it
        self._lock = None


def changed_keys(run_dir: Path, config: RunConfig) -> dict[str, tuple[Any, Any]]:
    """Dotted keys in which `config` differs from the run in `run_dir` -> (the run's, config's).

    Where the run keeps copies of files, its own config.yaml names the copies; another configuration
    must name the original files. Raises `ConfigError` where the run's config.yaml cannot be read.
    """
    saved = flat(inputs.portable(load_config(run_dir / CONFIG).resolved()))
    wanted = flat(inputs.portable(config.resolved()))
    if config.base_dir != run_dir.resolve():
        seen = inputs.relative_to(flat(config.resolved()), config.base_dir)
        for key, written in inputs.read_record(run_dir).written.items():
            saved[key], wanted[key] = written, seen.get(key)
    return {key: (saved.get(key), wanted.get(key)) for key in differing(saved, wanted)}


def read_config(run_dir: Path) -> dict[str, Any]:
    """The content of the run's config.yaml; raises `ConfigError` where it cannot be read."""
    problems = Problems()
    root = read_file(run_dir / CONFIG, problems)
    problems.raise_if_any()
    return plain(root)


def resume_command(run_dir: Path) -> str:
    """The command that resumes the run."""
    return f"r2s run {shown(run_dir / CONFIG)} --resume"


def config_hash(config: RunConfig) -> str:
    """SHA-256 of what determines the policy: the configuration without its name and output."""
    resolved = inputs.portable(config.resolved())
    resolved = {key: value for key, value in resolved.items() if key not in ("name", "output")}
    return hashlib.sha256(json.dumps(resolved, sort_keys=True).encode()).hexdigest()


def learning_configuration(config: RunConfig) -> dict[str, Any]:
    """The settings that must not change on resume, by dotted key, as JSON values."""
    resolved = {k: v for k, v in config.resolved().items() if k not in _FREE}
    resolved = inputs.portable(resolved)
    return json.loads(json.dumps(flat(resolved), sort_keys=True))


def shown(path: Path) -> Path:
    """A path as a user would type it from the working directory."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _write_config(path: Path, config: RunConfig) -> None:
    """Write it portably: kept files are relative to the folder, and the output is omitted."""
    values = inputs.portable(config.resolved(), path.parent)
    del values["output"]
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    head = "# The complete configuration of this run; `r2s run` accepts it as it is.\n"
    files.write_text(path, head + text)


def _is_no_folder(path: Path) -> bool:
    """Whether the path is something other than a folder."""
    return os.path.lexists(path) and not path.is_dir()


@contextmanager
def _reporting_bad_path(run_dir: Path) -> Iterator[None]:
    """Turns errors of a path that cannot be a run's folder into `R2SError`; not a full disk."""
    try:
        yield
    except (OSError, ValueError) as error:
        code, cause = getattr(error, "errno", None), getattr(error, "strerror", None)
        if code in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise R2SError(
            f"Cannot make the folder {run_dir}: {cause or error}; name another with --output."
        ) from error


def _lock(descriptor: int, run_dir: Path) -> None:
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        elif msvcrt is not None:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOTSUP):  # a file system without locks
            return
        raise R2SError(
            f"Another r2s is running in {run_dir}; wait for it, or name another folder "
            "with --output."
        ) from error
