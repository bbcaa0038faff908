# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Reads the tables that C includes, and the messages that C logs, for script/docs.

A table is a file of entries `MACRO(argument, …)`. An argument is a string in C's syntax, where
identifiers such as RELAY_SYSCONFDIR may stand between the parts; or a word of C; or one of these in
brackets: `BRIEF("…")`."""
import os
import re

# What an identifier between strings stands for in a file that the makefiles fill in.
PATHS = {"RELAY_SYSCONFDIR": "@sysconfdir@", "RELAY_RUNSTATEDIR": "@runstatedir@"}
TOKEN = re.compile(
    r'''\s+|/\*.*?\*/|(?P<string>"(?:\\.|[^"\\])*")|(?P<word>'.'|[A-Za-z_]\w*)|(?P<sign>.)''', re.S)
ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\", "'": "'", "0": "\0"}


def unquote(literal):
    """The text of one string literal of C."""
    return re.sub(r"\\(x[0-9a-fA-F]{2}|.)", lambda m: chr(int(m[1][1:], 16))
                  if len(m[1]) > 1 else ESCAPES[m[1]], literal[1:-1])


def tokens(text):
    """(kind, text) of the tokens, without blanks and comments."""
    return [(match.lastgroup, match[0]) for match in TOKEN.finditer(text) if match.lastgroup]


class Entry:
    """One entry: its plain arguments in order, and the named ones, `BRIEF("…")`, by their names."""
    def __init__(self, plain, named):
        self.plain, self.named = plain, named

    def get(self, name, default=None):
        return self.named.get(name, default)


def value(argument):
    """What one argument says: the text of strings, or the words of C as they stand."""
    if any(kind == "string" for kind, _ in argument):
        return "".join(
            unquote(text) if kind == "string" else PATHS.get(text, "") for kind, text in argument)
    return " ".join(text for _, text in argument)


def arguments(stream):
    """Splits the tokens up to the closing bracket at commas; takes them off the stream."""
    found, depth = [[]], 1
    while stream:
        kind, text = stream.pop(0)
        depth += (text in "([{") - (text in ")]}") if kind == "sign" else 0
        if depth == 0:
            break
        if depth == 1 and text == "," and kind == "sign":
            found.append([])
        else:
            found[-1].append((kind, text))
    return [argument for argument in found if argument]


def entry(given):
    """An Entry of the arguments."""
    plain, named = [], {}
    for argument in given:
        words = [text for _, text in argument]
        if len(words) > 2 and words[0].isupper() and words[1] == "(" and words[-1] == ")":
            named[words[0]] = value(argument[2:-1])
        elif len(words) > 3 and words[0] == "." and words[2] == "=":  # .name = value
            named[words[1]] = value(argument[3:])
        else:
            plain.append(value(argument))
    return Entry(plain, named)


def table(path, macro):
    """The entries of a table."""
    with open(path, encoding="utf-8") as f:
        stream = tokens(re.sub(r"(?m)^#.*$", "", f.read()))
    found = []
    while stream:
        kind, text = stream.pop(0)
        if kind == "word" and text == macro and stream and stream.pop(0)[1] == "(":
            found.append(entry(arguments(stream)))
    return found


def struct(path, start):
    """The members of the initialised struct whose definition begins with these words."""
    with open(path, encoding="utf-8") as f:
        text = f.read()
    stream = tokens(text[text.index(start) + len(start):])
    while stream.pop(0)[1] != "{":
        pass
    return entry(arguments(stream))


class Message:
    """What is logged under a tag: its longest text, the levels, and the folders of the sources."""
    def __init__(self):
        self.text, self.levels, self.places = "", set(), set()


def messages(top):
    """{tag: Message} of all C below the folders of the programs."""
    found = {}
    for path in sources(top):
        with open(f"{top}/{path}", encoding="utf-8") as f:
            text = re.sub(r"/\*.*?\*/", lambda m: " " * len(m[0]), f.read(), flags=re.S)
        for match in re.finditer(
                r'"(RLY\d{3})\b(?:\\.|[^"\\])*"(?:\s*(?:"(?:\\.|[^"\\])*"|[A-Z]\w*))*', text):
            message = found.setdefault(match[1], Message())
            said = value(tokens(match[0]))
            message.text = max(message.text, said[6:].lstrip(": "), key=len)
            statement = re.split(r"[;{}]", text[:match.start()])[-1]
            message.levels |= {
                level.lower()
                for level in re.findall(r"\b(?:RELAY_LOG|APLOG)_([A-Z]+)\b", statement)
                if level not in ("MARK", "STARTUP")
            }
            message.places.add(path.split("/")[0])
    return found


FOLDERS = ("librelay", "libtunnel", "mod_relay", "mod_relay_api", "authkeys-cmd", "rly", "rlyd",
           "relayrewrite", "sshd-wrap")


def sources(top):
    """The C of the programs, from the top."""
    return sorted(
        os.path.relpath(f"{where}/{name}", top) for folder in FOLDERS
        for where, _, names in os.walk(f"{top}/{folder}") for name in names
        if name.endswith((".c", ".h")))
