"""Installs whose builds come from places that are asked: listed, fetched, or built, and what is told where that fails."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path

from lib.program import Completed, run_pipfallback
from lib.scene import NAME, Scene
from lib.server import NO_RANGES, Answer, fail
from lib.trees import changes, tree
from lib.wheels import sha256

# A build backend (PEP 517) that needs nothing but Python: what it was given ends up in the package.
BACKEND = """
import os, zipfile
def build_wheel(directory, config=None, metadata=None):
    name = "flash_attn-2.8.3-py3-none-any.whl"
    info = "flash_attn-2.8.3.dist-info/"
    with zipfile.ZipFile(os.path.join(directory, name), "w") as wheel:
        wheel.writestr("flash_attn/__init__.py", "JOBS = %r\\n" % os.environ.get("MAX_JOBS"))
        wheel.writestr("flash_attn/label.py", "LABEL = 'built'\\n")
        wheel.writestr("flash_attn_2_cuda.py", "import torch\\n")
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: flash-attn\\nVersion: 2.8.3\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "")
    return name
"""
PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def catalog(scene: Scene, *sources: str) -> None:
    """A fallbacks.toml of these sources alone: the bodies of their tables."""
    scene.catalog()
    built_in = (scene.folder / "builds.toml").read_text().split("[[package.flash-attn.source]]")
    tables = [built_in[0], *(f"\n{source}\n" for source in sources), *built_in[2:]]
    (scene.folder / "builds.toml").write_text("[[package.flash-attn.source]]".join(tables))


def source_of(kind: str, url: str, name: str = "Publisher") -> str:
    return f'name = "{name}"\ntrust = "vendor"\nkind = "{kind}"\nurl = {json.dumps(url)}'


def sources(folder: Path, *, backend: str = BACKEND) -> Path:
    path = folder / "flash_attn-2.8.3.tar.gz"
    files = {
        "pyproject.toml": PROJECT,
        "backend.py": backend,
        "PKG-INFO": "Metadata-Version: 2.1\nName: flash-attn\nVersion: 2.8.3\n",
    }
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"flash_attn-2.8.3/{name}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


def with_index(scene: Scene) -> Completed:
    """As ``scene.install("flash-attn")``, where indexes may be asked (no ``--no-index``): pip's own knows nothing."""
    words: list[str | Path] = ["install", "--fallbacks", scene.folder / "builds.toml", "--retries", "0"]
    words += ["--outcome", scene.folder / "outcome.json", "--index-url", f"{scene.server.url}/nothing/", "flash-attn"]
    return run_pipfallback(words, python=scene.python, env=scene.environ)


def test_a_page_of_links_is_listed_and_its_hash_is_held(scene: Scene) -> None:
    works = scene.wheel("+cu126torch2.7")
    catalog(scene, source_of("links", f"{scene.server.url}/links/"))
    done = scene.install("flash-attn")
    assert done.code == 0, done.said
    assert scene.outcome()["installed"]["sha256"] == sha256(works)
    assert scene.outcome()["decisions"][0]["source"] == "Publisher"


def test_an_index_is_listed_with_its_hashes(scene: Scene) -> None:
    works = scene.wheel("+cu126torch2.7")
    catalog(scene, source_of("index", f"{scene.server.url}/simple/"))
    done = with_index(scene)
    assert done.code == 0, done.said
    assert scene.label() == "+cu126torch2.7"
    assert scene.outcome()["decisions"][0]["sha256"] == sha256(works)


def test_without_an_index_no_index_is_asked_and_that_is_said(scene: Scene) -> None:
    scene.wheel("+cu126torch2.7")
    catalog(scene, source_of("index", f"{scene.server.url}/simple/"))
    done = scene.install("flash-attn")
    assert done.code == 1
    assert "Publisher: no index is asked" in done.stderr
    assert scene.server.requests_of("/simple/flash-attn/") == []


def test_a_source_that_fails_is_named_and_does_not_stop_the_others(scene: Scene) -> None:
    works = scene.wheel("+cu126torch2.7")
    scene.server.answer("/gone/", fail(404))
    catalog(
        scene, source_of("links", f"{scene.server.url}/gone/", "Gone"), source_of("url", scene.server.url_of(works))
    )
    assert scene.install("flash-attn").code == 0
    (note,) = [note for note in scene.outcome()["requests"][0]["notes"] if note["source"] == "Gone"]
    assert note["cause"] == "not-found"
    assert "404" in note["message"]


def test_where_nothing_fits_the_error_names_the_sources_that_failed(scene: Scene) -> None:
    scene.server.answer("/gone/", fail(404))
    catalog(scene, source_of("links", f"{scene.server.url}/gone/", "Gone"))
    done = scene.install("flash-attn")
    assert done.code == 1
    assert "Gone: " in done.stderr
    assert "404" in done.stderr


def test_plan_asks_the_sources_too(scene: Scene) -> None:
    works = scene.wheel("+cu126torch2.7")
    catalog(scene, source_of("links", f"{scene.server.url}/links/"))
    words = ["plan", "--fallbacks", scene.folder / "builds.toml", "--json", "flash-attn"]
    done = run_pipfallback(words, python=scene.python, env=scene.environ)
    first = json.loads(done.stdout)["decisions"][0]
    assert (first["filename"], first["accepted"], first["sha256"]) == (works.name, True, sha256(works))


def test_nothing_is_built_without_leave_and_the_option_is_named(scene: Scene) -> None:
    archive = sources(scene.server.folder)
    catalog(scene, source_of("sdist", scene.server.url_of(archive)))
    before = tree(scene.prefix)
    done = scene.install("flash-attn")
    assert done.code == 1
    assert "--allow-build lets pip build it" in done.stderr
    assert changes(before, tree(scene.prefix)) == []


def test_the_last_resort_is_built_for_the_torch_that_is_here(scene: Scene) -> None:
    archive = sources(scene.server.folder)
    broken = scene.wheel("+cu126torch2.7", broken=True)
    catalog(
        scene,
        source_of("url", scene.server.url_of(broken)),
        source_of("sdist", scene.server.url_of(archive), "sources"),
    )
    done = scene.install("--allow-build", "flash-attn", MAX_JOBS="3")
    assert done.code == 0, done.said
    assert "building flash-attn from source: minutes on a large machine" in done.stderr
    assert "3 jobs at a time" in done.stderr
    assert scene.label() == "built"
    assert [(attempt["stage"], attempt["ok"]) for attempt in scene.outcome()["attempts"]] == [
        ("verify", False),
        ("verify", True),
    ]
    assert scene.outcome()["installed"]["name"] == "flash-attn"


def test_a_build_that_fails_leaves_everything_as_it_was(scene: Scene) -> None:
    archive = sources(scene.server.folder, backend="raise SystemExit('no compiler')\n")
    catalog(scene, source_of("sdist", scene.server.url_of(archive)))
    before = tree(scene.prefix)
    done = scene.install("--allow-build", "flash-attn")
    assert done.code == 1
    assert scene.outcome()["attempts"][0]["stage"] == "pip"
    assert changes(before, tree(scene.prefix)) == []
    assert NAME not in str(list(scene.site.iterdir()))


def test_hashes_of_a_catalog_that_the_user_named_count_where_hashes_are_required(scene: Scene) -> None:
    works = scene.wheel("+cu126torch2.7")
    url = scene.server.url_of(works)
    catalog(scene, f'{source_of("url", url)}\nsha256 = {{ "{url}" = "{sha256(works)}" }}')
    asked = scene.wheel("+cu12torch2.7cxx11abiTRUE", foreign=True, version="2.8.2")
    done = scene.install("--require-hashes", f"{scene.server.url_of(asked)}#sha256={sha256(asked)}")
    assert done.code == 0, done.said
    assert scene.label() == "+cu126torch2.7"


def test_a_hash_that_a_listing_states_does_not_count_where_hashes_are_required(scene: Scene) -> None:
    scene.wheel("+cu126torch2.7")
    catalog(scene, source_of("links", f"{scene.server.url}/links/"))
    asked = scene.wheel("+cu12torch2.7cxx11abiTRUE", foreign=True, version="2.8.2", folder="elsewhere")
    done = scene.install("--require-hashes", f"{scene.server.url_of(asked)}#sha256={sha256(asked)}")
    assert done.code == 1
    assert "hash" in done.stderr


def test_metadata_that_the_index_offers_alone_refuses_a_build_without_fetching_it(scene: Scene) -> None:
    """PEP 658. Its name says nothing of torch, and the server does not take Range."""
    other = scene.wheel("", version="2.8.4", requires=("torch==2.6.0",))
    works = scene.wheel("+cu126torch2.7", version="2.8.3")
    with zipfile.ZipFile(other) as archive:
        (name,) = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
        other.with_name(other.name + ".metadata").write_bytes(archive.read(name))
    digest = sha256(other.with_name(other.name + ".metadata"))
    links = "".join(
        f'<a href="{scene.server.url_of(each)}" data-core-metadata="{said}">{each.name}</a>\n'
        for each, said in ((other, f"sha256={digest}"), (works, ""))
    ).replace(' data-core-metadata=""', "")
    scene.server.answer("/pep658/flash-attn/", Answer(body=links.encode(), headers={"Content-Type": "text/html"}))
    scene.server.answer("/v/" + other.name, NO_RANGES)
    catalog(scene, source_of("index", f"{scene.server.url}/pep658/"))
    done = with_index(scene)
    assert done.code == 0, done.said
    assert scene.label() == "+cu126torch2.7"
    (refused,) = [each for each in scene.outcome()["decisions"] if each["filename"] == other.name]
    assert {each["rule"] for each in refused["mismatches"]} >= {"torch-version"}
    assert scene.server.requests_of("/v/" + other.name) == []


def test_strangers_are_asked_only_where_nothing_else_fits(scene: Scene) -> None:
    stranger = scene.wheel("+cu126torch2.7", folder="strange", version="2.9.0")
    page = scene.server.folder / "strange" / "index.html"
    page.write_text(f'<a href="{stranger.name}">x</a>')
    strangers = source_of("links", scene.server.url_of(page), "strangers").replace('"vendor"', '"community"')
    catalog(scene, source_of("url", scene.server.url_of(scene.wheel("+cu126torch2.7"))), strangers)
    assert scene.install("flash-attn").code == 0
    assert scene.server.requests_of("/strange/index.html") == []
    catalog(scene, source_of("url", scene.server.url_of(scene.wheel("+cu126torch2.6"))), strangers)
    assert scene.pip("uninstall", "--yes", "flash-attn").code == 0
    done = scene.install("flash-attn")
    assert done.code == 1
    assert len(scene.server.requests_of("/strange/index.html")) == 1
    assert "--trust-level community" in done.stderr
