"""What a command asks for, wherever it stands; and the same command in other words."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipfallback.arguments import Item, parse
from pipfallback.asks import Asks, read_asks
from pipfallback.pip_config import PipConfig
from pipfallback.requests import Request, RequestError
from pipfallback.rewording import leaving_out, replacing, reworded, without_any, without_building


def read(*words: str, config: PipConfig | None = None) -> Asks:
    return read_asks(parse(["install", *words], {}), config)


def everywhere(_: Request) -> bool:
    return True


def as_they_are(_: Item) -> None:
    return None


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


def test_names_come_from_words_and_files(folder: Path) -> None:
    Path("r.txt").write_text("beta[x]>=1\n-e ./gamma\n-c c.txt\n")
    Path("c.txt").write_text("delta<2\nbeta<3\n")
    Path("pyproject.toml").write_text('[dependency-groups]\nrun = ["epsilon"]\n')
    Path("tool.py").write_text('# /// script\n# dependencies = ["zeta"]\n# ///\n')
    asks = read("alpha", "-r", "r.txt", "--group", "run", "--requirements-from-script", "tool.py", "--no-deps")
    assert asks.names == {"alpha", "beta", "epsilon", "zeta"}
    assert not asks.unreadable
    merged = asks.merged("beta", everywhere)
    assert merged is not None
    assert (merged.text, merged.extras, str(merged.specifier)) == ("beta[x]>=1", ("x",), "<3,>=1")
    assert asks.merged("delta", everywhere) is None, "a constraint asks for nothing"
    assert folder.exists()


def test_one_package_asked_for_twice_is_one_request(folder: Path) -> None:
    url = "https://h.example/alpha-1.5-py3-none-any.whl"
    asks = read("Alpha[x]>=1", f"alpha[y] @ {url}", "alpha<2; python_version < '3'")
    merged = asks.merged("alpha", lambda request: request.marker is None)
    assert merged is not None
    assert (merged.location, merged.extras, str(merged.specifier)) == (url, ("x", "y"), ">=1")
    assert asks.merged("alpha", lambda _: False) is None
    assert folder.exists()


def test_a_hash_anywhere_asks_for_hashes_everywhere(folder: Path) -> None:
    digest = "a" * 64
    Path("r.txt").write_text(f"alpha==1 --hash=sha256:{digest} --hash=sha512:bb\n")
    asks = read("-r", "r.txt", "beta")
    merged = asks.merged("alpha", everywhere)
    assert merged is not None
    assert merged.hashes == {digest}
    assert asks.command.has("--require-hashes")
    assert not read("beta", f"https://h.example/a-1-py3-none-any.whl#sha256={digest}").command.has("--require-hashes")
    assert not read("--no-require-hashes", "-r", "r.txt").command.has("--require-hashes")
    assert folder.exists()


def test_the_words_for_pip_stay_as_they_were_given(folder: Path) -> None:
    Path("r.txt").write_text("--pre\n--index-url https://h.example/simple\nalpha\n")
    asks = read("-qqr", "r.txt", "-U", "--", "beta")
    assert asks.command.words() == ("install", "-q", "-q", "-r", "r.txt", "-U", "--", "beta")
    assert asks.command.has("--pre")
    assert asks.command.values("--index-url") == ("https://h.example/simple",)
    assert folder.exists()


@pytest.mark.parametrize(
    "words", [["-r", "none.txt"], ["--group", "none"], ["--requirements-from-script", "none.py"], ["-r", "pylock.toml"]]
)
def test_what_cannot_be_read_is_left_to_pip(folder: Path, words: list[str]) -> None:
    asks = read("alpha", *words)
    assert asks.unreadable
    assert asks.names == {"alpha"}
    assert reworded(asks, leaving_out({"alpha"}), folder, options=as_they_are).words == ("install", *words)


def test_a_broken_url_is_told_only_if_it_matters(folder: Path) -> None:
    asks = read("https://[half/flash_attn-2.8.3-py3-none-any.whl", "nosuch://h/x")
    assert asks.names == {"flash-attn"}
    assert [type(error) for error in asks.broken] == [RequestError, RequestError]
    assert folder.exists()


def test_only_what_is_replaced_is_written_anew(folder: Path) -> None:
    Path("r.txt").write_text("alpha>=1\nbeta\n")
    Path("other.txt").write_text("gamma\n")
    asks = read("-U", "-r", "r.txt", "-rother.txt", "delta", "alpha; python_version > '3'")
    wording = reworded(asks, replacing({"alpha": "alpha==1.5"}, {"delta"}), folder, options=as_they_are, end=["eta==1"])
    copy = wording.words[3]
    assert wording.words == ("install", "-U", "--requirement", copy, "-r", "other.txt", "alpha==1.5", "eta==1")
    assert Path(copy).read_text() == "alpha==1.5\nbeta\n"
    assert wording.variables == {}


def test_a_group_becomes_a_file(folder: Path) -> None:
    Path("pyproject.toml").write_text('[dependency-groups]\nrun = ["alpha>=1", "beta ; python_version > \'3\'"]\n')
    wording = reworded(read("--group=run"), replacing({"alpha": "alpha==2"}), folder, options=as_they_are)
    assert wording.words[:2] == ("install", "--requirement")
    assert Path(wording.words[2]).read_text().splitlines() == ["alpha==2", 'beta; python_version > "3"']


def test_a_constraint_keeps_its_bounds_and_loses_its_url(folder: Path) -> None:
    Path("c.txt").write_text("alpha<2\nbeta @ https://h.example/beta-1-py3-none-any.whl\n")
    pins = replacing({"alpha": "alpha==1", "beta": "beta==1"})
    wording = reworded(read("-c", "c.txt", "alpha", "beta"), pins, folder, options=as_they_are)
    assert Path(wording.words[2]).read_text() == "alpha<2\n\n"


def test_pips_settings_are_replaced_by_variables(folder: Path) -> None:
    Path("r.txt").write_text("alpha\n")
    Path("s.txt").write_text("beta\n")
    config = PipConfig(values={"--requirement": "r.txt s.txt"})
    asks = read("gamma", config=config)
    assert asks.names == {"alpha", "beta", "gamma"}
    wording = reworded(asks, replacing({"alpha": "alpha==1"}), folder, options=as_they_are)
    assert wording.words == ("install", "gamma")
    copy, other = wording.variables["PIP_REQUIREMENT"].split()
    assert (Path(copy).read_text(), other) == ("alpha==1\n", "s.txt")
    alone = without_any(asks, folder, options=as_they_are)
    assert alone.words == ("install",)
    assert Path(alone.variables["PIP_REQUIREMENT"]).read_text() == ""


def test_a_lock_is_never_written_anew(folder: Path) -> None:
    digest = "b" * 64
    Path("pylock.toml").write_text(
        'lock-version = "1.0"\ncreated-by = "test"\n[[packages]]\nname = "alpha"\nversion = "1.0"\n'
        f'[[packages.wheels]]\nname = "alpha-1.0-py3-none-any.whl"\npath = "w"\nhashes = {{sha256 = "{digest}"}}\n'
    )
    asks = read("-r", "pylock.toml[x]", "beta")
    assert (asks.names, asks.is_locked("alpha"), asks.is_locked("beta")) == ({"alpha", "beta"}, True, False)
    wording = reworded(asks, leaving_out({"alpha", "beta"}), folder, options=as_they_are)
    assert wording.words == ("install", "-r", "pylock.toml[x]")


def test_editables_stay(folder: Path) -> None:
    asks = read("-e", "git+https://h.example/r#egg=alpha", "alpha")
    wording = reworded(asks, leaving_out({"alpha"}), folder, options=as_they_are)
    assert wording.words == ("install", "-e", "git+https://h.example/r#egg=alpha")


def test_nothing_of_the_catalog_is_built() -> None:
    command = parse(["install", "x"], {})
    assert without_building(command, {"b", "a"}) == ("--only-binary", "a,b")
    assert without_building(command, ()) == ()
    assert without_building(parse(["install", "--allow-build", "x"], {}), {"a"}) == ()
