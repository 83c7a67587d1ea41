"""The model constants derived from masses and inertias, for backends that do not recompute them.

What `mj_setConst` computes in C, as a pure function of one world's fields: MJX and MuJoCo Warp read
these constants from the model, and would keep using those of the masses it was compiled with.

In float64, as in MuJoCo: an arm's inverse inertia would lose one of float32's seven digits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from r2s_core import rotation
from r2s_core.errors import BackendError
from r2s_core.types import Array, Named

#: The model fields that the constants depend on, as far as randomizers vary them.
INPUTS = ("body_mass", "body_inertia", "body_ipos", "body_iquat", "dof_armature")


def derived_constants(model: mujoco.MjModel) -> Callable[[Named], Named]:
    """A function from one world's fields, of `INPUTS` or others, to the derived constants.

    They are body_subtreemass, dof_M0, dof_invweight0, body_invweight0, tendon_invweight0 and
    actuator_acc0, in the configuration `qpos0`; none where no input is among the fields.

    Raises:
      BackendError: when the function is given inputs of a model with flexes, whose constants it
        cannot derive.
    """
    reference = _Reference(model)

    def constants(fields: Named) -> Named:
        if not set(INPUTS) & set(fields):
            return {}
        if model.nflex:
            raise BackendError(
                "masses and inertias of a model with flexes can vary on the backend mujoco only"
            )
        with jax.enable_x64(True):
            known = {n: jnp.asarray(getattr(model, n)) for n in INPUTS}
            given = {n: jnp.asarray(fields[n], jnp.float64) for n in INPUTS if n in fields}
            found = reference.constants(known | given)
            return {name: value.astype(jnp.float32) for name, value in found.items()}

    return constants


class _Reference:
    """The part that does not depend on masses: the kinematics at `qpos0`."""

    def __init__(self, model: mujoco.MjModel) -> None:
        data = mujoco.MjData(model)
        mujoco.mj_fwdPosition(model, data)
        self._model = model
        self._rotation = data.xmat.reshape(-1, 3, 3)
        linear, angular = np.zeros((2, model.nbody, 3, model.nv))
        for body in range(model.nbody):
            mujoco.mj_jac(model, data, linear[body], angular[body], data.xpos[body], body)
        self._linear, self._angular = linear, angular
        self._tendon = _dense_tendons(model, data)
        self._moment = _dense_moment(model, data)
        self._under = _subtrees(model)
        self._static = np.asarray(model.body_weldid) == 0

    def constants(self, fields: Named) -> Named:
        """See `derived_constants`; fields has all of `INPUTS`, float64."""
        mass, model = fields["body_mass"], self._model
        lever = self._rotation @ fields["body_ipos"][:, :, None]
        angular = jnp.asarray(self._angular)
        # The velocity of the centre of mass is that of the origin, plus omega x lever.
        linear = self._linear + jnp.cross(angular, lever, axis=1)
        axes = self._rotation @ rotation.to_matrix(fields["body_iquat"])
        spin = jnp.swapaxes(axes, 1, 2) @ angular  # about the principal axes
        inertia = _sum(mass[:, None, None] * linear, linear)
        inertia += _sum(fields["body_inertia"][:, :, None] * spin, spin)
        inertia += jnp.diag(fields["dof_armature"])
        if model.ntendon:
            armature = model.tendon_armature
            inertia += (self._tendon.T * armature) @ self._tendon
        inverse = _inverse(inertia)
        body = jnp.stack([_mean_inverse(linear, inverse), _mean_inverse(angular, inverse)], axis=-1)
        outputs = {
            "body_subtreemass": self._under @ mass,
            "dof_M0": jnp.diag(inertia),
            "dof_invweight0": self._by_joint(jnp.diag(inverse)),
            "body_invweight0": jnp.where(self._static[:, None], 0.0, body),
            "actuator_acc0": jnp.linalg.norm(self._moment @ inverse, axis=1),
        }
        if model.ntendon:
            outputs["tendon_invweight0"] = jnp.sum((self._tendon @ inverse) * self._tendon, axis=1)
        return outputs

    def _by_joint(self, diagonal: Array) -> Array:
        """Averages: one over a free joint's translations, one over its or a ball's rotations."""
        groups = np.arange(self._model.nv)
        for kind, first in zip(self._model.jnt_type, self._model.jnt_dofadr, strict=True):
            if kind == mujoco.mjtJoint.mjJNT_FREE:
                groups[first : first + 6] = [first] * 3 + [first + 3] * 3
            elif kind == mujoco.mjtJoint.mjJNT_BALL:
                groups[first : first + 3] = first
        same = groups[:, None] == groups[None, :]
        return (same / same.sum(axis=1, keepdims=True)) @ diagonal


def _sum(a: Array, b: Any) -> Array:
    """Sum over bodies and axes: [nbody, 3, nv] x [nbody, 3, nv] -> [nv, nv]."""
    return a.reshape(-1, a.shape[-1]).T @ b.reshape(-1, b.shape[-1])


def _mean_inverse(jacobian: Any, inverse: Array) -> Array:
    """A third of the trace of J M^-1 J^T, by body: [nbody]."""
    return jnp.sum((jacobian @ inverse) * jacobian, axis=(1, 2)) / 3.0


def _inverse(inertia: Array) -> Array:
    """The inverse of a joint-space inertia."""
    root = jax.scipy.linalg.solve_triangular(
        jnp.linalg.cholesky(inertia), jnp.eye(len(inertia)), lower=True
    )
    return root.T @ root


def _subtrees(model: mujoco.MjModel) -> np.ndarray:
    """float64[nbody, nbody]: 1 where the second is in the first's subtree."""
    under = np.eye(model.nbody)
    for body in range(model.nbody - 1, 0, -1):
        under[model.body_parentid[body]] += under[body]
    return under


def _dense_moment(model: mujoco.MjModel, data: mujoco.MjData) -> np.ndarray:
    """float64[nu, nv]: generalised force by actuator force."""
    moment = np.zeros((model.nu, model.nv))
    mujoco.mju_sparse2dense(
        moment,
        data.actuator_moment.ravel(),
        data.moment_rownnz,
        data.moment_rowadr,
        data.moment_colind.ravel(),
    )
    return moment


def _dense_tendons(model: mujoco.MjModel, data: mujoco.MjData) -> np.ndarray:
    """float64[ntendon, nv]: lengthening by joint velocity."""
    dense = np.zeros((model.ntendon, model.nv))
    if model.ntendon:
        mujoco.mju_sparse2dense(
            dense, data.ten_J.ravel(), model.ten_J_rownnz, model.ten_J_rowadr, model.ten_J_colind
        )
    return dense
