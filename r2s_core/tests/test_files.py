"""Reading and writing files: what is no regular file is refused, what fails leaves no trace."""

import errno
import os
import subprocess
import sys

import pytest

from r2s_core.errors import ConfigError, R2SError
from r2s_core.system import files

posix = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX files")


def _read(path, limit=100):
    return files.read_bytes(path, limit=limit, what="the scan", error=ConfigError)


def test_a_file_within_its_limit_is_read_whole(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"x" * 100)
    assert _read(path) == b"x" * 100
    path.write_bytes(b"x" * 101)
    with pytest.raises(ConfigError, match=r"larger than 100 bytes.*for the scan; check"):
        _read(path)


@posix
def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path, words in [
        (tmp_path / "fifo", "a FIFO, not a regular file"),
        (tmp_path / "link", "a FIFO, not a regular file"),
        (tmp_path / "loop", "cannot be read"),
        ("/dev/zero", "a device, not a regular file"),
        (tmp_path, "a folder"),
        (tmp_path / "none", "no such file"),
        (tmp_path / "none" / "deeper", "no such file"),
        (tmp_path / ("x" * 300), "cannot be read"),
        ("nul\0", r"'nul\\x00' cannot be a path"),
    ]:
        with pytest.raises(ConfigError, match=words) as caught:
            _read(path)
        assert "the scan" in str(caught.value) or path == tmp_path
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "line 1: "),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ('{"a": 1e999}', "1e999 is too large"),
        ('{"a": 1, "a": 2}', "'a' appears twice"),
        ("[" * 100_000, "nested deeper than 100"),
        ("[" * 101 + "]" * 101, "nested deeper than 100"),
        ('{"a": ' + "9" * 5000 + "}", "not the result"),
        ("\xff", "is not UTF-8"),
    ],
    ids=lambda text: text[:12],
)
def test_json_is_strict(tmp_path, text, words):
    path = tmp_path / "x.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(R2SError, match=words):
        files.read_json(path, limit=files.MIB, what="the result")


def test_what_is_written_is_read_again_and_nothing_lies_beside_it(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("old")
    files.write_json(path, {"a": float("nan"), "path": tmp_path, "b": [1, 2.5, "é"]})
    found = files.read_json(path, limit=1000, what="it")
    assert found == {"a": None, "path": str(tmp_path), "b": [1, 2.5, "é"]}
    assert list(tmp_path.iterdir()) == [path]


@posix
def test_a_link_is_replaced_never_followed(tmp_path):
    precious, link = tmp_path / "precious", tmp_path / "link"
    precious.write_text("mine")
    link.symlink_to(precious)
    files.write_text(link, "new")
    assert (precious.read_text(), link.read_text(), link.is_symlink()) == ("mine", "new", False)


@posix
def test_only_files_are_replaced(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", "/dev/null"):
        with pytest.raises(R2SError, match=", where a file is to be written"):
            files.write_text(path, "x")
    assert [path.name for path in tmp_path.iterdir()] == ["fifo"]


def test_a_full_disk_leaves_the_old_file_and_names_it(tmp_path, monkeypatch):
    path = tmp_path / "x"
    path.write_text("old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space") as caught:
        files.write_text(path, "new")
    assert caught.value.filename == str(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    def interrupted():
        with files.replacing(tmp_path / "x") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError) as caught:
        files.write_text(tmp_path / "none" / "x", "new")
    assert caught.value.filename == str(tmp_path / "none" / "x")


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "C:\\x", "..\\x", "", "a\0", "out/x"])
def test_a_path_is_confined_to_its_folder(tmp_path, name):
    folder = tmp_path / "run"
    folder.mkdir()
    if hasattr(os, "symlink"):
        (folder / "out").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match=r"hooks\.csv\.file is .*not within"):
        files.confined(folder, name, what="hooks.csv.file", error=ConfigError)
    assert files.confined(folder, "a/b.csv", what="x") == folder / "a" / "b.csv"


def test_it_imports_where_posix_is_missing(tmp_path):
    """As on Windows: no fcntl, and none of the flags that only POSIX has."""
    code = (
        "import os, sys\n"
        "sys.modules['fcntl'] = None\n"
        "for name in ('O_NONBLOCK', 'O_NOFOLLOW', 'O_CLOEXEC', 'O_NOCTTY'): delattr(os, name)\n"
        "from r2s_core.system import files\n"
        f"files.write_text({str(tmp_path / 'x')!r}, 'x')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
