"""Outcomes and decisions as JSON and as the errors that end a command, from values."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from packaging.specifiers import SpecifierSet

from pipfallback.arguments import parse
from pipfallback.builds import Candidate, read_build
from pipfallback.choice import asked_candidate, policy_of, without_asked
from pipfallback.compatibility import Decision, Policy, judge
from pipfallback.environment import Environment
from pipfallback.errors import NothingFitsError, NothingWorksError
from pipfallback.outcome import Attempt, Change, InstalledNow, Outcome, Primary, RequestOutcome
from pipfallback.report import error_json, examples, failure, nothing_fits, outcome_json, summary
from pipfallback.requests import read_request
from pipfallback.sources.reading import Note
from pipfallback.trust import Trust

HERE = Environment.from_json(
    {
        "python": {"version": "3.11"},
        "platform": "linux_x86_64",
        "glibc": "2.35",
        "torch": {"version": "2.7.1+cu126", "cuda": "12.6", "cxx11_abi": True},
    }
)
HOST = "https://host.example/"
GOOD = "flash_attn-2.8.3+cu12torch2.7cxx11abiTRUE-cp311-cp311-linux_x86_64.whl"
OTHER_PYTHON = "flash_attn-2.8.3+cu12torch2.7cxx11abiFALSE-cp310-cp310-linux_x86_64.whl"
OTHER_TORCH = "flash_attn-2.7.4.post1+cu12torch2.5cxx11abiTRUE-cp311-cp311-linux_x86_64.whl"
FAILED = Primary(ok=False, cause="unsupported-wheel", message="is not a supported wheel on this platform.")


def decision(name: str, *, source: str | None = "Dao-AILab", location: str | None = None) -> Decision:
    candidate = Candidate(build=read_build(name), location=location or HOST + name, source=source)
    return judge(candidate, HERE, Policy(trust=Trust.COMMUNITY))


def attempt(name: str, *, error: str | None = None, location: str | None = None) -> Attempt:
    candidate = decision(name, location=location).candidate
    return Attempt(
        location=candidate.location,
        filename=candidate.build.filename,
        source=candidate.source,
        stage="verify",
        ok=error is None,
        error=error,
        seconds=1.5,
    )


def outcome(ending: str = "ok", *requests: RequestOutcome) -> Outcome:
    done = Outcome(status="fallback", exit_code=0, ending="ok", environment=HERE, requests=requests)
    return replace(done, ending=ending, status="fallback" if ending == "ok" else "failed", exit_code=ending != "ok")


def request(**fields: object) -> RequestOutcome:
    return replace(RequestOutcome(request="flash-attn", status="failed", primary=FAILED), **fields)


def test_the_json_form_of_an_outcome_is_the_documented_one() -> None:
    installed = InstalledNow(name="flash-attn", version="2.8.3", url=HOST + GOOD, sha256="00", verified="imports")
    one = request(
        status="fallback",
        installed=installed,
        decisions=(decision(GOOD), decision(OTHER_PYTHON)),
        attempts=(attempt(OTHER_TORCH, error="import flash_attn: ImportError"), attempt(GOOD)),
    )
    done = replace(outcome("ok", one), changed=(Change(name="flash-attn", before=None, after="2.8.3"),))
    said = json.loads(json.dumps(outcome_json(done)))
    top = ["schema", "status", "environment", "requests", "request", "installed", "decisions", "attempts", "changed"]
    assert list(said) == top
    (first,) = said["requests"]
    assert list(first) == ["request", "status", "primary", "installed", "decisions", "attempts", "notes"]
    assert {key: said[key] for key in ("request", "installed", "decisions", "attempts")} == {
        key: first[key] for key in ("request", "installed", "decisions", "attempts")
    }
    assert (said["schema"], said["status"], first["status"]) == (1, "fallback", "fallback")
    assert said["environment"] == HERE.to_json()
    assert first["primary"] == {"ok": False, "cause": FAILED.cause, "message": FAILED.message}
    assert first["installed"] == {
        "name": "flash-attn",
        "version": "2.8.3",
        "url": HOST + GOOD,
        "sha256": "00",
        "verified": "imports",
    }
    assert [each["filename"] for each in first["decisions"]] == [GOOD, OTHER_PYTHON]
    assert first["attempts"] == [
        {
            "url": HOST + OTHER_TORCH,
            "stage": "verify",
            "ok": False,
            "error": "import flash_attn: ImportError",
            "seconds": 1.5,
        },
        {"url": HOST + GOOD, "stage": "verify", "ok": True, "error": None, "seconds": 1.5},
    ]
    assert said["changed"] == [{"name": "flash-attn", "from": None, "to": "2.8.3"}]


def test_an_outcome_without_a_managed_request_is_whole_too() -> None:
    said = outcome_json(outcome("pip"))
    assert said["requests"] == []
    assert said["request"] is said["installed"] is said["decisions"] is said["attempts"] is None


def test_no_document_holds_a_password() -> None:
    secret = HOST.replace("//", "//alice:s3cret@")
    one = request(
        request=secret + GOOD,
        decisions=(decision(GOOD, location=secret + GOOD),),
        attempts=(attempt(GOOD, location=secret + GOOD),),
    )
    said = json.dumps(outcome_json(outcome("nothing-works", one)))
    assert "s3cret" not in said
    assert f'"{HOST}{GOOD}"' in said


def test_an_error_is_reference_message_causes_and_hints() -> None:
    error = NothingFitsError("nothing", details=["one", "two"], hints=["do this"])
    error.__cause__ = OSError("disk")
    assert error_json(error) == {
        "schema": 1,
        "error": {
            "reference": "no-build-fits",
            "message": "nothing\none\ntwo",
            "cause": ["disk"],
            "hints": ["do this"],
        },
    }


@pytest.mark.parametrize("ending", ["ok", "pip"])
def test_where_pip_has_said_it_all_there_is_no_error(ending: str) -> None:
    assert failure(outcome(ending, request()), {}) is None


def test_no_build_fits_lists_each_build_with_its_reasons() -> None:
    refused = (decision(OTHER_TORCH), decision(OTHER_PYTHON, source="ByteDance-Seed"))
    error = failure(outcome("nothing-fits", request(decisions=refused)), {"flash-attn": Policy()})
    assert isinstance(error, NothingFitsError)
    assert error.message == "flash-attn: no build fits this environment (CPython 3.11, torch 2.7.1+cu126)"
    assert error.details == (
        "considered 2 builds from 2 sources",
        f"{OTHER_TORCH}  (Dao-AILab)",
        "  torch-version  built for torch 2.5; torch here is 2.7.1",
        f"{OTHER_PYTHON}  (ByteDance-Seed)",
        "  python-tag     wheel is for CPython 3.10 (cp310); this is CPython 3.11",
    )
    assert error.hints


def test_no_build_known_at_all_says_where_one_would_be_named() -> None:
    error = nothing_fits("flash-attn", (), HERE, None)
    assert error.message == "flash-attn: no build is known"
    assert "fallbacks.toml" in error.hints[0]


def unreached(source: str, host: str, why: str = "[Errno 111] Connection refused", hint: str | None = None) -> Note:
    text = f"releases of {source}: {host} (through the proxy 127.0.0.1) cannot be reached: {why}"
    return Note(source=source, text=text, cause="unreachable", hint=hint)


def test_sources_that_cannot_be_reached_for_one_reason_share_a_line() -> None:
    dead = [unreached("a", "x.org", hint="try y"), unreached("b", "x.org", hint="try y"), unreached("c", "z.org")]
    late = Note(source="d", text="no answer in time", cause="late")
    other = unreached("e", "q.org", "Name or service not known")
    error = nothing_fits("flash-attn", (), HERE, None, notes=[dead[0], late, *dead[1:], other])
    assert error.details == (
        "d: no answer in time",
        f"e: {other.text}",
        "3 sources cannot be reached: [Errno 111] Connection refused (through the proxy 127.0.0.1): x.org (a, b); z.org (c)",
    )
    assert error.message == "flash-attn: no build is known, and 5 of its sources could not be asked"
    assert error.hints == ("5 sources could not be asked: check the network and its proxy settings, then ask again",)
    few = nothing_fits("flash-attn", (), HERE, None, notes=dead[:2])
    assert few.details == (f"a: {dead[0].text}", f"b: {dead[1].text}")
    assert few.hints == ("try y",)
    withdrawn = Note(source="a", text="withdrawn", cause="yanked", hint="pin it")
    empty = nothing_fits("flash-attn", (), HERE, None, notes=[withdrawn])
    assert (empty.message, empty.hints[0]) == (
        "flash-attn: none of its sources lists a build",
        "name one in a fallbacks.toml (docs/fallbacks-toml.md)",
    )


def test_no_build_works_lists_what_was_tried_and_what_was_not() -> None:
    one = request(
        decisions=(decision(GOOD), decision(GOOD.replace("2.8.3", "2.8.2")), decision(OTHER_PYTHON)),
        attempts=(attempt(GOOD, error="import flash_attn: ImportError: undefined symbol: x"),),
    )
    error = failure(outcome("nothing-works", one), {})
    assert isinstance(error, NothingWorksError)
    assert error.message == "flash-attn: none of the builds that were tried works; everything is as it was before"
    assert error.details == (
        f"{GOOD}  (Dao-AILab)",
        "  verify   import flash_attn: ImportError: undefined symbol: x",
        "1 more fit and were not tried; --max-attempts allows more",
    )


def test_no_other_python_is_advised_for_a_version_that_fits_here_and_did_not_work() -> None:
    tried = (attempt(GOOD, error="import flash_attn: ImportError: undefined symbol: x"),)
    newer = OTHER_PYTHON.replace("2.8.3", "2.8.4")
    for others, hints in (((OTHER_PYTHON,), 0), ((OTHER_PYTHON, newer), 1)):
        one = request(decisions=(decision(GOOD), *map(decision, others)), attempts=tried)
        error = failure(outcome("nothing-works", one), {})
        assert error is not None
        assert len(error.hints) == hints
        assert all("2.8.4" in hint for hint in error.hints)


def test_what_no_fallback_and_fail_on_fallback_kept_from_happening_is_told() -> None:
    without = failure(outcome("no-fallback", request()), {})
    assert without is not None
    assert without.message == "flash-attn: is not a supported wheel on this platform."
    assert without.hints == ("leave out --no-fallback",)
    refused = failure(outcome("fallback-refused", request(status="fallback", attempts=(attempt(GOOD),))), {})
    assert refused is not None
    assert "--fail-on-fallback allows no other build" in refused.message
    assert refused.details[-1].split() == ["verify", "works"]


@pytest.mark.parametrize(
    ("verified", "words"),
    [
        ("works", "it works"),
        ("imports", "it imports"),
        ("skipped", "not verified"),
        ("inconclusive", "it could not be tried out"),
    ],
)
def test_a_fallback_is_summed_up_in_one_line(verified: str, words: str) -> None:
    installed = InstalledNow(name="flash-attn", version="2.8.3", url=None, sha256=None, verified="works")
    one = request(status="fallback", installed=replace(installed, verified=verified), attempts=(attempt(GOOD),))
    (line,) = summary(outcome("ok", one))
    assert line.startswith(f"installed {GOOD} from Dao-AILab: ")
    assert words in line
    assert line.endswith("(pip refuses the wheel that was asked for)")


def test_few_refused_builds_are_all_shown_and_of_many_one_for_each_reason() -> None:
    refused = [decision(OTHER_TORCH.replace("2.7.4", f"2.7.{patch}")) for patch in range(9)] + [decision(OTHER_PYTHON)]
    assert examples(refused, 10) == refused
    assert examples(refused, 9) == [refused[0], refused[9]]
    assert examples(refused, 1) == [refused[0]]


def test_same_version_holds_for_the_version_that_the_url_names() -> None:
    asked = read_request(HOST + GOOD)
    policy = policy_of(asked, None, parse(["install", "--same-version"], {}))
    assert policy.specifier == SpecifierSet("==2.8.3")
    assert policy_of(asked, None, parse(["install"], {})).specifier is None


def test_the_hash_in_a_url_counts_where_hashes_are_required() -> None:
    asked = read_request(f"{HOST}{GOOD}#sha256={'AB' * 32}")
    assert policy_of(asked, None, parse(["install", "--require-hashes"], {})).hashes == {"ab" * 32}
    assert policy_of(asked, None, parse(["install"], {})).hashes is None
    candidate = asked_candidate(asked)
    assert candidate is not None
    assert candidate.sha256 == "ab" * 32


def test_the_wheel_that_was_asked_for_is_not_its_own_replacement() -> None:
    asked = read_request(HOST.replace("//", "//alice:s3cret@") + GOOD + "#sha256=00")
    others = [decision(GOOD).candidate, decision(OTHER_TORCH).candidate]
    assert without_asked(others, asked) == others[1:]
    assert asked_candidate(read_request("flash-attn")) is None
