# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Finds what documents name and the code has no more, and what the code has and no document."""
import os
import re
import subprocess

DOCUMENT = re.compile(
    r"\.md$|(^|/)README$|\.[1578]\.in$|\.conf\.in$|sshd_config[\w-]*\.in$|log-tags\.txt$")
TEST = re.compile(r"^t/(?!docs\.t$)[\w-]+\.t$|^t/lib/.*\.py$")  # docs.t names what is not
PROGRAMS = re.compile(
    r"^(librelay|libtunnel|mod_relay|mod_relay_api|authkeys-cmd|rlyd?|relayrewrite|redis-conf|"
    r"script|sshd-wrap)/")


def listed(top):
    """The paths of the tree's files: what git knows or could, else all."""
    if os.path.exists(f"{top}/.git"):
        argv = ["git", "-C", top, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        said = subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout.decode()
        return [path for path in said.split("\0") if path]
    return [
        os.path.relpath(f"{where}/{name}", top) for where, _, names in os.walk(top)
        for name in names if not os.path.relpath(where, top).startswith("build")
    ]


class Tree:
    """The files of the tree, each read once."""
    def __init__(self, top):
        self.top, self.texts = top, {}
        self.files = sorted(path for path in listed(top) if os.path.isfile(f"{top}/{path}"))

    def text(self, path):
        if path not in self.texts:
            with open(f"{self.top}/{path}", encoding="utf-8", errors="replace") as f:
                self.texts[path] = f.read()
        return self.texts[path]

    def some(self, pattern):
        return [path for path in self.files if pattern.search(path)]

    def named(self, files, pattern):
        """(file:line, the word) wherever the pattern's first group is found."""
        for path in files:
            for number, line in enumerate(self.text(path).split("\n"), 1):
                for match in re.finditer(pattern, line):
                    yield f"{path}:{number}", match[1]


def tag_faults(tree, source):
    for tag in sorted(source.messages.keys() - source.tags.keys()):
        yield f"{tag}: is logged, and librelay/log-tags.txt does not say what it means"
    for tag in sorted(source.tags.keys() - source.messages.keys()):
        yield f"{tag}: librelay/log-tags.txt has it, and nothing logs it"
    for tag, message in sorted(source.messages.items()):
        level = source.tags.get(tag, (None, ))[0]
        if level and message.levels:
            yield f"{tag}: librelay/log-tags.txt has a level, and C says it, too"
        elif not level and not message.levels:
            yield f"{tag}: C does not say its level beside it: write it in librelay/log-tags.txt"
    known = source.messages.keys()
    for where, tag in tree.named(
            tree.some(DOCUMENT) + tree.some(TEST), r"\b(RLY[1-9]\d\d|RLY0\d\d)\b"):
        if tag not in known:
            yield f"{where}: nothing logs {tag}"


def directive_faults(tree, source):
    code = "".join(tree.text(path) for path in tree.some(re.compile(r"^mod_relay/.*\.c$")))
    known = {directive.plain[0]
             for directive in source.directives + source.api_directives} | set(
                 re.findall(r"(Relay[A-Z]\w+): %", code))  # mod_status's
    for where, name in tree.named(tree.some(DOCUMENT), r"(?<![\w-])(Relay[A-Z][A-Za-z]+)"):
        if name not in known:
            yield f"{where}: there is no directive {name}"
    for directive in source.directives + source.api_directives:
        if not directive.get("BRIEF"):
            yield f"{directive.plain[0]}: directives.def has no text for it"


def key_faults(tree, source):
    known = {(key.plain[0], key.plain[1]) for key in source.keys}
    for path in tree.some(DOCUMENT):
        for section, key in re.findall(r"\[(relay|redis|rlyd)\] ([a-z][a-z-]+)", tree.text(path)):
            if (section, key) not in known:
                yield f"{path}: relay.conf has no key [{section}] {key}"
    for key in source.keys:
        if not key.get("BRIEF") or not (key.get("DEFAULT") or key.get("WITHOUT")):
            name = f"[{key.plain[0]}] {key.plain[1]}"
            yield f"{name}: librelay/relay_config.def has no text or no default for it"


def option_faults(tree, source):
    """Of command lines `rly COMMAND …` in documents, and of what a command says of itself."""
    letters = {option.plain[0].strip("'"): option.plain[1] for option in source.options["rly"]}
    commands = {command["name"]: command for command in source.commands}
    for where, line in tree.named(tree.some(DOCUMENT), r"(?:^|[\s`])(rly [a-z][^`'#|]*)"):
        words = line.split()
        command = commands.get(words[1])
        if not command or not re.search(r" -", line):
            continue
        for word in words[2:]:
            match = re.match(r"\[?--?([a-z-]+)$|\[?-([a-zA-Z])$", word.strip(".,;:)]"))
            if not word.startswith(("-", "[-")) or not match:
                continue
            name = match[1] or match[2]
            letter = next((one for one, long in letters.items() if name in (one, long)), None)
            if letter is None or letter not in command["takes"] + "ch":
                yield f"{where}: rly {words[1]} has no option {word}"
    for command in source.commands:
        said = re.findall(r"(?<![\w-])--?([\w-]+)", command["usage"])
        taken = {one for word in said for one, long in letters.items() if word in (one, long)}
        if taken != set(command["takes"]) or len(said) != len(taken):
            takes, usage = command["takes"], command["usage"]
            yield f"rly {command['name']}: takes -{takes}, and its usage has {usage}"
    for program, options in source.options.items():
        for option in options:
            if not option.get("BRIEF"):
                yield f"{program} --{option.plain[1]}: {program}/options.def has no text for it"


def place_faults(tree):
    """Files, tests and their functions, pages of the manual, and variables that documents name."""
    folders = "|".join(
        sorted(
            {path.split("/")[0]
             for path in tree.files if "/" in path and not path.startswith(".")},
            key=len,
            reverse=True))
    have = set(tree.files) | {path.removesuffix(".in")
                              for path in tree.files
                              } | {os.path.dirname(path)
                                   for path in tree.files}
    have |= {f"{directory.split('/')[0]}" for directory in have}
    books = [
        path for path in tree.some(DOCUMENT)
        if re.search(r"\.md$|README$", path) and path not in ("ChangeLog", "t/RUNS.md")
    ]
    for where, path in tree.named(books, rf"(?<![\w/.-])((?:{folders})/[\w./-]*\w)"):
        if "NAME" not in path and path not in have and not any(
                one.startswith(f"{path}.") or one.startswith(f"{path}/") for one in have):
            yield f"{where}: there is no {path}"
    if "SECURITY.md" in tree.files:
        for name, functions in re.findall(r"\b([a-z][a-z-]+)\s+\[([a-z]\w*(?:,\s+\w+)*)[:\]]",
                                          tree.text("SECURITY.md")):
            if f"t/{name}.t" not in have:
                yield f"SECURITY.md: there is no test {name}"
                continue
            for function in re.split(r",\s+", functions):
                if not re.search(rf"\bdef {function}\b", tree.text(f"t/{name}.t")):
                    yield f"SECURITY.md: t/{name}.t has no {function}"
    pages = {
        f"{os.path.basename(path)[:-5]}({path[-4]})"
        for path in tree.some(re.compile(r"\.[1578]\.in$"))
    }
    ours = r"((?:rlyd?|relay[\w.-]*|mod_relay\w*)(?:\(\d\)| \d(?=\D|$)))"
    for where, page in [
            *tree.named(books, ours.replace(r"| \d(?=\D|$)", "")),
            *tree.named(tree.some(re.compile(r"\.[1578]\.in$")), rf"^\.Xr {ours}")
    ]:
        page = re.sub(r" (\d)$", r"(\1)", page)
        if page not in pages:
            yield f"{where}: there is no page {page}"
    code = "".join(
        tree.text(path) for path in tree.files
        if PROGRAMS.search(path) and not DOCUMENT.search(path))
    for where, name in tree.named(books + tree.some(re.compile(r"\.[1578]\.in$")),
                                  r"\b(RELAY_[A-Z_]+)\b"):
        if name not in code and not any(name in tree.text(path) for path in tree.some(TEST)):
            yield f"{where}: nothing has a variable {name}"


def faults(top, source):
    tree = Tree(top)
    found = []
    for one in (tag_faults(tree, source), directive_faults(tree, source), key_faults(tree, source),
                option_faults(tree, source), place_faults(tree)):
        found += one
    return found
