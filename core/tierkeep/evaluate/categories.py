"""What the category labels of data sets mean: the one place that maps them."""

from __future__ import annotations


def asks_for_time_by_label(category: str) -> bool:
    """Return whether a data set labels a question as one about a time, a length of time or an order."""
    label = category.casefold()
    return "temporal" in label or "ordering" in label


def unanswerable_by_label(category: str) -> bool:
    """Return whether a data set labels a question as one that its history does not answer."""
    label = category.casefold()
    return any(word in label for word in ("adversarial", "abstention", "unanswerable"))
