"""Errors: data, a reference, hints, and the exit codes that scripts rely on."""

from __future__ import annotations

import inspect
import re

import pytest

from pipfallback import errors
from pipfallback.errors import PipfallbackError

CLASSES = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, PipfallbackError)]


def test_an_error_holds_what_is_told() -> None:
    error = PipfallbackError("it failed", details=iter(["one", "two"]), hints=["try again"])
    assert (str(error), error.message) == ("it failed", "it failed")
    assert (error.details, error.hints, error.causes) == (("one", "two"), ("try again",), ())


def test_the_causes_are_the_chain_nearest_first_without_empty_ones() -> None:
    empty = ValueError()
    empty.__cause__ = OSError("the disk")
    error = PipfallbackError("the command")
    error.__cause__ = empty
    assert error.causes == ("the disk",)


def test_a_context_that_is_no_cause_is_not_told() -> None:
    error = PipfallbackError("the command")
    error.__context__ = OSError("https://user:secret@host")
    assert error.causes == ()


def test_an_error_with_a_reference_of_its_own_says_where_it_is_explained() -> None:
    assert errors.NothingFitsError("none").see == "pipfallback help no-build-fits"
    assert PipfallbackError("the disk is full").see is None


def test_every_error_has_a_reference_of_its_own() -> None:
    references = [one.reference for one in CLASSES]
    assert len(set(references)) == len(references)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", reference) for reference in references)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("UsageError", 2),
        ("CatalogError", 1),
        ("TargetError", 1),
        ("NothingFitsError", 1),
        ("NothingWorksError", 1),
        ("NotRestoredError", 70),
        ("InterruptedRunError", 130),
    ],
)
def test_exit_codes(name: str, code: int) -> None:
    assert getattr(errors, name)("said").exit_code == code


def test_a_hint_that_several_give_is_told_once() -> None:
    assert PipfallbackError("no", hints=("a", "b", "a")).hints == ("a", "b")
