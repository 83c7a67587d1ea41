"""The folder of a recording, which is one process's alone from before anything is compiled."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from types import TracebackType

from r2s_core.errors import R2SError
from r2s_core.record.folder import shown
from r2s_lerobot import layout


class Claim:
    """A new or empty folder, to record to while this is entered.

    On exit it is a data set, or whatever was made of it is removed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._mark = self._folder / layout.MARK
        self._made: list[Path] = []  # folders that were not there before, innermost first
        self._is_ours = False

    def __enter__(self) -> Claim:
        """Raises `R2SError` where something is there already, even another process that has only
        begun, and `OSError`, with the path, where the folder cannot be made.
        """
        self._check_free()
        try:
            self._make()
        except BaseException:
            self.release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _check_free(self) -> None:
        folder = self._folder
        if self._mark.exists() and not (folder / layout.INFO).exists():
            raise self._taken()
        is_empty = folder.is_dir() and not any(folder.iterdir())
        if not is_empty and (folder.exists() or folder.is_symlink()):
            raise R2SError(
                f"{shown(folder)} exists already, and is never overwritten; name a new folder"
            )

    def _make(self) -> None:
        for folder in (self._folder, *self._folder.parents):
            if folder.exists():
                break
            self._made.append(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        ours = self._mark.parent
        try:
            ours.parent.mkdir()  # of two processes one succeeds
        except FileExistsError:
            raise self._taken() from None
        self._is_ours = True
        ours.mkdir()
        os.close(os.open(self._mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))

    def _taken(self) -> R2SError:
        return R2SError(
            f"{shown(self._folder)} is being recorded to by another process, or was left by one "
            "that was killed before it wrote anything; name a new folder, or remove this one if "
            "nothing records to it"
        )

    def release(self) -> None:
        """Remove the mark, and where nothing was recorded everything that was made."""
        if self._is_ours:
            self._is_ours = False
            if (self._folder / layout.INFO).exists():
                with contextlib.suppress(OSError):  # nobody minds it in a data set
                    self._mark.unlink()
                return
            shutil.rmtree(self._folder / "data", ignore_errors=True)
            shutil.rmtree(self._mark.parent.parent, ignore_errors=True)  # ends the claim: last
        for folder in self._made:
            with contextlib.suppress(OSError):  # such as another process's, not empty
                folder.rmdir()
