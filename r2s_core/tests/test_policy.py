"""A saved policy acts as the JAX policy did, needs no JAX, and refuses files that do not fit."""

import dataclasses
import json
import os
import subprocess
import sys
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from r2s_core.policy.contract import sealed, text_of
from r2s_core.policy.network import ACTIVATIONS, scale_action, squash
from r2s_core.policy.saved import PolicyError, load_policy, save_policy
from r2s_core.types import ArraySpec, EnvSpec, PolicyExport

LOW = np.asarray([-0.1, -0.1, 0.0], np.float32)
HIGH = np.asarray([0.1, 0.1, 0.04], np.float32)
NAMES = ("x", "y", "z", "vx", "vy", "vz", "grip")


def spec(action_names=()):
    return EnvSpec(
        num_worlds=4,
        observations={"policy": ArraySpec((7,), names=NAMES)},
        action_low=LOW,
        action_high=HIGH,
        max_episode_steps=60,
        control_dt=0.048,
        traceable=True,
        action_names=action_names,
    )


def trained(activation: str = "elu", output: Any = "clip", seed: int = 0):
    """A network with an output that saturates now and then, and its export."""
    rng = np.random.default_rng(seed)
    layers = tuple(
        (rng.normal(0.0, scale / n**0.5, (n, m)).astype(np.float32), np.full(m, 0.1, np.float32))
        for n, m, scale in ((7, 32, 1.0), (32, 16, 1.0), (16, 3, 2.0))
    )
    mean = rng.normal(size=7).astype(np.float32)
    std = rng.uniform(0.5, 3, size=7).astype(np.float32)

    def act(obs):
        x = jnp.clip((obs - mean) / std, -5.0, 5.0)
        for kernel, bias in layers[:-1]:
            x = ACTIVATIONS[activation](x @ kernel + bias)
        kernel, bias = layers[-1]
        return scale_action(squash(x @ kernel + bias, output), jnp.asarray(LOW), jnp.asarray(HIGH))

    return act, PolicyExport.mlp(layers, activation, mean, std, 5.0, output)


@pytest.fixture
def saved(tmp_path):
    _, export = trained()
    return save_policy(tmp_path / "policy", export, spec(), task="reach")


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize("output", ["clip", "tanh"])
def test_acts_as_the_jax_policy_did(tmp_path, activation, output):
    act, export = trained(activation, output)
    policy = load_policy(save_policy(tmp_path, export, spec(), task="reach"))
    obs = np.random.default_rng(1).normal(scale=4, size=(2, 500, 7)).astype(np.float32)

    actions = policy(obs)

    assert actions.dtype == np.float32
    assert actions.shape == (2, 500, 3)
    np.testing.assert_allclose(actions, act(obs), atol=1e-5)
    assert np.ptp(actions, axis=(0, 1)).min() > 0.01  # not a constant compared with itself
    np.testing.assert_allclose(policy(obs[0, 0]), actions[0, 0], atol=1e-6)


def test_it_says_what_it_reads_and_gives(saved):
    spec = load_policy(saved).spec
    assert (spec.task, spec.control_rate_hz, spec.max_episode_steps) == ("reach", 20.833333, 60)
    assert spec.observations == {"policy": ArraySpec((7,), "float32", NAMES)}
    assert spec.action_names == ("action_0", "action_1", "action_2")
    np.testing.assert_allclose((spec.action_low, spec.action_high), (LOW, HIGH))
    assert "radians" in spec.units


def test_it_reads_its_group_of_a_mapping_and_refuses_what_is_no_number(saved):
    policy, obs = load_policy(saved), np.arange(14, dtype=np.float64).reshape(2, 7)
    np.testing.assert_array_equal(policy({"critic": obs[:, :2], "policy": obs}), policy(obs))
    with pytest.raises(
        PolicyError, match=r"reads the observation group 'policy', but the given ones are: .*cri"
    ):
        policy({"critic": obs})
    obs[1, 4] = np.nan
    with pytest.raises(PolicyError, match=r"Observation 4 \(vy\) is not a number"):
        policy(obs)


@pytest.mark.parametrize(
    "odd",
    ["abc", [[1.0], [1.0, 2.0]], {1, 2}, [2**2000] * 7, np.zeros(7, complex), np.array(["1"] * 7)],
    ids=["text", "ragged", "set", "huge", "complex", "texts"],
)
def test_what_is_no_array_of_numbers_is_refused(saved, odd):
    with pytest.raises(PolicyError, match="reads 'policy' as an array of numbers, got"):
        load_policy(saved)(odd)


@pytest.mark.parametrize(
    ("source", "told"), [(None, "from a folder, not from NoneType"), ("x" * 400, "name too long")]
)
def test_what_cannot_be_a_folder_is_refused(source, told):
    with pytest.raises(PolicyError, match=told):
        load_policy(source)


def test_extreme_observations_stay_within_the_limits(tmp_path):
    for activation in ACTIVATIONS:
        _, export = trained(activation, "tanh")
        policy = load_policy(save_policy(tmp_path / activation, export, spec(), task="reach"))
        with np.errstate(all="raise", under="ignore"):
            actions = policy(np.asarray([[1e30] * 7, [-1e30] * 7]))
        assert (actions >= LOW - 1e-7).all()
        assert (actions <= HIGH + 1e-7).all()


def test_the_contract_says_what_a_robot_needs(saved):
    contract = json.loads((saved / "policy.json").read_text())
    assert contract["observations"]["policy"]["names"] == list(NAMES)
    kinds = [layer["kind"] for layer in contract["network"]]
    assert kinds == ["normalise", *["dense", "activation"] * 2, "dense", "squash", "scale"]
    assert contract["action"]["low"] == LOW.tolist()
    assert contract["action"]["names"] == ["action_0", "action_1", "action_2"]
    assert contract["control_rate_hz"] == pytest.approx(1 / 0.048, abs=1e-5)
    assert contract["task"] == "reach"
    assert "radians" in contract["units"]


def test_the_contract_names_what_the_environment_names(tmp_path):
    _, export = trained()
    folder = save_policy(tmp_path, export, spec(("x", "y", "grip")), task="reach")
    assert load_policy(folder).contract["action"]["names"] == ["x", "y", "grip"]
    with pytest.raises(PolicyError, match="names"):
        save_policy(tmp_path, export, spec(("x", "y")), task="reach")


def test_loading_needs_no_jax(saved):
    code = (
        "import sys; from r2s_core.policy.saved import load_policy; import numpy as np;"
        f"load_policy({str(saved)!r})(np.zeros(7)); print('jax' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_a_run_folder_is_enough(saved):
    assert load_policy(saved.parent).action_size == 3


def test_wrong_observation_size_is_named(saved):
    with pytest.raises(PolicyError, match=r"reads 'policy' as float32\[7\], got .*\[2, 6\]"):
        load_policy(saved)(np.zeros((2, 6)))


@pytest.mark.parametrize("keep", [0, 10, 0.5, -1])
def test_truncated_weights(saved, keep):
    path = saved / "weights.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(PolicyError, match=r"weights\.safetensors.*truncated"):
        load_policy(saved)


def test_weights_of_another_policy(saved, tmp_path):
    _, other = trained(seed=5)
    save_policy(tmp_path / "other", other, spec(), task="reach")
    (tmp_path / "other" / "weights.safetensors").replace(saved / "weights.safetensors")
    with pytest.raises(PolicyError, match="another policy"):
        load_policy(saved)


def step(contract, name):
    return next(layer for layer in contract["network"] if layer["name"] == name)


def edit(saved, change):
    """Change the contract and put a new digest under it, as someone who means to would."""
    path = saved / "policy.json"
    contract = json.loads(path.read_text())
    change(contract)
    path.write_text(text_of(sealed(contract)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: step(c, "active_0")["options"].update(function="__import__"), "__import__"),
        (lambda c: step(c, "squashed")["options"].update(function="softmax"), "softmax"),
        (lambda c: step(c, "squashed")["options"].update(function=[1]), r"function is \[1\]"),
        (lambda c: step(c, "dense_1").update(kind="lambda"), "has the kind 'lambda'; known: nor"),
        (
            lambda c: step(c, "dense_1").update(inputs=["dense_2"]),
            "reads dense_2, which no earlier",
        ),
        (lambda c: step(c, "dense_1").update(inputs=[]), "reads 0 inputs"),
        (lambda c: step(c, "dense_1").update(name="policy"), "tensor dense_1.bias is unknown"),
        (lambda c: step(c, "active_1").update(name="policy"), "the name policy is used twice"),
        (lambda c: step(c, "normalised")["options"].pop("clip"), "normalised has the options none"),
        (lambda c: c["network"].pop(), "tensor action.high is unknown"),
        (lambda c: c["network"].append(c["network"][3]), "the name dense_1 is used twice"),
        (lambda c: c["observations"]["policy"].update(shape=[6]), "7 names for 6"),
        (lambda c: c["observations"].update(more=c["observations"]["policy"]), "no layer reads"),
        (lambda c: c["tensors"].update({"dense_0.bias": [31]}), r"bias has shape \[31\], not"),
        (lambda c: c["tensors"].update({"dense_0.bias": [-1]}), "dense_0"),
        (lambda c: c["tensors"].update({"dense_0.kernel": [7, 10**9]}), "dense_0"),
        (lambda c: c["tensors"].update({"dense_0.more": [1]}), "dense_0 has the tensors"),
        (lambda c: c.pop("action"), "action: is missing"),
        (lambda c: c.update(format="r2s-policy/9"), "r2s-policy/9"),
        (lambda c: c.update(format="r2s-policy/2"), "saved by an earlier r2s.*train"),
        (lambda c: c.update(control_rate_hz=0), "control_rate_hz: must be above 0"),
        (lambda c: c["action"].update(low=[-9.0] * 3), "action.low is not what policy.json says"),
        (
            lambda c: c["action"].update(low=[0.1, 0.2, 0.3]),
            "low of action_1 is 0.2, not below its high, 0.1",
        ),
        (lambda c: c["observations"]["policy"].pop("dtype"), "policy.dtype: is missing"),
    ],
)
def test_a_contract_that_does_not_fit_is_refused_by_name(saved, change, message):
    edit(saved, change)
    with pytest.raises(PolicyError, match=message):
        load_policy(saved)


def test_a_name_as_long_as_a_book_is_not_told_in_full(saved):
    edit(saved, lambda c: step(c, "dense_1").update(inputs=["x" * 100_000]))
    with pytest.raises(PolicyError, match="dense_1 reads xxx") as caught:
        load_policy(saved)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "\x00", '{"format": Infinity}', "[" * 9999]
)
def test_a_contract_that_is_no_json_object(saved, text):
    (saved / "policy.json").write_text(text)
    with pytest.raises(PolicyError, match=r"policy\.json"):
        load_policy(saved)


def test_no_policy_yet(tmp_path):
    with pytest.raises(PolicyError, match="has no policy"):
        load_policy(tmp_path)


def test_an_export_that_does_not_fit_the_environment_is_refused(tmp_path):
    for groups, message in (
        ({"policy": ArraySpec((6,))}, r"normalised \(normalise\): mean has shape \[7\], not \[6\]"),
        ({"critic": ArraySpec((7,))}, "normalised reads policy, which no earlier layer outputs"),
    ):
        other = dataclasses.replace(spec(), observations=groups)
        with pytest.raises(PolicyError, match=message):
            save_policy(tmp_path, trained()[1], other, task="reach")


def test_a_policy_that_is_not_finite_is_refused(tmp_path):
    bad = changed(trained()[1], "dense_2", lambda kernel: kernel * np.nan)
    with pytest.raises(PolicyError, match=r"dense_2\.kernel holds numbers that are not finite"):
        save_policy(tmp_path, bad, spec(), task="reach")
    assert not list(tmp_path.iterdir())


def test_weights_that_overflow_are_refused(tmp_path):
    """All of them finite, and what they make of any observation is not."""
    bad = changed(trained()[1], "dense_", lambda kernel: np.full_like(kernel, 3e38))
    with pytest.raises(PolicyError, match="so large that its actions may not be finite"):
        save_policy(tmp_path, bad, spec(), task="reach")
    fine = changed(trained()[1], "dense_", lambda kernel: 1e3 * kernel)
    save_policy(tmp_path, fine, spec(), task="reach")


def changed(export, name, change):
    """The export with other kernels in the layers of this name."""
    return PolicyExport(
        tuple(
            dataclasses.replace(
                layer, tensors={**layer.tensors, "kernel": change(layer.tensors["kernel"])}
            )
            if layer.name.startswith(name)
            else layer
            for layer in export.layers
        )
    )


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("units",), "inches"),
        (("max_episode_steps",), 10**18),
        (("action", "scaling"), "y"),
    ],
)
def test_a_contract_that_says_what_no_policy_is_is_refused(tmp_path, place, value):
    _, export = trained()
    folder = save_policy(tmp_path / "policy", export, spec(), task="reach")
    contract = json.loads((folder / "policy.json").read_text())
    *way, last = place
    inner = contract
    for key in way:
        inner = inner[key]
    inner[last] = value
    text = text_of(sealed({**contract, "sha256": ""}))
    (folder / "policy.json").write_text(text)
    with pytest.raises(PolicyError, match=last):
        load_policy(folder)


def refusal(folder):
    """Why the policy cannot be loaded, in one sentence; None where it can."""
    try:
        policy = load_policy(folder)
    except PolicyError as error:
        message = str(error)
    else:
        assert np.isfinite(policy(np.zeros(policy.observations["policy"].shape))).all()
        return None
    assert str(folder) in message
    assert "\n" not in message
    return message


def test_every_single_bit_flip_in_either_file_is_refused(tmp_path):
    network = ((np.ones((2, 1), np.float32) * 1e-6, np.ones(1, np.float32)),)
    export = PolicyExport.mlp(network, "elu", np.zeros(2), np.ones(2), 5.0, "clip")
    tiny = EnvSpec(1, {"policy": ArraySpec((2,))}, np.full(1, -1e-7), np.ones(1), 9, 0.05, True)
    folder = save_policy(tmp_path, export, tiny, task="t", provenance={"config_sha256": "e1"})
    rng, accepted = np.random.default_rng(0), []
    for name in ("policy.json", "weights.safetensors"):
        data = (folder / name).read_bytes()
        with (folder / name).open("r+b", buffering=0) as file:  # in place: truncating takes longer
            for bit in rng.integers(8 * len(data), size=1500):
                byte = int(bit) // 8
                os.pwrite(file.fileno(), bytes([data[byte] ^ 1 << int(bit) % 8]), byte)
                if refusal(folder) is None:
                    accepted.append((name, bit))
                os.pwrite(file.fileno(), data[byte : byte + 1], byte)
    assert load_policy(folder)([0.0, 0.0]).shape == (1,)
    assert accepted == []


def test_a_text_that_says_the_same_in_other_words_is_not_the_one_that_was_saved(saved):
    path = saved / "policy.json"
    path.write_text(path.read_text().replace(": 5.0", ": 5.0e0"))
    with pytest.raises(PolicyError, match="not as it was saved"):
        load_policy(saved)


def places(tree, path=()):
    """Every key of a JSON tree, as a path."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def test_every_confusion_of_types_under_a_right_digest_ends_in_one_sentence(saved):
    """What is accepted describes the policy; what is computed with is what was saved."""
    path = saved / "policy.json"
    whole = json.loads(path.read_text())
    accepted = set()
    for place in places(whole):
        for value in (None, True, "3", 3, -1, 1.5, [], [1], {}, {"a": 1}, "x" * 9, 2**70):
            contract = json.loads(json.dumps(whole))
            parent = contract
            for key in place[:-1]:
                parent = parent[key]
            if parent[place[-1]] == value or place == ("sha256",):
                continue
            parent[place[-1]] = value
            path.write_text(text_of(sealed(contract)))
            if refusal(saved) is None:
                accepted.add(".".join("*" if isinstance(x, int) else x for x in place[:4]))
    assert accepted == {
        "task",
        "control_rate_hz",
        "max_episode_steps",
        "provenance",
        "observations.policy.names.*",
        "network.*.options.clip",
        "action.names.*",
    }
