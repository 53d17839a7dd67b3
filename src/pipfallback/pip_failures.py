"""What a failure of pip means: records of the side channel -> Cause (measured with pip 20.3.4 to 26.3)."""

from __future__ import annotations

import errno
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import unquote

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion

from pipfallback.build_failures import SubCause, sub_cause
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
    """A failed pip. ``message`` is its last word; ``text`` everything it said, to look for a requirement in.

    ``sub_cause``: what a failed build lacked, as far as its output tells; None for every other cause.
    """

    cause: Cause
    message: str
    text: str = ""
    sub_cause: SubCause | None = None

    @property
    def in_words(self) -> str:
        """pip's last word, and what a failed build lacked."""
        return self.message if self.sub_cause is None else f"{self.message}: {self.sub_cause.words}"

    @property
    def hint(self) -> str | None:
        """What to do about it; None where nothing more is known than pip has said."""
        return None if self.sub_cause is None else self.sub_cause.hint


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
    "SSLMissingError": Cause.UNREACHABLE,
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
    "SidecarMetadataInconsistent": Cause.INCONSISTENT,
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
    "BackendUnavailableError": Cause.BUILD_FAILED,
    "BuildDependencyInstallError": Cause.BUILD_FAILED,
    "MissingPyProjectBuildRequires": Cause.BUILD_FAILED,
    "InvalidPyProjectBuildRequires": Cause.BUILD_FAILED,
    "VenvCreationError": Cause.BUILD_FAILED,
    "VenvImportError": Cause.BUILD_FAILED,
    "BadZipFile": Cause.CORRUPT,
    "InvalidWheel": Cause.CORRUPT,
    "ResolutionTooDeep": Cause.CONFLICT,
    "ResolutionTooDeepError": Cause.CONFLICT,
    "EOFError": Cause.NOT_FOUND,  # a server asked for a password, and nobody is there to type it
    "KeyboardInterrupt": Cause.INTERRUPTED,
    "CommandError": Cause.USAGE,
    "ConfigurationError": Cause.USAGE,
    "ConfigurationFileCouldNotBeLoaded": Cause.USAGE,
    "InvalidEggFragment": Cause.USAGE,
    "InvalidSchemeCombination": Cause.USAGE,
    "RequirementsFileParseError": Cause.USAGE,
    "UserInstallationInvalid": Cause.USAGE,
}

# pip's words about what it asked an index for, and what it did not take of that: a link whose Requires-Python excludes
# the target, and one whose metadata was no good. The link stands in each.
_ASKED = "Fetching project page and analyzing links: "
_NOT_ASKED = r"Could not fetch URL|is not a trusted or secure host and is being ignored"
_LEFT_OUT = "Link requires a different Python"
_DISCARDED = "Discarding "
# Left out of Failure.text: that is searched for the requirement that pip failed over, and these name many others.
_DETAILS = (_ASKED, _LEFT_OUT)

# A clone is a process that fails, as a build is.
_GIT = r"(?m:(?:^|exit status \d+: )(?:\S*/)?git (?:clone|fetch|checkout|rev-parse|ls-remote)\b)"
_NO_REPOSITORY = (
    r"does not appear to be a git repository|repository '[^']*' (?:not found|does not exist)|did not match any"
)

# How the shim begins a record of its own: the connection ended before the bytes that the server had announced.
CUT_SHORT = "pipfallback: cut short: "

_BY_ERRNO = {
    errno.EACCES: Cause.NO_PERMISSION,
    errno.EPERM: Cause.NO_PERMISSION,
    errno.EROFS: Cause.NO_PERMISSION,
    errno.ENOSPC: Cause.NO_SPACE,
    errno.EDQUOT: Cause.NO_SPACE,
}  # not ENOENT: a missing wheel may have another build, a missing -r file or folder has not

# The text, where the classes leave it open or there is no side channel; the first match decides. The order matters:
# an inner pip's words stand inside a build failure, an index that is down ends with the words of "no match".
# "incompatible-wheel" is what pip PR 14281 will say.
_BY_TEXT = (
    (r"is not a supported wheel on this platform|is not a valid wheel filename|Invalid wheel filename|incompatible-wheel", Cause.UNSUPPORTED_WHEEL),
    (r"externally-managed-environment", Cause.EXTERNALLY_MANAGED),
    (r"DO NOT MATCH THE HASHES|Hashes are required in --require-hashes mode", Cause.HASH_MISMATCH),
    (r"No space left on device|\[Errno 28\]|Disk quota exceeded", Cause.NO_SPACE),
    (r"Permission denied|\[Errno 13\]|Operation not permitted|Read-only file system", Cause.NO_PERMISSION),
    (r"Could not open (?:requirements|constraint) file|Invalid requirement:|is not a valid editable requirement", Cause.USAGE),
    (r"is not installable\. Neither|does not appear to be a Python project|cannot be installed in editable mode", Cause.USAGE),
    (r"Links are not allowed as constraints|Could not find an activated virtualenv", Cause.USAGE),
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

    ``records``: dicts with "level", "message", "exception" (a list of "class", "message", "errno", "output"), and
    "output" where a process that pip started had spoken before.
    """
    text = "\n".join(_texts([record for record in records if not record["message"].startswith(_DETAILS)]))
    last = next((record for record in reversed(records) if record["level"] in {"ERROR", "CRITICAL"}), None)
    if last is None:
        # optparse has written the usage line itself; a signal leaves no record either.
        cause = Cause.INTERRUPTED if exit_code < 0 else Cause.USAGE if exit_code == 2 else Cause.OTHER
        return Failure(cause=cause, message=f"pip ended with exit code {exit_code}", text=text)
    cause = _refined(_cause(last, text), last, records, text)
    return Failure(
        cause=cause,
        message=redacted(_message(last)),
        text=redacted(text),
        sub_cause=sub_cause(text) if cause is Cause.BUILD_FAILED else None,
    )


def _cause(last: Mapping[str, Any], text: str) -> Cause:
    by_class = _cause_of_chain(last["exception"])
    return by_class or _cause_of_text("\n".join(_texts([last]))) or _cause_of_text(text) or Cause.OTHER


def _refined(cause: Cause, last: Mapping[str, Any], records: Sequence[Mapping[str, Any]], text: str) -> Cause:
    """What pip's last word leaves open, by what it said before."""
    if cause is Cause.NO_MATCH:
        return _why_no_match(records, text)
    if cause is Cause.CORRUPT and any(record["message"].startswith(CUT_SHORT) for record in records):
        return Cause.TRUNCATED
    if cause is Cause.TRUNCATED and _stalled(records):
        return Cause.TIMEOUT
    failed = "\n".join([_plain(last["message"]).strip(), *(link["message"] for link in last["exception"])])
    if cause is Cause.BUILD_FAILED and re.search(_GIT, failed):
        return Cause.NOT_FOUND if re.search(_NO_REPOSITORY, text) else Cause.UNREACHABLE
    return cause


def _why_no_match(records: Sequence[Mapping[str, Any]], text: str) -> Cause:
    """Why nothing was found: the index is down, or there was something and it would not do."""
    missing = re.search(r"No matching distribution found for (.+)", text)
    try:
        wanted = Requirement(missing[1]) if missing else None
    except InvalidRequirement:
        wanted = None
    if not _index_answered(records, text, wanted):
        return Cause.INDEX_DOWN
    said = [record["message"] for record in records if wanted is not None and _is_build_of(record["message"], wanted)]
    for message in said:
        discarded = _cause_of_text(message) if message.startswith(_DISCARDED) else None
        if discarded is not None:
            return discarded
    return Cause.REQUIRES_PYTHON if any(message.startswith(_LEFT_OUT) for message in said) else Cause.NO_MATCH


def _is_build_of(message: str, wanted: Requirement) -> bool:
    """Whether pip speaks of a link to a file that would satisfy what was asked for."""
    link = re.search(r"([^/\s]+\.(?:whl|tar\.gz|zip))(?=[#?\s\[]|$)", message)
    filename = unquote(link[1]) if link else ""
    parse = parse_wheel_filename if filename.endswith(".whl") else parse_sdist_filename
    try:
        name, version, *_ = parse(filename)
    except (InvalidSdistFilename, InvalidVersion, InvalidWheelFilename):
        return False
    return name == canonicalize_name(wanted.name) and wanted.specifier.contains(version, prereleases=True)


def _stalled(records: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a download that stayed incomplete did so because nothing came any more (pip 25.3 and newer resume it)."""
    breaks = [record for record in records if record["message"].endswith("while downloading.")]
    return bool(breaks) and any(link["class"] == "ReadTimeoutError" for link in breaks[-1]["exception"])


def _index_answered(records: Sequence[Mapping[str, Any]], text: str, wanted: Requirement | None) -> bool:
    """Whether "no match" can be believed. A 404 is an answer, too: that index does not have the name."""
    refusals = [record["message"] for record in records if re.search(_NOT_ASKED, record["message"])]
    if not refusals or re.search(r"\(from versions: (?!none\))", text):
        return True
    page = "" if wanted is None else f"/{canonicalize_name(wanted.name)}/"
    asked = [record["message"].split()[-1] for record in records if record["message"].startswith(_ASKED)]
    answered = [url for url in asked if page and url.endswith(page) and not any(url in refusal for refusal in refusals)]
    return bool(answered) or any(re.search(r": 40[34] Client Error", refusal) for refusal in refusals)


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


def distribution_in(text: str, names: Collection[str]) -> str | None:
    """The one of ``names`` (PEP 503) that a message of pip's is about: as a requirement, or the name of one of its files.

    "torch-geometric" is not about torch; of several names the longest counts.
    """
    flat = as_written_in_names(text)
    longest_first = sorted(names, key=lambda name: (-len(name), name))
    return next((name for name in longest_first if re.search(rf"(?<![\w-]){name}(?!\w|-[a-z])", flat)), None)


def as_written_in_names(text: str) -> str:
    """A message in lower case and with "-" for "_", as normalised names are written."""
    return text.lower().replace("_", "-")


def _message(record: Mapping[str, Any]) -> str:
    text = _plain(record["message"]).strip()
    if text in {"Exception:", ""} or re.fullmatch(r"<\w+: [\w-]+>", text):
        deeper = [link for link in record["exception"] if not re.fullmatch(r"<\w+: [\w-]+>", link["message"])]
        if deeper:
            return f"{deeper[0]['class']}: {deeper[0]['message']}"
    return text


def _plain(message: object) -> str:
    """Without the mark by which pip 22 tells its own handler how to show a message."""
    return str(message).removeprefix("[present-rich] ")


def _texts(records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for record in records:
        yield str(record.get("output") or "")
        yield _plain(record["message"])
        for link in record["exception"]:
            yield f"{link['class']}: {link['message']}"
            if link.get("output"):
                yield link["output"]
