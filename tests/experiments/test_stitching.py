"""Stitching: the first sight wins."""

from __future__ import annotations

from recokit.experiments import Stitching


def test_a_visitor_who_logs_in_stays_one_unit_on_every_device() -> None:
    stitching = Stitching()
    assert stitching.units([None, "ann", "ann"], ["v1", "v1", "v2"]) == ["visitor:v1"] * 3
    # Logged out again, on either device.
    assert stitching.units([None, None], ["v1", "v2"]) == ["visitor:v1"] * 2


def test_a_user_who_was_known_first_keeps_the_own_unit() -> None:
    stitching = Stitching()
    assert stitching.units(["ann"], [None]) == ["user:ann"]
    assert stitching.units([None, "ann"], ["v9", "v9"]) == ["visitor:v9", "user:ann"]


def test_a_second_user_of_a_device_is_somebody_else() -> None:
    stitching = Stitching()
    stitching.units([None, "ann"], ["v1", "v1"])
    assert stitching.units(["bob", None], ["v1", "v1"]) == ["user:bob", "visitor:v1"]


def test_a_visitor_and_a_user_of_one_name_are_two() -> None:
    assert Stitching().units(["7", None], [None, "7"]) == ["user:7", "visitor:7"]


def test_links_may_be_shared_between_processes() -> None:
    links: dict[str, str] = {}
    Stitching(links=links).units([None, "ann"], ["v1", "v1"])
    assert Stitching(links=links).units(["ann", None], [None, None]) == ["visitor:v1", None]
