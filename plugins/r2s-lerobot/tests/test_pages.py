"""The commands, configurations and code of README and docs/demonstrations.md do what they say."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from r2s_core import cli
from r2s_core.config import load_mapping

PACKAGE = Path(__file__).parents[1]
PAGES = (PACKAGE / "README.md", PACKAGE.parents[1] / "docs/demonstrations.md")
BLOCKS = [
    (kind, block)
    for page in PAGES
    for kind, block in re.findall(
        r"^```(\w+)\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE
    )
]
COMMANDS = [
    shlex.split(line[2:], comments=True)
    for kind, block in BLOCKS
    if kind == "console"
    for line in block.splitlines()
    if line.startswith("$ r2s ")
]
SMALL = ["environment.num_parallel_envs=8", "environment.observations=[pose, joints]"]
#: What a command is given beside what the page says, so that it takes seconds.
SHORTER = {
    "record": SMALL,
    "info": [],
    "replay": ["--episodes", "1"],
    "run": [
        *SMALL,
        "training.total_timesteps=64",
        "algorithms={bc: {num_batches: 1, hidden_sizes: [8]}}",
        "evaluation.episodes=0",
    ],
}


def test_every_snippet_is_of_a_kind_that_is_tested_here():
    assert {kind for kind, _ in BLOCKS} == {"console", "yaml", "python"}


def test_the_commands_and_the_code_do_what_they_say(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    done = set()
    for command in COMMANDS:
        verb = command[2] if command[1] == "demo" else command[1]
        line = [re.sub(r"^(200|400|1000)$", "4", word) for word in command[1:]]
        if tuple(line) in done:
            continue
        done.add(tuple(line))
        assert cli.main([*line, *SHORTER[verb]]) == 0, (command, capsys.readouterr().err)
    for kind, block in BLOCKS:
        if kind == "python":
            exec(compile(block, "README.md", "exec"), {})
    assert capsys.readouterr().out


@pytest.mark.parametrize("block", [block for kind, block in BLOCKS if kind == "yaml"])
def test_a_configuration_is_valid(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    load_mapping(yaml.safe_load(block))
