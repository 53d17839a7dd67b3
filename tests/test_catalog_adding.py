"""``pipfallback catalog add`` and ``hash``: wheels by URL come into a file, with hashes, and nothing secret does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.program import Completed, run_pipfallback
from lib.publishers_server import Asset, Publishers, Release, rate_limited
from lib.server import NO_RANGES, fail
from lib.wheels import cut, html_page, make_wheel, sha256
from pipfallback.catalog import Package
from pipfallback.catalog_reader import load
from pipfallback.trust import Trust

FILES = {"wobbly/__init__.py": "", "wobbly_cuda.cpython-310-x86_64-linux-gnu.so": b"\x7fELF", "tests/__init__.py": ""}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Publishers]:
    folder = tmp_path / "served"
    folder.mkdir()
    with Publishers(folder) as running:
        yield running


def wheel(site: Publishers, label: str = "+cu12torch2.7", *, version: str = "1.0", folder: str = "plain") -> Path:
    return make_wheel(site.folder / folder, "wobbly", version, filename_version=f"{version}{label}", files=FILES)


def catalog(tmp_path: Path, environ: dict[str, str], *words: str) -> Completed:
    return run_pipfallback(["catalog", *words], cwd=tmp_path, env={**environ, "PIP_RETRIES": "0"})


def package(tmp_path: Path, name: str = "wobbly") -> Package:
    return load([tmp_path / "fallbacks.toml"]).packages[name]


def release(site: Publishers, *wheels: Path) -> list[str]:
    assets = [Asset(name=path.name, content=path.read_bytes()) for path in wheels]
    site.github("maker/wobbly", [Release(tag="v1", assets=assets)])
    return [f"{site.url}/maker/wobbly/releases/download/v1/{path.name}" for path in wheels]


def test_a_wheel_comes_into_a_new_file(tmp_path: Path, site: Publishers, environ: dict[str, str]) -> None:
    one = wheel(site)
    done = catalog(tmp_path, environ, "add", site.url_of(one))
    assert done.code == 0, done.said
    assert (tmp_path / "fallbacks.toml").read_text() == (
        "#:schema ./fallbacks.schema.json\n"
        "# Editors check this file where that schema lies beside it: pipfallback catalog schema > fallbacks.schema.json\n"
        'schema = 1\n\n[package.wobbly]\nimport = ["wobbly", "wobbly_cuda"]\nneeds = ["torch"]\n\n'
        '[[package.wobbly.source]]\nname = "127.0.0.1"\ntrust = "community"\nkind = "url"\n'
        f'url = "{site.url_of(one)}#sha256={sha256(one)}"\n'
    )
    assert done.stdout == (
        "fallbacks.toml: wobbly is new: it counts as working when wobbly, wobbly_cuda can be imported\n"
        'fallbacks.toml: wobbly: 1 wheel added to source "127.0.0.1" (community)\n'
    )
    assert "--trust-level community" in done.stderr


def test_what_was_added_passes_the_check(tmp_path: Path, site: Publishers, environ: dict[str, str]) -> None:
    urls = [site.url_of(wheel(site)), site.url_of(wheel(site, "+cu12torch2.8"))]
    assert catalog(tmp_path, environ, "add", *urls).code == 0
    done = catalog(tmp_path, environ, "check", "--online", "--download", "fallbacks.toml")
    assert done.code == 0, done.said


def test_adding_again_changes_nothing_and_asks_nobody(
    tmp_path: Path, site: Publishers, environ: dict[str, str]
) -> None:
    url = site.url_of(wheel(site))
    assert catalog(tmp_path, environ, "add", url).code == 0
    before, asked = (tmp_path / "fallbacks.toml").stat(), len(site.requests)
    done = catalog(tmp_path, environ, "add", url.replace("+", "%2B"), url)
    assert (done.code, done.stdout) == (
        0,
        'fallbacks.toml: wobbly-1.0+cu12torch2.7-py3-none-any.whl is there already, in source "127.0.0.1" (community)\n',
    ), done.said
    after = (tmp_path / "fallbacks.toml").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert len(site.requests) == asked


def test_wheels_of_one_publisher_come_into_one_source(
    tmp_path: Path, site: Publishers, environ: dict[str, str]
) -> None:
    one, two, three = wheel(site), wheel(site, "+cu12torch2.8"), wheel(site, "+cu12torch2.9")
    urls = release(site, one, two)
    done = catalog(tmp_path, environ, "add", *urls, site.url_of(three), "--trust", "vendor")
    assert done.code == 0, done.said
    sources = package(tmp_path).sources
    assert [(source.name, source.trust, len(source.urls)) for source in sources] == [
        ("maker", Trust.VENDOR, 2),
        ("127.0.0.1", Trust.VENDOR, 1),
    ]
    assert package(tmp_path).named_hashes == {sha256(path) for path in (one, two, three)}


def test_hashes_come_from_the_list_of_a_release_and_the_rest_from_parts(
    tmp_path: Path, site: Publishers, environ: dict[str, str]
) -> None:
    one = make_wheel(site.folder / "x", "wobbly", "1.0", files=FILES, size_mb=4)
    (url,) = release(site, one)
    done = catalog(tmp_path, environ, "add", url)
    assert done.code == 0, done.said
    assert package(tmp_path).named_hashes == {sha256(one)}
    assert package(tmp_path).imports == ("wobbly", "wobbly_cuda")
    assert sum(asked.sent for asked in site.requests) < 300_000


def test_a_known_package_needs_no_look_into_a_listed_wheel(
    tmp_path: Path, site: Publishers, environ: dict[str, str]
) -> None:
    one = make_wheel(site.folder / "x", "flash_attn", "2.8.3")
    (url,) = release(site, one)
    done = catalog(tmp_path, environ, "add", url)
    assert done.code == 0, done.said
    assert "import" not in (tmp_path / "fallbacks.toml").read_text()
    assert not [asked for asked in site.requests if asked.path.endswith(".whl")]


def test_hugging_face_tells_hashes_too(tmp_path: Path, site: Publishers, environ: dict[str, str]) -> None:
    one = wheel(site)
    page = site.hugging_face("maker/wheels", {f"sub/{one.name}": one.read_bytes()})
    done = catalog(tmp_path, environ, "add", f"{page}/resolve/main/sub/{one.name}", "--import", "wobbly")
    assert done.code == 0, done.said
    assert (package(tmp_path).sources[0].name, package(tmp_path).imports) == ("maker", ("wobbly",))
    assert package(tmp_path).named_hashes == {sha256(one)}
    assert not [asked for asked in site.requests if asked.path.endswith(".whl")]


def test_without_a_list_and_without_parts_the_wheel_is_fetched_once(
    tmp_path: Path, site: Publishers, environ: dict[str, str]
) -> None:
    one = wheel(site)
    (url,) = release(site, one)
    site.route("/api/v3/repos/maker/wobbly/releases/tags/v1", lambda _: rate_limited())
    path = f"/maker/wobbly/releases/download/v1/{one.name}"
    site.answer(path, NO_RANGES)
    made = site.folder / path.lstrip("/")
    made.parent.mkdir(parents=True)
    made.write_bytes(one.read_bytes())
    assert catalog(tmp_path, environ, "add", url).code == 0
    assert package(tmp_path).named_hashes == {sha256(one)}
    assert sum(asked.sent > 100 for asked in site.requests_of(path)) == 1


def test_the_users_own_names_count(tmp_path: Path, site: Publishers, environ: dict[str, str]) -> None:
    words = ["--name", "Wobbly", "--import", "wobbly._native", "--import", "wobbly", "--trust", "official"]
    done = catalog(
        tmp_path, environ, "add", site.url_of(wheel(site)), *words, "--source", "Our farm", "--file", "team.toml"
    )
    assert done.code == 0, done.said
    found = load([tmp_path / "team.toml"]).packages["wobbly"]
    assert found.imports == ("wobbly._native", "wobbly")
    assert (found.sources[0].name, found.sources[0].trust) == ("Our farm", Trust.OFFICIAL)
    assert done.stderr == ""


def test_a_file_that_is_there_keeps_its_comments(tmp_path: Path, site: Publishers, environ: dict[str, str]) -> None:
    own = '# ours\nschema = 1\n\n[package.gear] # the other\nimport = "gear"\n'
    (tmp_path / "fallbacks.toml").write_text(own)
    assert catalog(tmp_path, environ, "add", site.url_of(wheel(site))).code == 0
    assert (tmp_path / "fallbacks.toml").read_text().startswith(f"{own}\n[package.wobbly]\n")


def test_a_source_never_takes_the_name_of_one_of_the_built_in_catalog(
    tmp_path: Path, site: Publishers, environ: dict[str, str]
) -> None:
    one = make_wheel(site.folder / "x", "flash_attn", "2.8.3")
    site.github(
        "Dao-AILab/flash-attention", [Release(tag="v1", assets=[Asset(name=one.name, content=one.read_bytes())])]
    )
    url = f"{site.url}/Dao-AILab/flash-attention/releases/download/v1/{one.name}"
    assert catalog(tmp_path, environ, "add", url).code == 0
    names = [source.name for source in package(tmp_path, "flash-attn").sources]
    assert names[0] == "Dao-AILab (single wheels)"
    assert "Dao-AILab" in names[1:]


def test_a_source_that_cannot_take_a_wheel_is_told(tmp_path: Path, site: Publishers, environ: dict[str, str]) -> None:
    url = site.url_of(wheel(site))
    assert catalog(tmp_path, environ, "add", url, "--source", "Farm", "--trust", "vendor").code == 0
    before = (tmp_path / "fallbacks.toml").read_text()
    other = site.url_of(wheel(site, "+cu12torch2.8"))
    done = catalog(tmp_path, environ, "add", other, "--source", "Farm", "--trust", "official")
    assert done.code == 1, done.said
    assert 'source "Farm" of fallbacks.toml is vendor, of kind url, and cannot take this wheel' in done.stderr
    assert (tmp_path / "fallbacks.toml").read_text() == before
    assert catalog(tmp_path, environ, "add", other, "--source", "Farm").code == 0
    assert len(package(tmp_path).sources[0].urls) == 2


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("URL/wobbly-1.0.tar.gz", "it must end with .whl"),
        ("URL/wobbly.whl", "it must be name-version(-build)-python-abi-platform.whl"),
        ("URL/wobbly-x-py3-none-any.whl", "'x' is not a version (PEP 440)"),
        ("wobbly-1.0-py3-none-any.whl", "is not a URL that begins with https://, http:// or file://"),
        ("ftp://example.org/wobbly-1.0-py3-none-any.whl", "is not a URL that begins with https://, http:// or file://"),
        ("https://[::1/wobbly-1.0-py3-none-any.whl", "is not a URL: its host or port cannot be read"),
        ("URL/{x}/wobbly-1.0-py3-none-any.whl", "holds a space, a brace or a control character"),
        ("URL/wobbly-1.0-py3-none-any.whl?X-Amz-Signature=s3cret", "holds a token or a signature"),
        ("URL/gear-1.0-py3-none-any.whl", "is a wheel of gear, not of wobbly"),
        ("URL/none/wobbly-1.0-py3-none-any.whl", "127.0.0.1 answered 404 Not Found"),
    ],
)
def test_what_can_be_no_entry_is_refused_with_a_reason(
    tmp_path: Path, site: Publishers, environ: dict[str, str], url: str, reason: str
) -> None:
    good = site.url_of(wheel(site))
    done = catalog(tmp_path, environ, "add", good, url.replace("URL", site.url), "--name", "wobbly")
    assert done.code == 1, done.said
    first, second = done.stderr.splitlines()[:2]
    assert first == "error: 1 URL cannot be added; nothing is written"
    assert reason in second
    assert "s3cret" not in done.said
    assert not (tmp_path / "fallbacks.toml").exists()


@pytest.mark.parametrize("damage", ["cut", "page", "other"])
def test_a_file_that_pip_would_refuse_is_refused(
    tmp_path: Path, site: Publishers, environ: dict[str, str], damage: str
) -> None:
    if damage == "page":
        path = html_page(site.folder, "wobbly-1.0-py3-none-any.whl")
    elif damage == "cut":
        path = cut(wheel(site))
    else:
        path = wheel(site).rename(site.folder / "wobbly-2.0-py3-none-any.whl")
    done = catalog(tmp_path, environ, "add", site.url_of(path))
    assert done.code == 1, done.said
    assert not (tmp_path / "fallbacks.toml").exists()


def test_a_wheel_that_brings_no_module_asks_for_one(tmp_path: Path, site: Publishers, environ: dict[str, str]) -> None:
    url = site.url_of(make_wheel(site.folder, "wobbly", "1.0", files={"tests/__init__.py": "", "data/x.json": "{}"}))
    done = catalog(tmp_path, environ, "add", url)
    assert done.code == 1, done.said
    assert "hint: --import NAME says which module must import" in done.stderr
    assert not (tmp_path / "fallbacks.toml").exists()


def test_a_password_is_used_and_left_out(tmp_path: Path, site: Publishers, environ: dict[str, str]) -> None:
    one = wheel(site)
    done = catalog(tmp_path, environ, "add", site.url_of(one).replace("://", "://me:s3cret@"))
    assert done.code == 0, done.said
    assert "user name and password are left out of the file" in done.stderr
    assert package(tmp_path).sources[0].urls == (f"{site.url_of(one)}#sha256={sha256(one)}",)
    assert "s3cret" not in done.said + (tmp_path / "fallbacks.toml").read_text()
    assert {asked.headers.get("Authorization") for asked in site.requests} == {"Basic bWU6czNjcmV0"}


def test_a_hash_in_the_url_must_be_the_files(tmp_path: Path, site: Publishers, environ: dict[str, str]) -> None:
    one = wheel(site)
    done = catalog(tmp_path, environ, "add", f"{site.url_of(one)}#sha256={'a' * 64}")
    assert done.code == 1, done.said
    (listed,) = release(site, one)
    done = catalog(tmp_path, environ, "add", f"{listed}#sha256={'a' * 64}")
    assert f"its publisher says that its sha256 is {sha256(one)}" in done.stderr
    assert not (tmp_path / "fallbacks.toml").exists()
    assert catalog(tmp_path, environ, "add", f"{site.url_of(one)}#sha256={sha256(one)}").code == 0


def test_a_wheel_on_disk_can_be_named(tmp_path: Path, environ: dict[str, str]) -> None:
    one = make_wheel(tmp_path / "disk", "wobbly", "1.0", files=FILES)
    done = catalog(tmp_path, environ, "add", one.as_uri())
    assert done.code == 0, done.said
    assert package(tmp_path).sources[0].name == "this machine"
    assert one.is_file()


def test_missing_hashes_are_filled_in_and_comments_stay(
    tmp_path: Path, site: Publishers, environ: dict[str, str]
) -> None:
    one, two, three = wheel(site), wheel(site, "+cu12torch2.8"), wheel(site, "+cu12torch2.9")
    (listed,) = release(site, three)
    text = (
        '# ours\nschema = 1\n[package.wobbly]\nimport = "wobbly"\n[[package.wobbly.source]]\nname = "A"\ntrust = "vendor"\n'
        f'kind = "url"\nurl = [\n  "{site.url_of(one)}#sha256={"b" * 64}", # pinned\n  "{site.url_of(two)}", # open\n]\n'
        f'[[package.wobbly.source]]\nname = "B"\ntrust = "official"\nkind = "url"\nurl = "{listed}" # listed\n'
    )
    (tmp_path / "fallbacks.toml").write_text(text)
    done = catalog(tmp_path, environ, "hash")
    assert done.code == 0, done.said
    assert done.stdout == (
        'fallbacks.toml: wobbly: 1 of 1 missing hashes of source "A" filled in\n'
        'fallbacks.toml: wobbly: 1 of 1 missing hashes of source "B" filled in\n'
    )
    expected = text.replace(f'{two.name}"', f'{two.name}#sha256={sha256(two)}"')
    expected = expected.replace(f'{listed}"', f'{listed}#sha256={sha256(three)}"')
    assert (tmp_path / "fallbacks.toml").read_text() == expected
    again = catalog(tmp_path, environ, "hash", "fallbacks.toml")
    assert (again.code, again.stdout) == (0, "fallbacks.toml: no hash is missing\n"), again.said


def test_a_hash_that_cannot_be_had_is_told_and_the_others_are_filled_in(
    tmp_path: Path, site: Publishers, environ: dict[str, str]
) -> None:
    one, gone = wheel(site), wheel(site, "+cu12torch2.8")
    site.answer(f"/plain/{gone.name}", fail(404))
    listed = json.dumps([site.url_of(gone), site.url_of(one)])
    (tmp_path / "fallbacks.toml").write_text(
        'schema = 1\n[package.wobbly]\nimport = "wobbly"\n[[package.wobbly.source]]\nname = "A"\ntrust = "vendor"\n'
        f'kind = "url"\nurl = {listed}\n'
    )
    done = catalog(tmp_path, environ, "hash")
    assert done.code == 1, done.said
    assert done.stderr.splitlines() == [
        "error: 1 hash could not be had",
        f"  {site.url_of(gone)}: 127.0.0.1 answered 404 Not Found",
        "",
        "see: pipfallback help invalid-catalog",
    ]
    assert package(tmp_path).named_hashes == {sha256(one)}


def test_hash_without_a_file_is_told(tmp_path: Path, environ: dict[str, str]) -> None:
    done = catalog(tmp_path, environ, "hash")
    assert (done.code, done.stderr.splitlines()[0]) == (1, "error: fallbacks.toml: no such file"), done.said


def test_import_that_the_file_says_already_is_not_said_otherwise(
    tmp_path: Path, site: Publishers, environ: dict[str, str]
) -> None:
    own = 'schema = 1\n[package.wobbly]\nimport = "wobbly"\n'
    (tmp_path / "fallbacks.toml").write_text(own)
    url = site.url_of(wheel(site))
    done = catalog(tmp_path, environ, "add", url, "--import", "wobbly_cuda")
    assert (done.code, done.stderr.splitlines()[0]) == (
        1,
        "error: wobbly: fallbacks.toml says what must import already",
    ), done.said
    assert (tmp_path / "fallbacks.toml").read_text() == own
    assert catalog(tmp_path, environ, "add", url, "--import", "wobbly").code == 0


def test_two_publishers_of_a_new_package_are_told_once_that_it_is_new(
    tmp_path: Path, site: Publishers, environ: dict[str, str]
) -> None:
    one, two = wheel(site), wheel(site, "+cu12torch2.8")
    done = catalog(tmp_path, environ, "add", site.url_of(one), *release(site, two))
    assert done.code == 0, done.said
    assert done.stdout.count("is new") == 1
    assert len(package(tmp_path).sources) == 2
