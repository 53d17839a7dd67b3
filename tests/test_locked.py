"""An earlier lock as the one source of an install: read, selected from, handed to a real pip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lib.program import run
from lib.server import Server
from lib.venvs import make_venv
from lib.wheels import make_wheel, sha256
from pipfallback.environment import Environment, probe
from pipfallback.locked import LockFileError, Selection, constraints, links_page, read_lock, reference, select

HEAD = 'lock-version = "1.0"\ncreated-by = "pipfallback"\n'
DIGEST = "0" * 64


def described(**form: Any) -> Environment:
    return Environment.from_json(
        {"python": {"version": "3.10.13"}, "platform": "linux_x86_64", "glibc": "2.35", **form}
    )


def lock_file(folder: Path, *packages: str, head: str = HEAD) -> str:
    file = folder / "pylock.toml"
    file.write_text(head + "".join(f"[[packages]]\n{package}\n" for package in packages))
    return str(file)


def selected(file: str, environment: Environment | None = None) -> Selection:
    return select(file, read_lock(file), environment or described())


WHEEL = "flash_attn-2.8.3+cu12torch2.7cxx11abiTRUE-cp310-cp310-linux_x86_64.whl"
BUILD = (
    f'name = "flash-attn"\narchive = {{url = "https://h.example/v/{WHEEL}", size = 7, hashes = {{sha256 = "{DIGEST}"}}}}\n'
    'tool = {pipfallback = {source = "Dao-AILab", trust = "community"}}'
)


def test_a_build_is_taken_from_its_url_with_its_hash(tmp_path: Path) -> None:
    taken = selected(lock_file(tmp_path, BUILD)).taken["flash-attn"]
    assert (taken.location, taken.sha256, taken.is_file) == (f"https://h.example/v/{WHEEL}", DIGEST, True)
    assert reference(taken) == f"https://h.example/v/{WHEEL}#sha256={DIGEST}"


def test_a_path_counts_from_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f'name = "flash-attn"\narchive = {{path = "wheels/{WHEEL}", hashes = {{sha256 = "{DIGEST}"}}}}'
    lock_file(tmp_path, text)
    monkeypatch.chdir(tmp_path)
    taken = selected("pylock.toml").taken["flash-attn"]
    assert taken.location == str(tmp_path / "wheels" / WHEEL)


def test_the_marker_decides_which_entry_counts(tmp_path: Path) -> None:
    def entry(python: str) -> str:
        name = f"flash_attn-2.8.3-cp3{python}-cp3{python}-linux_x86_64.whl"
        return (
            f'name = "flash-attn"\nversion = "2.8.3"\nmarker = "python_version == \'3.{python}\'"\n'
            f'wheels = [{{url = "https://h.example/{name}", hashes = {{sha256 = "{DIGEST}"}}}}]'
        )

    file = lock_file(tmp_path, entry("10"), entry("12"))
    for python in ("10", "12"):
        found = selected(file, described(python={"version": f"3.{python}.1"}))
        assert f"cp3{python}" in found.taken["flash-attn"].location
    assert selected(file, described(python={"version": "3.11.1"})).taken == {}


def test_sources_are_constraints(tmp_path: Path) -> None:
    file = lock_file(
        tmp_path,
        f'name = "one"\nversion = "1"\nsdist = {{url = "https://h.example/one-1.tar.gz", hashes = {{sha256 = "{DIGEST}"}}}}',
        'name = "two"\ndirectory = {path = "two"}',
        'name = "three"\nvcs = {type = "git", url = "https://h.example/three", commit-id = "abc", subdirectory = "x"}',
    )
    found = selected(file)
    assert list(constraints(found)) == [
        "one==1",
        f"two @ file://{tmp_path}/two",
        "three @ git+https://h.example/three@abc#subdirectory=x",
    ]
    assert list(constraints(found, without={"two", "three"})) == ["one==1"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lock-version = ", "is not TOML"),
        ('lock-version = "1.0"', "is not a lock file"),
        (HEAD + "packages = [{name = 'X'}]", "packages"),
        (HEAD.replace("1.0", "2.0") + "packages = []", "2.0"),
    ],
)
def test_what_is_no_lock_is_told_with_its_file(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "pylock.toml"
    file.write_text(text)
    with pytest.raises(LockFileError) as caught:
        read_lock(str(file))
    assert str(file) in caught.value.message
    assert said in caught.value.message


def test_a_missing_lock_is_told(tmp_path: Path) -> None:
    with pytest.raises(LockFileError, match="No such file"):
        read_lock(str(tmp_path / "pylock.toml"))


def test_a_lock_for_another_environment_is_refused(tmp_path: Path) -> None:
    head = HEAD + "environments = [\"python_version == '3.12'\"]\n"
    file = lock_file(tmp_path, BUILD, head=head)
    with pytest.raises(LockFileError, match=r"Python 3\.10, linux_x86_64"):
        selected(file)


def test_pip_takes_what_is_locked_and_asks_for_no_listing(
    tmp_path: Path, server: Server, environ: dict[str, str]
) -> None:
    """einops 0.9 is newer, and was not there when the lock was made."""
    old = make_wheel(server.folder / "files", "einops", "0.8", files={"einops.py": ""})
    make_wheel(server.folder / "files", "einops", "0.9", files={"einops.py": ""})
    local = make_wheel(tmp_path, "tool", "1.0", files={"tool.py": ""}, requires=("einops",))
    python = make_venv(tmp_path / "venv")
    entries = (
        (
            f'name = "einops"\nversion = "0.8"\n'
            f'wheels = [{{url = "{server.url_of(old)}", hashes = {{sha256 = "{sha256(old)}"}}}}]'
        ),
        f'name = "tool"\nversion = "1.0"\narchive = {{path = "{local.name}", hashes = {{sha256 = "{sha256(local)}"}}}}',
    )
    environment, _ = probe(python)
    found = selected(lock_file(tmp_path, *entries), environment)
    (tmp_path / "links.html").write_text(links_page(found))
    (tmp_path / "constraints.txt").write_text("\n".join(constraints(found)))
    words = ["--index-url", f"{server.url}/simple/", "--no-index", "--find-links", tmp_path / "links.html"]
    command = [python, "-m", "pip", "install", *words, "--constraint", tmp_path / "constraints.txt", "tool"]
    done = run(command, env=environ)
    assert done.code == 0, done.said
    frozen = run([python, "-m", "pip", "freeze"], env=environ).stdout
    assert "einops==0.8" in frozen
    assert [request.path for request in server.requests] == [f"/files/{old.name}"]
    old.write_bytes(old.read_bytes().replace(b"einops.py", b"einopz.py"))
    done = run([*command[:4], "--no-cache-dir", "--force-reinstall", *command[4:]], env=environ)
    assert done.code == 1
    assert "HASHES" in done.stderr
