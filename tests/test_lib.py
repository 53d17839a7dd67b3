"""The test library does what the other tests take for granted."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from lib.extensions import broken_extension, has_compiler, shared_library, working_extension
from lib.program import run
from lib.server import HTML_PAGE, NO_RANGES, RESET, SERVE, Answer, Server, fail, redirect
from lib.torch import make_torch
from lib.trees import changes, tree
from lib.venvs import isolated_environ, make_venv, native_tag, site_packages
from lib.wheels import cut, damage_member, html_page, lfs_pointer, make_wheel, sha256, without_member


def pip_install(python: Path, environ: Mapping[str, str], *wheels: Path | str) -> tuple[int, str]:
    done = run([python, "-m", "pip", "install", "--no-index", *map(str, wheels)], env=environ)
    return done.code, done.said


def fetch(url: str, **headers: str) -> httpx.Response:
    return httpx.get(url, headers=headers, follow_redirects=True, trust_env=False, timeout=10)


class TestWheels:
    def test_the_same_call_gives_the_same_bytes(self, tmp_path: Path) -> None:
        assert sha256(make_wheel(tmp_path / "a", size_mb=1)) == sha256(make_wheel(tmp_path / "b", size_mb=1))

    def test_pip_installs_one_whose_name_says_more_than_its_metadata(
        self, tmp_path: Path, environ: dict[str, str]
    ) -> None:
        python = make_venv(tmp_path / "venv")
        wheel = make_wheel(
            tmp_path,
            filename_version="2.8.3+cu12torch2.7cxx11abiFALSE",
            tag=native_tag(python),
            files={"flash_attn.py": "def main():\n    print('it runs')\n", "flash_attn.pth": "\n"},
            commands={"flash": "flash_attn:main"},
            data={"data/etc/flash.toml": "x = 1\n", "scripts/flash-sh": "#!/bin/sh\necho sh\n"},
        )
        code, said = pip_install(python, environ, wheel)
        assert code == 0, said
        listed = run([python, "-m", "pip", "list", "--format=freeze"], env=environ).stdout
        assert "flash_attn==2.8.3" in listed.splitlines()
        assert run([python.parent / "flash"], env=environ).stdout == "it runs\n"
        assert run([python.parent / "flash-sh"], env=environ).stdout == "sh\n"
        assert (tmp_path / "venv/etc/flash.toml").read_text() == "x = 1\n"
        assert run([python, "-m", "pip", "check"], env=environ).code == 0

    def test_requirements_and_requires_python_are_what_pip_reads(self, tmp_path: Path, environ: dict[str, str]) -> None:
        python = make_venv(tmp_path / "venv")
        needs = make_wheel(tmp_path, "needs", "1.0", requires=["torch==9"])
        other = make_wheel(tmp_path, "other", "1.0", requires_python=">=3.99")
        assert "torch==9" in pip_install(python, environ, needs)[1]
        assert "requires a different Python" in pip_install(python, environ, other)[1]

    @pytest.mark.parametrize("damage", ["cut", "checksum", "no METADATA", "no RECORD", "page", "pointer"])
    def test_pip_fails_on_every_damaged_one(self, tmp_path: Path, environ: dict[str, str], damage: str) -> None:
        wheel = make_wheel(tmp_path, "flash_attn", "2.8.3")
        match damage:
            case "cut":
                cut(wheel)
            case "checksum":
                damage_member(wheel, "flash_attn/__init__.py")
                with zipfile.ZipFile(wheel) as archive:
                    assert archive.testzip() == "flash_attn/__init__.py"
            case "page":
                wheel = html_page(tmp_path, wheel.name)
            case "pointer":
                wheel = lfs_pointer(tmp_path, wheel.name)
            case _:
                without_member(wheel, damage.removeprefix("no "))
        assert pip_install(make_venv(tmp_path / "venv"), environ, wheel)[0] != 0

    def test_size_is_that_of_a_real_one(self, tmp_path: Path) -> None:
        assert 2 << 20 < make_wheel(tmp_path, size_mb=2).stat().st_size < 3 << 20


class TestExtensions:
    def test_the_broken_one_lacks_a_symbol_of_torch_and_the_other_imports(
        self, tmp_path: Path, environ: dict[str, str]
    ) -> None:
        python = make_venv(tmp_path / "venv", pip=None)
        for name, files in (
            ("flash_attn_2_cuda", broken_extension(python=python)),
            ("rotary_emb", working_extension("rotary_emb", python=python)),
        ):
            for path, content in files.items():
                target = site_packages(python) / path
                target.write_bytes(content if isinstance(content, bytes) else content.encode())
            done = run([python, "-c", f"import {name}"], env=environ)
            assert ("undefined symbol: _ZN3c105ErrorC2" in done.stderr) == (name == "flash_attn_2_cuda"), done.said
            assert (done.code == 0) == (name == "rotary_emb")

    def test_without_a_compiler_python_raises_the_same(
        self, tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        [(name, source)] = broken_extension().items()
        [working] = working_extension().values()
        assert name == "flash_attn_2_cuda.py"
        python = make_venv(tmp_path / "venv", pip=None)
        assert "ImportError: flash_attn_2_cuda" in run([python, "-c", str(source)], env=environ).stderr
        assert run([python, "-c", str(working)], env=environ).code == 0

    def test_a_shared_library_exports_what_it_defines(self) -> None:
        if not has_compiler():
            pytest.skip("no C compiler")
        assert b"_ZN3c103fooEv" in shared_library("libc10.so", defines=["_ZN3c103fooEv"])


class TestTorch:
    @pytest.mark.parametrize(
        ("version", "expected"),
        [
            ("2.7.1+cu126", "2.7.1+cu126 12.6 None True"),
            ("2.3.1+cu118", "2.3.1+cu118 11.8 None True"),
            ("2.7.1+rocm6.3", "2.7.1+rocm6.3 None 6.3 True"),
            ("2.7.1+cpu", "2.7.1+cpu None None True"),
        ],
    )
    def test_it_says_what_it_is(self, tmp_path: Path, environ: dict[str, str], version: str, expected: str) -> None:
        with zipfile.ZipFile(make_torch(tmp_path, version)) as archive:
            archive.extractall(tmp_path / "unpacked")
        code = "import torch as t; print(t.__version__, t.version.cuda, t.version.hip, t.compiled_with_cxx11_abi())"
        python = make_venv(tmp_path / "venv", pip=None)
        done = run([python, "-c", code], env=environ | {"PYTHONPATH": str(tmp_path / "unpacked")})
        assert done.stdout.strip() == expected, done.said

    def test_the_old_abi_stands_in_its_cmake_file(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(make_torch(tmp_path, "2.3.1+cu121", cxx11_abi=False)) as archive:
            cmake = archive.read("torch/share/cmake/Torch/TorchConfig.cmake").decode()
        assert "-D_GLIBCXX_USE_CXX11_ABI=0" in cmake


class TestVenvs:
    @pytest.mark.parametrize(
        ("python", "pip", "expected"),
        [("3.11", "20.3.4", "20.3.4"), ("3.8", "newest", "25.0.1"), ("3.13", "newest", "26.3")],
    )
    def test_the_wanted_pip_runs_and_changes_no_file(
        self, tmp_path: Path, environ: dict[str, str], python: str, pip: str, expected: str
    ) -> None:
        interpreter = make_venv(tmp_path / "venv", python, pip)
        before = tree(tmp_path / "venv")
        commands: list[list[str | Path]] = [
            [interpreter, "-m", "pip", "--version"],
            [interpreter.parent / "pip", "--version"],
        ]
        for command in commands:
            done = run(command, env=environ)
            assert done.stdout.startswith(f"pip {expected} from {tmp_path}/venv/lib/python{python}/"), done.said
        assert run([interpreter, "-m", "pip", "check"], env=environ).code == 0
        assert changes(before, tree(tmp_path / "venv")) == []

    @pytest.mark.slow
    @pytest.mark.parametrize("python", ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13"])
    @pytest.mark.parametrize("pip", ["20.3.4", "22.3.1", "23.2.1", "24.0", "25.0.1"])
    def test_every_pip_installs_on_every_python_that_it_supports(
        self, tmp_path: Path, environ: dict[str, str], python: str, pip: str
    ) -> None:
        if (python, pip) in {("3.12", "20.3.4"), ("3.12", "22.3.1"), ("3.13", "20.3.4"), ("3.13", "22.3.1")}:
            pytest.skip("these pips need pkgutil.ImpImporter or distutils, which Python 3.12 has no more")
        interpreter = make_venv(tmp_path / "venv", python, pip)
        wheel = make_wheel(tmp_path, tag=native_tag(interpreter), files=working_extension(python=interpreter))
        code, said = pip_install(interpreter, environ, wheel)
        assert code == 0, said
        assert run([interpreter, "-c", "import flash_attn_2_cuda"], env=environ).code == 0

    def test_pip_can_be_absent(self, tmp_path: Path, environ: dict[str, str]) -> None:
        python = make_venv(tmp_path / "venv", pip=None)
        assert "No module named pip" in run([python, "-m", "pip", "--version"], env=environ).stderr

    def test_no_setting_of_the_machine_reaches_a_child(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("PIP_INDEX_URL", "VIRTUAL_ENV", "PYTHONPATH", "HTTP_PROXY", "PIPFALLBACK_FALLBACKS"):
            monkeypatch.setenv(name, "x")
        environ = isolated_environ(tmp_path, PIP_NO_INDEX="1")
        assert {name for name in environ if name.startswith("PIP")} == {
            "PIP_CONFIG_FILE",
            "PIP_DISABLE_PIP_VERSION_CHECK",
            "PIP_NO_INDEX",
        }
        assert not {"VIRTUAL_ENV", "PYTHONPATH", "HTTP_PROXY"} & set(environ)
        assert environ["HOME"] == str(tmp_path)


class TestTrees:
    def test_every_kind_of_change_is_seen(self, tmp_path: Path) -> None:
        folder = tmp_path / "tree"
        folder.mkdir()
        for name in ("same", "content", "mode", "gone"):
            (folder / name).write_text(name)
        (folder / "link").symlink_to("same")
        before = tree(folder)
        (folder / "content").write_text("other")
        (folder / "mode").chmod(0o600)
        (folder / "gone").unlink()
        (folder / "link").unlink()
        (folder / "link").symlink_to("content")
        (folder / "new").mkdir()
        assert changes(before, before) == []
        assert changes(before, tree(folder)) == ["+ new", "- gone", "! content", "! link", "! mode"]


class TestServer:
    def test_a_file_is_served_whole_in_part_and_not_again(self, server: Server) -> None:
        (server.folder / "a+b.bin").write_bytes(b"0123456789")
        url = server.url_of(server.folder / "a+b.bin")
        whole = fetch(url)
        etag = whole.headers["ETag"]
        assert (whole.status_code, whole.content) == (200, b"0123456789")
        for headers, status, body in (
            ({"Range": "bytes=2-4"}, 206, b"234"),
            ({"Range": "bytes=-3"}, 206, b"789"),
            ({"Range": "bytes=8-"}, 206, b"89"),
            ({"Range": "bytes=10-"}, 416, b""),
            ({"Range": "bytes=2-4", "If-Range": etag}, 206, b"234"),
            ({"Range": "bytes=2-4", "If-Range": '"other"'}, 200, b"0123456789"),
            ({"If-None-Match": etag}, 304, b""),
        ):
            answer = fetch(url, **headers)
            assert (answer.status_code, answer.content) == (status, body), headers
        first, second = server.requests[:2]
        assert (first.range, first.status, first.sent) == (None, 200, 10)
        assert (second.range, second.status, second.sent) == ("bytes=2-4", 206, 3)

    def test_a_percent_encoded_path_is_the_same_file(self, server: Server) -> None:
        (server.folder / "a+b.bin").write_bytes(b"x")
        assert fetch(f"{server.url}/a%2Bb.bin?download=true").content == b"x"
        assert [one.path for one in server.requests] == ["/a+b.bin"]

    def test_answers_come_one_after_another_and_the_last_one_stays(self, server: Server) -> None:
        (server.folder / "x").write_bytes(b"x")
        server.answer("/x", fail(429, retry_after=3), fail(500), SERVE)
        assert fetch(server.url_of("/x")).headers["Retry-After"] == "3"
        assert [fetch(server.url_of("/x")).status_code for _ in range(3)] == [500, 200, 200]
        assert [one.status for one in server.requests_of("/x")] == [429, 500, 200, 200]
        assert fetch(server.url_of("/absent")).status_code == 404

    def test_a_server_can_do_without_ranges_and_tags(self, server: Server) -> None:
        (server.folder / "x").write_bytes(b"0123")
        server.answer("/x", NO_RANGES, Answer(etag=False))
        answer = fetch(server.url_of("/x"), Range="bytes=1-2")
        assert (answer.status_code, answer.content) == (200, b"0123")
        assert "Accept-Ranges" not in answer.headers
        assert "ETag" not in fetch(server.url_of("/x")).headers

    def test_a_redirect_leads_to_another_host(self, server: Server, tmp_path: Path) -> None:
        (tmp_path / "cdn").mkdir()
        (tmp_path / "cdn/x").write_bytes(b"from the CDN")
        with Server(tmp_path / "cdn", host="localhost") as cdn:
            server.answer("/x", redirect(cdn.url_of("/x")))
            assert fetch(server.url_of("/x")).content == b"from the CDN"
            assert cdn.requests[0].headers["Host"].startswith("localhost:")

    def test_a_body_can_be_cut_or_shorter_than_claimed(self, server: Server) -> None:
        (server.folder / "x").write_bytes(b"0123456789")
        for answer in (Answer(cut_at=4), Answer(claim=20)):
            server.answer("/x", answer)
            with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
                fetch(server.url_of("/x"))

    def test_a_connection_can_be_reset_or_stall(self, server: Server) -> None:
        (server.folder / "x").write_bytes(b"0123456789")
        server.answer("/x", RESET, Answer(stall_at=4))
        with pytest.raises(httpx.ReadError, match="reset by peer"):
            fetch(server.url_of("/x"))
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(server.url_of("/x"), timeout=0.5, trust_env=False)
        assert server.requests[-1].sent == 4

    def test_a_page_can_stand_where_a_wheel_should(self, server: Server) -> None:
        server.answer("/x.whl", HTML_PAGE)
        answer = fetch(server.url_of("/x.whl"))
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html")
        assert answer.text.startswith("<!doctype html>")

    def test_pip_installs_from_its_index_and_its_links(
        self, server: Server, tmp_path: Path, environ: dict[str, str]
    ) -> None:
        make_wheel(
            server.folder / "v2.8.3",
            filename_version="2.8.3+cu12torch2.7cxx11abiFALSE",
            version="2.8.3+cu12torch2.7cxx11abiFALSE",
        )
        make_wheel(server.folder, "other", "1.0")
        make_wheel(server.folder, "other", "2.0", requires_python=">=3.99")
        for number, options in enumerate(
            (["--index-url", f"{server.url}/simple/"], ["--no-index", "-f", f"{server.url}/links/"])
        ):
            python = make_venv(tmp_path / f"venv{number}")
            done = run([python, "-m", "pip", "install", *options, "flash-attn==2.8.3", "other"], env=environ)
            assert "Successfully installed flash-attn-2.8.3+cu12torch2.7cxx11abifalse other-1.0" in done.stdout, (
                done.said
            )

    def test_nothing_listens_after_the_block(self, tmp_path: Path) -> None:
        with httpx.Client(trust_env=False) as client:
            with Server(tmp_path) as server:
                assert client.head(server.url_of("/x")).status_code == 404
            with pytest.raises(httpx.ConnectError):
                client.get(server.url_of("/x"))


def test_tests_run_without_the_pip_settings_of_this_machine() -> None:
    assert {name for name in os.environ if name.startswith("PIP_")} == {"PIP_CONFIG_FILE"}
