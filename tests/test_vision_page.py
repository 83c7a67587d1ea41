"""The page on policies that see: its YAML is valid, and its cameras can be built."""

import re
import struct
from pathlib import Path

import pytest
import yaml

from r2s_core.cli import main
from r2s_core.config import load_mapping
from r2s_core.env.build import make_environment

SEGMENTS = "wrist_segmentation"
PAGE = Path(__file__).parents[1] / "docs/vision.md"
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("block", BLOCKS)
def test_a_snippet_of_the_page_is_an_environment(block):
    config = load_mapping(
        yaml.safe_load(block), ["environment.renderer=rays", "environment.objects=[sample:duck]"]
    )
    spec = make_environment(config, 2, training=False).spec
    images = [name for name, group in spec.observations.items() if group.is_image]
    assert images == [*spec.cameras] or images == ["front", "wrist", "wrist_depth", SEGMENTS]
    assert spec.policy_groups == ("policy", *images)


def test_the_python_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    short = ["environment.num_parallel_envs=8", "training.total_timesteps=128"]
    quick = ["algorithms.bc.num_batches=1", "evaluation.episodes=0", "environment.renderer=rays"]
    assert main(["run", "vision", *short, *quick]) == 0
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE)
    capsys.readouterr()
    exec(compile(code, str(PAGE), "exec"), {})
    assert "(4, 32, 32, 3)" in capsys.readouterr().out


def test_what_cameras_see_is_drawn(tmp_path, capsys):
    image = tmp_path / "cameras.png"
    assert main(["cameras", "vision", "environment.renderer=rays", "-o", str(image)]) == 0
    assert "carried by grip" in capsys.readouterr().out
    width, height = struct.unpack(">II", image.read_bytes()[16:24])
    assert (width, height) == (4 * (256 + 6) + 6, 2 * (20 + 256 + 6))


def test_without_cameras_there_is_nothing_to_draw(tmp_path, capsys):
    image = tmp_path / "cameras.png"
    assert main(["cameras", "quickstart", "-o", str(image)]) == 2
    assert "set environment.vision_enabled=true" in capsys.readouterr().err
    assert not image.exists()


def test_every_file_that_the_page_names_is_there():
    for target in re.findall(r"\]\((\.\./\S+?|\w+\.md)\)", PAGE.read_text()):
        assert (PAGE.parent / target).is_file(), target
