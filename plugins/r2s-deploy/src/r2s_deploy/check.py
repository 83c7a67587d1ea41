"""Whether a bundle is whole, and computes here what it computed where it was written."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime

from r2s_deploy import documents
from r2s_deploy.bundle import CERTIFICATE, EXAMPLES, FILES, Bundle, load
from r2s_deploy.errors import BundleError
from r2s_deploy.policy import Policy

_LIMIT = 256 * 2**20
_ACTION = "action"


def check(path: Path | str) -> Iterator[str]:
    """Yield a line for each thing that is as it should be; raises `BundleError` for what is not."""
    bundle = load(path)
    yield f"{bundle.path}: contract.json and {len(FILES)} files are as they were written"
    yield (
        f"reads {len(bundle.numbers)} numbers and {len(bundle.images)} images, gives "
        f"{len(bundle.actions)} numbers, {bundle.rate:g} times a second, by the law "
        f"{bundle.contract['control']['law']} of the {bundle.robot['title']}"
    )
    count, error, tolerance = compare(bundle)
    yield (
        f"ONNX Runtime {onnxruntime.__version__} gives the {count} recorded actions to within "
        f"{error:.1e} (allowed: {tolerance:g})"
    )
    for key, where in (("evaluated", "in training's simulation"), ("rehearsed", "in rehearsal")):
        if key in bundle.certificate:
            yield _success(documents.Fields(bundle.certificate, CERTIFICATE).fields(key), where)
    if bundle.privileged:
        yield f"reads what no robot measures: {', '.join(bundle.privileged)}"


def _success(fields: documents.Fields, where: str) -> str:
    low, high = fields.numbers("success_ci95", 2)
    return (
        f"{where} {100 * fields.number('success'):.1f} % of {fields.whole('episodes', least=1)} "
        f"episodes succeeded (95 % interval {100 * low:.1f} to {100 * high:.1f} %)"
    )


def compare(bundle: Bundle) -> tuple[int, float, float]:
    """How many recorded actions there are, the largest difference from those computed here, and
    what is allowed; raises `BundleError` where it is more."""
    examples, policy = read_examples(bundle), Policy(bundle)
    recorded = examples.pop(_ACTION)
    found = policy(examples)[_ACTION]
    error, tolerance = float(np.abs(found - recorded).max()), _tolerance(bundle)
    if not error <= tolerance:
        raise BundleError(
            f"{bundle.path}: its policy gives other actions here than where it was written: they "
            f"differ by {error:.2g}, more than {tolerance:g}; use another version of ONNX Runtime"
        )
    return len(recorded), error, tolerance


def read_examples(bundle: Bundle) -> dict[str, np.ndarray]:
    """The recorded inputs and actions, [N, *shape] by name."""
    data = documents.read_bytes(bundle.path / EXAMPLES, _LIMIT)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _LIMIT:
                raise BundleError(f"{EXAMPLES} unpacks to more than {_LIMIT:,} bytes")
        found = dict(np.load(io.BytesIO(data), allow_pickle=False))
    except (ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise BundleError(f"{bundle.path / EXAMPLES} cannot be read: {error}") from error
    wanted = {name: shape for name, (shape, _) in bundle.inputs.items()}
    wanted[_ACTION] = (len(bundle.actions),)
    shapes = {name: x.shape[1:] for name, x in found.items()}
    lengths = {len(x) for x in found.values() if x.ndim}
    if shapes != wanted or len(lengths) != 1 or lengths == {0}:
        raise BundleError(f"{EXAMPLES} has {shapes}, and the contract says {wanted}")
    return found


def _tolerance(bundle: Bundle) -> float:
    parity = documents.Fields(bundle.certificate, CERTIFICATE).fields("parity")
    return parity.number("tolerance", above=0.0, most=1e-3)
