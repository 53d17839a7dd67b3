"""What is installed, found and described in real environments, and its origin written so that a real pip agrees."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.program import Completed, run
from lib.trees import changes, tree
from lib.venvs import make_venv, site_packages
from lib.wheels import make_wheel, sha256
from pipfallback._undo_log import UndoLog
from pipfallback.installed import Installed, installed_in, remove_direct_url, write_direct_url
from pipfallback.transaction import begin

URL = "https://host.example/v2.8.3/flash_attn-2.8.3+cu12torch2.7-py3-none-any.whl"


class Venv:
    """A venv with a real pip, into which wheels are installed."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        self.python = make_venv(folder / "venv")
        self.site = site_packages(self.python)
        self._environ = environ

    def pip(self, *words: str | Path) -> Completed:
        return run([self.python, "-m", "pip", *words], env=self._environ)

    def install(self, *words: str | Path) -> None:
        done = self.pip("install", "--no-index", *words)
        assert done.code == 0, done.said

    def distribution(self, name: str = "flash-attn") -> Installed:
        return installed_in([str(self.site)])[name]

    def record(self, name: str = "flash-attn") -> list[list[str]]:
        with (self.distribution(name).info / "RECORD").open(newline="", encoding="utf-8") as file:
            return list(csv.reader(file))


@pytest.fixture
def venv(tmp_path: Path, environ: dict[str, str]) -> Venv:
    return Venv(tmp_path, environ)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[UndoLog]:
    running = UndoLog(str(tmp_path / "journal"), str(tmp_path / "stash"), [str(tmp_path / "venv")])
    yield running
    running.close()


def lines_of(rows: list[list[str]], ending: str) -> list[list[str]]:
    return [row for row in rows if row[0].endswith(ending)]


def fake(folder: Path, name: str, *, record: str = "", metadata: bool = True) -> None:
    info = folder / f"{name}.dist-info"
    info.mkdir(parents=True)
    (info / "RECORD").write_text(record)
    if metadata:
        (info / "METADATA").write_text("Metadata-Version: 2.1\n")


def test_what_pip_installed_is_found_under_its_normal_name(venv: Venv, tmp_path: Path) -> None:
    venv.install(make_wheel(tmp_path, "Flash.Attn", "2.8.3+cu12"))
    found = venv.distribution()
    assert (found.name, found.version) == ("flash-attn", "2.8.3+cu12")
    assert found.info.is_dir()
    assert "pip" in installed_in([str(venv.site)])


def test_of_two_with_one_name_the_first_folders_counts(tmp_path: Path) -> None:
    fake(tmp_path / "target", "flash_attn-2.0")
    fake(tmp_path / "site", "Flash.Attn-1.0")
    folders = [str(tmp_path / "target"), str(tmp_path / "site")]
    assert installed_in(folders)["flash-attn"].version == "2.0"
    assert installed_in(reversed(folders))["flash-attn"].version == "1.0"


def test_what_an_interrupted_pip_left_is_not_installed(tmp_path: Path) -> None:
    fake(tmp_path, "flash_attn-2.8.3", metadata=False)
    fake(tmp_path, "~lash_attn-2.8.2", metadata=False)
    (tmp_path / "torch-2.7.1.dist-info").write_text("a file")
    assert installed_in([str(tmp_path)]) == {}


def test_a_half_removed_folder_does_not_hide_the_whole_one(tmp_path: Path) -> None:
    fake(tmp_path, "flash_attn-2.8.2", metadata=False)
    fake(tmp_path, "flash_attn-2.8.3")
    assert installed_in([str(tmp_path)])["flash-attn"].version == "2.8.3"


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert installed_in([str(tmp_path / "gone")]) == {}


def test_the_fingerprint_changes_with_the_files_that_are_installed(venv: Venv, tmp_path: Path) -> None:
    wheels = [make_wheel(tmp_path / label, files={"flash_attn/__init__.py": label}) for label in ("one", "two")]
    fingerprints = []
    for wheel in (*wheels, wheels[0]):
        venv.install("--force-reinstall", wheel)
        fingerprints.append(venv.distribution().fingerprint)
    assert fingerprints[0] != fingerprints[1]
    assert None not in fingerprints


def test_without_record_there_is_no_fingerprint_and_the_name_stands_for_its_modules(tmp_path: Path) -> None:
    fake(tmp_path, "flash_attn-2.8.3", record="flash_attn/__init__.py,,\n")
    found = installed_in([str(tmp_path)])["flash-attn"]
    assert found.importable_names() == ("flash_attn",)
    (found.info / "RECORD").unlink()
    assert found.fingerprint is None
    assert found.importable_names() == ("flash_attn",)
    (found.info / "top_level.txt").write_text("other_module\n_private\n")
    assert found.importable_names() == ("other_module",)


def test_the_modules_that_can_be_imported_come_from_record(venv: Venv, tmp_path: Path) -> None:
    files = {
        "flash_attn/__init__.py": "",
        "flash_attn/ops/__init__.py": "",
        "hopper/__init__.py": "",
        "single.py": "",
        "flash_attn_2_cuda.cpython-311-x86_64-linux-gnu.so": b"",
        "plain.so": b"",
        "_private.py": "",
        "_C/__init__.py": "",
        "data-with-dash/__init__.py": "",
        "no_package/readme.txt": "",
        "paths.pth": "",
    }
    venv.install(make_wheel(tmp_path, files=files, commands={"flash": "flash_attn:main"}))
    expected = ("flash_attn", "flash_attn_2_cuda", "hopper", "plain", "single")
    assert venv.distribution().importable_names() == expected


def test_where_it_came_from_is_what_pip_wrote(venv: Venv, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "wheels")
    venv.install(wheel)
    said = venv.distribution().direct_url
    assert said is not None
    assert said["url"] == wheel.as_uri()
    venv.install("--force-reinstall", "--find-links", wheel.parent, "flash_attn")
    assert venv.distribution().direct_url is None


def test_an_unreadable_origin_is_none(tmp_path: Path) -> None:
    fake(tmp_path, "flash_attn-2.8.3")
    (tmp_path / "flash_attn-2.8.3.dist-info" / "direct_url.json").write_text("{")
    assert installed_in([str(tmp_path)])["flash-attn"].direct_url is None


@pytest.mark.parametrize("from_index", [False, True])
def test_the_origin_is_written_as_pep_610_has_it(venv: Venv, log: UndoLog, tmp_path: Path, from_index: bool) -> None:
    wheel = make_wheel(tmp_path / "wheels")
    venv.install(*(["--find-links", wheel.parent, "flash_attn"] if from_index else [wheel]))
    write_direct_url(venv.distribution(), URL, sha256(wheel), log)
    digest = sha256(wheel)
    said = json.loads((venv.distribution().info / "direct_url.json").read_text())
    assert said == {"url": URL, "archive_info": {"hash": f"sha256={digest}", "hashes": {"sha256": digest}}}
    assert venv.pip("freeze").stdout == f"flash_attn @ {URL}#sha256={digest}\n"


def test_record_has_one_line_with_the_right_hash_for_it(venv: Venv, log: UndoLog, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path)
    venv.install(wheel)
    before = venv.record()
    for _ in range(2):
        write_direct_url(venv.distribution(), URL, sha256(wheel), log)
    (line,) = lines_of(venv.record(), "direct_url.json")
    content = (venv.site / line[0]).read_bytes()
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    assert line[1:] == [f"sha256={digest}", str(len(content))]
    others = [row for row in before if not row[0].endswith("direct_url.json")]
    assert [row for row in venv.record() if row != line] == others


@pytest.mark.parametrize("written", [True, False])
def test_a_real_pip_is_content_with_it_and_removes_every_file(
    venv: Venv, log: UndoLog, tmp_path: Path, written: bool
) -> None:
    empty = tree(venv.site)
    wheel = make_wheel(tmp_path, files={"flash_attn/__init__.py": "", 'flash_attn/odd, "name".txt': "x"})
    venv.install("--no-compile", wheel)
    if written:
        write_direct_url(venv.distribution(), URL, sha256(wheel), log)
    else:
        remove_direct_url(venv.distribution(), log)
    checked = venv.pip("check")
    assert checked.code == 0, checked.said
    expected = f"flash_attn @ {URL}#sha256={sha256(wheel)}\n" if written else "flash_attn==2.8.3\n"
    assert venv.pip("freeze").stdout == expected
    removed = venv.pip("uninstall", "-y", "flash_attn")
    assert removed.code == 0, removed.said
    assert changes(empty, tree(venv.site)) == []


def test_the_origin_can_be_forgotten(venv: Venv, log: UndoLog, tmp_path: Path) -> None:
    venv.install(make_wheel(tmp_path))
    assert venv.distribution().direct_url is not None
    for _ in range(2):  # what is not there is forgotten already
        remove_direct_url(venv.distribution(), log)
    assert venv.distribution().direct_url is None
    assert lines_of(venv.record(), "direct_url.json") == []


def test_no_credentials_are_written(venv: Venv, log: UndoLog, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path)
    venv.install(wheel)
    secret = URL.replace("https://", "https://alice:s3cret@") + "#sha256=00"
    write_direct_url(venv.distribution(), secret, sha256(wheel), log)
    assert "s3cret" not in (venv.distribution().info / "direct_url.json").read_text()
    said = venv.distribution().direct_url
    assert said is not None
    assert said["url"] == URL


def test_what_is_written_can_be_undone(venv: Venv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    venv.install(make_wheel(tmp_path))
    info = venv.distribution().info
    before = tree(info)
    change = begin(str(tmp_path), site_packages=str(info.parent), roots=[str(info.parent)], tell=print)
    with change.changing() as log:
        write_direct_url(venv.distribution(), URL, "0" * 64, log)
    assert tree(info) != before
    change.undo()
    change.close()
    assert tree(info) == before
