"""Which token of the user's environment is meant for which host. No other host is ever given it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

# In the order in which GitHub's own client takes them (cli.github.com/manual/gh_help_environment).
_GITHUB = ("GH_TOKEN", "GITHUB_TOKEN")
_GITHUB_ENTERPRISE = ("GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN")
HUGGING_FACE_HOSTS = frozenset({"huggingface.co", "hf.co"})


class Token(NamedTuple):
    """A bearer token, and the variable that it comes from (for messages; the token itself is never shown)."""

    value: str
    variable: str


def github_token(host: str, environ: Mapping[str, str]) -> Token | None:
    """The token for a GitHub ``host`` (the one of its web pages, with its port where it has one).

    For github.com and ghe.com those are GH_TOKEN and GITHUB_TOKEN. Another host is only known to be the user's where
    GH_HOST (GitHub's client) or GITHUB_SERVER_URL (Actions, whose GITHUB_TOKEN is for that server) names it: a catalog,
    which may be a stranger's, does not decide where a token goes.
    """
    host = host.lower()
    if host == "github.com" or host.endswith(".ghe.com"):
        return _first(environ, _GITHUB)
    if host and host == environ.get("GH_HOST", "").lower():
        return _first(environ, _GITHUB_ENTERPRISE)
    if host and host == _host(environ.get("GITHUB_SERVER_URL", "")):
        return _first(environ, _GITHUB)
    return None


def hugging_face_token(host: str, environ: Mapping[str, str]) -> Token | None:
    """HF_TOKEN for Hugging Face, and for the host that the user has named as HF_ENDPOINT."""
    host = host.lower()
    named = _host(environ.get("HF_ENDPOINT", ""))
    return _first(environ, ("HF_TOKEN",)) if host in HUGGING_FACE_HOSTS or (host and host == named) else None


def _first(environ: Mapping[str, str], variables: tuple[str, ...]) -> Token | None:
    given = ((environ.get(variable, "").strip(), variable) for variable in variables)
    return next((Token(value, variable) for value, variable in given if value), None)


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc.rpartition("@")[2].lower()
    except ValueError:
        return ""
