"""Instructions of a Dockerfile, and where in the file their characters stand."""

from __future__ import annotations

import pytest

from pipfallback.dockerfile.reader import DockerfileError, Instruction, read


def only(text: str, name: str = "RUN") -> Instruction:
    """The one instruction of that name."""
    (found,) = [instruction for instruction in read(text) if instruction.name == name]
    return found


def assert_in_place(text: str, instruction: Instruction) -> None:
    """Every character with a place is the one that stands there."""
    for letter, place in zip(instruction.body.text, instruction.body.places, strict=True):
        assert place is None or text[place] == letter


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_continued_lines_are_one_instruction_without_the_comments_between_them(end: str, mark: str) -> None:
    lines = ["FROM a", "RUN one \\", "  # a comment", "", "   \t# another", "  two \\ ", "three", "USER b"]
    text = mark + end.join(lines) + end
    run = only(text)
    assert run.body.text.split() == ["one", "two", "three"]
    assert run.line == 2
    assert only(text, "USER").line == 8
    assert_in_place(text, run)


def test_another_escape_character_continues_lines_and_the_backslash_does_not() -> None:
    text = "# syntax=docker/dockerfile:1\n# escape=`\nFROM a\nRUN one `\n two \\\nUSER b\n"
    assert only(text).body.text == "one  two \\"
    assert only(text, "USER").body.text == "b"


@pytest.mark.parametrize("first", ["# a comment", "", "FROM b"])
def test_a_directive_counts_only_at_the_very_top(first: str) -> None:
    text = f"{first}\n# escape=`\nFROM a\nRUN one `\nRUN two \\\n three\n"
    runs = [instruction.body.text for instruction in read(text) if instruction.name == "RUN"]
    assert runs == ["one `", "two  three"]


def test_flags_are_apart_from_the_command() -> None:
    run = only("FROM a\nRUN --mount=type=cache,target=/c --network=none \\\n pip install x\n")
    assert run.flags == (("mount", "type=cache,target=/c"), ("network", "none"))
    assert run.body.text == "pip install x"


def test_the_exec_form_has_its_words() -> None:
    text = 'FROM a\nRUN [ "pip", "install", "a\\"b" ]\n'
    run = only(text)
    assert run.words is not None
    assert [word.text for word in run.words] == ["pip", "install", 'a"b']
    assert run.words[0].span(0, 3) == (text.index("pip"), text.index("pip") + 3)
    assert run.words[2].span(0, 3) is None


@pytest.mark.parametrize("body", ["[ -f x ] && pip install y", '["pip", 1]', '["pip"', "{}", '"pip"'])
def test_what_is_not_a_list_of_texts_is_the_shell_form(body: str) -> None:
    assert only(f"FROM a\nRUN {body}\n").words is None


def test_here_documents_belong_to_their_instruction() -> None:
    text = "FROM a\nRUN <<EOF\n# not a comment of Docker's\npip install x \\\n  y\nEOF\nUSER b\n"
    run = only(text)
    (heredoc,) = run.heredocs
    assert heredoc.body.text == "# not a comment of Docker's\npip install x \\\n  y\n"
    start = heredoc.body.text.index("pip")
    assert heredoc.body.span(start, start + 3) == (text.index("pip"), text.index("pip") + 3)
    assert only(text, "USER").line == 7


def test_here_documents_without_their_tabs_and_several_at_once() -> None:
    copy = only("FROM a\nCOPY <<-'ONE' <<\"TWO\" /etc/\n\tx\n\tONE\ny\nTWO\n", "COPY")
    assert [(each.name, each.body.text) for each in copy.heredocs] == [("ONE", "x\n"), ("TWO", "y\n")]


@pytest.mark.parametrize("body", ["echo '<<EOF'", 'echo "a <<EOF"', "echo $((1<<2))", "cat <<<EOF"])
def test_what_only_looks_like_a_here_document_is_none(body: str) -> None:
    text = f"FROM a\nRUN {body}\nUSER b\n"
    assert only(text).heredocs == ()
    assert only(text, "USER").body.text == "b"


def test_names_are_in_any_case_and_onbuild_is_looked_through() -> None:
    names = [instruction.name for instruction in read("from a\nonbuild run x\nRun y\n")]
    assert names == ["FROM", "RUN", "RUN"]


@pytest.mark.parametrize("text", ["", "# only\n", "RUN pip install x\n", "\0FROM a\n", "Dear reader,\n\nhello\n"])
def test_what_is_no_dockerfile_is_told(text: str) -> None:
    with pytest.raises(DockerfileError):
        read(text)
