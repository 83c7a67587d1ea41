"""Where in its images a policy looks: how its action depends on their pixels.

The gradient of the network's output, averaged over noisy copies of the images (SmoothGrad: Smilkov
et al. 2017, arXiv:1706.03825). It needs a saved policy alone, not the algorithm that trained it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from r2s_core.policy import graph
from r2s_core.policy.saved import SavedPolicy

_COPIES, _NOISE = 16, 0.05  # standard deviation as a share of an image's own range
_BLUR = 1 / 40  # standard deviation as a share of an image's longer side


def saliency(policy: SavedPolicy, read: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """By image that the policy reads, float32[N, H, W]: the change of the output per change of a
    pixel, the Euclidean norm over outputs and channels.

    read: N observations, [N, *shape] by group. The output is taken before it is brought into
    [-1, 1]: an action at its bound would depend on nothing.
    """
    images = [name for name, spec in policy.observations.items() if spec.is_image]
    *layers, squash, _ = policy.layers
    network = layers[: [layer.name for layer in layers].index(squash.inputs[0]) + 1]
    tensors = {name: jnp.asarray(x) for name, x in policy.tensors.items()}

    @jax.jit
    def of_one(seen: Mapping[str, Any], felt: Mapping[str, Any], key: Any) -> dict[str, Any]:
        def of_copy(key: Any) -> dict[str, Any]:
            keys = dict(zip(seen, jax.random.split(key, len(seen)), strict=True))
            noisy = {
                name: x + _NOISE * jnp.ptp(x) * jax.random.normal(keys[name], x.shape)
                for name, x in seen.items()
            }
            result, pull = jax.vjp(
                lambda images: graph.evaluate(network, tensors, {**felt, **images}, jnp), noisy
            )
            (slopes,) = jax.vmap(pull)(jnp.eye(result.size).reshape(-1, *result.shape))
            return {name: jnp.sqrt((x**2).sum((0, -1))) for name, x in slopes.items()}

        copies = jax.lax.map(of_copy, jax.random.split(key, _COPIES))
        return jax.tree.map(lambda x: x.mean(0), copies)

    felt = {name: read[name] for name in policy.observations if name not in images}
    keys = jax.random.split(jax.random.key(0), len(read[images[0]]))
    maps = [
        of_one(
            {name: jnp.asarray(read[name][i], jnp.float32) for name in images},
            {name: jnp.asarray(x[i]) for name, x in felt.items()},
            key,
        )
        for i, key in enumerate(keys)
    ]
    return {name: np.stack([np.asarray(each[name]) for each in maps]) for name in images}


def overlaid(images: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """uint8[N, H, W, 3]: images of that shape in grey, under their `saliency`, float32[N, H, W],
    from nothing by red to yellow; each image has a scale of its own."""
    heat = _blurred(maps)
    most = np.percentile(heat, 99, axis=(1, 2), keepdims=True)
    heat = np.clip(heat / np.maximum(most, 1e-30), 0.0, 1.0)[..., None]
    grey = images.astype(np.float32).mean(-1, keepdims=True)
    colour = np.concatenate([np.full_like(heat, 255), 230 * heat**2, 0 * heat], axis=-1)
    cover = 0.9 * heat**2  # little of the action depends on a little red
    return np.round((1 - cover) * 0.85 * grey + cover * colour).astype(np.uint8)


def _blurred(maps: np.ndarray) -> np.ndarray:
    """By a Gaussian, in rows and columns; beyond an image's edge it goes on as at the edge."""
    width = max(maps.shape[1:]) * _BLUR
    reach = int(np.ceil(3 * width))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    kernel /= kernel.sum()
    for axis in (1, 2):
        pads = [(reach, reach) if a == axis else (0, 0) for a in range(3)]
        windows = np.lib.stride_tricks.sliding_window_view(
            np.pad(maps, pads, mode="edge"), len(kernel), axis=axis
        )
        maps = windows @ kernel
    return maps
