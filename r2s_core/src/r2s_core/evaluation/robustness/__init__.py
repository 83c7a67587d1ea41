"""How much of a policy's success is left in worlds that it was not trained in."""

from r2s_core.evaluation.robustness.measure import measure_robustness

__all__ = ["measure_robustness"]
