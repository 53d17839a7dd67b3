"""Shell commands taken apart into words, each with its place: as far as install lines need it, and no further.

Simple commands between ``&&``, ``||``, ``;``, ``|``, ``&``, parentheses and line ends; quotes, backslashes, variables,
comments, redirections, here-documents. A word that cannot be known without running something has no value; what cannot
be read at all raises UnfinishedError. (POSIX.1-2017, Shell Command Language; ``shlex`` knows neither positions nor
operators nor variables, and ``bashlex`` is GPL.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from pipfallback.dockerfile.expansion import UnfinishedError, Variables, closing, expand_at
from pipfallback.dockerfile.located import Located

_OPERATORS = ("&&", "||", ";;", "|&", ";", "|", "&", "(", ")", "\n")
_REDIRECTION = re.compile(r"&>>?|<<<|<<-|<<|<>|>>|>\||[<>]&|[<>]")
# Words that stand before a command and are none (POSIX 2.4, "Reserved Words"; bash's ``time``).
_RESERVED = frozenset({"if", "then", "else", "elif", "fi", "do", "done", "while", "until", "!", "{", "}", "time"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One word. ``value`` is None where it is only known when the command runs.

    ``text`` is the value with the place of each character, where it has one. ``start`` and ``end``: where the word
    stands in the text that was read, quotes included. ``plain``: it was written as it is, without quotes or variables.
    """

    value: str | None
    text: Located
    start: int
    end: int
    plain: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A simple command: its words, and where it stands in the text that was read."""

    words: tuple[Word, ...]
    start: int
    end: int


@dataclass(slots=True)
class _Draft:
    """A word while it is read. ``value`` None: unknown; ``quoted``: it is a word even if nothing is in it."""

    start: int
    value: str | None = ""
    places: list[int | None] = field(default_factory=list)
    plain: bool = True
    quoted: bool = False

    def add(self, text: str, places: list[int | None]) -> None:
        if self.value is not None:
            self.value += text
        self.places += places

    def finished(self, end: int) -> Word:
        text = Located(text=self.value or "", places=self.places if self.value is not None else ())
        return Word(value=self.value, text=text, start=self.start, end=end, plain=self.plain)


def commands(script: Located, variables: Variables) -> Iterator[Command]:
    """The commands of a script in order.

    ``variables`` are looked up when a command is read: who goes through the commands may change them in between.
    Raises UnfinishedError.
    """
    yield from _Shell(script, variables)


class _Shell:
    """Goes through a script once."""

    def __init__(self, script: Located, variables: Variables) -> None:
        self._script = script
        self._text = script.text
        self._variables = variables
        self._at = 0
        self._heredocs: list[tuple[str, bool]] = []

    def __iter__(self) -> Iterator[Command]:
        while self._at < len(self._text):
            words = self._words()
            while words and words[0].plain and words[0].value in _RESERVED:
                del words[0]
            if words:
                yield Command(words=tuple(words), start=words[0].start, end=words[-1].end)

    def _words(self) -> list[Word]:
        """The words up to the next operator, which is passed over as well."""
        words: list[Word] = []
        while self._at < len(self._text):
            if self._skip_blank():
                continue
            if self._text[self._at] == "#":
                self._skip_comment()
                continue
            if found := self._redirection():
                self._redirect(found)
                continue
            operator = next((each for each in _OPERATORS if self._text.startswith(each, self._at)), None)
            if operator is not None:
                self._at += len(operator)
                if operator == "\n":
                    self._skip_heredocs()
                return words
            words += self._word()
        return words

    def _skip_blank(self) -> bool:
        start = self._at
        while self._text.startswith("\\\n", self._at) or self._text[self._at : self._at + 1] in {" ", "\t", "\r"}:
            self._at += 2 if self._text[self._at] == "\\" else 1
        return self._at > start

    def _skip_comment(self) -> None:
        end = self._text.find("\n", self._at)
        self._at = len(self._text) if end < 0 else end

    def _redirection(self) -> re.Match[str] | None:
        digits = re.compile(r"\d*(?=[<>])").match(self._text, self._at)
        start = digits.end() if digits else self._at
        found = _REDIRECTION.match(self._text, start)
        if found is None or self._text.startswith(("<(", ">("), start):
            return None
        return found

    def _redirect(self, found: re.Match[str]) -> None:
        self._at = found.end()
        self._skip_blank()
        words = self._word()
        if found[0] in {"<<", "<<-"} and words and words[0].value is not None:
            self._heredocs.append((words[0].value, found[0] == "<<-"))

    def _skip_heredocs(self) -> None:
        for name, tabs in self._heredocs:
            while self._at < len(self._text):
                end = self._text.find("\n", self._at)
                end = len(self._text) if end < 0 else end
                line = self._text[self._at : end]
                self._at = min(end + 1, len(self._text))
                if (line.lstrip("\t") if tabs else line) == name:
                    break
        self._heredocs.clear()

    def _word(self) -> list[Word]:
        """The word that begins here; several where a variable outside quotes holds white space."""
        words: list[Word] = []
        draft = _Draft(self._at)
        while self._at < len(self._text):
            letter = self._text[self._at]
            if letter in " \t\r\n;|&()" or (letter in "<>" and not self._text.startswith(("<(", ">("), self._at)):
                break
            if letter in "<>":
                self._at = expand_at("$" + self._text[self._at + 1 :], 0, {}).end + self._at
                draft.value, draft.plain = None, False
            elif letter in "'\"":
                self._quoted(draft, letter)
            elif letter == "\\":
                self._escaped(draft)
            elif letter in "$`":
                draft = self._variable(draft, words)
            else:
                if letter in "*?" or (letter == "{" and re.match(r"\{[^{}\s]*,", self._text[self._at :])):
                    draft.value, draft.plain = None, False  # what it stands for depends on files, or on the shell
                draft.add(letter, [self._script.places[self._at]])
                self._at += 1
        if draft.value or draft.value is None or draft.quoted:
            words.append(draft.finished(self._at))
        return words

    def _escaped(self, draft: _Draft) -> None:
        if self._text.startswith("\\\n", self._at):
            self._at += 2
            return
        draft.plain = False
        draft.add(self._text[self._at + 1 : self._at + 2], list(self._script.places[self._at + 1 : self._at + 2]))
        self._at += 2

    def _quoted(self, draft: _Draft, quote: str) -> None:
        draft.plain, draft.quoted = False, True
        if quote == "'":
            end = self._text.find("'", self._at + 1)
            if end < 0:
                raise UnfinishedError(quote)
            draft.add(self._text[self._at + 1 : end], list(self._script.places[self._at + 1 : end]))
            self._at = end + 1
            return
        end = self._end_of_double(self._at + 1)
        self._at += 1
        while self._at < end - 1:
            self._inside_double(draft)
        self._at = end

    def _inside_double(self, draft: _Draft) -> None:
        letter = self._text[self._at]
        if letter == "\\" and self._text[self._at + 1] in '$`"\\\n':
            if self._text[self._at + 1] != "\n":
                draft.add(self._text[self._at + 1], [None])
            self._at += 2
        elif letter in "$`":
            expansion = expand_at(self._text, self._at, self._variables)
            self._fill_in(draft, expansion.value)
            self._at = expansion.end
        else:
            draft.add(letter, [self._script.places[self._at]])
            self._at += 1

    def _end_of_double(self, at: int) -> int:
        """Behind the quote that closes; those inside ``$(…)`` do not."""
        while at < len(self._text):
            letter = self._text[at]
            if letter == "\\":
                at += 2
            elif letter == '"':
                return at + 1
            elif letter == "`" or self._text.startswith(("$(", "${"), at):
                at = expand_at(self._text, at, {}).end
            else:
                at += 1
        raise UnfinishedError('"')

    def _fill_in(self, draft: _Draft, value: str | None) -> None:
        draft.plain = False
        if value is None:
            draft.value = None
        else:
            draft.add(value, [None] * len(value))

    def _variable(self, draft: _Draft, words: list[Word]) -> _Draft:
        if self._text.startswith("$'", self._at):
            self._at = closing(self._text, self._at + 2, "'")
            draft.value, draft.plain = None, False
            return draft
        if self._text.startswith('$"', self._at):
            self._at += 1
            return draft
        start = self._at
        expansion = expand_at(self._text, self._at, self._variables)
        self._at = expansion.end
        if expansion.value is None or not re.search(r"[\s*?]", expansion.value):
            self._fill_in(draft, expansion.value)
            return draft
        return self._split(draft, expansion.value, start, words)

    def _split(self, draft: _Draft, value: str, start: int, words: list[Word]) -> _Draft:
        """Field splitting: white space in a variable outside quotes ends words."""
        pieces = re.split(r"\s+", value)
        for piece in pieces[:-1]:
            self._fill_in(draft, piece)
            if draft.value is None or draft.value:
                words.append(draft.finished(self._at))
            draft = _Draft(start, plain=False)
        self._fill_in(draft, None if re.search(r"[*?]", pieces[-1]) else pieces[-1])
        return draft
