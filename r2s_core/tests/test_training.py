"""Where training starts again: from a checkpoint of this very run, checked field by field."""

import dataclasses
import json
import math

import numpy as np
import pytest

from r2s_core.config import load_config
from r2s_core.errors import PluginError
from r2s_core.record import checkpoint
from r2s_core.record.folder import learning_configuration
from r2s_core.record.history import History
from r2s_core.testing.environments import bandit
from r2s_core.training.loop import SavedTraining, _is_newer, start
from r2s_core.training.run import make_algorithm


class Still:
    """An algorithm that has two numbers to learn."""

    def init(self, key):
        return {"a": np.zeros(2)}


def put(folder, config, change=lambda meta: None):
    """A checkpoint as training saves it, its notes changed."""
    history = History()
    history.append({"step": 64.0, "episode/count": 3.0, "episode/success": math.nan})
    saved = SavedTraining(64, 1.5, 0.5, history.saved(), learning_configuration(config))
    meta = json.loads(json.dumps(dataclasses.asdict(saved)))
    change(meta)
    checkpoint.save(folder / "checkpoints", {"a": np.ones(2)}, meta, step=64)


def resumed(folder, config):
    return start(Still(), config, folder, True, lambda note: None)  # type: ignore[arg-type]


def test_it_goes_on_where_it_stood(tiny):
    config = load_config(tiny.write())
    put(tiny.folder, config)
    training = resumed(tiny.folder, config)
    assert (training.step, training.seconds, training.compile_s) == (64, 1.5, 0.5)
    np.testing.assert_array_equal(training.learner["a"], 1.0)
    assert training.history.episodes == 3
    assert math.isnan(training.history.rows[0]["episode/success"])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"seed": 7}, "is of another run: seed is 7 there and 0 here. Resume"),
        (
            {"algorithms": {"climb": {"sigma": 0.9}}},
            r"algorithms\.climb\.sigma is 0\.9 there and 0\.3 here",
        ),
        (
            {"seed": 7, "environment": {"objects": ["ball"]}},
            r"environment\.objects is \['ball'\] there and \['dot'\] here \(and seed\)",
        ),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_by_what_differs(tiny, other, message):
    """Though its shapes are the same."""
    put(tiny.folder, load_config(tiny.write(**other)))
    with pytest.raises(checkpoint.CheckpointError, match=message):
        resumed(tiny.folder, load_config(tiny.write()))


def test_an_option_that_did_not_exist_yet_does_not_end_a_run(tiny):
    config = load_config(tiny.write())
    put(tiny.folder, config, lambda meta: meta["configuration"].pop("algorithms.climb.sigma"))
    assert resumed(tiny.folder, config).step == 64
    # A whole section that was not there is another training.
    more = {"environment.rewards.new.use": "reach", "environment.rewards.new.weight": 1.0}
    kept = {**learning_configuration(config), **more}
    for key in more:
        assert not _is_newer(key, learning_configuration(config))
        assert _is_newer(f"{key}_2", kept)


def test_what_learns_nothing_else_may_differ(tiny):
    put(tiny.folder, load_config(tiny.write(name="other", training={"total_timesteps": 64})))
    assert resumed(tiny.folder, load_config(tiny.write())).step == 64


def test_every_confusion_of_types_in_the_notes_is_damage_in_one_sentence(tiny):
    config = load_config(tiny.write())
    places = [
        *(("step",), ("seconds",), ("compile_s",), ("history",), ("configuration",)),
        *(("history", name) for name in ("rows", "episodes", "diverged", "stride", "updates")),
        *(("history", "recent"), ("history", "rows", 0), ("history", "rows", 0, "step")),
        *(("history", "recent", 0), ("history", "recent", 0, 1)),
    ]
    refused = 0
    for place in places:
        for value in (None, True, "3", -1, 1.5, [None], [[1]], {"a": []}, 2**70, "removed"):

            def change(meta, place=place, value=value):
                for key in place[:-1]:
                    meta = meta[key]
                meta[place[-1]] = value
                if value == "removed":
                    del meta[place[-1]]

            put(tiny.folder, config, change)
            try:
                resumed(tiny.folder, config)
            except checkpoint.CheckpointError as error:
                refused, message = refused + 1, str(error)
                assert "\n" not in message, message
    # Not: a time or a count that is another number, or a part that may be left out.
    assert refused > 0.8 * 10 * len(places)


@pytest.mark.parametrize("steps", [0, -64, 1.5, True, None, "64"])
def test_an_algorithm_whose_updates_take_no_steps_is_refused(tiny, monkeypatch, steps):
    """It would train for ever."""
    import tiny_plugin  # type: ignore[import-not-found]

    class Endless:
        init = update = policy = export = None
        steps_per_update = steps

    monkeypatch.setattr(tiny_plugin, "Climb", lambda env, config: Endless())
    with pytest.raises(PluginError, match=r"'climb' \(tiny-task 1.2.3\): steps_per_update is"):
        make_algorithm(load_config(tiny.write()), bandit(2))
