"""docs/extending.md: what it shows works as it stands."""

import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r2s_core import registry
from r2s_core import testing as kit
from r2s_core.config import load_mapping
from r2s_core.env.build import make_environment
from r2s_core.evaluation.episodes import run_episodes, summarise
from r2s_core.plugin import GROUPS
from r2s_core.policy.network import as_jax
from r2s_core.policy.saved import PolicyError, as_saved

PAGE = (Path(__file__).parents[2] / "docs/extending.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(?:# (\w+\.py)\n)?(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def package(install, monkeypatch):
    """The page's package, installed."""
    modules = {name.removesuffix(".py"): code for kind, name, code in BLOCKS if kind == "python"}
    points = {}
    (toml,) = (code for kind, _, code in BLOCKS if kind == "toml")
    for group, name, where in re.findall(r'entry-points."([\w.]+)"\]\n(\w+) = "([\w:]+)"', toml):
        points[group] = {name: where}
    install("seen-cart", points, modules)
    yield
    for name in modules:
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("package")
def test_its_task_keeps_the_contract_and_is_reported_in_its_own_words():
    chosen = {"use": "seen_cart", "num_parallel_envs": 8, "tolerance": 0.03}
    config = load_mapping({"environment": chosen})
    assert config.environment.options.tolerance == 0.03
    kit.check_environment(registry.build("environment", "seen_cart", config.environment.options))
    env = make_environment(config, training=True)
    assert str(env.spec.observations["camera"].dtype) == "uint8"
    policy = jax.tree_util.Partial(lambda obs, key: jnp.zeros((8, 1)))
    result = summarise(run_episodes(env, policy, jax.random.key(0), 2), env.spec.task)
    assert list(result["stage_rates"]) == ["near"]
    assert set(result["failures"]) <= {"not near", "near, time ran out", "near, terminated"}


@pytest.mark.usefixtures("package")
def test_its_policy_is_saved_and_acts():
    import export  # type: ignore[import-not-found]  # of the page

    config = load_mapping({"environment": {"use": "seen_cart", "num_parallel_envs": 3}})
    env = make_environment(config, training=True)
    made = export.export(np.ones((2, 3, 2, 5)), np.zeros(5))
    with pytest.raises(PolicyError, match=r"raw \(dense\): kernel has shape"):  # 2 rows, not 1
        as_saved(made, env.spec, task="seen_cart")
    made = export.export(np.ones((4, 3, 2, 5)), np.zeros(5))
    policy = as_jax(as_saved(made, env.spec, task="seen_cart"), env, "seen_cart")
    assert policy(env.reset(jax.random.key(0))[1], jax.random.key(0)).shape == (3, 1)


def test_its_table_names_every_kind_and_only_what_there_is():
    rows = [line.split("|")[1:-1] for line in PAGE.splitlines() if line.startswith("| ")][1:]
    table = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}
    assert table.keys() == GROUPS.keys()
    groups: dict[str, str] = {str(kind): group for kind, group in GROUPS.items()}
    for kind, (_, group, _, checks) in table.items():
        assert group == f"`{groups[kind]}`"
        for check in re.findall(r"`(\w+)`", checks):
            assert callable(getattr(kit, check))
