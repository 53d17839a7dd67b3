"""What a failure of pip means: records of the side channel -> Cause (measured with pip 20.3.4 to 26.3)."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pipfallback.requests import redacted


class Cause(Enum):
    """Why pip failed. The value is the word of the outcome's JSON form."""

    UNSUPPORTED_WHEEL = "unsupported-wheel"
    NOT_FOUND = "not-found"
    SERVER_ERROR = "server-error"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    INVALID_METADATA = "invalid-metadata"
    INCONSISTENT = "inconsistent-version"
    REQUIRES_PYTHON = "requires-python"
    NO_MATCH = "no-matching-distribution"
    BUILD_FAILED = "build-failed"
    HASH_MISMATCH = "hash-mismatch"
    CONFLICT = "conflict"
    INDEX_DOWN = "index-unreachable"
    EXTERNALLY_MANAGED = "externally-managed"
    NO_PERMISSION = "no-permission"
    NO_SPACE = "no-space"
    INTERRUPTED = "interrupted"
    USAGE = "usage"
    IMPORT_FAILED = "import-failed"
    OTHER = "other"

    @property
    def curable(self) -> bool:
        """Whether another build could cure it (DESIGN 4); where not, pip's own error and exit code stand."""
        return self in _CURABLE


_CURABLE = frozenset({
    Cause.UNSUPPORTED_WHEEL, Cause.NOT_FOUND, Cause.SERVER_ERROR, Cause.UNREACHABLE, Cause.TIMEOUT, Cause.TRUNCATED,
    Cause.CORRUPT, Cause.INVALID_METADATA, Cause.INCONSISTENT, Cause.REQUIRES_PYTHON, Cause.NO_MATCH,
    Cause.BUILD_FAILED, Cause.IMPORT_FAILED,
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A failed pip. ``message`` is its last word; ``text`` everything it said, to look for a requirement in."""

    cause: Cause
    message: str
    text: str = ""


# Exception classes that mean one thing only; the first that occurs in a chain, outermost first, decides.
_BY_CLASS = {
    "UnsupportedPythonVersion": Cause.REQUIRES_PYTHON,
    "InvalidWheelFilename": Cause.UNSUPPORTED_WHEEL,
    "HashMismatch": Cause.HASH_MISMATCH,
    "HashMissing": Cause.HASH_MISMATCH,
    "HashUnpinned": Cause.HASH_MISMATCH,
    "HashErrors": Cause.HASH_MISMATCH,
    "DirectoryUrlHashUnsupported": Cause.HASH_MISMATCH,
    "VcsHashUnsupported": Cause.HASH_MISMATCH,
    "ExternallyManagedEnvironment": Cause.EXTERNALLY_MANAGED,
    "IncompleteDownloadError": Cause.TRUNCATED,
    "ConnectionTimeoutError": Cause.TIMEOUT,
    "ConnectionFailedError": Cause.UNREACHABLE,
    "ProxyConnectionError": Cause.UNREACHABLE,
    "SSLVerificationError": Cause.UNREACHABLE,
    "SSLError": Cause.UNREACHABLE,
    "ReadTimeoutError": Cause.TIMEOUT,
    "ConnectTimeoutError": Cause.TIMEOUT,
    "NewConnectionError": Cause.UNREACHABLE,
    "ProxyError": Cause.UNREACHABLE,
    "ProtocolError": Cause.TRUNCATED,
    "ResponseError": Cause.SERVER_ERROR,
    "InvalidMetadataError": Cause.INVALID_METADATA,
    "MetadataInvalid": Cause.INVALID_METADATA,
    "MetadataInconsistent": Cause.INCONSISTENT,
    "InconsistentMetadata": Cause.INCONSISTENT,
    "NoneMetadataError": Cause.INVALID_METADATA,
    "BadMetadata": Cause.INVALID_METADATA,
    "RequirementParseError": Cause.INVALID_METADATA,
    "InvalidVersion": Cause.INVALID_METADATA,
    "MetadataGenerationFailed": Cause.BUILD_FAILED,
    "InstallationSubprocessError": Cause.BUILD_FAILED,
    "FailedToPrepareCandidate": Cause.BUILD_FAILED,
    "InstallWheelBuildError": Cause.BUILD_FAILED,
    "LegacyInstallFailure": Cause.BUILD_FAILED,
    "BackendUnavailable": Cause.BUILD_FAILED,
    "BuildDependencyInstallError": Cause.BUILD_FAILED,
    "BadZipFile": Cause.CORRUPT,
    "InvalidWheel": Cause.CORRUPT,
    "KeyboardInterrupt": Cause.INTERRUPTED,
    "CommandError": Cause.USAGE,
}

_BY_ERRNO = {
    errno.EACCES: Cause.NO_PERMISSION,
    errno.EPERM: Cause.NO_PERMISSION,
    errno.EROFS: Cause.NO_PERMISSION,
    errno.ENOSPC: Cause.NO_SPACE,
    errno.EDQUOT: Cause.NO_SPACE,
}  # not ENOENT: a missing wheel may have another build, a missing -r file or folder has not

# The text, where the classes leave it open or there is no side channel; the first match decides. The order matters:
# an inner pip's words stand inside a build failure, an index that is down ends with the words of "no match".
_BY_TEXT = (
    (r"is not a supported wheel on this platform|is not a valid wheel filename|Invalid wheel filename", Cause.UNSUPPORTED_WHEEL),
    (r"externally-managed-environment", Cause.EXTERNALLY_MANAGED),
    (r"DO NOT MATCH THE HASHES|Hashes are required in --require-hashes mode", Cause.HASH_MISMATCH),
    (r"No space left on device|\[Errno 28\]", Cause.NO_SPACE),
    (r"Permission denied|\[Errno 13\]|Operation not permitted|Read-only file system", Cause.NO_PERMISSION),
    (r"Could not open (?:requirements|constraint) file|Invalid requirement:|is not a valid editable requirement", Cause.USAGE),
    (r"\[Errno 2\] No such file or directory: '[^']*\.(?:whl|zip|tar\.gz|tar\.bz2|tgz)'", Cause.NOT_FOUND),
    (r"HTTP error (?:404|410|403|401)|(?:404|410|403|401) Client Error", Cause.NOT_FOUND),
    (r"HTTP error 5\d\d|5\d\d Server Error|too many 5\d\d error responses|429 Client Error", Cause.SERVER_ERROR),
    (r"requires a different Python", Cause.REQUIRES_PYTHON),
    (r"has invalid metadata|Missing 'Version:' header|TypeError: expected string or bytes-like object", Cause.INVALID_METADATA),
    (r"inconsistent (?:version|name)|has different version in metadata|'[^']*' != '[^']*' for wheel", Cause.INCONSISTENT),
    (r"subprocess-exited-with-error|Failed to build|Could not build wheels|Command errored out|failed-wheel-build-for-install|metadata-generation-failed", Cause.BUILD_FAILED),
    (r"incomplete-download", Cause.TRUNCATED),
    (r"located at .* is invalid|has an invalid wheel|BadZipFile|Bad CRC-32|is not compatible with this version of pip|Error: '?RECORD\b", Cause.CORRUPT),
    (r"ReadTimeoutError|connection-timeout|timed out", Cause.TIMEOUT),
    (r"NewConnectionError|Max retries exceeded|connection-failed|Name or service not known", Cause.UNREACHABLE),
    (r"conflicting dependencies|ResolutionImpossible: for help", Cause.CONFLICT),
    (r"No matching distribution found|Could not find a version", Cause.NO_MATCH),
    (r"Operation cancelled by user", Cause.INTERRUPTED),
)  # fmt: skip


def understand(records: Sequence[Mapping[str, Any]], exit_code: int) -> Failure:
    """The cause of a failed pip, from what it wrote on the side channel.

    ``records``: dicts with "level", "message", "exception" (a list of "class", "message", "errno", "output").
    """
    text = "\n".join(_texts(records))
    last = next((record for record in reversed(records) if record["level"] in {"ERROR", "CRITICAL"}), None)
    message = "" if last is None else _message(last)
    if last is None:
        # optparse has written the usage line itself; a signal leaves no record either.
        cause = Cause.INTERRUPTED if exit_code < 0 else Cause.USAGE if exit_code == 2 else Cause.OTHER
        return Failure(cause=cause, message=f"pip ended with exit code {exit_code}", text=text)
    return Failure(cause=_cause(last, records, text), message=redacted(message), text=redacted(text))


def _cause(last: Mapping[str, Any], records: Sequence[Mapping[str, Any]], text: str) -> Cause:
    by_class = _cause_of_chain(last["exception"])
    if by_class is not None:
        return by_class
    from_text = _cause_of_text("\n".join(_texts([last]))) or _cause_of_text(text)
    if from_text is Cause.NO_MATCH and not _index_answered(records, text):
        return Cause.INDEX_DOWN
    return from_text or Cause.OTHER


def _index_answered(records: Sequence[Mapping[str, Any]], text: str) -> bool:
    """Whether "no match" can be believed. A 404 is an answer, too: that index does not have the name."""
    refusals = [record["message"] for record in records if "Could not fetch URL" in record["message"]]
    answered = any(re.search(r": 40[34] Client Error", refusal) for refusal in refusals)
    return not refusals or answered or bool(re.search(r"\(from versions: (?!none\))", text))


def _cause_of_chain(chain: Sequence[Mapping[str, Any]]) -> Cause | None:
    classes = [link["class"] for link in chain]
    if "DistributionNotFound" in classes:
        # The resolver's word for both; where it found builds, but none that goes with the rest, it links to its help.
        return Cause.CONFLICT if any("ResolutionImpossible: for help" in link["message"] for link in chain) else None
    if classes[:1] == ["InvalidRequirement"]:
        return Cause.INVALID_METADATA  # of the user's own requirements pip makes an InstallationError
    if "UnsupportedWheel" in classes:
        # The same class also stands for a wheel whose inside is broken.
        refused = any("is not a supported wheel" in link["message"] for link in chain)
        return Cause.UNSUPPORTED_WHEEL if refused else Cause.CORRUPT
    for link in chain:
        if link["class"] in _BY_CLASS:
            return _BY_CLASS[link["class"]]
        if link["errno"] in _BY_ERRNO:
            return _BY_ERRNO[link["errno"]]
    return None


def _cause_of_text(text: str) -> Cause | None:
    for pattern, cause in _BY_TEXT:
        if re.search(pattern, text):
            return cause
    return None


def _message(record: Mapping[str, Any]) -> str:
    text = str(record["message"]).strip()
    if text in {"Exception:", ""} or re.fullmatch(r"<\w+: [\w-]+>", text):
        deeper = [link for link in record["exception"] if not re.fullmatch(r"<\w+: [\w-]+>", link["message"])]
        if deeper:
            return f"{deeper[0]['class']}: {deeper[0]['message']}"
    return text


def _texts(records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for record in records:
        yield str(record["message"])
        for link in record["exception"]:
            yield f"{link['class']}: {link['message']}"
            if link.get("output"):
                yield link["output"]
