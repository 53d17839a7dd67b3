"""One requirement as the user wrote it: names, URLs, paths; and never a password in a message."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from lib.wheels import make_wheel
from pipfallback.requests import Request, RequestError, check_reachable, read_request, redacted, without_credentials

WHEEL = "flash_attn-2.8.3+cu12torch2.7cxx11abiFALSE-cp310-cp310-linux_x86_64.whl"
RELEASE = "https://github.com/Dao-AILab/flash-attention/releases/download/v2.8.3"


@pytest.mark.parametrize(
    ("text", "name", "extras", "specifier"),
    [
        ("flash-attn", "flash-attn", (), ""),
        ("Flash_Attn", "flash-attn", (), ""),
        ("flash.attn == 2.8.3", "flash-attn", (), "==2.8.3"),
        ("flash-attn>=2.7,<3", "flash-attn", (), "<3,>=2.7"),
        ("x[b,a]~=1.0", "x", ("a", "b"), "~=1.0"),
        ("x>=1; python_version < '3.12' and sys_platform == 'linux'", "x", (), ">=1"),
        ("x; platform_machine == 'a/b'", "x", (), ""),
        ("torch==2.7.1+cu126", "torch", (), "==2.7.1+cu126"),
    ],
)
def test_a_name_with_extras_and_specifier(text: str, name: str, extras: tuple[str, ...], specifier: str) -> None:
    request = read_request(text)
    assert (request.text, request.name, request.extras) == (text, name, extras)
    assert str(request.specifier) == specifier
    assert (request.location, request.version, request.is_wheel, request.is_local) == (None, None, False, False)


@pytest.mark.parametrize(
    "url",
    [
        f"{RELEASE}/{WHEEL}",
        f"{RELEASE}/{WHEEL.replace('+', '%2B')}",
        f"{RELEASE}/{WHEEL}#sha256={'0' * 64}",
        f"{RELEASE}/{WHEEL}?download=true",
        f"{RELEASE}/{WHEEL}?download=true#sha256={'0' * 64}",
        f"https://user:secret@host/simple/{WHEEL}",
        f"http://[::1]:8080/{WHEEL}",
        f"file:///wheels/{WHEEL}",
    ],
)
@pytest.mark.parametrize("prefix", ["", "flash-attn @ ", "Flash_Attn@"])
def test_the_url_of_a_wheel_names_the_package_and_its_version(prefix: str, url: str) -> None:
    request = read_request(prefix + url)
    assert (request.name, str(request.version)) == ("flash-attn", "2.8.3+cu12torch2.7cxx11abifalse")
    assert request.is_wheel
    assert not request.is_local
    assert request.location == url


def test_name_and_url_with_extras_and_marker() -> None:
    request = read_request(f"flash-attn[dev] @ {RELEASE}/{WHEEL} ; python_version >= '3.8'")
    assert (request.name, request.extras, request.location) == ("flash-attn", ("dev",), f"{RELEASE}/{WHEEL}")


@pytest.mark.parametrize(
    "text",
    [
        "git+https://github.com/Dao-AILab/flash-attention@v2.8.3",
        "git+https://github.com/Dao-AILab/flash-attention.git#subdirectory=csrc",
        "git+ssh://git@github.com/Dao-AILab/flash-attention.git",
        "git+file:///src/flash-attention",
        "https://host/main.zip",
    ],
)
def test_a_url_that_is_no_wheel_is_located_and_left_to_pip(text: str) -> None:
    request = read_request(text)
    assert (request.location, request.name, request.version, request.is_wheel) == (text, None, None, False)
    assert read_request(f"flash-attn @ {text}").name == "flash-attn"


@pytest.mark.parametrize("egg", ["Flash_Attn", "flash-attn[cuda]", "flash-attn&subdirectory=csrc"])
def test_the_egg_of_a_url_is_its_name(egg: str) -> None:
    request = read_request(f"git+https://github.com/Dao-AILab/flash-attention.git#egg={egg}")
    assert (request.name, request.is_source) == ("flash-attn", True)


@pytest.mark.parametrize("path", [WHEEL, f"./{WHEEL}", f"wheels/../{WHEEL}", f"./dir with space/{WHEEL}"])
def test_a_path_is_made_absolute(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    request = read_request(path)
    assert request.location == str(Path(tmp_path, path))
    assert request.name == "flash-attn"
    assert request.is_wheel
    assert request.is_local


def test_a_path_with_extras(tmp_path: Path) -> None:
    request = read_request(f"{tmp_path}/{WHEEL}[dev, test]")
    assert (request.extras, request.location) == (("dev", "test"), f"{tmp_path}/{WHEEL}")


@pytest.mark.parametrize("path", ["./main.zip", "./project", ".", "..", "./project[extra]"])
def test_a_path_that_is_no_wheel_has_no_name(path: str) -> None:
    request = read_request(path)
    assert (request.name, request.is_wheel, request.is_local) == (None, False, True)


@pytest.mark.parametrize("place", ["https://host/", "./"])
def test_a_source_archive_tells_its_project_but_is_no_wheel(place: str) -> None:
    request = read_request(f"{place}flash_attn-2.8.3.tar.gz")
    assert (request.name, str(request.version), request.is_wheel, request.is_source) == (
        "flash-attn",
        "2.8.3",
        False,
        True,
    )


def test_a_scheme_that_nobody_asks_for_is_told() -> None:
    with pytest.raises(RequestError, match="htp://"):
        read_request(f"htp://host/{WHEEL}")
    with pytest.raises(RequestError, match="port cannot be read") as caught:
        read_request(f"http://user:secret@host:99999/{WHEEL}")
    assert "secret" not in str(caught.value)


def test_a_marker_is_kept() -> None:
    assert (
        str(read_request(f"flash-attn @ https://host/{WHEEL} ; python_version < '3'").marker) == 'python_version < "3"'
    )


def test_secrets_are_taken_out_of_the_words_of_others() -> None:
    said = "404 for url: https://user:pw@host/a.whl?token=abc&x=1&X-Amz-Signature=def, see https://u@h/"
    assert redacted(said) == "404 for url: https://host/a.whl?token=***&x=1&X-Amz-Signature=***, see https://h/"


def test_a_wheel_whose_name_is_none_is_left_to_pip() -> None:
    request = read_request("./not-a-wheel.whl")
    assert (request.name, request.is_wheel, request.is_local) == (None, False, True)


@pytest.mark.parametrize("text", ["this is no requirement", "x==", "", "-", "=1"])
def test_what_is_no_requirement_is_left_to_pip(text: str) -> None:
    assert read_request(text) == Request(text=text)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://[::1/x.whl", "http://[::1/x.whl is not a URL: its host or port cannot be read"),
        ("https:///x.whl", "https:///x.whl is not a URL: it names no host"),
        ("flash-attn @ https:///x.whl", "flash-attn @ https:///x.whl is not a URL: it names no host"),
        ("https://user:secret@/x.whl", "https:///x.whl is not a URL: it names no host"),
        ("https://user:secret@[::1/x.whl", "https://[::1/x.whl is not a URL: its host or port cannot be read"),
        (
            "https://user:secret@ho\u2100st/x.whl",
            "https://ho\u2100st/x.whl is not a URL: its host or port cannot be read",
        ),
    ],
)
def test_a_broken_url_is_told_without_its_password(url: str, message: str) -> None:
    with pytest.raises(RequestError) as caught:
        read_request(url)
    error = caught.value
    assert (error.message, error.reference, error.exit_code) == (message, "invalid-request", 1)
    assert "secret" not in " ".join([*error.causes, *error.details, *error.hints])


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://user:secret@host/x.whl", "https://host/x.whl"),
        ("https://token@host:8080/x.whl?a=b", "https://host:8080/x.whl?a=b"),
        ("https://user:se@cret@host/x.whl#sha256=0", "https://host/x.whl"),
        ("https://host/x.whl?mail=a@b", "https://host/x.whl?mail=a@b"),
        ("https://host?mail=a@b", "https://host?mail=a@b"),
        ("https://host/@scope/x.whl", "https://host/@scope/x.whl"),
        ("git+ssh://git@host/x", "git+ssh://host/x"),
        ("/home/a@b#c/x.whl", "/home/a@b#c/x.whl"),
    ],
)
def test_credentials_and_fragment_are_left_out(url: str, clean: str) -> None:
    assert without_credentials(url) == clean


def test_the_pin_of_what_is_in_place() -> None:
    assert read_request("x[b,a]>=1").pinned("1.2+cu121") == "x[a,b]==1.2+cu121"
    assert read_request("x").pinned("1") == "x==1"


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "flash_attn", "2.8.3")
    check_reachable(read_request(str(wheel)))
    check_reachable(read_request("flash-attn"))
    check_reachable(read_request("https://nosuchhost.invalid/x-1-py3-none-any.whl"))
    missing = str(tmp_path / "missing-1-py3-none-any.whl")
    with pytest.raises(RequestError) as caught:
        check_reachable(read_request(missing))
    assert caught.value.message == f"{missing}: no such file"
    assert caught.value.hints


@pytest.mark.parametrize("name", ["x" * 300, "x\0y"])
def test_a_name_that_no_file_can_have_is_not_there(name: str) -> None:
    with pytest.raises(RequestError):
        check_reachable(read_request(f"./{name}-1-py3-none-any.whl"))


PIECES = st.sampled_from(
    ["https://", "http://", "git+", "file://", "://", "@", " @ ", "[", "]", "::1", "user:pw@", "host", "/", "./", "..",
     "x", "-1.0-py3-none-any", ".whl", ".tar.gz", "%2B", "%", "#", "?", "==", ";", " ", "+", "\u2100", "\n", ","]
)  # fmt: skip


@given(st.one_of(st.text(), st.lists(PIECES, max_size=12).map("".join)))
def test_whatever_is_written_only_a_request_error_is_raised(text: str) -> None:
    try:
        request = read_request(text)
    except RequestError as error:
        event("refused")
        said = error.message
    else:
        said = ""
        assert_consistent(request, text)
    assert "://user:pw@" not in said


def assert_consistent(request: Request, text: str) -> None:
    assert request.text == text
    assert request.is_wheel == (request.version is not None)
    assert not (request.is_local and request.location is None)
