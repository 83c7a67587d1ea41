"""A bundle's policy, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnxruntime

from r2s_deploy import documents
from r2s_deploy.bundle import POLICY, Bundle
from r2s_deploy.errors import BundleError

Array = np.ndarray
_LIMIT = 1024 * 2**20
_TYPES = {"float32": "tensor(float)", "uint8": "tensor(uint8)", "uint16": "tensor(uint16)"}


class Policy:
    """The function in `policy.onnx`; it has no state: past actions come in and go out."""

    def __init__(self, bundle: Bundle) -> None:
        """Raises `BundleError` where ONNX Runtime cannot run it, or its inputs and outputs are not
        those of the contract."""
        data = documents.read_bytes(bundle.path / POLICY, _LIMIT)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            # From bytes, so that it cannot refer to other files.
            session = onnxruntime.InferenceSession(
                data, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its own errors have no common base
            raise BundleError(
                f"{bundle.path / POLICY} cannot be run by ONNX Runtime {onnxruntime.__version__}: "
                f"{str(error).splitlines()[0][:200]}"
            ) from error
        self._session, self._size = session, len(bundle.actions)
        self._outputs = [x.name for x in session.get_outputs()]
        self._check(bundle)

    def _check(self, bundle: Bundle) -> None:
        wanted = {name: (shape, _TYPES[dtype]) for name, (shape, dtype) in bundle.inputs.items()}
        found = {x.name: (tuple(x.shape[1:]), x.type) for x in self._session.get_inputs()}
        if found != wanted:
            raise BundleError(f"{POLICY} reads {found}, and the contract says {wanted}")
        gives: dict[str, tuple[int, ...]] = {"action": (self._size,)}
        if bundle.history:
            gives["next_past_actions"] = (bundle.history, self._size)
        made = {x.name: tuple(x.shape[1:]) for x in self._session.get_outputs()}
        if made != gives:
            raise BundleError(f"{POLICY} gives {made}, and the contract says {gives}")

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs [B, ...] by name, for inputs [B, ...] by name."""
        values = self._session.run(self._outputs, dict(inputs))
        return {name: np.asarray(x) for name, x in zip(self._outputs, values, strict=True)}
