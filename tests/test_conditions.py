"""Filters on JSON values."""

from __future__ import annotations

from typing import Any

import pytest

from tierkeep.conditions import check_conditions, matches
from tierkeep.errors import InputError

VALUE: dict[str, Any] = {
    "n": 5, "s": "b", "at": "2026-05-02", "none": None, "list": [1, {"a": 2}], "in": {"a": 1, "b": {"c": 2}}, "num": "7",
}  # fmt: skip


@pytest.mark.parametrize(
    ("conditions", "fits"),
    [
        ({}, True), ({"n": 5}, True), ({"n": 6}, False), ({"n": 5, "s": "c"}, False), ({"missing": None}, True),
        ({"n": {"$eq": 5}}, True), ({"n": {"$ne": 5}}, False), ({"missing": {"$ne": 1}}, True), ({"none": {"$ne": None}}, False),
        ({"n": {"$gt": 4, "$lt": 6}}, True), ({"n": {"$gte": 5}}, True), ({"n": {"$lte": 4}}, False), ({"num": {"$gt": 6}}, True),
        ({"missing": {"$gt": 1}}, False), ({"missing": {"$lt": 1}}, False), ({"s": {"$gt": 1}}, False), ({"list": {"$gt": 1}}, False),
        ({"at": {"$gte": "2026-05-01"}}, True), ({"at": {"$lt": "2026-05-01"}}, False),
        ({"in": {"a": 1}}, True), ({"in": {"b": {"c": {"$gt": 1}}}}, True), ({"n": {"a": 1}}, False),
        ({"list": [1, {"a": 2}]}, True), ({"list": (1, {"a": 2})}, True),
        ({"list": {"$eq": (1, {"a": 2})}}, True), ({"list": {"$ne": (1, {"a": 2})}}, False),
        ({"list": [1]}, False), ({"list": [1, {"a": {"$gt": 2}}]}, False),
    ],
    ids=lambda one: None if isinstance(one, bool) else repr(one),
)  # fmt: skip
def test_matches(conditions: dict[str, Any], fits: bool) -> None:
    check_conditions(conditions)
    assert matches(VALUE, conditions) is fits


@pytest.mark.parametrize(
    "conditions", [{"n": {"$in": [1]}}, {"a": {"b": {"$regex": "x"}}}, {"a": [{"$x": 1}]}, {"n": {"$gt": 1, "plain": 2}}, [1], "n"],
    ids=["in", "nested", "list", "mixed", "no-mapping", "text"],
)  # fmt: skip
def test_what_is_no_filter_is_said(conditions: Any) -> None:
    with pytest.raises(InputError):
        check_conditions(conditions)
