# MuJoCo ships no type information for its compiled part, so pyright sees none of its names.
from typing import Any

def __getattr__(name: str) -> Any: ...
