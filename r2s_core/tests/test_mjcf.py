"""A model from a file joins a scene under its own names, and without a word."""

import mujoco
import pytest

from r2s_core.mjcf import attach

ARM = """
<mujoco>
  <option timestep="0.012" cone="elliptic"/>
  <worldbody><body name="link1"><joint name="joint1"/><geom size="0.1"/></body></worldbody>
  <actuator><position name="joint1" joint="joint1" kp="5"/></actuator>
</mujoco>
"""


@pytest.mark.filterwarnings("error")
def test_a_model_is_attached_under_its_own_names_and_silently(capfd):
    spec = mujoco.MjSpec()
    spec.option.timestep = 0.004
    spec.worldbody.add_body(name="table")
    attach(spec, mujoco.MjSpec.from_string(ARM))
    model = spec.compile()
    assert model.actuator("joint1").trnid[0] == model.joint("joint1").id
    assert model.body("table").id > 0
    assert model.opt.timestep == 0.004
    assert "".join(capfd.readouterr()) == ""
