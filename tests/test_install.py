"""The story of one install, told with a real pip, a real venv, real wheels and a loopback server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lib.extensions import working_extension
from lib.program import run_pipfallback
from lib.scene import FOREIGN_TAG, NAME, WORKS, Scene
from lib.server import Server, fail
from lib.torch import make_torch
from lib.trees import changes, tree
from lib.venvs import native_tag
from lib.wheels import make_wheel, sha256


@pytest.mark.parametrize("pip_version", ["23.2.1", "26.3"], indirect=True)
def test_the_incident_a_refused_wheel_leads_over_a_broken_one_to_one_that_works(scene: Scene) -> None:
    asked = scene.wheel("+cu12torch2.7cxx11abiFALSE", foreign=True)
    broken = scene.wheel("+cu12torch2.7cxx11abiTRUE", broken=True)
    works = scene.wheel("+cu126torch2.7", version="2.8.2")
    scene.catalog(broken, works)
    done = scene.install(scene.server.url_of(asked))
    assert done.code == 0, done.said
    assert f"{asked.name} is not a supported wheel on this platform." in done.stderr
    assert "wheel is for CPython 3.6" in done.stderr
    assert "undefined symbol" in done.stderr
    assert scene.label() == "+cu126torch2.7"
    outcome = scene.outcome()
    assert outcome["status"] == "fallback"
    assert outcome["requests"][0]["primary"]["cause"] == "unsupported-wheel"
    assert [(attempt["stage"], attempt["ok"]) for attempt in outcome["attempts"]] == [
        ("verify", False),
        ("verify", True),
    ]
    assert outcome["installed"]["url"] == scene.server.url_of(works)
    assert outcome["changed"] == [{"name": "flash-attn", "from": None, "to": "2.8.2"}]
    assert not scene.server.requests_of("/v/" + asked.name), "a wheel with other tags is not even asked for"


def test_what_works_at_once_is_pips_own_install(scene: Scene) -> None:
    wheel = scene.wheel("+cu126torch2.7")
    scene.catalog(wheel)
    done = scene.install(scene.server.url_of(wheel))
    assert done.code == 0, done.said
    assert "Successfully installed flash-attn-2.8.3" in done.stdout
    assert "pipfallback:" not in done.stderr
    assert scene.outcome()["status"] == "primary"
    assert scene.outcome()["installed"]["verified"] == "imports"


def test_the_same_command_again_fetches_nothing_again(scene: Scene) -> None:
    asked = scene.wheel("+cu12torch2.7cxx11abiFALSE", foreign=True)
    works = scene.wheel("+cu126torch2.7")
    scene.catalog(works)
    for _ in range(2):
        assert scene.install(scene.server.url_of(asked)).code == 0
    whole = [one for one in scene.server.requests_of("/v/" + works.name) if one.range is None and one.method == "GET"]
    assert len(whole) == 1
    assert scene.outcome()["status"] == "fallback"
    assert scene.outcome()["installed"]["sha256"] == sha256(works)
    assert scene.outcome()["changed"] == []


def test_a_build_that_was_damaged_on_disk_is_brought_anew(scene: Scene) -> None:
    works = scene.wheel("+cu126torch2.7")
    scene.catalog(works)
    assert scene.install("flash-attn").code == 0
    (scene.site / "flash_attn" / "__init__.py").write_text("raise ImportError('half a file')\n")
    done = scene.install("flash-attn")
    assert done.code == 0, done.said
    assert scene.label() == "+cu126torch2.7"


def test_a_wheel_that_is_gone_is_replaced_by_the_next(scene: Scene) -> None:
    gone = scene.server.url_of("/v/" + f"flash_attn-2.8.3+cu12torch2.7cxx11abiTRUE-{native_tag(scene.python)}.whl")
    also_gone = gone.replace("2.8.3", "2.8.2")
    works = scene.wheel("+cu12torch2.7cxx11abiTRUE", version="2.8.1")
    scene.catalog(also_gone, works)
    done = scene.install(gone)
    assert done.code == 0, done.said
    assert scene.outcome()["requests"][0]["primary"]["cause"] == "not-found"
    assert [attempt["stage"] for attempt in scene.outcome()["attempts"]] == ["fetch", "verify"]


def test_a_page_instead_of_a_wheel_leads_to_another_build_with_a_pip_that_names_nothing(
    tmp_path: Path, server: Server, environ: dict[str, str]
) -> None:
    scene = Scene(tmp_path, server, environ, "2.7.1+cu126", "20.3.4", python="3.9")
    page = server.folder / f"flash_attn-2.8.3+cu126torch2.7-{native_tag(scene.python)}.whl"
    page.write_text("<!doctype html><title>Sign in</title>")
    scene.catalog(scene.wheel("+cu126torch2.7", version="2.8.2"))
    done = scene.install(server.url_of(page))
    assert done.code == 0, done.said
    assert scene.outcome()["requests"][0]["primary"]["cause"] == "corrupt"


def test_nothing_fits_names_every_reason_and_changes_nothing(scene: Scene) -> None:
    asked = scene.wheel("+cu12torch2.7cxx11abiTRUE", foreign=True)
    other = scene.wheel("+cu12torch2.5cxx11abiFALSE", version="2.7.4.post1")
    scene.catalog(other)
    before = tree(scene.prefix)
    done = scene.install(scene.server.url_of(asked))
    assert done.code == 1, done.said
    assert "error: flash-attn: no build fits this environment (CPython" in done.stderr
    assert "torch-version" in done.stderr
    assert "built for torch 2.5; torch here is 2.7.1" in done.stderr
    assert "Traceback" not in done.stderr
    assert changes(before, tree(scene.prefix)) == []
    assert scene.outcome()["status"] == "failed"
    assert scene.outcome()["installed"] is None


@pytest.mark.parametrize("pip_version", ["23.2.1", "26.3"], indirect=True)
def test_builds_that_do_not_import_leave_the_older_working_version_as_it_was(scene: Scene) -> None:
    older = scene.wheel("+cu12torch2.7cxx11abiTRUE", version="2.7.4.post1", folder="old")
    assert scene.pip("install", "--no-index", older).code == 0
    broken = [scene.wheel(f"+cu12torch2.7{label}", broken=True) for label in ("cxx11abiTRUE", "")]
    scene.catalog(*broken)
    before = tree(scene.prefix)
    done = scene.install(scene.server.url_of(broken[0]))
    assert done.code == 1, done.said
    assert "pipfallback: flash-attn 2.8.3 does not work, and is undone: " in done.stderr.replace("_", "-")
    assert "none of the builds that were tried works" in done.stderr
    assert changes(before, tree(scene.prefix)) == []
    assert scene.label() == "+cu12torch2.7cxx11abiTRUE"


@pytest.mark.parametrize("pip_version", ["23.2.1", "26.3"], indirect=True)
def test_a_broken_build_is_replaced_by_another_of_the_same_metadata_version(scene: Scene) -> None:
    broken = scene.wheel("+cu12torch2.7cxx11abiFALSE", broken=True, folder="a")
    works = scene.wheel("+cu12torch2.7cxx11abiTRUE", folder="b")
    assert scene.pip("install", "--no-index", broken).code == 0
    scene.catalog()
    done = scene.install(scene.server.url_of(works))
    assert done.code == 0, done.said
    assert scene.label() == "+cu12torch2.7cxx11abiTRUE"
    assert scene.outcome()["attempts"][0]["url"] == scene.server.url_of(works)


def test_a_name_that_is_satisfied_but_broken_gets_a_build_that_works(scene: Scene) -> None:
    broken = scene.wheel("+cu12torch2.7cxx11abiFALSE", broken=True, folder="a")
    works = scene.wheel("+cu12torch2.7cxx11abiTRUE", folder="b")
    assert scene.pip("install", "--no-index", broken).code == 0
    scene.catalog(works)
    done = scene.install("flash-attn>=2.8")
    assert done.code == 0, done.said
    assert "2.8.3 is installed, but does not work: " in done.stderr
    assert scene.label() == "+cu12torch2.7cxx11abiTRUE"
    assert scene.outcome()["requests"][0]["primary"]["cause"] == "import-failed"


def test_a_bare_name_that_no_index_has_is_found_in_the_catalog(scene: Scene) -> None:
    older = scene.wheel("+cu12torch2.7cxx11abiTRUE", version="2.7.4")
    newer = scene.wheel("+cu12torch2.7cxx11abiTRUE", version="2.8.3")
    scene.catalog(older, newer)
    done = scene.install("flash-attn")
    assert done.code == 0, done.said
    assert scene.outcome()["installed"]["version"] == "2.8.3"
    assert "pip itself found no build" in done.stderr


def test_a_specifier_is_a_condition(scene: Scene) -> None:
    older = scene.wheel("+cu12torch2.7cxx11abiTRUE", version="2.7.4")
    newer = scene.wheel("+cu12torch2.7cxx11abiTRUE", version="2.8.3")
    scene.catalog(older, newer)
    assert scene.install("flash-attn<2.8").code == 0
    assert scene.outcome()["installed"]["version"] == "2.7.4"


def test_direct_url_names_the_true_origin_and_pip_can_work_with_it(scene: Scene) -> None:
    works = scene.wheel("+cu12torch2.7cxx11abiTRUE")
    scene.catalog(works)
    before = tree(scene.site)
    assert scene.install("flash-attn").code == 0
    info = scene.site / "flash_attn-2.8.3.dist-info"
    origin = json.loads((info / "direct_url.json").read_text())
    assert origin["url"] == scene.server.url_of(works)
    assert origin["archive_info"]["hashes"]["sha256"] == sha256(works)
    assert "/tmp" not in json.dumps(origin)  # noqa: S108  (a temporary path is what must not be there)
    frozen = scene.pip("freeze").stdout
    assert f" @ {scene.server.url_of(works)}#sha256={sha256(works)}" in frozen
    assert scene.pip("check").code == 0
    assert scene.pip("uninstall", "-y", "flash-attn").code == 0
    assert changes(before, tree(scene.site)) == []


def test_missing_dependencies_come_in_and_nothing_installed_is_changed(scene: Scene) -> None:
    links = scene.folder / "links"
    for version in ("1.0", "2.0"):
        make_wheel(links, "einops", version, files={"einops.py": f"V = '{version}'\n"})
        make_wheel(links, "ninja", version, files={"ninja.py": f"V = '{version}'\n"})
    assert scene.pip("install", "--no-index", "-f", links, "ninja==1.0").code == 0
    works = scene.wheel("+cu12torch2.7cxx11abiTRUE", requires=("einops", "ninja", "torch"))
    scene.catalog(works)
    done = scene.install("flash-attn", "--find-links", links)
    assert done.code == 0, done.said
    assert scene.outcome()["changed"] == [
        {"name": "einops", "from": None, "to": "2.0"},
        {"name": "flash-attn", "from": None, "to": "2.8.3"},
    ]


def test_a_build_that_needs_another_version_of_what_is_installed_is_refused(scene: Scene) -> None:
    links = scene.folder / "links"
    for version in ("1.0", "2.0"):
        make_wheel(links, "einops", version, files={"einops.py": f"V = '{version}'\n"})
    assert scene.pip("install", "--no-index", "-f", links, "einops==1.0").code == 0
    wants_newer = scene.wheel("+cu12torch2.7cxx11abiTRUE", requires=("einops>=2",))
    takes_any = scene.wheel("+cu12torch2.7cxx11abiTRUE", version="2.8.2", requires=("einops",))
    scene.catalog(wants_newer, takes_any)
    done = scene.install("flash-attn", "--find-links", links)
    assert done.code == 0, done.said
    assert scene.outcome()["installed"]["version"] == "2.8.2"
    assert [change["name"] for change in scene.outcome()["changed"]] == ["flash-attn"]


def test_a_primary_that_would_swap_torch_gives_way_to_a_build_for_the_torch_that_is_here(scene: Scene) -> None:
    links = scene.folder / "links"
    make_torch(links, "2.8.0+cu128")
    native = native_tag(scene.python)
    files = {**WORKS, **working_extension(python=scene.python)}
    make_wheel(links, NAME, "2.9.0", tag=native, files=files, requires=("torch>=2.8",))
    works = scene.wheel("+cu126torch2.7")
    scene.catalog(works)
    done = scene.install("flash-attn", "--find-links", links)
    assert done.code == 0, done.said
    assert scene.outcome()["installed"]["version"] == "2.8.3"
    assert [change["name"] for change in scene.outcome()["changed"]] == ["flash-attn"]


def test_pip_changes_torch_only_where_no_build_fits_the_torch_that_is_here(scene: Scene) -> None:
    links = scene.folder / "links"
    make_torch(links, "2.8.0+cu128")
    files = {**WORKS, **working_extension(python=scene.python)}
    make_wheel(links, NAME, "2.9.0", tag=native_tag(scene.python), files=files, requires=("torch>=2.8",))
    scene.catalog()
    before = tree(scene.prefix)
    kept = scene.install("flash-attn", "--find-links", links, "--keep-torch")
    assert kept.code == 1, kept.said
    assert changes(before, tree(scene.prefix)) == []
    done = scene.install("flash-attn", "--find-links", links)
    assert done.code == 0, done.said
    assert "pip changed it: torch 2.7.1+cu126 -> 2.8.0+cu128 (--keep-torch forbids it)" in done.stderr
    assert scene.outcome()["status"] == "primary"


def test_a_change_of_torch_that_is_allowed_is_not_held_up(scene: Scene) -> None:
    links = scene.folder / "links"
    make_torch(links, "2.8.0+cu128")
    files = {**WORKS, **working_extension(python=scene.python)}
    make_wheel(links, NAME, "2.9.0", tag=native_tag(scene.python), files=files, requires=("torch>=2.8",))
    scene.catalog(scene.wheel("+cu126torch2.7"))
    assert scene.install("flash-attn", "--find-links", links, "--allow-torch-change").code == 0
    assert scene.outcome()["installed"]["version"] == "2.9.0"


def test_a_dry_run_shows_the_first_choice_and_installs_nothing(scene: Scene) -> None:
    works = scene.wheel("+cu126torch2.7")
    scene.catalog(works)
    before = tree(scene.prefix)
    done = scene.install("flash-attn", "--dry-run")
    assert done.code == 0, done.said
    assert f"would try {works.name} (builds) first" in done.stderr
    scene.catalog()
    assert scene.install("flash-attn", "--dry-run").code == 1
    assert changes(before, tree(scene.prefix)) == []


def test_torch_in_the_same_command_decides_which_build_is_taken(
    tmp_path: Path, server: Server, environ: dict[str, str]
) -> None:
    scene = Scene(tmp_path, server, environ, None, "26.3")
    links = scene.folder / "links"
    make_torch(links, "2.8.0+cu128")
    for_27, for_28 = scene.wheel("+cu126torch2.7"), scene.wheel("+cu128torch2.8", version="2.8.2")
    scene.catalog(for_27, for_28)
    done = scene.install("torch", "flash-attn", "--find-links", links)
    assert done.code == 0, done.said
    assert scene.label() == "+cu128torch2.8"
    assert [change["name"] for change in scene.outcome()["changed"]] == ["flash-attn", "torch"]


def test_other_requirements_of_the_command_are_installed_with_it_or_not_at_all(scene: Scene) -> None:
    links = scene.folder / "links"
    make_wheel(links, "other", "1.0", files={"other.py": ""})
    asked = scene.wheel("+cu12torch2.7cxx11abiTRUE", foreign=True)
    before = tree(scene.prefix)
    scene.catalog()
    assert scene.install("--find-links", links, "other", scene.server.url_of(asked)).code == 1
    assert changes(before, tree(scene.prefix)) == []
    scene.catalog(scene.wheel("+cu126torch2.7"))
    done = scene.install("--find-links", links, "other", scene.server.url_of(asked))
    assert done.code == 0, done.said
    assert [change["name"] for change in scene.outcome()["changed"]] == ["flash-attn", "other"]


def test_two_managed_requests_each_get_their_build(scene: Scene) -> None:
    flash = scene.wheel("+cu126torch2.7")
    conv = make_wheel(
        scene.server.folder / "v",
        "causal_conv1d",
        "1.5.0",
        filename_version="1.5.0+cu126torch2.7",
        tag=native_tag(scene.python),
        files={"causal_conv1d.py": "import torch\n"},
    )
    scene.catalog(flash)
    with (scene.folder / "builds.toml").open("a") as file:
        file.write(
            '[package.causal-conv1d]\nimport = ["causal_conv1d"]\nneeds = ["torch"]\n[[package.causal-conv1d.source]]\n'
            f'name = "builds"\ntrust = "vendor"\nkind = "url"\nurl = ["{scene.server.url_of(conv)}"]\n'
        )
    done = scene.install("flash-attn", "causal-conv1d")
    assert done.code == 0, done.said
    assert [change["name"] for change in scene.outcome()["changed"]] == ["causal-conv1d", "flash-attn"]
    assert [request["status"] for request in scene.outcome()["requests"]] == ["fallback", "fallback"]


def test_pips_word_stands_where_no_other_build_cures(scene: Scene) -> None:
    scene.catalog(scene.wheel("+cu126torch2.7"))
    before = tree(scene.prefix)
    unknown = scene.install("flash-attn", "no-such-package-at-all")
    assert unknown.code == 1
    done = scene.install("flash-attn", "--no-such-option")
    assert done.code == 2
    assert "no such option: --no-such-option" in done.stderr
    assert changes(before, tree(scene.prefix)) == []


def test_a_command_without_a_managed_name_is_pip_itself(scene: Scene) -> None:
    wheel = make_wheel(scene.folder, "plain", "1.0", files={"plain.py": ""})
    scene.catalog()
    words = ["install", "--no-index", str(wheel)]
    done = run_pipfallback(words, python=scene.python, env=scene.environ)
    assert (done.code, done.stderr) == (0, "")
    assert "Successfully installed plain-1.0" in done.stdout
    listed = run_pipfallback(["list", "--format=freeze"], python=scene.python, env=scene.environ)
    assert "plain==1.0" in listed.stdout


def test_an_unmanaged_wheel_that_pip_refuses_gets_its_reason(scene: Scene) -> None:
    wheel = make_wheel(scene.folder, "plain", "1.0", tag=FOREIGN_TAG, files={"plain.py": ""})
    done = run_pipfallback(["install", "--no-index", wheel], python=scene.python, env=scene.environ)
    assert done.code == 1
    assert "ERROR: plain-1.0-cp36-cp36m-linux_x86_64.whl is not a supported wheel on this platform." in done.stderr
    assert "wheel is for CPython 3.6" in done.stderr


def test_builds_below_the_trust_level_are_not_taken_but_named(scene: Scene) -> None:
    works = scene.wheel("+cu126torch2.7")
    scene.catalog(works, trust="community")
    done = scene.install("flash-attn")
    assert done.code == 1
    assert "--trust-level community" in done.stderr
    done = scene.install("flash-attn", "--trust-level", "community")
    assert done.code == 0, done.said


def test_no_fallback_and_fail_on_fallback_change_nothing(scene: Scene) -> None:
    broken = scene.wheel("+cu12torch2.7cxx11abiTRUE", broken=True)
    scene.catalog(scene.wheel("+cu126torch2.7"))
    before = tree(scene.prefix)
    for option in ("--no-fallback", "--fail-on-fallback"):
        done = scene.install(scene.server.url_of(broken), option)
        assert done.code == 1, done.said
        assert option in done.stderr
        assert changes(before, tree(scene.prefix)) == []


def test_without_verification_what_pip_took_stays(scene: Scene) -> None:
    broken = scene.wheel("+cu12torch2.7cxx11abiTRUE", broken=True)
    scene.catalog()
    done = scene.install(scene.server.url_of(broken), "--no-verify")
    assert done.code == 0, done.said
    assert scene.outcome()["installed"]["verified"] == "skipped"


def test_a_missing_driver_is_no_reason_against_a_build(scene: Scene) -> None:
    files = {"flash_attn.py": "raise ImportError('libcuda.so.1: cannot open shared object file: No such file')\n"}
    wheel = make_wheel(
        scene.server.folder,
        NAME,
        "2.8.3",
        filename_version="2.8.3+cu126torch2.7",
        tag=native_tag(scene.python),
        files=files,
    )
    scene.catalog(wheel)
    done = scene.install("flash-attn")
    assert done.code == 0, done.said
    assert scene.outcome()["installed"]["verified"] == "inconclusive"
    assert "could not be tried out on this machine" in done.stderr


def test_max_attempts_ends_the_search_and_says_so(scene: Scene) -> None:
    broken = [scene.wheel("+cu126torch2.7", broken=True, version=f"2.8.{number}") for number in range(3)]
    scene.catalog(*broken)
    done = scene.install("flash-attn", "--max-attempts", "2")
    assert done.code == 1
    assert len(scene.outcome()["attempts"]) == 2
    assert "pipfallback: 2 builds did not work; --max-attempts allows more" in done.stderr


def test_a_pre_release_that_pip_takes_for_want_of_a_wheel_is_told(scene: Scene) -> None:
    links = scene.wheel("", version="2.9.0.dev5").parent
    scene.catalog()
    unasked, asked = ("flash-attn", "--find-links", links), ("flash-attn>=2.9.0.dev1", "--find-links", links)
    told = "2.9.0.dev5 is a pre-release: pip found no wheel of a release, and builds none from its sources unless --allow-build"
    done = scene.install(*unasked)
    assert done.code == 0, done.said
    assert told in done.stderr
    assert "is a pre-release" not in scene.install(*unasked).stderr  # it is there already
    scene.pip("uninstall", "--yes", "flash-attn")
    assert "is a pre-release" not in scene.install(*asked).stderr


def test_a_wheel_that_is_another_inside_is_never_given_to_pip(scene: Scene) -> None:
    tag = native_tag(scene.python)
    other = make_wheel(scene.server.folder, NAME, "1.0", filename_version="2.8.3+cu126torch2.7", tag=tag, files=WORKS)
    html = scene.server.folder / f"flash_attn-2.8.2+cu126torch2.7-{tag}.whl"
    html.write_text("<!doctype html><title>Sign in</title>")
    scene.catalog(other, html)
    before = tree(scene.prefix)
    done = scene.install("flash-attn")
    assert done.code == 1
    assert "it is called 2.8.3 and holds 1.0" in done.stderr
    assert "it is an HTML page" in done.stderr
    assert changes(before, tree(scene.prefix)) == []


def test_the_hash_of_the_catalog_is_held(scene: Scene) -> None:
    works = scene.wheel("+cu126torch2.7")
    scene.catalog(works)
    path = scene.folder / "builds.toml"
    url = scene.server.url_of(works)
    pinned = path.read_text().replace(f'url = ["{url}"]', f'url = ["{url}"]\nsha256 = "{"0" * 64}"', 1)
    path.write_text(pinned)
    done = scene.install("flash-attn")
    assert done.code == 1
    assert "this is an attack" in done.stderr


def test_secrets_in_urls_never_show(scene: Scene) -> None:
    works = scene.wheel("+cu126torch2.7")
    url = scene.server.url_of(works).replace("http://", "http://alice:s3cret@")
    asked = url.replace("2.8.3", "2.8.4")
    scene.catalog(url)
    done = scene.install(asked, "--explain")
    outcome = (scene.folder / "outcome.json").read_text()
    origin = (scene.site / "flash_attn-2.8.3.dist-info" / "direct_url.json").read_text()
    assert done.code == 0, done.said
    own_lines = [line for line in done.stderr.splitlines() if line.startswith("pipfallback:")]
    assert not [text for text in (*own_lines, outcome, origin) if "s3cret" in text]


def test_a_target_folder_gets_the_build_and_nothing_of_torch(scene: Scene) -> None:
    works = scene.wheel("+cu126torch2.7", requires=("torch",))
    scene.catalog(works)
    before = tree(scene.prefix)
    done = scene.install("flash-attn", "--target", scene.folder / "there")
    assert done.code == 0, done.said
    assert sorted(path.name for path in (scene.folder / "there").glob("*.dist-info")) == ["flash_attn-2.8.3.dist-info"]
    assert changes(before, tree(scene.prefix)) == []


def test_a_target_that_a_variable_of_pip_names_is_looked_into(scene: Scene) -> None:
    broken = scene.wheel("+cu12torch2.7cxx11abiTRUE", broken=True)
    scene.catalog(scene.wheel("+cu126torch2.7"))
    done = scene.install(scene.server.url_of(broken), PIP_TARGET=str(scene.folder / "there"))
    assert done.code == 0, done.said
    assert "+cu126torch2.7" in (scene.folder / "there" / "flash_attn" / "label.py").read_text()
    assert not (scene.site / "flash_attn").exists()


def test_a_venv_without_pip_is_served_by_pipfallbacks_own(
    tmp_path: Path, server: Server, environ: dict[str, str]
) -> None:
    scene = Scene(tmp_path, server, environ, None, "26.3")
    assert scene.pip("install", "--no-index", make_torch(tmp_path / "torch", "2.7.1+cu126")).code == 0
    assert scene.pip("uninstall", "-y", "pip").code == 0
    scene.catalog(scene.wheel("+cu126torch2.7"))
    done = scene.install("flash-attn")
    assert done.code == 0, done.said
    assert scene.label() == "+cu126torch2.7"
    assert not (scene.site / "pip").exists()


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped_in_the_middle_everything_is_as_before(scene: Scene, signal_number: signal.Signals) -> None:
    older = scene.wheel("+cu12torch2.7cxx11abiTRUE", version="2.7.4", folder="old")
    assert scene.pip("install", "--no-index", older).code == 0
    slow = working_extension(python=scene.python)
    files = {"flash_attn/__init__.py": "import time\ntime.sleep(600)\n", **slow}
    wheel = make_wheel(
        scene.server.folder,
        NAME,
        "2.8.3",
        filename_version="2.8.3+cu126torch2.7",
        tag=native_tag(scene.python),
        files=files,
    )
    scene.catalog()
    before = tree(scene.prefix)
    temporary = scene.folder / "temporary"
    temporary.mkdir()
    scene.environ["TMPDIR"] = str(temporary)
    words = ["install", "--no-index", "--fallbacks", str(scene.folder / "builds.toml"), "--python", str(scene.python)]
    command = [sys.executable, "-m", "pipfallback", *words, scene.server.url_of(wheel)]
    with subprocess.Popen(
        command, env=scene.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 60
        while not (scene.site / "flash_attn-2.8.3.dist-info" / "RECORD").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        os.killpg(process.pid, signal_number)
        process.communicate(timeout=60)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[signal_number]
    if signal_number is signal.SIGKILL:
        assert changes(before, tree(scene.prefix)) != []
        assert "as it was before that run" in run_pipfallback(["env"], python=scene.python, env=scene.environ).stderr
    assert changes(before, tree(scene.prefix)) == []
    assert list(temporary.glob("pipfallback-*")) == [], "downloads and notes go with the run"


def test_own_options_may_stand_before_the_command(scene: Scene) -> None:
    works = scene.wheel("+cu126torch2.7")
    scene.catalog(works)
    options = [
        "--fallbacks",
        str(scene.folder / "builds.toml"),
        "--trust-level",
        "vendor",
        "--python",
        str(scene.python),
    ]
    done = run_pipfallback([*options, "install", "--no-index", "flash-attn"], env=scene.environ)
    assert done.code == 0, done.said
    assert scene.label() == "+cu126torch2.7"


def test_a_requirement_that_is_meant_for_another_environment_is_passed_over_as_pip_does(scene: Scene) -> None:
    asked = scene.wheel("+cu12torch2.7cxx11abiTRUE", foreign=True)
    scene.catalog(scene.wheel("+cu126torch2.7"))
    before = tree(scene.prefix)
    done = scene.install(f"flash-attn @ {scene.server.url_of(asked)} ; python_version < '3'")
    assert done.code == 0, done.said
    assert "Ignoring flash-attn" in done.stdout
    assert changes(before, tree(scene.prefix)) == []


def test_an_outcome_that_cannot_be_written_is_told_before_anything_changes(scene: Scene) -> None:
    scene.catalog(scene.wheel("+cu126torch2.7"))
    before = tree(scene.prefix)
    done = scene.install("flash-attn", "--outcome", scene.folder / "no-such-folder" / "o.json")
    assert done.code == 2, done.said
    assert done.stderr.startswith("error: --outcome ")
    assert changes(before, tree(scene.prefix)) == []


def test_what_another_requirement_lacks_is_no_fault_of_the_build(scene: Scene) -> None:
    links = scene.folder / "links"
    make_wheel(links, "needy", "1.0", files={"needy.py": ""}, requires=("nowhere-to-be-found",))
    scene.catalog(*(scene.wheel("+cu126torch2.7", version=f"2.8.{number}") for number in range(3)))
    before = tree(scene.prefix)
    done = scene.install("--find-links", links, "needy", "flash-attn")
    assert done.code == 1, done.said
    assert "No matching distribution found for nowhere-to-be-found" in done.stderr
    assert done.stderr.count("pipfallback: trying") <= 1
    assert "hint:" not in done.stderr
    assert changes(before, tree(scene.prefix)) == []


def test_constraints_of_the_user_that_contradict_the_request_are_pips_to_tell(scene: Scene) -> None:
    scene.catalog(scene.wheel("+cu126torch2.7"))
    links = scene.folder / "links"
    make_wheel(links, NAME, "2.8.3", tag=native_tag(scene.python), files=WORKS)
    (scene.folder / "constraints.txt").write_text("flash-attn==1.0\n")
    done = scene.install("--find-links", links, "-c", scene.folder / "constraints.txt", "flash-attn==2.8.3")
    assert done.code == 1
    assert "trying" not in done.stderr, done.said


def test_sources_of_a_known_package_are_not_built_unless_that_is_allowed(scene: Scene) -> None:
    works = scene.wheel("+cu126torch2.7")
    scene.catalog(works)
    sources = scene.server.folder / "flash_attn-2.8.3.tar.gz"
    sources.write_bytes(b"never looked at")
    done = scene.install(scene.server.url_of(sources))
    assert done.code == 0, done.said
    assert "--allow-build" in done.stderr
    assert not scene.server.requests_of("/" + sources.name)
    assert scene.label() == "+cu126torch2.7"


def test_a_working_build_stays_where_the_one_asked_for_does_not_work(scene: Scene) -> None:
    works = scene.wheel("+cu126torch2.7", folder="a")
    broken = scene.wheel("+cu12torch2.7cxx11abiTRUE", broken=True, folder="b")
    assert scene.pip("install", "--no-index", works).code == 0
    scene.catalog()
    before = tree(scene.prefix)
    done = scene.install(scene.server.url_of(broken))
    assert done.code == 0, done.said
    assert "stays as it was, and imports" in done.stderr
    assert changes(before, tree(scene.prefix)) == []


def test_a_password_in_a_url_that_pip_quotes_stays_out_of_our_files(scene: Scene) -> None:
    scene.catalog()
    url = scene.server.url.replace("http://", "http://alice:s3cret@")
    done = scene.install(f"{url}/gone/flash_attn-2.8.3+cu126torch2.7-{native_tag(scene.python)}.whl?token=hidden1")
    assert done.code == 1
    outcome = (scene.folder / "outcome.json").read_text()
    assert "s3cret" not in outcome
    assert "hidden1" not in outcome


def test_the_same_request_twice_is_told_once(scene: Scene) -> None:
    scene.catalog(scene.wheel("+cu126torch2.7"))
    done = scene.install("flash-attn", "flash-attn")
    assert done.code == 0, done.said
    assert done.stderr.count("pipfallback: installed") == 1
    assert len(scene.outcome()["requests"]) == 1


def test_an_active_environment_that_is_gone_is_an_error(scene: Scene) -> None:
    scene.catalog()
    gone = str(scene.folder / "gone")
    done = run_pipfallback(["install", "--no-index", "flash-attn"], env={**scene.environ, "VIRTUAL_ENV": gone})
    assert done.code == 1
    assert done.stderr.startswith(f"error: VIRTUAL_ENV names {gone}, which holds no interpreter")


def test_a_file_that_is_not_there_is_an_error_of_the_user(scene: Scene) -> None:
    scene.catalog(scene.wheel("+cu126torch2.7"))
    done = scene.install("./flash_attn-2.8.3-py3-none-any.whl")
    assert done.code == 1
    assert done.stderr.startswith("error: ./flash_attn-2.8.3-py3-none-any.whl: no such file")


def test_a_broken_catalog_is_told_with_its_place_before_anything_runs(scene: Scene) -> None:
    scene.catalog()
    path = scene.folder / "builds.toml"
    path.write_text(path.read_text().replace("needs =", "neds ="))
    before = tree(scene.prefix)
    done = scene.install("flash-attn")
    assert done.code == 1
    assert "builds.toml:4" in done.stderr
    assert "package.flash-attn.neds" in done.stderr
    assert "needs" in done.stderr
    assert changes(before, tree(scene.prefix)) == []


def test_a_server_that_is_down_does_not_stop_the_others(scene: Scene) -> None:
    scene.server.answer("/v/down.whl", fail(503))
    tag = native_tag(scene.python)
    dead = f"http://127.0.0.1:9/flash_attn-2.8.4+cu126torch2.7-{tag}.whl"
    works = scene.wheel("+cu126torch2.7")
    scene.catalog(dead, works)
    done = scene.install("flash-attn")
    assert done.code == 0, done.said
    assert [attempt["stage"] for attempt in scene.outcome()["attempts"]] == ["fetch", "verify"]


def test_a_wheel_on_disk_that_failed_is_not_tried_again_under_another_name(scene: Scene) -> None:
    broken = scene.wheel("+cu126torch2.7", broken=True)
    works = scene.wheel("+cu126torch2.7", version="2.8.2")
    scene.catalog(broken.as_uri(), scene.server.url_of(works))
    done = scene.install(broken)
    assert done.code == 0, done.said
    assert [attempt["url"] for attempt in scene.outcome()["attempts"]] == [scene.server.url_of(works)]
