"""What an error of the library franka-rs means, in a sentence that says what to do."""

from __future__ import annotations

#: By the name of what aborted a motion.
_ABORTED = {
    "reflex": "something pushed harder than the thresholds of collision: see what the arm touches",
    "communication_constraints_violation": (
        "commands reached it too late or not at all: connect it by a cable of its own, use a "
        "kernel with PREEMPT_RT, and let nothing else run here"
    ),
    "discontinuity": (
        "commands jumped, mostly since some were lost on the way: connect it by a cable of its "
        "own, use a kernel with PREEMPT_RT, or run slower"
    ),
    "limits_violation": "a joint came to its limits: start from another posture",
    "self_collision": "the arm came too near to itself: start from another posture",
    "instability": "the payload or the hand is not what Desk was told: correct it there",
}
_RECOVER = "Then call FrankaRobot.recover(), or press and release the user stop"


#: By the robot's mode, why nothing can be moved now.
_MODES = {
    "other": "its joints are locked, or FCI is not active: unlock them and activate FCI in Desk",
    "move": "something else moves it: end that program",
    "guiding": "it is being guided by hand: let go of it, and set it to execution in Desk",
    "reflex": "a reflex stopped it: see why. " + _RECOVER,
    "user_stopped": "the user stop is pressed: release it when nobody is in reach",
    "automatic_error_recovery": "it is recovering from an error: wait until that ends",
}


def of_mode(mode: str) -> str:
    """Why a robot in this mode does not start."""
    return f"the robot is not ready: {_MODES.get(mode, f'its mode is {mode}; see Desk')}"


def of_error(error: BaseException, address: str) -> str:
    """What happened, and what to do.

    error: of franka-rs: `kind` names what failed, a ControlException also has `errors`,
    names of what aborted the motion.
    """
    kind, text = getattr(error, "kind", None), _plain(error)
    if kind == "network":
        return _of_network(text, address)
    if kind == "incompatible_version":
        return (
            f"the robot at {address} speaks another version of its protocol ({text}): franka-rs "
            "knows 5 (Panda) and 10 (FR3, system 5.9 or newer); update the robot or franka-rs"
        )
    if kind == "realtime":
        return (
            f"this computer cannot keep time ({text}): boot a kernel with PREEMPT_RT and allow "
            "your user real-time priorities, or give realtime=False and expect aborted motions"
        )
    if kind == "control":
        return _of_control(error, text)
    if kind == "command" and "reject" in text.lower():
        return f"the robot refused ({text}): see that its joints are unlocked and FCI is active"
    return f"the robot reports an error: {text}"


def _of_network(text: str, address: str) -> str:
    if "lookup" in text:
        return f"no computer is called {address}: give the address of the robot's control box"
    if "refused" in text:
        return (
            f"{address} refused the connection: unlock the joints and activate FCI in Desk, and "
            "see that this is the address of the robot's control box"
        )
    return (
        f"the connection to the robot at {address} broke ({text}): check its cable and power, and "
        "that no other program is connected; the arm has stopped by itself if it was moving"
    )


def _of_control(error: BaseException, text: str) -> str:
    names = [str(name) for name in getattr(error, "errors", None) or ()]
    for part, meaning in _ABORTED.items():
        name = next((name for name in names if part in name), None)
        if name is not None:
            return f"the robot stopped by itself ({name}): {meaning}. {_RECOVER}"
    return f"the robot stopped by itself ({text}): see Desk for the reason. {_RECOVER}"


def _plain(error: BaseException) -> str:
    """The library's text as one line, without its own name."""
    return " ".join(str(error).removeprefix("libfranka:").split()).rstrip(".")[:300]
