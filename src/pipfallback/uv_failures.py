"""What a failure of uv means: what it said on standard error -> Cause (measured with uv 0.9.0, 0.9.30 and 0.13.9)."""

from __future__ import annotations

import re
from collections.abc import Collection

from packaging.utils import canonicalize_name

from pipfallback.build_failures import sub_cause
from pipfallback.pip_failures import Cause, Failure
from pipfallback.requests import redacted

# How uv begins an error and its causes, with and without drawing a tree.
_ERROR = re.compile(r"^(?:error: |  \u00d7 )")
_CAUSE = re.compile(r"^(?:  cause: |  Caused by: |  [├╰]─▶ )")
_TREE = re.compile(r"^  │ ?|^      +")

# How the messages of uv and of what it is made of (reqwest, zip, the resolver pubgrub) begin or read, the first that
# matches decides; an inner error's words stand inside a build failure.
_BY_TEXT = (
    (r"No space left on device|os error 28\b|Disk quota exceeded|os error 122\b", Cause.NO_SPACE),
    (r"is externally managed", Cause.EXTERNALLY_MANAGED),
    (r"Hash mismatch for|In `--require-hashes` mode|requires? a matching hash", Cause.HASH_MISMATCH),
    (r"unexpected argument|invalid value|a value is required for|cannot be used with|is unsupported", Cause.USAGE),
    (r"File not found: |failed to read from file|Failed to parse: `|Unexpected '.*', expected|Failed to read dependency groups", Cause.USAGE),
    (r"Couldn't parse requirement|does not appear to be a Python project|must be a directory|Unsupported scheme", Cause.USAGE),
    (r"Git operation failed|failed to (?:clone|fetch) (?:into|repository|branch|commit)", Cause.NOT_FOUND),
    (r"Failed to build `|build backend returned an error|Failed to resolve requirements from", Cause.BUILD_FAILED),
    (r"Distribution not found at|HTTP status client error \((?:404|410|403|401)|No such file or directory.*\.whl`?$", Cause.NOT_FOUND),
    (r"HTTP status server error|HTTP status client error \(429", Cause.SERVER_ERROR),
    (r"end of file before message length|unexpected EOF|connection closed before message completed|incomplete message", Cause.TRUNCATED),
    (r"timed out", Cause.TIMEOUT),
    (r"client error \(Connect\)|tcp connect error|dns error|Connection re(?:fused|set)|error sending request|invalid peer certificate|network was disabled|Network connectivity is disabled", Cause.UNREACHABLE),
    (r"Bad CRC|end of central directory|Failed to (?:unzip|extract|read from zip)|No \.dist-info directory|dist-info/RECORD`: No such file", Cause.CORRUPT),
    (r"Wheel (?:version|name) does not match|Package metadata (?:version|name) .* does not match|does not match the expected", Cause.INCONSISTENT),
    (r"Permission denied|os error (?:13|1|30)\b|Read-only file system", Cause.NO_PERMISSION),
    (r"Couldn't parse metadata|[Ii]nvalid metadata|could not be parsed|Metadata field", Cause.INVALID_METADATA),
    (r"incompatible with the current platform|wheel filename .* is invalid", Cause.UNSUPPORTED_WHEEL),
    (r"current Python version \(\S+\) does not satisfy|requires? Python ?[<>=!~]", Cause.REQUIRES_PYTHON),
)  # fmt: skip

_NAME = r"`?([A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)"
# Nothing of that name will do, whatever else is asked for.
_MISSING = (
    rf"{_NAME} was not found in",
    rf"there (?:is|are) no versions? of {_NAME}",
    rf"{_NAME}(?:[=<>!~]=?\S*)? (?:has|have) no (?:usable )?wheels",
    rf"only the following versions of {_NAME} are available",
    # only good==1.0 is available and all versions of needs depend on good<1
    rf"only {_NAME}(?:[=<>!~]=?[^ ]*)(?: (?:is|are))? available and (?:(?:all versions of )?\S+ depends? on|you require) (?:\1)(?=[=<>!~])",
)
_NO_WHEEL = r"(?:has|have) no wheels with a matching"
_ARCHIVE = re.compile(
    r"Failed to (?:download|fetch|read metadata|unzip|extract)[^`]*[` ][^`]*\.(?:whl|tar\.gz|zip)\b|Failed to download `"
)


def understand_uv(
    text: str, exit_code: int, *, wheels: Collection[str] = (), constrained: Collection[str] = ()
) -> Failure:
    """The cause of a failed uv, from what it said (without control sequences).

    ``wheels``: the names of the wheels that the command names by URL or path; ``constrained``: the names that are
    pinned by its constraint files (both PEP 503-normalised).
    """
    head, causes = _parts(text)
    flat = _joined(" ".join((head, *causes)))
    if not head:
        cause = Cause.INTERRUPTED if exit_code < 0 else Cause.USAGE if exit_code == 2 else Cause.OTHER
        return Failure(cause=cause, message=f"uv ended with exit code {exit_code}", text=redacted(text))
    cause = _cause(flat, _joined(text), wheels)
    message = f"{head}: {causes[-1]}" if causes else head
    if cause is Cause.NO_MATCH and (missing := _missing(flat)):
        message = f"No matching distribution found for {missing}"  # what requires it is not to blame
    elif cause is Cause.UNSUPPORTED_WHEEL and "not a supported wheel" not in message:
        message = f"{message} (it is not a supported wheel on this platform)"
    notes = _constraints(flat, constrained) if cause is Cause.CONFLICT else []
    return Failure(
        cause=cause,
        message=redacted(message),
        text=redacted("\n".join((text, *notes))),
        sub_cause=sub_cause(text) if cause is Cause.BUILD_FAILED else None,
    )


def _joined(text: str) -> str:
    """As one line: older uvs break theirs at the width of the terminal, and draw a tree beside them."""
    return " ".join(text.replace("\u2502", " ").split())


def _cause(flat: str, text: str, wheels: Collection[str]) -> Cause:
    if flat.startswith("No solution found"):
        return _why_no_solution(flat, text, wheels)
    cause = next((cause for pattern, cause in _BY_TEXT if re.search(pattern, flat)), Cause.OTHER)
    is_page = not _ARCHIVE.search(flat)
    if cause in {Cause.UNREACHABLE, Cause.TIMEOUT, Cause.SERVER_ERROR, Cause.TRUNCATED} and is_page:
        return Cause.INDEX_DOWN
    if cause is Cause.NOT_FOUND and re.search(r"Git operation|failed to (?:clone|fetch)", flat):
        gone = re.search(r"not found|does not exist|could not read Username|not appear to be a git repository", text)
        return Cause.NOT_FOUND if gone else Cause.UNREACHABLE
    return cause


def _why_no_solution(flat: str, text: str, wheels: Collection[str]) -> Cause:
    """The resolver names each fact that takes part; those of the packages come before those of the requirements."""
    if re.search(r"network was disabled|Network connectivity is disabled", text):
        return Cause.INDEX_DOWN
    if re.search(_NO_WHEEL, flat):
        named = re.search(_MISSING[2], flat)
        is_asked = named is not None and canonicalize_name(named[1]) in wheels
        return Cause.UNSUPPORTED_WHEEL if is_asked else Cause.NO_MATCH
    if re.search(r"(?:has|have) (?:invalid|inconsistent) metadata", flat):
        return Cause.INVALID_METADATA
    if re.search(r"current Python version \(\S+\) does not satisfy|requires? Python ?[<>=!~]", flat):
        return Cause.REQUIRES_PYTHON
    return Cause.NO_MATCH if _missing(flat) else Cause.CONFLICT


def _missing(flat: str) -> str | None:
    """The name that nothing serves."""
    for pattern in _MISSING:
        if (found := re.search(pattern, flat)) is not None:
            return canonicalize_name(re.split(r"[=<>!~]", found[1])[0])
    return None


def _constraints(flat: str, constrained: Collection[str]) -> list[str]:
    """The constraints among the facts, in pip's words: uv tells them from nothing else."""
    facts = [(canonicalize_name(name), version) for name, version in re.findall(rf"{_NAME}==([^\s,]+)", flat)]
    return [f"(constraint) {name}=={version}" for name, version in facts if name in constrained]


def _parts(text: str) -> tuple[str, list[str]]:
    """What failed, and its causes, outermost first: each as one line."""
    parts: list[list[str]] = []
    for line in text.splitlines():
        if _ERROR.match(line):
            parts = [[_ERROR.sub("", line)]]
        elif parts and _CAUSE.match(line):
            parts.append([_CAUSE.sub("", line)])
        elif parts and line.startswith("hint: "):
            break
        elif parts:
            parts[-1].append(_TREE.sub("", line))
    head, *causes = [_first_paragraph(lines) for lines in parts] or [""]
    return head, causes


def _first_paragraph(lines: list[str]) -> str:
    """Up to an empty line: behind it stand the output of a build, hashes, hints."""
    end = next((place for place, line in enumerate(lines) if not line.strip()), len(lines))
    return " ".join(line.strip() for line in lines[:end]).rstrip(":")
