"""A simulated day of mixed load on one store, in bounded real time: does anything leak, get lost, or reach a caller as an error?"""

from __future__ import annotations

from tierkeep.evaluate.soak.run import soak

__all__ = ["soak"]
