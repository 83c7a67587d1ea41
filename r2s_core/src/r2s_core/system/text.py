"""Untrusted text (file names, YAML keys, messages of third-party code) for a terminal."""

from __future__ import annotations

import functools
import sys
import unicodedata

#: Control characters, format characters (bidi overrides among them), lone surrogates, and the
#: separators that start a new line.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
#: Joiners, which Persian and emoji need, and which are harmless.
_HARMLESS = frozenset("\u200c\u200d")


def printable(text: object, *, lines: bool = False) -> str:
    r"""`text` with everything escaped that a terminal would interpret instead of show.

    ESC becomes `\x1b`, a right-to-left override `\u202e`, and a byte of a file name that is not
    UTF-8 (a lone surrogate in Python) that byte, as in `Gr\xf6\xdfe.stl`: the result can be
    printed and encoded anywhere that UTF-8 can.

    lines: keep line breaks and tabs, for whole messages; names have none.
    """
    kept = "\n\t" if lines else ""
    text = str(text)
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in kept or not _is_hidden(c) else _written_out(c) for c in text)


@functools.cache  # a run builds its parts twice: to train, and to evaluate
def say_once(line: str) -> None:
    """Print a line for the user on stderr, once per process."""
    print(printable(line), file=sys.stderr)


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in _HIDDEN and character not in _HARMLESS


def _written_out(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # Python's stand-in for an undecodable byte of a file name
        code -= 0xDC00
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
