"""Checks $MUJOCO_GL before MuJoCo is imported, which fails for a value without its library.

Many shells export MUJOCO_GL=osmesa or egl for another machine. r2s renders in separate processes,
for which it finds a working interface (`render`), so such a value is dropped here.
"""

from __future__ import annotations

import os
import sys

#: The values that MuJoCo 4 accepts, by `sys.platform`.
_ANYWHERE = ("", "enable", "enabled", "on", "true", "1", "disable", "disabled", "off", "false", "0")
_ON = {"linux": ("glfw", "glx", "egl", "osmesa"), "darwin": ("glfw", "cgl")}
_LIBRARIES = {"egl": ("EGL", "libegl1"), "osmesa": ("OSMesa", "libosmesa6")}
#: Set for the processes that test an interface.
PROBING = "R2S_PROBES_GL"


def settle() -> None:
    """Drop MUJOCO_GL, and say so on stderr, if importing MuJoCo would fail for it."""
    chosen = os.environ.get("MUJOCO_GL", "").lower().strip()
    if not chosen or "mujoco" in sys.modules or os.environ.get(PROBING):
        return
    if reason := _refusal(chosen):
        del os.environ["MUJOCO_GL"]
        print(f"r2s: MUJOCO_GL={ascii(chosen)[1:-1]} is ignored: {reason}", file=sys.stderr)
    elif chosen in _LIBRARIES and os.environ.get("PYOPENGL_PLATFORM", chosen).lower() != chosen:
        del os.environ["PYOPENGL_PLATFORM"]
        print(f"r2s: PYOPENGL_PLATFORM is ignored: MUJOCO_GL is {chosen}", file=sys.stderr)


def _refusal(chosen: str) -> str | None:
    known = _ON.get(sys.platform, ("glfw", "wgl"))
    if chosen not in (*_ANYWHERE, *known):
        return f"MuJoCo supports {', '.join(known)} on this platform"
    if chosen in _LIBRARIES and sys.platform == "linux":
        import ctypes.util  # slow to import and rarely needed

        library, package = _LIBRARIES[chosen]
        if ctypes.util.find_library(library) is None:
            return f"there is no {library} library (Debian, Ubuntu: apt-get install {package})"
    return None
