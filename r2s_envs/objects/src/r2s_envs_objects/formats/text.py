"""Text of scan files, normalised before anything reads it: the one place that handles variants.

Programs end lines in LF, CR LF or CR, put a byte order mark first, write in UTF-16, indent with
tabs, use upper case and pad the end with NUL; `normalised` removes all of that.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from r2s_envs_objects.asset import Ints

#: Upper to lower case, other white space to spaces, what is not ASCII to "?".
_TABLE = bytes(
    10 if code in b"\r\n" else 32 if code in b"\t\v\f\x1a" else ord("?") if code > 126 else code
    for code in range(256)
).lower()
#: How C and C++ libraries print NaN and infinity: "-nan(ind)", "1.#QNAN", "-1.#IND00".
_ODD_NAN = re.compile(rb"[-+]?nan\([a-z0-9]*\)|[-+]?1\.#(?:ind|[qs]nan)\d*")
_ODD_INF = re.compile(rb"1\.#inf\d*")

_PADDING = b"\n" * 32  # so that words can be matched up to the very end


class BadNumberError(ValueError):
    """A word that should be a number: the word, and the index of its line among those read."""

    def __init__(self, word: str, line: int) -> None:
        super().__init__(f"{word!r} is not a number")
        self.word, self.line = word, line


def normalised(data: bytes) -> bytes:
    """The text in lower-case ASCII, with LF after each line and spaces as all other white space."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        data = data.decode("utf-16", "replace").encode("ascii", "replace")
    data = data.removeprefix(codecs.BOM_UTF8).rstrip(b"\0")
    return data.replace(b"\r\n", b"\n").translate(_TABLE)


def is_binary(data: bytes) -> bool:
    """Whether a file holds bytes that text does not: NUL, except as padding or in UTF-16."""
    return b"\0" in data.rstrip(b"\0") and not data.startswith(
        (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    )


def numbers(text: bytes, integers: bool = False) -> np.ndarray:
    """All numbers of a text, separated by white space; BadNumberError at the first other word.

    integers: as int64, else as float64, in which NaN and infinity are numbers.
    """
    if not integers and (b"#" in text or b"(" in text):
        text = _ODD_INF.sub(b"inf", _ODD_NAN.sub(b"nan", text))
    if not text.strip():
        return np.zeros(0, np.int64 if integers else np.float64)
    try:
        return np.fromstring(text, np.int64 if integers else np.float64, sep=" ")
    except ValueError:
        return _one_by_one(text, integers)


def _one_by_one(text: bytes, integers: bool) -> np.ndarray:
    """The same, slowly: reads what Python accepts and NumPy does not, and locates the bad word."""
    found: list[float] = []
    for line, row in enumerate(text.split(b"\n")):
        for word in row.split():
            try:
                found.append(int(word) if integers else float(word))
            except ValueError:
                raise BadNumberError(word.decode("ascii", "replace"), line) from None
    return np.array(found, np.int64 if integers else np.float64)


class Table(NamedTuple):
    """The numbers after a word in all lines that begin with it.

    values [k] of all these lines, counts [l] of numbers in each line, lines [l] their indices.
    """

    values: np.ndarray
    counts: Ints
    lines: Ints


class Lines:
    """Normalised text, indexed by lines and their first words.

    A carriage return within a line is a line end that a continuation has joined: white space for
    the reader, a line for the numbering.
    """

    def __init__(self, text: bytes) -> None:
        if text.startswith(b" ") or b"\n " in text:
            text = re.sub(rb"^ +", b"", text, flags=re.MULTILINE)
        text = text if text.endswith(b"\n") else text + b"\n"
        self._codes = np.frombuffer(text + _PADDING, np.uint8)
        ends = np.flatnonzero(self._codes[: len(text)] == 10)
        self._starts = np.r_[0, ends[:-1] + 1]
        self._lengths = ends + 1 - self._starts

    def starting(self, word: bytes) -> Ints:
        """The indices of the lines whose first word is this one (of at most 30 letters)."""
        found = np.arange(len(self._starts))
        for i, letter in enumerate(word):
            found = found[self._codes[self._starts[found] + i] == letter]
        return found[self._codes[self._starts[found] + len(word)] <= 32]

    def table(
        self, word: bytes, integers: bool = False, clean: Callable[[bytes], bytes] | None = None
    ) -> Table:
        """The numbers of those lines; clean: applied to their text first, must keep its words."""
        lines = self.starting(word)
        chosen = np.zeros(len(self._starts), bool)
        chosen[lines] = True
        picked = self._codes[: -len(_PADDING)][np.repeat(chosen, self._lengths)]
        offsets = np.cumsum(self._lengths[lines]) - self._lengths[lines]
        for i in range(len(word)):
            picked[offsets + i] = 32
        inside = picked > 32
        inside[1:] &= picked[:-1] <= 32  # where a word begins
        words = np.flatnonzero(inside)
        counts = np.diff(np.searchsorted(words, offsets), append=len(words))
        text = picked.tobytes()
        try:
            values = numbers(clean(text) if clean else text, integers)
        except BadNumberError as error:
            raise BadNumberError(error.word, self.number(int(lines[error.line]))) from None
        if len(values) != counts.sum():
            raise BadNumberError("", self.number(int(lines[0])))
        return Table(values, counts, lines)

    def number(self, line: int) -> int:
        """The number, from 1, of a line in the file."""
        before = self._codes[: self._starts[line]]
        return 1 + int(((before == 10) | (before == 13)).sum())
