"""Whether a bundle is whole, and computes here what it computed where it was written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime

from r2s_deploy import documents, examples
from r2s_deploy.bundle import CERTIFICATE, FILES, Bundle, load
from r2s_deploy.errors import BundleError
from r2s_deploy.policy import Policy


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
    low, high = fields.numbers_within("success_ci95", 0.0, 1.0, 2)
    success = fields.number("success", least=0.0, most=1.0)
    episodes = fields.whole("episodes", least=1)
    return (
        f"{where} {100 * success:.1f} % of {episodes} episodes succeeded "
        f"(95 % interval {100 * low:.1f} to {100 * high:.1f} %)"
    )


def compare(bundle: Bundle) -> tuple[int, float, float]:
    """How many recorded actions there are, the largest difference from those computed here, and
    what is allowed; raises `BundleError` where it is more."""
    recorded, policy = examples.read(bundle), Policy(bundle)
    actions = recorded.pop(examples.ACTION)
    # A robot has one observation at a time, of which the file's batch says nothing.
    alone = policy({name: x[:1] for name, x in recorded.items()})
    made = policy(recorded)
    for name, values in [*made.items(), *alone.items()]:
        if not np.isfinite(values).all():
            raise BundleError(
                f"{bundle.path}: its policy's {name} has numbers that are not finite for the "
                "recorded inputs; no robot can follow them, so export another policy"
            )
    found, first = made[examples.ACTION], alone[examples.ACTION]
    error = max(float(np.abs(found - actions).max()), float(np.abs(first - actions[:1]).max()))
    tolerance = _tolerance(bundle)
    if not error <= tolerance:
        raise BundleError(
            f"{bundle.path}: its policy gives other actions here than where it was written: they "
            f"differ by {error:.2g}, more than {tolerance:g}; use another version of ONNX Runtime"
        )
    return len(actions), error, tolerance


def _tolerance(bundle: Bundle) -> float:
    parity = documents.Fields(bundle.certificate, CERTIFICATE).fields("parity")
    return parity.number("tolerance", above=0.0, most=1e-3)
