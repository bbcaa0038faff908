#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Documents say what the code has. script/docs finds nothing on the tree, and finds each kind of
drift in a copy of it. The programs' help says what their pages say, and the pages are clean mdoc.
"""
import os
import re
import subprocess
import tempfile

from lib import TOP, fixture, tap, test

BUILD = os.environ.get("RELAY_BUILD", f"{TOP}/build")
PAGES = {
    name: f"{BUILD}/{folder}/{name}"
    for folder, name in (("librelay", "relay.conf.5"), ("librelay", "relay-log.7"),
                         ("mod_relay", "mod_relay.5"), ("authkeys-cmd", "relay-authkeys.8"),
                         ("redis-conf", "relay-redis-setup.8"), ("relayrewrite", "relayrewrite.8"),
                         ("rly", "rly.1"), ("rlyd", "rlyd.8"))
}


def run(*argv, **kwargs):
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, **kwargs)


class Copy:
    """A copy of the tree, for changes that are taken back."""
    def __init__(self, path):
        self.path = path
        listed = run("git", "-C", TOP, "ls-files", "-z", "--cached", "--others",
                     "--exclude-standard").stdout.split("\0")
        if not any(listed):  # a release
            listed = [
                os.path.relpath(f"{where}/{name}", TOP) for where, _, names in os.walk(TOP)
                for name in names if not os.path.relpath(where, TOP).startswith("build")
            ]
        for name in listed:
            if name and os.path.isfile(f"{TOP}/{name}"):
                os.makedirs(os.path.dirname(f"{path}/{name}"), exist_ok=True)
                with open(f"{TOP}/{name}", "rb") as f:
                    content = f.read()
                with open(f"{path}/{name}", "wb") as f:
                    f.write(content)

    def docs(self, *options):
        return run("/usr/bin/python3", f"{self.path}/script/docs", *options)

    def changed(self, file, old, new):
        """Runs script/docs --check with this change: (exit status, what it said)."""
        with open(f"{self.path}/{file}", encoding="utf-8") as f:
            before = f.read()
        after = re.sub(old, new, before, count=1)
        if after == before:
            return None, f"{file} has no {old}"
        with open(f"{self.path}/{file}", "w", encoding="utf-8") as f:
            f.write(after)
        result = self.docs("--check")
        with open(f"{self.path}/{file}", "w", encoding="utf-8") as f:
            f.write(before)
        return result.returncode, result.stdout + result.stderr


KEYS, OPTIONS = "librelay/relay_config.def", "rly/options.def"
DIRECTIVES, TAGS = "mod_relay/directives.def", "librelay/log-tags.txt"
NEW_KEY = 'KEY(relay, "colour", int colour, colour, set_port, DEFAULT("7"), BRIEF("A colour."))\n\n'
NEW_DIRECTIVE = 'DIRECTIVE(RelayColour, "SPAN", span, colour, DEFAULT("7s"), LIMITS(1, ANY),\n' \
    '    BRIEF("A colour."))\n\n'
NEW_OPTION = "OPTION('x', \"colour\", NULL, flag, colour, BRIEF(\"a colour\"))\n\n"
NEW_LINE = '    relay_log(RELAY_LOG_ERR, "RLY099 a colour");\n'
# (what, file, what is replaced, what replaces it, what has to be said)
DRIFT = [
    ("a key without a place in README", KEYS, r"(?=KEY\(relay, \"ttl\")", NEW_KEY,
     "README: is not as script/docs writes it"),
    ("a key without a place in relay.conf(5)", KEYS, r"(?=KEY\(relay, \"ttl\")", NEW_KEY,
     "relay.conf.5.in: is not as"),
    ("a key without a place in relay.conf.in", KEYS, r"(?=KEY\(relay, \"ttl\")", NEW_KEY,
     "relay.conf.in: is not as"),
    ("a key without a text", KEYS, r"BRIEF\(\"How long an address[^)]*\)", 'BRIEF("")',
     r"\[relay\] cooldown: .* has no text"),
    ("a key that is gone, and stands in README's table", KEYS,
     r"KEY\(relay, \"https-port\"[^;]*?\)\)\n", "", "README: is not as"),
    ("a key that is gone, and stands in a sentence", KEYS, r"KEY\(rlyd, \"users\"",
     'KEY(rlyd, "persons"', r"log-tags.txt: relay.conf has no key \[rlyd\] users"),
    ("a key's default", KEYS, r'DEFAULT\("15m"\)', 'DEFAULT("16m")', "README: is not as"),
    ("a directive without a place", DIRECTIVES, r"(?=DIRECTIVE\(RelaySSH,)", NEW_DIRECTIVE,
     "mod_relay.5.in: is not as"),
    ("a directive that is gone", DIRECTIVES, r"RelayTunnelThreads", "RelayThreads",
     "README:.*: there is no directive RelayTunnelThreads"),
    ("a directive that is gone, in the virtual host", DIRECTIVES, r"RelayHideCookies", "RelayHide",
     "relay-vhost.conf.in:.*: there is no directive RelayHideCookies"),
    ("an option without a place", OPTIONS, r"(?=OPTION\('T')", NEW_OPTION, "rly.1.in: is not as"),
    ("an option that is gone", OPTIONS, r"OPTION\('T', \"tls\"", "OPTION('T', \"inside-tls\"",
     "README:.*: rly open has no option --tls"),
    ("an option that a command takes, and its usage hides", "rly/cmd_list.c", r'\.takes = "j"',
     '.takes = "jt"', "rly list: takes -jt, and its usage has"),
    ("an option of a usage that the command does not take", "rly/cmd_open.c", r"\[--tls\] ", "",
     "rly open: takes"),
    ("a command's usage", "rly/cmd_show.c", r'"\[--json\] TUNNEL"', '"[--json] TUNNELS"',
     "rly.1.in: is not as"),
    ("an option of rlyd", "rlyd/options.def", r'"foreground"', '"front"', "rlyd.8.in: is not as"),
    ("a line of the log that nothing explains", "rly/rly.c", r"(?=    relay_log\()", NEW_LINE,
     "RLY099: is logged, and librelay/log-tags.txt does not say what it means"),
    ("an explanation of a line that is gone", TAGS, r"(?=RLY101)", "RLY100 A colour.\n",
     "RLY100: librelay/log-tags.txt has it, and nothing logs it"),
    ("a tag in README that is gone", "README", r"RLY147", "RLY177",
     "README:.*: nothing logs RLY177"),
    ("a line's words", "rly/rly.c", r"RLY360 %s can be changed", "RLY360 %s can be altered",
     "relay-log.7.in: is not as"),
    ("a line's level", "rly/rly.c", r"RELAY_LOG_WARNING", "RELAY_LOG_ERR",
     "relay-log.7.in: is not as"),
    ("a table of README that somebody has edited", "README", r"\[15m\]", "[16m]",
     "README: is not as"),
    ("a page that somebody has edited", "librelay/relay.conf.5.in", r"Required\.", "Optional.",
     "relay.conf.5.in: is not as"),
    ("a relay.conf that somebody has edited", "librelay/relay.conf.in", r";cooldown = 15m",
     ";cooldown = 16m", "relay.conf.in: is not as"),
    ("a file that is gone", "ARCHITECTURE.md", r"`librelay/`", "`librelay/relay_colour.c`",
     "ARCHITECTURE.md:.*: there is no librelay/relay_colour.c"),
    ("a test's function that is gone", "t/cache.t", r"def flood", "def high_water",
     "SECURITY.md: t/cache.t has no flood"),
    ("a page that is gone", "rly/rly.1.in", r"\.Xr relay-log 7", ".Xr relay-colour 7",
     r"rly.1.in:.*: there is no page relay-colour\(7\)"),
    ("a variable that is gone", "README", r"RELAY_DEVICE", "RELAY_COLOUR",
     "README:.*: nothing has a variable RELAY_COLOUR"),
]


@fixture
def directory():
    with tempfile.TemporaryDirectory() as path:
        yield path


@fixture
def copy(directory):
    return Copy(f"{directory}/tree")


@test
def tree():
    result = run("/usr/bin/python3", f"{TOP}/script/docs", "--check")
    tap.is_((result.returncode, result.stdout + result.stderr), (0, ""),
            "the tree's documents say what its code has")


@test
def drift(copy):
    tap.is_(copy.docs("--check").stderr, "", "so do the copy's")
    for what, file, old, new, wanted in DRIFT:
        status, said = copy.changed(file, old, new)
        tap.ok(status == 1 and re.search(wanted, said), f"found: {what}",
               f"exit status {status}, lacks {wanted}\n{said}")


@test
def writes(copy):
    """It writes what --check misses, and no more."""
    page = f"{copy.path}/librelay/relay.conf.5.in"
    with open(page, encoding="utf-8") as f:
        before = f.read()
    with open(page, "w", encoding="utf-8") as f:
        f.write(before.replace("Required.", "Optional."))
    tap.is_(copy.docs().returncode, 0, "script/docs writes")
    with open(page, encoding="utf-8") as f:
        tap.is_(f.read(), before, "what was edited is as it was")
    tap.is_(copy.docs("--cheque").returncode, 1, "an option that it does not know")


def options_of_page(name):
    with open(PAGES[name], encoding="utf-8") as f:
        found = re.findall(r"(?m)^\.It (Fl .*)$", f.read())
    return {
        option
        for line in found
        for option in (f"--{long}" if long else f"-{short}"
                       for long, short in re.findall(r"Fl Fl ([\w-]+)|Fl (\w)\b", line))
    }


def options_of_text(text):
    return set(re.findall(r"(?<![\w-])(--[a-z][\w-]+|-[a-zA-Z])\b", text))


@test
def programs():
    """A program's help and its page have the same options."""
    commands = re.findall(r"(?m)^  rly (\w+)", run(f"{BUILD}/rly/rly", "help").stdout)
    tap.is_(len(commands), 11, "rly has eleven commands")
    lists = "".join(
        re.search(r"(?ms)^  -.*?(?=^$|\Z)",
                  run(f"{BUILD}/rly/rly", "help", command).stdout)[0] for command in commands)
    lists = "".join(line[:23] for line in lists.splitlines(True))
    tap.is_(options_of_text(lists), options_of_page("rly.1"), "rly's options are those of rly(1)")
    rlyd = run(f"{BUILD}/rlyd/rlyd", "--help").stdout
    tap.is_(
        options_of_text("".join(line[:22]
                                for line in rlyd.splitlines(True) if line.startswith("  -"))),
        options_of_page("rlyd.8"), "rlyd's options are those of rlyd(8)")
    for name, program in (("relayrewrite.8", "relayrewrite/relayrewrite"), ("relay-authkeys.8",
                                                                            "relay-authkeys")):
        result = run(f"{BUILD}/{program}", "-h")
        usage = result.stdout + result.stderr
        usage = "".join(re.findall(r"(?m)^(?:usage:| {7}).*", usage))
        tap.is_(options_of_text(usage), options_of_page(name),
                f"{program}'s options are its page's")


@test
def httpd():
    """httpd knows each directive of mod_relay(5)."""
    modules = run("apxs", "-q", "LIBEXECDIR").stdout.strip()
    loads = [
        f"{name}_module {modules}/mod_{name}.so" for name in ("mpm_event", "proxy", "proxy_http")
    ]
    loads += [f"relay_module {BUILD}/.libs/mod_relay.so"]
    argv = [
        "apache2", "-f", "/dev/null", *(w for load in loads for w in ("-C", f"LoadModule {load}"))
    ]
    with open(PAGES["mod_relay.5"], encoding="utf-8") as f:
        directives = re.findall(r"(?m)^\.It Ic (\w+)", f.read())
    tap.ok(len(directives) > 10, "they are many", directives)
    for directive in directives:
        said = run(*argv, "-C", directive, "-t").stderr
        tap.ok(re.search(f"{directive} (takes|must|requires)", said), f"{directive} is a directive",
               said)
    said = run(*argv, "-C", "RelayColour", "-t").stderr
    tap.like(said, "Invalid command", "RelayColour is none")


@test
def keys(directory):
    """Each key of relay.conf(5) is one, in its section."""
    with open(PAGES["relay.conf.5"], encoding="utf-8") as f:
        text = f.read()
    count = 0
    for section, keys in re.findall(r"(?ms)^\.Ss \[(\w+)\]\\&\n(.*?)^\.El", text):
        for key in re.findall(r"(?m)^\.It Cm (\S+)", keys):
            path = f"{directory}/relay.conf"
            with open(path, "w") as f:
                f.write(f"[{section}]\n{key} = \x01\n")
            said = run(f"{BUILD}/rly/rly", "-c", path, "list").stderr
            count += 1
            tap.ok(
                "there is no such" not in said and (f"[{section}] {key}" in said or key == "users"),
                f"[{section}] {key} is a key", said)
    tap.ok(count > 20, "they are many", count)


@test
def mdoc():
    for name, path in PAGES.items():
        said = run("mandoc", "-T", "lint", path).stdout
        said = "\n".join(line for line in said.splitlines()
                         if "referenced manual not found" not in line)
        tap.is_(said, "", f"{name} is clean mdoc")
        text = run("mandoc", "-T", "ascii", path).stdout
        tap.ok(
            len(text) > 1000 and not re.search("@[a-z_]+@", text),
            f"{name} can be read, and its paths are filled in", text)


tap.run()
