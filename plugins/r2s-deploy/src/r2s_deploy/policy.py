"""A bundle's policy, run by ONNX Runtime."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
import onnxruntime

from r2s_deploy import documents, graph
from r2s_deploy.bundle import POLICY, Bundle
from r2s_deploy.errors import BundleError

Array = np.ndarray
_LIMIT = 1024 * 2**20  # bytes of the file
_MEMORY = 2048 * 2**20  # bytes of all policies of this process, their weights included
_TYPES = {"float32": "tensor(float)", "uint8": "tensor(uint8)", "uint16": "tensor(uint16)"}


class Policy:
    """The function in `policy.onnx`; it has no state: past actions come in and go out."""

    def __init__(self, bundle: Bundle) -> None:
        """Raises `BundleError` where ONNX Runtime cannot run it, it is more than a feed-forward
        graph with its weights, or its inputs and outputs are not those of the contract."""
        self._where = str(bundle.path / POLICY)
        data = documents.read_bytes(bundle.path / POLICY, _LIMIT)
        # Before ONNX Runtime has it, which would read weights from any file that it names.
        graph.check(data, self._where)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        # Its own format, which it would recognise, is not the one that was checked.
        options.add_session_config_entry("session.load_model_format", "ONNX")
        # A small graph can ask for more memory than there is: a column and a row make a matrix.
        _bound_memory()
        options.add_session_config_entry("session.use_env_allocators", "1")
        try:
            session = onnxruntime.InferenceSession(
                data, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its own errors have no common base
            raise BundleError(
                f"{self._where} cannot be run by ONNX Runtime {onnxruntime.__version__}: "
                f"{documents.one_line(error)}"
            ) from error
        self._session, self._actions = session, len(bundle.actions)
        self._outputs = [x.name for x in session.get_outputs()]
        self._gives: dict[str, tuple[int, ...]] = {"action": (self._actions,)}
        if bundle.history:
            self._gives["next_past_actions"] = (bundle.history, self._actions)
        self._check(bundle)

    def _check(self, bundle: Bundle) -> None:
        wanted = {name: (shape, _TYPES[dtype]) for name, (shape, dtype) in bundle.inputs.items()}
        found = {x.name: (tuple(x.shape[1:]), x.type) for x in self._session.get_inputs()}
        if found != wanted:
            raise BundleError(f"{POLICY} reads {_cut(found)}, and the contract says {_cut(wanted)}")
        gives = {name: (shape, _TYPES["float32"]) for name, shape in self._gives.items()}
        made = {x.name: (tuple(x.shape[1:]), x.type) for x in self._session.get_outputs()}
        if made != gives:
            raise BundleError(f"{POLICY} gives {_cut(made)}, and the contract says {_cut(gives)}")

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs float32[B, ...] by name, for inputs [B, ...] by name.

        Raises `BundleError` where ONNX Runtime fails, or the outputs have other shapes than the
        graph says. What they are worth, whether they are finite among it, is not checked.
        """
        try:
            values = self._session.run(self._outputs, dict(inputs))
        except Exception as error:  # its own errors have no common base
            raise BundleError(
                f"{self._where} failed in ONNX Runtime {onnxruntime.__version__}: "
                f"{documents.one_line(error)}"
            ) from error
        made = {name: np.asarray(x) for name, x in zip(self._outputs, values, strict=True)}
        batch = len(next(iter(inputs.values())))
        for name, value in made.items():
            wanted = (batch, *self._gives[name])
            if value.shape != wanted or value.dtype != np.float32:
                raise BundleError(
                    f"{self._where} gives {name} as {value.dtype}{list(value.shape)}, not "
                    f"float32{list(wanted)} as it says"
                )
        return made


@functools.cache
def _bound_memory() -> None:
    """Once in a process: sessions that use the environment's allocator get `_MEMORY` in all."""
    arena = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    default = onnxruntime.OrtMemType.DEFAULT
    memory = onnxruntime.OrtMemoryInfo("Cpu", arena, 0, default)
    bounds = onnxruntime.OrtArenaCfg({"max_mem": _MEMORY})
    onnxruntime.create_and_register_allocator(memory, bounds)


def _cut(facts: Mapping[str, object]) -> str:
    """Names of a file from others, escaped, and no longer than a sentence."""
    shown = ascii(dict(facts))
    return shown if len(shown) <= 300 else f"{shown[:300]} ..."
