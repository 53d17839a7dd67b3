"""pip's options in uv's words: the table is complete, names what the real uv has, and means what pip means."""

from __future__ import annotations

import os
import re
import ssl
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from lib.program import Completed, run_pipfallback
from lib.scene import Scene
from lib.server import Server
from lib.wheels import make_wheel
from pipfallback import pip_options, uv_options
from pipfallback.errors import UsageError
from pipfallback.uv_options import Translation, translate

UV = Path(sys.executable).with_name("uv")

# Options of pip download and pip wheel alone, and what ends every command before it begins.
NOT_OF_INSTALL = {"--dest", "--wheel-dir", "--no-verify", "--help", "--version", "--python"}


def translated(*words: str, is_venv: bool = True, prefix: str = "/none", **environ: str) -> Translation:
    settings = {"PIP_CONFIG_FILE": os.devnull, **environ}
    return translate(("install", *words), settings, prefix=prefix, is_venv=is_venv)


def test_every_option_of_pip_is_in_one_table() -> None:
    every = {pip_options.canonical(name) for name in pip_options.TAKES_VALUE | pip_options.FLAGS}
    tables: list[Mapping[str, object] | frozenset[str]] = [
        uv_options.SAME,
        uv_options.FIXED,
        uv_options.VARIABLES,
        uv_options.DROPPED,
        uv_options.SPECIAL,
        uv_options.LACKING,
    ]
    spoken_of = sorted(name for table in tables for name in table)
    assert spoken_of == sorted(every - NOT_OF_INSTALL)


def uvs_options() -> frozenset[str]:
    done = subprocess.run([UV, "help", "--no-pager", "pip", "install"], capture_output=True, text=True, check=True)
    return frozenset(re.findall(r"^ +(?:-\w, )?(--[\w-]+)", done.stdout, flags=re.MULTILINE))


def test_the_real_uv_has_every_option_that_it_is_given() -> None:
    # These are pip's own names, which uv takes as well without listing them.
    also = {"--prefix", "--constraints"}
    used = {*uv_options.SAME.values(), *(words[0] for words in uv_options.FIXED.values())}
    used |= {"--overrides", "--link-mode", "--python", "--upgrade-package", "--index-strategy", "--no-progress"}
    assert used - uvs_options() - also == set()


def test_the_real_uv_lacks_what_the_table_says_it_lacks() -> None:
    # "--user" is listed only to be refused.
    assert {name for name in uv_options.LACKING if name in uvs_options()} <= {"--user"}


@pytest.mark.parametrize("option", sorted(uv_options.LACKING))
def test_what_uv_lacks_is_named(option: str) -> None:
    value = ["x"] if option in pip_options.TAKES_VALUE else []
    with pytest.raises(UsageError) as caught:
        translated(option, *value, "demo")
    assert caught.value.message == f"--installer uv: uv has no {option}"
    assert any("--installer pip" in hint for hint in caught.value.hints)


def test_a_setting_that_uv_lacks_is_named_by_where_it_stands(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape("uv has no --prefer-binary (from PIP_PREFER_BINARY)")):
        translated("demo", PIP_PREFER_BINARY="1")
    (tmp_path / "pip.conf").write_text("[install]\nuser = yes\n")
    with pytest.raises(UsageError, match=re.escape("uv has no --user (from pip.conf)")):
        translated("demo", PIP_CONFIG_FILE=str(tmp_path / "pip.conf"), XDG_CONFIG_DIRS=str(tmp_path / "none"))
    assert translated("demo", PIP_USER="0").options == ()


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("-i http://a/ -f b -f c", "--index-url=http://a/ --find-links=b --find-links=c"),
        ("--no-index --pre", "--no-index --prerelease=allow"),
        ("-rr.txt -c c.txt", "--requirements=r.txt --constraints=c.txt"),
        ("-e . --no-dependencies", "--editable=. --no-deps"),
        ("-t there --prefix=other", "--target=there --prefix=other"),
        ("--force-reinstall", "--reinstall"),
        ("-I", "--reinstall"),
        ("-qq -v", "--quiet --quiet --verbose"),
        ("--trusted-host h --no-cache-dir", "--allow-insecure-host=h --no-cache"),
        ("--only-binary :all: --no-binary a,b", "--only-binary=:all: --no-binary=a --no-binary=b"),
        ("-C a=b --no-build-isolation", "--config-setting=a=b --no-build-isolation"),
        ("--uploaded-prior-to 2024-01-01", "--exclude-newer=2024-01-01"),
        ("--progress-bar off", "--no-progress"),
        ("--progress-bar on --no-input --no-compile", ""),
        ("--python-version 311", "--python-version=3.11"),
        ("--python-version 3.11.2", "--python-version=3.11.2"),
        ("--keyring-provider subprocess", "--keyring-provider=subprocess"),
        ("--keyring-provider auto", ""),
        ("--no-color --isolated", "--color=never --no-config"),
        ("--requirements-from-script a.py", "--requirements=a.py"),
        ("-U", "--upgrade-package=demo"),
        ("-U --upgrade-strategy eager", "--upgrade"),
        ("--link-mode=copy", "--link-mode=copy"),
    ],
)
def test_options_in_uvs_words(words: str, options: str) -> None:
    assert translated(*words.split(), "demo").words() == tuple(options.split())
    assert translated(*words.split(), "demo").requirements == ("demo",)


def test_several_indexes_are_searched_as_pip_searches_them() -> None:
    assert translated("--extra-index-url", "http://a/", "demo").words() == (
        "--extra-index-url=http://a/",
        "--index-strategy=unsafe-best-match",
    )
    own = translated("--extra-index-url", "http://a/", "demo", UV_INDEX_STRATEGY="first-index")
    assert own.words() == ("--extra-index-url=http://a/",)


def test_what_uv_takes_from_variables() -> None:
    got = translated("--cert", "ca.pem", "--client-cert", "me.pem", "--timeout", "2.5", "--retries", "3", "demo")
    assert got.variables == {
        "SSL_CERT_FILE": "ca.pem",
        "SSL_CLIENT_CERT": "me.pem",
        "UV_HTTP_TIMEOUT": "3",
        "UV_HTTP_RETRIES": "3",
    }
    proxied = translated("demo", PIP_PROXY="http://p:1").variables
    assert proxied == dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://p:1")
    assert {"https_proxy", "HTTPS_PROXY"} <= translated("--no-proxy-env", "demo").removed


def test_the_certificates_that_pip_would_take_from_the_environment() -> None:
    assert translated("demo", REQUESTS_CA_BUNDLE="ca.pem").variables == {"SSL_CERT_FILE": "ca.pem"}
    assert translated("demo", REQUESTS_CA_BUNDLE="ca.pem", SSL_CERT_FILE="uv.pem").variables == {}
    said = translated("--cert", "mine.pem", "demo", REQUESTS_CA_BUNDLE="ca.pem")
    assert said.variables == {"SSL_CERT_FILE": "mine.pem"}


def test_settings_of_pip_add_to_the_command_line_and_give_way_to_uvs_own(tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = http://conf/\nextra-index-url =\n  http://b/\n  http://c/\n")
    settings = {"PIP_CONFIG_FILE": str(config), "XDG_CONFIG_DIRS": str(tmp_path)}
    assert translated("demo", **settings).words() == (
        "--index-url=http://conf/",
        "--extra-index-url=http://b/",
        "--extra-index-url=http://c/",
        "--index-strategy=unsafe-best-match",
    )
    said = translated("-i", "http://d/", "--extra-index-url", "http://e/", "demo", **settings)
    assert said.values("--index-url") == ("http://d/",)
    assert said.values("--extra-index-url") == ("http://b/", "http://c/", "http://e/")
    assert translated("demo", **settings, UV_DEFAULT_INDEX="http://uv/").values("--index-url") == ()
    assert translated("--isolated", "demo", PIP_INDEX_URL="http://a/").words() == ("--no-config",)


def test_the_targets_pip_conf_counts(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text("[install]\nno-index = true\nfind-links = /wheels\n")
    got = translate(
        ("install", "demo"),
        {"HOME": str(tmp_path / "home"), "XDG_CONFIG_DIRS": str(tmp_path / "none")},
        prefix=str(tmp_path),
        is_venv=True,
    )
    assert set(got.words()) == {"--no-index", "--find-links=/wheels"}


def test_pips_cache_folder_is_not_uvs() -> None:
    assert translated("demo", PIP_CACHE_DIR="/pip").words() == ()
    assert translated("--cache-dir", "/mine", "demo").words() == ("--cache-dir=/mine",)
    assert translated("demo", PIP_NO_CACHE_DIR="1").words() == ("--no-cache",)


def test_an_upgrade_upgrades_what_is_named_also_in_files(tmp_path: Path) -> None:
    file = tmp_path / "r.txt"
    file.write_text("one>=1\n# two\nthree ; python_version > '3'\n")
    got = translated("-U", "-r", str(file), "four[extra]", "./five-1.0-py3-none-any.whl")
    assert got.values("--upgrade-package") == ("four", "five", "one", "three")
    assert not got.has("--upgrade")


def test_a_wheels_url_with_a_hash_gets_its_name() -> None:
    url = "file:///w/flash_attn-2.8.3%2Bcu12-py3-none-any.whl#sha256=00"
    assert translated(url).requirements == (f"flash-attn @ {url}",)
    assert translated("demo @ http://h/x.whl#sha256=00", "./a#b.whl").requirements == (
        "demo @ http://h/x.whl#sha256=00",
        "./a#b.whl",
    )


def test_a_virtual_environment_may_be_required() -> None:
    assert translated("demo", PIP_REQUIRE_VIRTUALENV="1").words() == ()
    with pytest.raises(UsageError, match="no virtual environment"):
        translated("demo", is_venv=False, PIP_REQUIRE_VIRTUALENV="1")


@pytest.mark.parametrize(
    "words", ["--timeout soon", "--python-version 3", "--keyring-provider import", "--requirements-from-script s"]
)
def test_values_that_uv_cannot_take_are_usage_errors(words: str) -> None:
    with pytest.raises(UsageError):
        translated(*words.split(), "demo")


def test_another_command_than_install_is_not_uvs() -> None:
    with pytest.raises(UsageError, match="pip download"):
        translate(("download", "demo"), {}, prefix="/none", is_venv=True)


def install(scene: Scene, *words: str | Path, **settings: str) -> Completed:
    fallbacks = ["--fallbacks", scene.folder / "builds.toml", "--installer", "uv"]
    return run_pipfallback(["install", *fallbacks, *words], python=scene.python, env={**scene.environ, **settings})


@pytest.mark.parametrize("how", ["option", "variable", "file"])
def test_index_constraint_and_links_reach_the_real_uv(scene: Scene, tmp_path: Path, how: str) -> None:
    make_wheel(scene.server.folder, "extra", "1.0")
    make_wheel(scene.server.folder, "extra", "2.0")
    scene.wheel("+cu126torch2.7", requires=["extra"])
    scene.catalog()
    pins = scene.folder / "pins.txt"
    pins.write_text("extra==1.0\n")
    index = f"{scene.server.url}/simple/"
    if how == "option":
        done = install(scene, "-i", index, "-c", pins, "flash-attn")
    elif how == "variable":
        done = install(scene, "flash-attn", PIP_INDEX_URL=index, PIP_CONSTRAINT=str(pins))
    else:
        config = scene.folder / "pip.conf"
        config.write_text(f"[global]\nindex-url = {index}\n[install]\nconstraint = {pins}\n")
        done = install(scene, "flash-attn", PIP_CONFIG_FILE=str(config), XDG_CONFIG_DIRS=str(tmp_path))
    assert done.code == 0, done.said
    assert scene.label() == "+cu126torch2.7"
    assert (scene.site / "extra-1.0.dist-info").is_dir()


def test_the_better_of_two_indexes_is_taken_as_pip_does(scene: Scene, tmp_path: Path) -> None:
    scene.wheel("+cu126torch2.7", version="2.8.1")
    scene.catalog()
    (tmp_path / "other").mkdir()
    with Server(tmp_path / "other") as other:
        made = scene.wheel("+cu126torch2.7.1", version="2.8.3", folder="moved")
        made.rename(other.folder / made.name)
        indexes = ["-i", f"{scene.server.url}/simple/", "--extra-index-url", f"{other.url}/simple/"]
        done = install(scene, *indexes, "flash-attn")
        assert done.code == 0, done.said
    assert scene.label() == "+cu126torch2.7.1"
    scene_reversed = install(scene, "-U", *indexes[:2], "flash-attn")
    assert scene_reversed.code == 0, scene_reversed.said
    assert scene.label() == "+cu126torch2.7.1", "what is newer than all that the index has stays"


def test_without_a_cache_nothing_is_fetched_twice(scene: Scene) -> None:
    wheel = scene.wheel("+cu126torch2.7")
    scene.catalog()
    done = install(scene, "--no-cache-dir", "--no-index", scene.server.url_of(wheel))
    assert done.code == 0, done.said
    whole = [one for one in scene.server.requests_of("/v/" + wheel.name) if one.range is None and one.method == "GET"]
    assert len(whole) <= 1
    assert not list(Path(scene.environ["XDG_CACHE_HOME"]).glob("uv/archive-*/*"))


@pytest.mark.parametrize("how", ["cert", "trusted-host", "neither"])
def test_certificates_reach_the_real_uv(scene: Scene, tmp_path: Path, how: str) -> None:
    authority, certificate, key = tmp_path / "ca.pem", tmp_path / "server.pem", tmp_path / "server.key"
    (tmp_path / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    new = "-newkey rsa:2048 -nodes -subj"
    for words in (
        f"req -x509 {new} /CN=Test-CA -keyout ca.key -out ca.pem -days 2 -addext keyUsage=critical,keyCertSign",
        f"req {new} /CN=test -keyout server.key -out server.csr",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -days 2 -extfile names -out server.pem",
    ):
        subprocess.run(["openssl", *words.split()], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    make_wheel(scene.server.folder, "plain", "1.0")
    scene.catalog()
    trust = {"cert": {"PIP_CERT": str(authority)}, "trusted-host": {"PIP_TRUSTED_HOST": "127.0.0.1"}, "neither": {}}
    with Server(scene.server.folder, tls=context) as safe:
        done = install(scene, "-i", f"{safe.url}/simple/", "plain", UV_HTTP_RETRIES="0", **trust[how])
    assert (done.code == 0) == (how != "neither"), done.said


def test_a_proxy_is_asked_by_the_real_uv(scene: Scene) -> None:
    wheel = make_wheel(scene.server.folder / "links", "plain", "1.0")
    scene.catalog()
    done = install(scene, "--no-index", "--proxy", scene.server.url, f"http://host.invalid/links/{wheel.name}")
    assert done.code == 0, done.said
    assert (scene.site / "plain-1.0.dist-info").is_dir()


def test_the_document_lists_what_uv_lacks_and_what_is_left_out() -> None:
    text = (Path(__file__).parent.parent / "docs" / "uv.md").read_text(encoding="utf-8")
    lacking = text.partition("A usage error that names it")[2].partition("`pipfallback download`")[0]
    dropped = text.partition("Left out, since nothing is lost")[2].partition("## Settings")[0]
    assert re.findall(r"`(--[\w-]+)`", lacking) == sorted(uv_options.LACKING)
    assert re.findall(r"`(--[\w-]+)`", dropped) == sorted(uv_options.DROPPED)
