"""The page on policies that see: its YAML is valid, and its cameras can be built."""

import re
from pathlib import Path

import pytest
import yaml

from r2s_core.config import load_mapping
from r2s_core.env.build import make_environment

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


SEGMENTS = "wrist_segmentation"


def test_every_file_that_the_page_names_is_there():
    for target in re.findall(r"\]\((\.\./\S+?|\w+\.md)\)", PAGE.read_text()):
        assert (PAGE.parent / target).is_file(), target
