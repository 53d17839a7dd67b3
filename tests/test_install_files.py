"""Managed names that stand in files: requirement files, constraints, groups, scripts, locks, pip's settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from lib.program import run_pipfallback
from lib.scene import Scene
from lib.server import Server
from lib.trees import changes, tree
from lib.wheels import make_wheel, sha256


@pytest.fixture
def works(scene: Scene) -> Path:
    """A build of flash-attn that only the catalog knows."""
    wheel = scene.wheel("+cu126torch2.7")
    scene.catalog(wheel)
    return wheel


def other(scene: Scene, name: str = "other", version: str = "1.0", **more: object) -> Path:
    """A plain wheel in the folder that ``--find-links`` names."""
    return make_wheel(scene.folder / "links", name, version, **more)  # type: ignore[arg-type]


def versions(scene: Scene) -> dict[str, str]:
    """What is installed beside pip and the stand-in torch."""
    listed = scene.pip("list", "--format=json").stdout
    found = {canonicalize_name(one["name"]): str(one["version"]) for one in json.loads(listed)}
    return {name: version for name, version in found.items() if name not in {"pip", "torch", "setuptools"}}


def links(scene: Scene) -> tuple[str, Path]:
    """pip's words that name the folder of plain wheels."""
    (scene.folder / "links").mkdir(exist_ok=True)
    return ("--find-links", scene.folder / "links")


@pytest.mark.parametrize("pip_version", ["20.3.4", "23.2.1", "26.3"], indirect=True)
@pytest.mark.parametrize("words", [["-r", "r.txt"], ["-qqr", "r.txt"], ["-rr.txt"], ["--requirement=r.txt"]])
def test_a_name_in_a_requirement_file_falls_back(scene: Scene, works: Path, words: list[str]) -> None:
    other(scene)
    (scene.folder / "r.txt").write_text("# what we need\nother>=1  # plain\nflash-attn>=2 ; python_version >= '3'\n")
    done = scene.install(*links(scene), *words)
    assert done.code == 0, done.said
    assert scene.label() == "+cu126torch2.7"
    assert versions(scene) == {"flash-attn": "2.8.3", "other": "1.0"}
    assert scene.outcome()["requests"][0]["request"] == "flash-attn>=2 ; python_version >= '3'"
    assert scene.server.requests_of("/v/" + works.name)


@pytest.mark.usefixtures("works")
def test_nested_files_continuations_variables_and_relative_links_hold(scene: Scene) -> None:
    other(scene)
    (scene.folder / "sub" / "deep").mkdir(parents=True)
    (scene.folder / "r.txt").write_text("-r sub/inner.txt\n")
    (scene.folder / "sub" / "inner.txt").write_text("--find-links ../links\n-c deep/bounds.txt\n-r deep/most.txt\n")
    (scene.folder / "sub" / "deep" / "most.txt").write_text("flash\\\n-attn\\\n  >=${LEAST}\nother\n")
    (scene.folder / "sub" / "deep" / "bounds.txt").write_text("other<2\nflash-attn<3\n")
    other(scene, version="2.0")
    done = scene.install("-r", "r.txt", LEAST="2.8")
    assert done.code == 0, done.said
    assert versions(scene) == {"flash-attn": "2.8.3", "other": "1.0"}


@pytest.mark.parametrize("pip_version", ["20.3.4", "23.2.1", "24.3.1", "26.3"], indirect=True)
def test_a_constraint_bounds_the_builds(scene: Scene) -> None:
    scene.catalog(scene.wheel("+new", version="2.9.0"), scene.wheel("+old", version="2.8.1"))
    (scene.folder / "c.txt").write_text("flash-attn<2.9\n")
    done = scene.install("-c", "c.txt", "flash-attn")
    assert done.code == 0, done.said
    assert scene.label() == "+old"


@pytest.mark.usefixtures("works")
def test_constraints_that_contradict_the_request_are_pips_word(scene: Scene) -> None:
    (scene.folder / "c.txt").write_text("flash-attn==1.0\n")
    alone = scene.pip("install", "--no-index", "-c", scene.folder / "c.txt", "flash-attn==2.0")
    done = scene.install("-c", "c.txt", "flash-attn==2.0")
    assert (done.code, done.stderr) == (alone.code, alone.stderr)


@pytest.mark.usefixtures("works")
def test_a_url_in_a_constraint_is_the_one_that_is_asked_for(scene: Scene) -> None:
    broken = scene.wheel("+cu12torch2.6", broken=True)
    (scene.folder / "c.txt").write_text(f"flash-attn @ {scene.server.url_of(broken)}\n")
    done = scene.install("-c", "c.txt", "flash-attn")
    assert done.code == 0, done.said
    assert scene.label() == "+cu126torch2.7"
    assert "undefined symbol" in done.stderr


@pytest.mark.usefixtures("works")
def test_a_wheel_that_a_file_names_is_replaced_and_the_rest_stays(scene: Scene) -> None:
    other(scene)
    broken = scene.wheel("+cu12torch2.6", broken=True)
    file = scene.folder / "r.txt"
    file.write_text(f"other\n{scene.server.url_of(broken)}\n")
    before = file.read_bytes()
    done = scene.install(*links(scene), "-r", file)
    assert done.code == 0, done.said
    assert scene.label() == "+cu126torch2.7"
    assert versions(scene) == {"flash-attn": "2.8.3", "other": "1.0"}
    assert file.read_bytes() == before


def test_where_nothing_works_nothing_of_the_file_stays(scene: Scene) -> None:
    other(scene)
    scene.catalog(scene.wheel("+cu12torch2.7", broken=True))
    (scene.folder / "r.txt").write_text("other\nflash-attn\n")
    before = tree(scene.prefix)
    done = scene.install(*links(scene), "-r", "r.txt")
    assert done.code == 1
    assert changes(before, tree(scene.prefix)) == []
    assert "undefined symbol" in done.stderr


def test_the_same_package_twice_is_one_request(scene: Scene) -> None:
    scene.catalog(scene.wheel("+new", version="2.9.0"), scene.wheel("+old", version="2.8.1"))
    (scene.folder / "r.txt").write_text("flash_attn<2.9\nFlash-Attn>=2.8\n")
    done = scene.install("flash-attn", "-r", "r.txt")
    assert done.code == 0, done.said
    assert scene.label() == "+old"
    assert len(scene.outcome()["requests"]) == 1


@pytest.mark.usefixtures("works")
def test_what_a_marker_excludes_is_not_asked_for(scene: Scene) -> None:
    other(scene)
    (scene.folder / "r.txt").write_text("flash-attn; python_version < '3'\nother\n")
    done = scene.install(*links(scene), "-r", "r.txt")
    assert done.code == 0, done.said
    assert versions(scene) == {"other": "1.0"}


def test_hashes_of_a_file_hold_for_the_fallback(scene: Scene) -> None:
    stranger, known = scene.wheel("+cu126torch2.7"), scene.wheel("+cu12torch2.7")
    digests = {one: sha256(one) for one in (stranger, known)}
    scene.catalog(*(f"{scene.server.url_of(one)}#sha256={digest}" for one, digest in digests.items()))
    file = scene.folder / "r.txt"
    plain = other(scene)
    file.write_text(
        f"other==1.0 \\\n    --hash=sha256:{sha256(plain)}\n"
        f"flash-attn==2.8.3 \\\n    --hash=sha256:{'0' * 64} \\\n    --hash=sha256:{sha256(known)}\n"
    )
    done = scene.install(*links(scene), "-r", file)
    assert done.code == 0, done.said
    assert scene.label() == "+cu12torch2.7"
    assert versions(scene) == {"flash-attn": "2.8.3", "other": "1.0"}
    assert not scene.server.requests_of("/v/" + stranger.name)


def test_a_hash_that_no_build_has_is_a_reason(scene: Scene, works: Path) -> None:
    (scene.folder / "r.txt").write_text(f"flash-attn==2.8.3 --hash=sha256:{'0' * 64}\n")
    done = scene.install("-r", "r.txt")
    assert done.code == 1
    assert "hash" in done.stderr
    assert not scene.server.requests_of("/v/" + works.name, method="GET")


@pytest.mark.usefixtures("works")
def test_a_file_by_url_and_what_it_names_beside_it(scene: Scene, server: Server) -> None:
    (server.folder / "reqs").mkdir()
    (server.folder / "reqs" / "r.txt").write_text("-r more.txt\n")
    (server.folder / "reqs" / "more.txt").write_text("flash-attn\n")
    done = scene.install("-r", f"{server.url}/reqs/r.txt")
    assert done.code == 0, done.said
    assert scene.label() == "+cu126torch2.7"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bom", "flash-attn\n".encode("utf-8-sig")),
        ("utf-16", "flash-attn\n".encode("utf-16")),
        ("latin-1", "# -*- coding: latin-1 -*-\n# für alle\nflash-attn\n".encode("latin-1")),
        ("crlf", b"# one\r\nflash-attn\r\n"),
        ("no end", b"flash-attn"),
    ],
)
@pytest.mark.usefixtures("works")
def test_encodings_and_line_ends(scene: Scene, name: str, content: bytes) -> None:
    (scene.folder / "r.txt").write_bytes(content)
    done = scene.install("-r", "r.txt")
    assert done.code == 0, (name, done.said)
    assert scene.label() == "+cu126torch2.7"


def test_the_options_of_a_file_count_for_the_choice(scene: Scene) -> None:
    scene.catalog(scene.wheel("+pre", version="2.9.0rc1"), scene.wheel("+final"))
    (scene.folder / "r.txt").write_text("--pre\nflash-attn\n")
    done = scene.install("-r", "r.txt")
    assert done.code == 0, done.said
    assert scene.label() == "+pre"


@pytest.mark.parametrize("place", ["variable", "pip.conf"])
@pytest.mark.usefixtures("works")
def test_a_file_that_pips_settings_name(scene: Scene, place: str) -> None:
    other(scene)
    file = scene.folder / "r.txt"
    file.write_text("flash-attn\n")
    settings = {"PIP_REQUIREMENT": str(file)}
    if place == "pip.conf":
        conf = scene.folder / "pip.conf"
        conf.write_text(f"[install]\nrequirement = {file}\n")
        settings = {"PIP_CONFIG_FILE": str(conf)}
    done = scene.install(*links(scene), "other", **settings)
    assert done.code == 0, done.said
    assert scene.label() == "+cu126torch2.7"
    assert versions(scene) == {"flash-attn": "2.8.3", "other": "1.0"}


@pytest.mark.usefixtures("works")
def test_a_dependency_group(scene: Scene) -> None:
    other(scene)
    (scene.folder / "pyproject.toml").write_text(
        '[dependency-groups]\nrun = ["other", {include-group = "gpu"}]\ngpu = ["flash-attn>=2"]\n'
    )
    done = scene.install(*links(scene), "--group", "run")
    assert done.code == 0, done.said
    assert scene.label() == "+cu126torch2.7"
    assert versions(scene) == {"flash-attn": "2.8.3", "other": "1.0"}


@pytest.mark.usefixtures("works")
def test_the_requirements_of_a_script(scene: Scene) -> None:
    other(scene)
    (scene.folder / "tool.py").write_text(
        '# /// script\n# dependencies = [\n#   "other",\n#   "flash-attn",\n# ]\n# ///\nimport flash_attn\n'
    )
    done = scene.install(*links(scene), "--requirements-from-script", "tool.py")
    assert done.code == 0, done.said
    assert scene.label() == "+cu126torch2.7"
    assert versions(scene) == {"flash-attn": "2.8.3", "other": "1.0"}


def lock(scene: Scene, wheel: Path) -> None:
    (scene.folder / "pylock.toml").write_text(
        'lock-version = "1.0"\ncreated-by = "test"\n[[packages]]\nname = "flash-attn"\n'
        f'[packages.archive]\nurl = "{scene.server.url_of(wheel)}"\nhashes = {{sha256 = "{sha256(wheel)}"}}\n'
    )


def test_a_lock_is_installed_as_it_is(scene: Scene) -> None:
    wheel = scene.wheel("+cu126torch2.7")
    scene.catalog()
    lock(scene, wheel)
    done = scene.install("-r", "pylock.toml")
    assert done.code == 0, done.said
    assert scene.label() == "+cu126torch2.7"
    assert scene.outcome()["installed"]["verified"] == "imports"


def test_what_a_lock_names_is_not_replaced_by_another_build(scene: Scene, works: Path) -> None:
    lock(scene, scene.wheel("+cu12torch2.6", broken=True))
    before = tree(scene.prefix)
    done = scene.install("-r", "pylock.toml")
    assert done.code == 1
    assert changes(before, tree(scene.prefix)) == []
    assert "a lock names this very file" in done.stderr
    assert "undefined symbol" in done.stderr
    assert not scene.server.requests_of("/v/" + works.name)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-r", "none.txt"], "No such file or directory: 'none.txt'"),
        (["-r", "loop.txt"], "loop.txt recursively references itself"),
        (["-r", "option.txt"], "no such option: --nonsense"),
        (["-r", "r.txt", "--group", "run"], "pyproject.toml not found"),
    ],
)
@pytest.mark.usefixtures("works")
def test_a_file_that_pip_cannot_read_is_told_of_by_pip(scene: Scene, words: list[str], said: str) -> None:
    (scene.folder / "loop.txt").write_text("flash-attn\n-r loop.txt\n")
    (scene.folder / "option.txt").write_text("flash-attn --nonsense\n")
    (scene.folder / "r.txt").write_text("flash-attn\n")
    before = tree(scene.prefix)
    alone = scene.pip("install", "--no-index", *(scene.folder / one if one.endswith(".txt") else one for one in words))
    done = scene.install(*words)
    assert said in done.stderr, done.said
    assert done.code == alone.code
    assert "Traceback" not in done.stderr
    assert changes(before, tree(scene.prefix)) == []


@pytest.mark.parametrize("name", ["/dev/stdin", "/dev/fd/{}"])
def test_a_pipe_is_read_once_and_pip_reads_it_too(scene: Scene, works: Path, name: str) -> None:
    other(scene)
    end, start = os.pipe()
    os.write(start, b"other\nflash-attn\n")
    os.close(start)
    command = ["install", "--python", scene.python, "--fallbacks", scene.folder / "builds.toml", "--no-index"]
    command += [*links(scene), "-r", name.format(end)]
    done = subprocess.run(
        [sys.executable, "-m", "pipfallback", *map(str, command)],
        env=scene.environ,
        stdin=end,
        pass_fds=[end],
        capture_output=True,
        text=True,
        check=False,
    )
    os.close(end)
    assert done.returncode == 0, done.stderr
    assert scene.server.requests_of("/v/" + works.name)
    assert versions(scene) == {"flash-attn": "2.8.3", "other": "1.0"}


def locked(scene: Scene, *wheels: tuple[str, str, Path]) -> Path:
    """A lock of (name, version or "", wheel), as ``pipfallback lock`` writes it: without a version, an archive."""
    text = 'lock-version = "1.0"\ncreated-by = "test"\n'
    for name, version, wheel in wheels:
        said = f'version = "{version}"\n' if version else ""
        kind = "[[packages.wheels]]" if version else "[packages.archive]"
        url = wheel.as_uri() if wheel.is_relative_to(scene.folder / "links") else scene.server.url_of(wheel)
        text += f'[[packages]]\nname = "{name}"\n{said}{kind}\nurl = "{url}"\nhashes = {{sha256 = "{sha256(wheel)}"}}\n'
    file = scene.folder / "pylock.toml"
    file.write_text(text)
    return file


@pytest.mark.parametrize("pip_version", ["23.2.1", "26.3"], indirect=True)
def test_everything_comes_from_an_earlier_lock(scene: Scene) -> None:
    wheel, newer = scene.wheel("+cu126torch2.7", requires=["other"]), scene.wheel("+cu126torch2.7", version="2.9.0")
    scene.catalog(newer)
    file = locked(scene, ("flash-attn", "", wheel), ("other", "1.0", other(scene)))
    other(scene, version="2.0")
    (scene.folder / "r.txt").write_text("flash-attn>=2.8 # the fast one\n")
    done = scene.install(*links(scene), "--lock", file, "-r", "r.txt")
    assert done.code == 0, done.said
    assert versions(scene) == {"flash-attn": "2.8.3", "other": "1.0"}
    assert {request.path for request in scene.server.requests} == {"/v/" + wheel.name}
    assert scene.outcome()["installed"]["verified"] == "imports"


def test_a_locked_dependency_and_a_plain_name(scene: Scene) -> None:
    wheel = scene.wheel("+cu126torch2.7")
    scene.catalog()
    lib = other(scene, "some_lib", requires=["flash-attn"])
    file = locked(scene, ("flash-attn", "", wheel), ("some-lib", "1.0", lib))
    done = scene.install("some-lib", PIPFALLBACK_LOCK=str(file))
    assert done.code == 0, done.said
    assert versions(scene) == {"flash-attn": "2.8.3", "some-lib": "1.0"}
    assert scene.label() == "+cu126torch2.7"


def test_a_locked_build_that_does_not_work_is_not_replaced(scene: Scene, works: Path) -> None:
    file = locked(scene, ("flash-attn", "", scene.wheel("+cu12torch2.6", broken=True)))
    before = tree(scene.prefix)
    done = scene.install("--lock", file, "flash-attn")
    assert done.code == 1
    assert "undefined symbol" in done.stderr
    assert "a lock names this very file" in done.stderr
    assert not scene.server.requests_of("/v/" + works.name)
    assert changes(before, tree(scene.prefix)) == []


def test_a_file_that_was_changed_since_is_refused(scene: Scene) -> None:
    wheel = scene.wheel("+cu126torch2.7")
    scene.catalog()
    file = locked(scene, ("flash-attn", "", wheel))
    scene.wheel("+cu126torch2.7", metadata=["Summary: changed"])
    done = scene.install("--lock", file, "flash-attn")
    assert done.code == 1
    assert "HASHES" in done.stderr
    assert versions(scene) == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        ("lock-version = ", "is not TOML"),
        ("", "is not a lock file"),
        ("other", "does not name flash-attn"),
    ],
)
def test_a_lock_that_is_none_is_told(scene: Scene, content: str | None, said: str) -> None:
    scene.catalog()
    file = locked(scene, ("other", "1.0", other(scene))) if content == "other" else scene.folder / "pylock.toml"
    if content not in {None, "other"}:
        file.write_text(content or "")
    done = scene.install("--lock", file, "flash-attn")
    assert done.code == 1, done.said
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("pip_version", ["22.3.1", "26.3"], indirect=True)
@pytest.mark.parametrize("name", ["report.json", "-"])
def test_one_report_tells_of_the_fallback_and_the_rest(scene: Scene, name: str) -> None:
    works = scene.wheel("+cu126torch2.7", requires=["third"])
    scene.catalog(works)
    other(scene)
    other(scene, "third")
    (scene.folder / "r.txt").write_text("other\nflash-attn\n")
    done = scene.install("--quiet", *links(scene), "--report", name, "-r", "r.txt")
    assert done.code == 0, done.said
    report = json.loads(done.stdout if name == "-" else (scene.folder / name).read_text())
    found = {canonicalize_name(each["metadata"]["name"]): each for each in report["install"]}
    assert set(found) == {"flash-attn", "other", "third"}
    assert found["flash-attn"]["download_info"]["url"] == scene.server.url_of(works)
    assert sha256(works) in str(found["flash-attn"]["download_info"]["archive_info"])
    assert {name: each["requested"] for name, each in found.items()} == {
        "flash-attn": True,
        "other": True,
        "third": False,
    }


def test_the_report_of_a_command_that_needed_no_fallback_is_pips(scene: Scene) -> None:
    works = scene.wheel("+cu126torch2.7")
    scene.catalog()
    done = scene.install("--report", "report.json", scene.server.url_of(works))
    assert done.code == 0, done.said
    (entry,) = json.loads((scene.folder / "report.json").read_text())["install"]
    assert entry["download_info"]["url"] == scene.server.url_of(works)


def test_a_target_folder_of_pip_conf_is_where_it_is_looked_for(scene: Scene, works: Path) -> None:
    conf = scene.folder / "pip.conf"
    conf.write_text(f"[install]\ntarget = {scene.folder / 'apart'}\nno-deps = yes\n")
    done = scene.install("flash-attn", PIP_CONFIG_FILE=str(conf))
    assert done.code == 0, done.said
    assert (scene.folder / "apart" / "flash_attn" / "label.py").exists()
    assert scene.server.requests_of("/v/" + works.name)
    assert versions(scene) == {}


def test_quiet_in_pip_conf_silences_our_lines_and_verbose_says_more(scene: Scene, works: Path) -> None:
    conf = scene.folder / "pip.conf"
    conf.write_text("[global]\nquiet = 1\n")
    done = scene.install("flash-attn", PIP_CONFIG_FILE=str(conf))
    assert done.code == 0, done.said
    assert "pipfallback:" not in done.stderr
    assert scene.pip("uninstall", "-y", "flash-attn").code == 0
    done = scene.install("-v", "flash-attn")
    assert f"{works.name}" in done.stderr


@pytest.mark.parametrize("words", [["--no-binary", ":all:"], ["--no-binary=x,flash-attn"], ["-r", "r.txt"]])
def test_what_the_user_wants_from_sources_is_pips_alone(scene: Scene, works: Path, words: list[str]) -> None:
    (scene.folder / "r.txt").write_text("--no-binary flash-attn\n")
    done = scene.install("flash-attn", *words)
    assert done.code == 1
    assert "No matching distribution found for flash-attn" in done.stderr
    assert not scene.server.requests_of("/v/" + works.name)


def test_a_requirement_that_contradicts_the_lock_is_told(scene: Scene) -> None:
    scene.catalog()
    file = locked(scene, ("other", "2.0", other(scene, version="2.0")))
    done = scene.install("--lock", file, "other==1.0")
    assert done.code == 1
    assert f"{file} has other 2.0; other==1.0 is asked for" in done.stderr


def test_a_password_in_what_a_user_named_is_not_told(scene: Scene) -> None:
    url = "http://alice:s3cret@127.0.0.1:9/pylock.toml"
    scene.catalog()
    for words in (["--lock", url], ["--outcome", url], ["--python", url]):
        done = run_pipfallback(["install", *words, "flash-attn"], cwd=scene.folder, env=scene.environ)
        assert done.code != 0
        assert "s3cret" not in done.said
