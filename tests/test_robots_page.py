"""The snippets of docs/robots.md, run as they stand."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import yaml

from r2s_core import cli
from r2s_core.config import load_mapping
from r2s_core.registry import build_robot

_PAGE = (Path(__file__).parents[1] / "docs/robots.md").read_text()
_BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", _PAGE, flags=re.DOTALL | re.MULTILINE)


def _blocks(kind: str) -> list[str]:
    return [text for found, text in _BLOCKS if found == kind]


def test_every_snippet_is_of_a_kind_that_is_run_here():
    assert {kind for kind, _ in _BLOCKS} == {"yaml", "console", "python"}


def test_the_yaml_is_valid():
    for text in _blocks("yaml"):
        config = load_mapping(yaml.safe_load(text))
        assert config.environment.options.robot == "ur5e_2f85"


def test_the_python_runs_in_order(tmp_path, monkeypatch, recwarn, capfd):
    spec = build_robot("panda").spec()
    spec.option.timestep = 0.012  # unlike the default, of which MuJoCo would warn
    spec.compile()
    (tmp_path / "my_arm.xml").write_text(spec.to_xml())
    monkeypatch.chdir(tmp_path)
    exec(compile("\n".join(_blocks("python")), "docs/robots.md", "exec"), {})
    assert not [warning for warning in recwarn if "Attach" in str(warning.message)]
    assert "WARNING" not in "".join(capfd.readouterr())


def test_the_commands_do_what_they_say(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for text in _blocks("console"):
        for line in text.splitlines():
            command = shlex.split(line.removeprefix("$ "))
            assert command[0] == "r2s"
            assert cli.main(command[1:]) == 0, line
    said = capsys.readouterr().out
    assert "Universal Robots UR5e, 6 joints" in said
    assert (tmp_path / "ur5e.xml").is_file()
    certificate = tmp_path / "outputs/reconstructed_objects/soap/certificate.json"
    assert '"gripper": "Robotiq 2F-85"' in certificate.read_text()
    assert (tmp_path / "r2s-robots-my-arm/tests/test_my_arm.py").is_file()
