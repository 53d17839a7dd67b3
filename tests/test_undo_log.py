"""What is kept before a change, what is on disk when, and how it comes back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lib.trees import changes, tree
from pipfallback import _undo_log, restoring
from pipfallback._undo_log import UndoLog, read_journal
from pipfallback.restoring import Span

ALWAYS = Span(since=0.0, until=time.time() + 1e6)


class Site:
    """A folder with packages in it, and a log that keeps what changes there."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "site-packages"
        for name, text in {"pkg/__init__.py": "1", "pkg/sub/x.py": "x", "a.pth": "# a", "tool.py": "t"}.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text)
        self.journal, self.stash = folder / "state" / "journal", folder / ".pipfallback-1"
        self.journal.parent.mkdir()
        self.before = tree(self.root)
        self.log = UndoLog(str(self.journal), str(self.stash), [str(self.root)])

    def lines(self, op: str) -> list[Path]:
        return [Path(entry["path"]) for entry in read_journal(str(self.journal))[0] if entry["op"] == op]

    def undo(self, span: Span = ALWAYS) -> tuple[str, ...]:
        return restoring.undo(self.journal, 0, span)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.log.close()


def make(site: Site, name: str, text: str = "new") -> Path:
    path = site.root / name
    site.log.before_writing(path)
    path.write_text(text)
    return path


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that were synced, in order."""
    paths: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        paths.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return paths


def test_what_goes_is_on_disk_in_the_stash_and_then_in_the_journal_before_it_goes(
    site: Site, synced: list[str]
) -> None:
    site.log.before_removal(site.root / "pkg")
    kept = read_journal(str(site.journal))[0][-1]["stash"]
    assert {kept, f"{kept}/sub", str(site.stash), str(site.stash.parent)} <= {*synced[:-1]}
    assert synced[-1] == str(site.journal)


def test_two_thousand_new_files_cost_one_sync(site: Site, synced: list[str]) -> None:
    for number in range(2000):
        site.log.before_writing(site.root / f"{number}.py")
    assert synced == [str(site.journal)]
    assert len(site.lines("created")) == 2000


def test_without_a_boot_id_each_new_file_is_synced(
    site: Site, synced: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(_undo_log, "BOOT_ID", str(tmp_path / "none"))
    log = UndoLog(str(site.journal), str(site.stash), [str(site.root)])
    for number in range(3):
        log.before_writing(site.root / f"{number}.py")
    log.close()
    assert len(synced) == 4  # the folder's listing, and each file


def test_the_undo_is_on_disk_before_the_journal_is_cut(site: Site, synced: list[str]) -> None:
    make(site, "new.py")
    synced.clear()
    site.undo()
    assert synced[0] == str(site.root)
    assert set(synced[1:]) == {str(site.journal)}


def test_what_a_power_loss_left_without_a_line_goes_as_well(site: Site) -> None:
    for name in ("new.py", "package"):
        make(site, name)
    lines = site.journal.read_bytes().splitlines(keepends=True)
    site.journal.write_bytes(lines[0])  # the listing was synced, the rest was not
    site.undo()
    assert changes(site.before, tree(site.root)) != [], "a kill loses no line: what has none is somebody else's"
    site.journal.write_bytes(lines[0])
    site.undo(Span(since=0.0, until=time.time() + 10, power_lost=True))
    assert changes(site.before, tree(site.root)) == []


def test_what_came_after_the_machine_had_started_again_is_left_and_named(site: Site) -> None:
    theirs = make(site, "theirs.py")
    site.journal.write_bytes(site.journal.read_bytes().splitlines(keepends=True)[0])
    assert site.undo(Span(since=0.0, until=theirs.stat().st_ctime - 1, power_lost=True)) == (str(theirs),)
    assert theirs.exists()


def removal(site: Site) -> None:
    site.log.before_removal(site.root / "pkg")
    (site.root / "pkg").rename(site.root.parent / "gone")


def writing_in_place(site: Site) -> None:
    make(site, "a.pth", "# other")


def removal_and_return_and_writing(site: Site) -> None:
    site.log.before_removal(site.root / "a.pth")
    (site.root / "a.pth").rename(site.root / "b")
    (site.root / "b").rename(site.root / "a.pth")
    (site.root / "a.pth").write_text("# written through the same inode")


def replacing(site: Site) -> None:
    site.log.before_replacing(site.root / "tool.py")
    (site.root / "fresh").write_text("other")
    (site.root / "fresh").replace(site.root / "tool.py")


def mode(site: Site) -> None:
    site.log.before_mode(site.root / "tool.py")
    (site.root / "tool.py").chmod(0o755)


def file_and_then_its_folder(site: Site) -> None:
    make(site, "pkg/__init__.py", "2")
    make(site, "pkg/new.py")
    removal(site)
    make(site, "pkg")


def two_parts(site: Site) -> None:
    removal(site)
    site.log.mark()
    make(site, "pkg")
    site.log.mark()
    site.log.before_removal(site.root / "pkg")
    (site.root / "pkg").unlink()
    site.log.mark()
    make(site, "tool.py", "4")


CHANGES = (
    removal,
    writing_in_place,
    removal_and_return_and_writing,
    replacing,
    mode,
    file_and_then_its_folder,
    two_parts,
)


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_comes_back(site: Site, change: Callable[[Site], None]) -> None:
    change(site)
    assert tree(site.root) != site.before
    site.undo()
    assert changes(site.before, tree(site.root)) == []
    assert site.journal.read_bytes() == b""


@pytest.mark.parametrize("change", CHANGES)
def test_an_undo_that_is_stopped_before_any_of_its_steps_can_be_repeated(
    site: Site, change: Callable[[Site], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(BaseException):
        pass

    change(site)
    steps = 0
    done = False
    while not done:
        steps += 1
        left = [steps]

        def step(function: Callable[..., object], left: list[int] = left) -> Callable[..., object]:
            def counted(*args: object, **more: object) -> object:
                left[0] -= 1
                if left[0] == 0:
                    raise Stopped
                return function(*args, **more)

            return counted

        with monkeypatch.context() as patched:
            for name in ("discard", "sync_folder", "_put_back", "_cut"):
                patched.setattr(restoring, name, step(getattr(restoring, name)))
            try:
                site.undo()
                done = True
            except Stopped:
                continue
    assert steps > 2
    assert changes(site.before, tree(site.root)) == []


def test_what_is_written_through_a_link_comes_back_wherever_it_lies(site: Site, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.py").write_text("theirs")
    (site.root / "linked.py").symlink_to(tmp_path / "elsewhere.py")
    make(site, "linked.py", "ours")
    assert (tmp_path / "elsewhere.py").read_text() == "ours"
    site.undo()
    assert (tmp_path / "elsewhere.py").read_text() == "theirs"
    assert (site.root / "linked.py").is_symlink()


def test_a_package_that_is_a_link_to_a_folder_elsewhere_is_kept_file_by_file(site: Site, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "m.py").write_text("theirs")
    (site.root / "linkedpkg").symlink_to(tmp_path / "real")
    path = site.root / "linkedpkg" / "m.py"
    site.log.before_removal(path)
    path.unlink()
    site.undo()
    assert (tmp_path / "real" / "m.py").read_text() == "theirs"


def test_a_folder_that_may_not_be_written_is_removed_all_the_same(site: Site) -> None:
    new = site.root / "locked"
    site.log.before_writing(new)
    new.mkdir()
    (new / "x").write_text("")
    new.chmod(0o500)
    site.undo()
    assert changes(site.before, tree(site.root)) == []


def test_nothing_is_touched_where_something_that_was_kept_is_gone(site: Site) -> None:
    removal(site)
    make(site, "new.py")
    after = tree(site.root)
    site.stash.rename(site.stash.with_name("moved"))
    with pytest.raises(FileNotFoundError, match="what was kept is gone"):
        site.undo()
    assert tree(site.root) == after
    site.stash.with_name("moved").rename(site.stash)
    site.undo()
    assert changes(site.before, tree(site.root)) == []


def test_a_copy_that_was_changed_is_not_put_back(site: Site) -> None:
    writing_in_place(site)
    next(site.stash.iterdir()).write_text("damaged")
    with pytest.raises(OSError, match="has been changed"):
        site.undo()


def test_a_line_is_written_whole_or_not_at_all(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    real, size = os.write, site.journal.stat().st_size

    def full(descriptor: int, content: bytes) -> int:
        if len(content) < 20:
            raise OSError(28, "No space left on device")
        return real(descriptor, content[: len(content) - 10])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        site.log.before_removal(site.root / "pkg")
    assert site.journal.stat().st_size == size
    assert list(site.stash.iterdir()) == []


def test_a_line_cut_short_by_a_kill_is_dropped_before_the_next(site: Site) -> None:
    make(site, "one.py")
    with site.journal.open("ab") as file:
        file.write(b'{"op": "crea')
    second = UndoLog(str(site.journal), str(site.stash), [str(site.root)])
    second.before_writing(site.root / "two.py")
    second.close()
    assert [path.name for path in site.lines("created")] == ["one.py", "two.py"]


def test_names_that_are_no_text_come_back(site: Site) -> None:
    name = os.path.join(os.fsencode(site.root), b"caf\xe9.py")  # noqa: PTH118  (pathlib takes no bytes)
    site.log.before_writing(name)
    os.close(os.open(name, os.O_CREAT))
    site.undo()
    assert changes(site.before, tree(site.root)) == []


def test_without_hard_links_a_copy_is_kept(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    removal(site)
    site.undo()
    assert changes(site.before, tree(site.root)) == []


HOOKED = """
import os, subprocess, sys, threading
from pipfallback._undo_log import UndoLog
journal, stash, root = sys.argv[1:4]
log = UndoLog(journal, stash, [root])
sys.addaudithook(log.hook)
"""


def hooked(site: Site, code: str) -> None:
    arguments = [str(site.journal), str(site.stash), str(site.root)]
    subprocess.run([sys.executable, "-c", HOOKED + code, *arguments], check=True)


def test_the_hook_sees_what_python_changes_in_any_thread(site: Site) -> None:
    hooked(
        site,
        "def work(n):\n"
        "    for i in range(50): open(f'{root}/{n}-{i}', 'w').close()\n"
        "threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "os.rename(f'{root}/pkg', f'{root}/~kg'); os.symlink('x', f'{root}/s'); os.link(f'{root}/tool.py', f'{root}/h')\n"
        "os.chmod(f'{root}/tool.py', 0o700); os.truncate(f'{root}/tool.py', 0); os.makedirs(f'{root}/n/n')\n",
    )
    assert len(changes(site.before, tree(site.root))) > 200
    site.undo()
    assert changes(site.before, tree(site.root)) == []


def test_what_a_child_of_pip_brings_goes_and_what_it_writes_in_place_comes_back(site: Site) -> None:
    hooked(
        site,
        "code = f'open(\\'{root}/egg.py\\', \\'w\\'); open(\\'{root}/a.pth\\', \\'a\\').write(\\'more\\')'\n"
        "subprocess.run([sys.executable, '-W', 'ignore', '-c', code], check=True)\n",
    )
    assert changes(site.before, tree(site.root)) == ["+ egg.py", "! a.pth"]
    site.undo()
    assert changes(site.before, tree(site.root)) == []


def test_trying_to_remove_a_folder_that_is_not_empty_keeps_nothing(site: Site) -> None:
    hooked(site, "try:\n    os.removedirs(root)\nexcept OSError:\n    pass\n")
    assert read_journal(str(site.journal)) == ([], 0)


def test_children_that_are_no_python_are_nobodys_concern(site: Site) -> None:
    hooked(site, "subprocess.run(['true'], check=True)\n")
    assert read_journal(str(site.journal)) == ([], 0)


def test_in_a_folder_of_programs_only_scripts_of_python_go(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    log = UndoLog(str(tmp_path / "journal"), str(tmp_path / ".pipfallback-1"), [str(programs)])
    log.before_child("/usr/bin/python3")
    log.close()
    (programs / "ours").write_text("#!/venv/bin/python\n")
    (programs / "theirs").write_text("#!/bin/sh\n")
    restoring.undo(tmp_path / "journal", 0, ALWAYS)
    assert [path.name for path in programs.iterdir()] == ["theirs"]


def test_the_journal_is_lines_of_json(site: Site) -> None:
    make(site, "new.py")
    removal(site)
    entries = [json.loads(line) for line in site.journal.read_text().splitlines()]
    assert [entry["op"] for entry in entries] == ["folder", "created", "kept"]
    assert entries[0]["names"] == ["a.pth", "pkg", "tool.py"]
