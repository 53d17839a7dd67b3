"""pip's command-line options, as data: enough to tell an option's value from a requirement.

Read from the option parsers of pip 20.3.4, 21.3.1, 22.3.1, 23.2.1, 24.0, 24.3.1, 25.0.1, 25.3, 26.0 and 26.3
(``create_command(NAME).parser.option_list_all``); each set is the union of all ten for ``install``, ``download`` and
``wheel``, since an option that one pip lacks is that pip's to refuse. A test compares them with real pips.
"""

from __future__ import annotations

# Of all ten pips (``pip._internal.commands.commands_dict``).
COMMANDS = frozenset({
    "cache", "check", "completion", "config", "debug", "download", "freeze", "hash", "help", "index", "inspect",
    "install", "list", "lock", "search", "show", "uninstall", "wheel",
})  # fmt: skip

GENERAL_VALUE = frozenset({
    "--cache-dir", "--cert", "--client-cert", "--default-timeout", "--exists-action", "--keyring-provider",
    "--local-log", "--log", "--log-file", "--proxy", "--python", "--resume-retries", "--retries", "--timeout",
    "--trusted-host", "--use-deprecated", "--use-feature",
})  # fmt: skip

GENERAL_FLAG = frozenset({
    "--debug", "--disable-pip-version-check", "--help", "--isolated", "--no-cache-dir", "--no-color", "--no-input",
    "--no-proxy-env", "--no-python-version-warning", "--quiet", "--require-venv", "--require-virtualenv", "--verbose",
    "--version", "-V", "-h", "-q", "-v",
})  # fmt: skip

COMMAND_VALUE = frozenset({
    "--abi", "--all-releases", "--build", "--build-constraint", "--build-dir", "--build-directory", "--build-option", "--config-settings", "--constraint", "--dest",
    "--destination-dir", "--destination-directory", "--editable", "--extra-index-url", "--find-links",
    "--global-option", "--group", "--implementation", "--index-url", "--install-option", "--no-binary",
    "--only-binary", "--only-final", "--platform", "--prefix", "--progress-bar", "--pypi-url", "--python-version",
    "--refresh-package", "--report", "--requirement", "--requirements-from-script", "--root", "--root-user-action",
    "--source", "--source-dir", "--source-directory", "--src", "--target", "--upgrade-strategy", "--uploaded-prior-to",
    "--wheel-dir", "-C", "-b", "-c", "-d", "-e", "-f", "-i", "-r", "-t", "-w",
})  # fmt: skip

COMMAND_FLAG = frozenset({
    "--break-system-packages", "--check-build-dependencies", "--compile", "--dry-run", "--force-reinstall",
    "--ignore-installed", "--ignore-requires-python", "--no-build-isolation", "--no-clean", "--no-compile",
    "--no-dependencies", "--no-deps", "--no-index", "--no-require-hashes", "--no-use-pep517", "--no-user", "--no-verify",
    "--no-warn-conflicts", "--no-warn-script-location", "--only-dependencies", "--only-deps", "--pre",
    "--prefer-binary", "--require-hashes", "--upgrade", "--use-pep517", "--user", "-I", "-U",
})  # fmt: skip

TAKES_VALUE = GENERAL_VALUE | COMMAND_VALUE
FLAGS = GENERAL_FLAG | COMMAND_FLAG

# The spellings of one option, by the one that the rest of this program asks for (pip's cmdoptions.py).
CANONICAL = {
    "-c": "--constraint", "-e": "--editable", "-f": "--find-links", "-i": "--index-url", "--pypi-url": "--index-url",
    "-r": "--requirement", "-t": "--target", "-d": "--dest", "--destination-dir": "--dest",
    "--destination-directory": "--dest", "-w": "--wheel-dir", "-C": "--config-settings", "-U": "--upgrade",
    "-I": "--ignore-installed", "-q": "--quiet", "-v": "--verbose", "-h": "--help", "-V": "--version",
    "-b": "--build", "--build-dir": "--build", "--build-directory": "--build", "--default-timeout": "--timeout",
    "--local-log": "--log", "--log-file": "--log", "--require-venv": "--require-virtualenv", "--source": "--src", "--source-dir": "--src",
    "--source-directory": "--src", "--no-dependencies": "--no-deps", "--only-dependencies": "--only-deps",
}  # fmt: skip


def canonical(spelling: str) -> str:
    """The one name of an option however it was written: ``-r`` is ``--requirement``."""
    return CANONICAL.get(spelling, spelling)


def unabbreviated(option: str) -> str:
    """The full name of a long option; optparse accepts any unique beginning of one."""
    known = TAKES_VALUE | FLAGS
    if option in known:
        return option
    matches = sorted(name for name in known if name.startswith(option))
    if len({canonical(name) for name in matches}) == 1:
        return matches[0]
    # Where several match, an older pip may have only one of them (its name is the shorter); the others refuse it.
    if matches and TAKES_VALUE.issuperset(matches):
        return min(matches, key=len)
    return option
