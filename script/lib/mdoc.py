# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Writes mdoc: texts of the tables as lines of a manual page."""
import re

OPENING, CLOSING = "([", ".,:;)]?!"
SECTION = re.compile(r"^([a-z][\w.-]*)\((\d)\)$")


def escape(word):
    """A word as an argument of a macro, or at the start of a line."""
    word = word.replace("\\", r"\e").replace('"', r"\(dq")
    return rf"\&{word}" if word[:1] in (".", "'") or word in OPENING + CLOSING else word


def macro(name, words, opening="", closing=""):
    """`.Name words`; brackets and points around it are words of their own, as mdoc wants them."""
    return " ".join([f".{name}", *opening, words, *closing])


def literal(text):
    """What stands between a backquote and a quote, as one argument of `Ql`."""
    text = text.replace("\\", r"\e").replace('"', r"\(dq")
    return f'"{text}"' if re.search(r"\s",
                                    text) else escape(text) + (r"\&" if text[-1] in CLOSING else "")


def pieces(text):
    """Splits a text at what is literal, which are the odd ones of the list."""
    return re.split(r"([(\[]?`[^`']+'[.,:;)\]?!]*)(?=\s|$)", text)


def fill(words, width=78):
    """Lines of plain words, each sentence on a line of its own as mdoc has it."""
    lines, line = [], ""
    for word in words:
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = ""
        line = f"{line} {word}" if line else word
        if re.search(r"(?<!\.\.)[.?!]\)?$", word) and not re.search(r"^(e\.g|i\.e)\.$", word):
            lines.append(line)
            line = ""
    return [escape(line) for line in lines + [line] if line]


def lines(text):
    """A text as lines of mdoc: `words' become Ql, name(8) becomes Xr."""
    out = []
    for paragraph in text.strip("\n").split("\n\n"):
        if out:
            out.append(".Pp")
        for number, piece in enumerate(pieces(" ".join(paragraph.split()))):
            if number % 2:
                opening, inner, closing = re.match(r"([(\[]?)`([^`']+)'(.*)$", piece).groups()
                out.append(macro("Ql", literal(inner), opening, closing))
                continue
            words = []
            for word in piece.split():
                match = re.match(r"^([(\[]?)([a-z][\w.-]*)\((\d)\)([.,:;)\]?!]*)$", word)
                if match:
                    out += fill(words)
                    words = []
                    out.append(macro("Xr", f"{match[2]} {match[3]}", match[1], match[4]))
                else:
                    words.append(word)
            out += fill(words)
    return out


def quoted(text):
    """A text between quotes that run over its lines."""
    return [".Do", *(line for line in fill(text.split())), ".Dc"]


def usage(words):
    """The arguments of a command, as its usage has them, as lines: `[-n NAME]... SERVICE...`."""
    out = []
    for word in re.findall(r"\[[^\]]*\](?:\.\.\.)?|\S+(?: [A-Z]+(?=\s))?", words):
        optional = re.match(r"\[(.*)\](\.\.\.)?$", word)
        inner, more = (optional[1], optional[2]) if optional else (word, None)
        out.append(("." + ("Op " if optional else "") + argument(inner)) + (" ..." if more else ""))
    return out


def argument(words):
    """`-n NAME`, `--json`, `SERVICE...` as arguments of a line of macros."""
    out = []
    for word in words.split():
        if word.startswith("--"):
            out.append(f"Fl Fl {word[2:]}")
        elif word.startswith("-"):
            out.append(f"Fl {word[1:]}")
        else:
            out.append(f"Ar {word.removesuffix('...')}" + (" ..." if word.endswith("...") else ""))
    return " ".join(out)
