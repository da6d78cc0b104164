"""SafeHarbor (arXiv 2605.05704; guard spec section 2): a tree of rule pairs that says how a text stands to known harms.

It is a signal and no boundary: it may quarantine what came from outside, and nothing that it says raises anybody's authority.
"""

from tierkeep.guard.safeharbor.check import RiskCheck
from tierkeep.guard.safeharbor.gate import SafeHarbor, ScoreLog

__all__ = ["RiskCheck", "SafeHarbor", "ScoreLog"]
