"""What a terminal would obey is written out, and rich's markup is only text."""

import io
import os

import pytest
from rich.table import Table

from r2s_core.system.console import PlainConsole, stdout_console
from r2s_core.system.progress import print_result
from r2s_core.system.text import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mug.stl", "mug.stl"),
        ("Größe in µm, 茶碗, 👩‍🔧", "Größe in µm, 茶碗, 👩‍🔧"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("\x9b31m\x85\x7f", r"\x9b31m\x85\x7f"),
        ("lts.\u202eexe", r"lts.\u202eexe"),
        ("a\u2066b\u200ec\ufeffd\u2028e", r"a\u2066b\u200ec\ufeffd\u2028e"),
        ("\U000e0041", r"\U000e0041"),
        (os.fsdecode(b"Gr\xf6\xdfe.stl"), r"Gr\xf6\xdfe.stl"),
        ("\ud800", r"\ud800"),
        ("two\nlines\r", r"two\x0alines\x0d"),
    ],
)
def test_control_sequences_are_written_out_and_all_else_is_kept(text, shown):
    assert printable(text) == shown
    printable(text).encode()


def test_a_message_keeps_its_lines():
    assert printable("one\n\ttwo\x1b", lines=True) == "one\n\ttwo\\x1b"


@pytest.mark.parametrize("name", ["[/red]", "[red]", "a[/x]", "[link=x]", ":duck:", "\\[b]"])
def test_a_name_of_markup_is_shown_as_it_is(name):
    console = PlainConsole(file=io.StringIO(), width=120)
    console.print(name)
    print_result({"name": name, "backend": name, "files": {name: name}}, console)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count(name) == 5


def test_a_console_obeys_no_control_sequence_of_a_name():
    console = PlainConsole(file=io.StringIO(), force_terminal=True, highlight=False)
    console.print("a\x1b]0;title\x07b")
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == "a\\x1b]0;title\\x07b\n"


def test_a_narrow_terminal_still_gets_the_results(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "1")
    table = Table(show_header=False)
    table.add_row("success", "95.0 %")
    stdout_console().print(table)
    assert "success │ 95.0 %" in capsys.readouterr().out
