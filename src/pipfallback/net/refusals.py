"""What a failed exchange with a server is told as. No text made here holds a user name, a password or a signature."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from pipfallback.net.failures import FetchFailure
from pipfallback.requests import redacted

NO_URL = FetchFailure(cause="not-found", message="not a URL that can be asked for")

# Which variable holds the token for a host (docs.github.com "Authenticating to the REST API"; huggingface_hub
# documentation "Environment variables").
_TOKENS = {
    "github.com": "GITHUB_TOKEN",
    "api.github.com": "GITHUB_TOKEN",
    "huggingface.co": "HF_TOKEN",
}


class FetchError(Exception):
    """Ends an exchange inside ``net``; what asked for it gets ``failure`` as a value."""

    def __init__(self, failure: FetchFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def truncated(host: str, why: object) -> FetchFailure:
    """The connection broke after it was made."""
    return FetchFailure(cause="truncated", message=f"the connection to {host} broke: {redacted(str(why))}")


def too_slow(host: str, seconds: float) -> FetchFailure:
    """Nothing came for ``seconds``."""
    return FetchFailure(cause="timeout", message=f"{host} did not answer within {seconds:g} s")


def not_connected(host: str, seconds: float) -> FetchFailure:
    """Nobody took the connection for ``seconds``: a firewall that drops it, or a host that is off."""
    return FetchFailure(cause="unreachable", message=f"{host} took no connection within {seconds:g} s")


def refusal(host: str, status: int, reason: str, headers: Mapping[str, str]) -> FetchFailure:
    """What an HTTP status of 400 and above (or a redirect that leads nowhere) means. ``headers``: case-insensitive."""
    message = f"{host} answered {status} {reason}".rstrip()
    wait = retry_after(headers)
    if status == 429 or (status == 403 and (wait is not None or headers.get("x-ratelimit-remaining") == "0")):
        hint = f"set {_TOKENS[host]}: with a token more requests are allowed" if host in _TOKENS else None
        return FetchFailure(cause="rate-limited", message=message, hint=hint, retry_after=wait)
    if status >= 500 or status == 408:  # 408 Request Timeout: the server's own doing
        return FetchFailure(cause="server-error", message=message, retry_after=wait)
    if status == 407:
        hint = "give the proxy's user name and password: --proxy http://USER:PASSWORD@HOST:PORT"
        return FetchFailure(cause="unauthorized", message=message, hint=hint)
    if status in {401, 403}:
        return FetchFailure(cause="unauthorized", message=message, hint=_how_to_log_in(host, status))
    return FetchFailure(cause="not-found", message=message)


def _how_to_log_in(host: str, status: int) -> str | None:
    if host in _TOKENS:
        return f"set {_TOKENS[host]} to a token that may read it"
    return f"put user name and password for {host} into ~/.netrc" if status == 401 else None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait: RFC 9110 10.2.3, or GitHub's and GitLab's x-ratelimit-reset."""
    text = headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text)
    if text:
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
        except (ValueError, OverflowError):
            return None
    reset = headers.get("x-ratelimit-reset", "")
    if reset.isdecimal() and headers.get("x-ratelimit-remaining") == "0":
        return max(0.0, float(reset) - time.time())
    return None
