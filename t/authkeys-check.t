#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""relay-authkeys --check tells a person why a key is let in, or is not."""
import os
import re
import shutil
import time

from lib import fixture, run, tap, test
from lib.authkeyslib import ask, BLOB, conf_for, conf_with, FP, grant, PROGRAM, PUB, rig, TYPE, USER


def check(*args, **kwargs):
    return ask("--check", *args, as_root=kwargs.pop("as_root", True), **kwargs)


def says(answer, status, regex, name):
    tap.ok(answer.status == status, f"--check, {name}: exit status {status}", answer)
    tap.like(answer.out + answer.err, regex, f"--check, {name}: says so")


@test
def one_key():
    grant()
    line = 'restrict,port-forwarding,permitlisten="127.77.0.5:10000" '
    says(check(PUB), 0, f"(?s)Granted: tunnel abcdefgh23456789.*{line}{TYPE} ".replace("+", r"\+"),
         "a public key")
    tap.ok(line + f"{TYPE} {BLOB}\n" in check(PUB).out, "--check prints the line that sshd gets")
    says(check(FP), 0, "Granted: tunnel abcdefgh23456789, login name relay, until 2",
         "a fingerprint")
    answer = check(FP, as_root=False)
    says(answer, 0, "Granted.*", "not as root")
    tap.like(answer.out, "Run as root", "and says what is missing then")
    says(ask("--check", "-l", FP, as_root=True), 0, "Granted", "options after it")
    says(check(FP, conf=conf_for("away.conf", f"unix://{rig.dir}/run/none.sock")), 3,
         "Not granted now: .*none.sock", "Redis away")
    says(check(FP, conf="/nonexistent"), 1, "/nonexistent", "no relay.conf")
    grant(relay="relay2")
    says(check(FP), 1, "its relay is relay2, this one is relay1", "another relay's")
    grant(listen="127.78.0.5:10000")
    says(check(FP), 1, "127.78.0.5:10000 is outside this relay's listen space 127.77.0.0/24",
         "outside the listen space")
    grant(v="2")
    says(check(FP), 1, "Not granted: .*(newer|version)", "a newer record")
    rig.redis("DEL", f"relay:key:{FP}")
    says(check(FP), 1, "No tunnel is known for this key", "never opened")
    closed = rig.open("8080", key=PUB)
    says(check(FP), 0, f"Granted: tunnel {closed['id']}", "opened by rly")
    rig.rly("close", closed["id"])
    says(check(FP), 1, f"Its tunnel {closed['id']} was closed at 2", "closed")
    rig.redis("DEL", f"relay:tunnel:{closed['id']}")
    expired = rig.open("8080", key=PUB, ttl="1s")
    time.sleep(1.1)
    says(check(FP), 1, f"Its tunnel {expired['id']} expired at 2", "expired")
    rig.redis("EVAL",
              "for i = 1, 5000 do redis.call('HSET', 'relay:tunnel:other' .. i, 'key', 'x') end",
              "0")
    says(check(FP), 1, f"Its tunnel {expired['id']} expired", "expired, among many others")
    again = rig.open("8080", key=PUB)
    rig.redis("DEL", f"relay:key:{FP}")
    says(check(FP), 1, f"Its tunnel {again['id']} is open, but its grant is missing",
         "the grant is lost")
    rig.rly("close", again["id"])
    for args, name in ((("x", ), "not a file"), ((f"{rig.dir}", ), "a directory"),
                       ((PUB[:-4], ), "a private key"), (("SHA256:short", ), "half a fingerprint"),
                       ((), "nothing"), ((FP, FP), "two")):
        answer = check(*args)
        tap.ok(answer.status == 2 and answer.err and not answer.out,
               f"--check with {name}: exit status 2", answer)
    tap.unlike(check(PUB[:-4]).err, "OPENSSH|BEGIN", "nothing of a private key is shown")


@test
def host():
    """As root, --check sees what keeps sshd from running the program."""
    grant()
    place = f"{rig.dir}/bad/place"
    os.makedirs(place)
    for name in ("relay-authkeys", "relay-authkeys-check"):
        shutil.copy(f"{os.path.dirname(PROGRAM)}/{name}", place)
    program = f"{place}/relay-authkeys"

    def look(status, regex, name):
        says(check(FP, program=(program, )), status, regex, name)

    look(0, "Granted", "a copy elsewhere")
    os.chown(f"{rig.dir}/bad", 0, USER.pw_gid)
    os.chmod(f"{rig.dir}/bad", 0o775)
    look(
        1,
        rf"(?s){rig.dir}/bad can be written by others.*chmod go-w {rig.dir}/bad.*But sshd will not",
        "a parent directory others can write")
    os.chmod(f"{rig.dir}/bad", 0o755)
    os.chmod(program, 0o757)
    look(1, "place/relay-authkeys can be written", "the program is writable")
    os.chmod(program, 0o755)
    os.chown(place, USER.pw_uid, -1)
    look(1, f"{place} belongs to user {USER.pw_uid}.*chown root {place}",
         "a parent directory is not root's")
    os.chown(place, 0, 0)
    os.chmod(program, 0o700)
    look(1, f"chmod o.rx {program}", "only root may run it")
    os.chmod(program, 0o755)
    with open(rig.conf) as f:
        secret = conf_with("rootonly.conf", f.read(), 0o600)
    says(check(FP, conf=secret), 1, "user relay-authkeys cannot use relay.conf: .*rootonly.conf",
         "relay.conf only root can read")
    os.chmod(rig.redis_sock, 0o700)
    says(check(FP), 3, "Not granted now: .*(ermission|reach|connect)",
         "a Redis socket only root can use")
    os.chmod(rig.redis_sock, 0o777)
    with open(rig.conf) as f:
        nobody = conf_with("nouser.conf", f.read().replace("user = relay", "user = relay-none"))
    says(check(FP, conf=nobody), 1, "no user relay-none.*useradd", "the tunnel user does not exist")


def sshd_conf(hostkey, command, name="agree_sshd_config", user="relay-authkeys", extra=""):
    path = f"{rig.dir}/etc/{name}"
    with open(path, "w") as f:
        f.write(f"HostKey {hostkey}\nAuthorizedKeysFile none\nUsePAM no\nLogLevel "
                f"VERBOSE\nMaxSessions 0\n{extra}" +
                (f"AuthorizedKeysCommand {command}\n" if command else "") +
                (f"AuthorizedKeysCommandUser {user}\n" if user else ""))
    return path


def relay_conf(name, sshd_config, **changes):
    with open(rig.conf) as f:
        text = re.sub("(?m)^sshd-config = .*$", f"sshd-config = {sshd_config}", f.read())
    return conf_with(name, text)


def sshd_accepts(sshd_config):
    """Asks a real sshd with that configuration: (whether it takes the key, its log)."""
    os.makedirs("/run/sshd", 0o755, exist_ok=True)
    sshd_log = f"{rig.dir}/agree.log"
    open(sshd_log, "w").close()
    run([
        "ssh", "-T", "-F", "none", "-i", PUB[:-4], "-o", "IdentitiesOnly=yes", "-o",
        "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
        "-o", f"ProxyCommand=/usr/sbin/sshd -i -f {sshd_config} -E {sshd_log}", "relay@x", "true"
    ],
        timeout=30,
        check=False)
    with open(sshd_log) as f:
        text = f.read()
    return "Accepted publickey for relay" in text, text


@fixture
def hostkey():
    path = f"{rig.dir}/hostkey"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path])
    return path


@test
def agrees_with_sshd(hostkey):
    """--check and a real sshd agree about owners and modes, in every row."""
    grant()
    base = f"{rig.dir}/agree"
    top, place = f"{base}/top", f"{base}/top/place"
    program, conf = f"{place}/relay-authkeys", f"{rig.dir}/etc/agree.conf"
    uid, gid = USER.pw_uid, USER.pw_gid
    relay_conf("agree.conf", f"{rig.dir}/etc/agree_sshd_config")

    def reset():
        shutil.rmtree(base, ignore_errors=True)
        os.makedirs(place)
        shutil.copy(PROGRAM, program)

    def link(target, where, *owner):
        os.symlink(target, where)
        if owner:
            os.lchown(where, *owner)

    def moved(target):
        """The program elsewhere, with a link to it in its place."""
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.rename(program, target)
        link(target, program)

    rows = [
        ("all as it should be", lambda: None, True, "Granted"),
        ("the program: mode 0555", lambda: os.chmod(program, 0o555), True, "Granted"),
        ("the program: mode 0711", lambda: os.chmod(program, 0o711), True, "Granted"),
        ("the program: setuid", lambda: os.chmod(program, 0o4755), True, "Granted"),
        ("the program: root's group may write", lambda: os.chmod(program, 0o775), None,
         f"{program} can be written by others.*mode 0775.*chmod go-w"),
        ("the program: another group may write", lambda:
         (os.chown(program, 0, gid), os.chmod(program, 0o775)), False,
         f"{program} can be written by others.*mode 0775.*chmod go-w"),
        ("the program: a group of nobody may write", lambda:
         (os.chown(program, 0, 54321), os.chmod(program, 0o775)), False, "can be written"),
        ("the program: group daemon may write", lambda:
         (os.chown(program, 0, 1), os.chmod(program, 0o775)), False, "can be written"),
        ("the program: world-writable", lambda: os.chmod(program, 0o757), False,
         f"{program} can be written by others"),
        ("the program: nobody's", lambda: os.chown(program, 65534, -1), False,
         f"{program} belongs to user 65534.*chown root {program}"),
        ("the program: its own user's", lambda: os.chown(program, uid, -1), False,
         f"{program} belongs to user {uid}"),
        ("the program: another group's", lambda: os.chown(program, -1, gid), True, "Granted"),
        ("the program: root's alone", lambda: os.chmod(program, 0o700), False,
         f"{program}: mode 0700 does not let user relay-authkeys run it"),
        ("the program: its user's group may run it", lambda:
         (os.chown(program, 0, gid), os.chmod(program, 0o750)), True, "Granted"),
        ("the program: its user's group may not", lambda:
         (os.chown(program, 0, gid), os.chmod(program, 0o705)), False, "mode 0705"),
        ("the program: not executable", lambda: os.chmod(program, 0o644), False,
         "mode 0644 does not let"),
        ("the program: missing", lambda: os.unlink(program), False, f"{program}: No such file"),
        ("the program: a directory", lambda:
         (os.unlink(program), os.mkdir(program)), False, "is not a regular file"),
        ("the program: a pipe", lambda:
         (os.unlink(program), os.mkfifo(program)), False, "is not a regular file"),
        ("its directory: root's group may write", lambda: os.chmod(place, 0o775), None,
         f"{place} can be written by others"),
        ("its directory: another group may write", lambda:
         (os.chown(place, 0, gid), os.chmod(place, 0o775)), False, f"{place} can be written"),
        ("its directory: sticky and world-writable", lambda: os.chmod(place, 0o1777), False,
         f"{place} can be written by others.*mode 1777"),
        ("its directory: nobody's", lambda: os.chown(place, 65534, -1), False,
         f"{place} belongs to user 65534"),
        ("its directory: root's alone", lambda: os.chmod(place, 0o700), False,
         f"{place}: mode 0700 keeps user relay-authkeys out"),
        ("its directory: for its user's group", lambda:
         (os.chown(place, 0, gid), os.chmod(place, 0o750)), True, "Granted"),
        ("its directory: setgid, and readable by root alone", lambda: os.chmod(place, 0o2711), True,
         "Granted"),
        ("the one above: root's group may write", lambda: os.chmod(top, 0o775), None,
         f"{top} can be written by others"),
        ("the one above: another group may write", lambda:
         (os.chown(top, 0, gid), os.chmod(top, 0o775)), False, f"{top} can be written"),
        ("the one above: its user's", lambda: os.chown(top, uid, -1), False,
         f"{top} belongs to user {uid}"),
        ("the one above: root's alone", lambda: os.chmod(top, 0o700), False,
         f"{top}: mode 0700 keeps"),
        ("a link to a good place", lambda: moved(f"{base}/good/x"), True, "Granted"),
        ("a link to a bad place", lambda: (moved(f"{base}/bad/x"), os.chmod(f"{base}/bad", 0o777)),
         False, f"{base}/bad can be written by others"),
        ("a link to a bad program", lambda:
         (moved(f"{base}/good/x"), os.chmod(f"{base}/good/x", 0o777)), False,
         f"{base}/good/x can be written"),
        ("a link in a bad place to a good one", lambda:
         (moved(f"{base}/good/x"), os.chmod(place, 0o777)), True, "Granted"),
        ("a link of nobody's", lambda:
         (os.rename(program, f"{base}/x"), link(f"{base}/x", program, 65534, 65534)), True,
         "Granted"),
        ("a directory that is a link", lambda:
         (os.rename(place, f"{base}/there"), link(f"{base}/there", place)), True, "Granted"),
        ("a directory that is a link to a bad one", lambda:
         (os.rename(place, f"{base}/there"), link(f"{base}/there", place),
          os.chmod(f"{base}/there", 0o777)), False, f"{base}/there can be written"),
        ("a link to nothing", lambda:
         (os.unlink(program), link("/nonexistent", program)), False, "No such file"),
        ("a link to itself", lambda:
         (os.unlink(program), link(program, program)), False, "Too many levels"),
    ]
    for name, prepare, good, words in rows:
        reset()
        prepare()
        accepted, sshd_log = sshd_accepts(sshd_conf(hostkey, f"{program} -c {conf} %u %f %t %k"))
        good = accepted if good is None else good  # Debian's sshd allows it, others do not
        tap.ok(accepted == good, f"sshd, {name}: it {'takes' if good else 'does not take'} the key",
               sshd_log)
        says(
            check(FP, conf=conf), 0 if good else 1,
            "Granted" if good else f"(?s)sshd will not run {program}: .*{words}.*But sshd will not",
            name)
    reset()
    for name, command, user, words in (
        ("no command", None, None,
         "asks nobody which keys user relay has: .*agree_sshd_config has no AuthorizedKeysCommand"),
        ("none", "none", None, "has no AuthorizedKeysCommand"),
        ("no user", f"{program} -c {conf} %u %f %t %k", None, "but no AuthorizedKeysCommandUser"),
        ("an unknown user", f"{program} -c {conf} %u %f %t %k", "nobody-at-all",
         "there is no user nobody-at-all, which sshd runs"),
        ("a relative path", f"relay-authkeys -c {conf} %u %f %t %k", "relay-authkeys",
         "relay-authkeys is not an absolute path")):
        tap.ok(not sshd_accepts(sshd_conf(hostkey, command, user=user))[0],
               f"sshd, {name}: it does not take the key")
        says(check(FP, conf=conf), 1, f"(?s){words}", name)


@test
def penalties(hostkey):
    """An sshd that locks addresses out is spoken of, and one that does not is not."""
    grant()
    known = run(["/usr/sbin/sshd", "-T", "-f", "/dev/null", "-h", hostkey], check=False)
    if "persourcepenalties" not in known.stdout:
        says(check(FP, conf=relay_conf("old.conf", sshd_conf(hostkey, PROGRAM))), 0,
             "^(?s:(?!locks out).)*$", "an sshd without penalties")
        return tap.skip("penalties", "this sshd has none; OpenSSH 9.8 and newer have")
    for name, line, told in (("as sshd is", "", True), ("off", "PerSourcePenalties no\n", False),
                             ("on, then off", "persourcepenalties=yes\nPerSourcePenalties no\n",
                              True), ("limited", "PerSourcePenalties authfail:1s\n", True)):
        conf = sshd_conf(hostkey, PROGRAM, extra=line)
        effective = run(["/usr/sbin/sshd", "-T", "-f", conf]).stdout
        tap.is_("persourcepenalties no\n" not in effective, told, f"{name}: sshd -T says the same")
        answer = check(FP, conf=relay_conf("penalties.conf", conf))
        says(answer, 0,
             f"locks out .*: where it listens, {conf} needs" if told else "^(?s:(?!locks out).)*$",
             f"penalties {name}")


@test
def finds_conf(hostkey):
    """Without -c it goes by the relay.conf that sshd's configuration names, wherever and however
    that is written."""
    grant()
    default = re.search("configuration is ([^ ,]+)",
                        run([rig.program("rly"), "help"], check=False).stdout).group(1)
    etc, over = os.path.dirname(os.path.dirname(default)), f"{rig.dir}/over"
    if not os.path.isdir(etc):
        return tap.skip("without -c", f"{etc} is not there")
    os.mkdir(over)
    good = relay_conf("good.conf", "/nonexistent")
    spaced = conf_with("with space.conf", open(good).read())
    tail = "%u %f %t %k"
    rows = [
        ("-c FILE", f"AuthorizedKeysCommand {PROGRAM} -c {good} {tail}", good),
        ("-cFILE", f"AuthorizedKeysCommand {PROGRAM} -c{good} {tail}", good),
        ("-l -c FILE", f"AuthorizedKeysCommand {PROGRAM} -l -c {good} {tail}", good),
        ("-lc FILE", f"AuthorizedKeysCommand {PROGRAM} -lc {good} {tail}", good),
        ("quoted", f'AuthorizedKeysCommand {PROGRAM} -c "{spaced}" {tail}', spaced),
        ("a keyword in capitals, tabs", f"\tAUTHORIZEDKEYSCOMMAND\t{PROGRAM} -c {good} {tail}",
         good), ("=", f"AuthorizedKeysCommand={PROGRAM} -c {good} {tail}", good),
        ("-c twice", f"AuthorizedKeysCommand {PROGRAM} -c /x -c {good} {tail}", good),
        ("the first of two lines",
         f"AuthorizedKeysCommand {PROGRAM} -c {good} {tail}\nAuthorizedKeysCommand {PROGRAM} -c "
         f"/x {tail}", good),
        ("a comment before",
         f"#AuthorizedKeysCommand {PROGRAM} -c /x {tail}\nAuthorizedKeysCommand {PROGRAM} -c "
         f"{good} {tail}", good), ("Include", f"Include {over}/inc*.conf", good),
        ("Match User",
         f"AuthorizedKeysCommand /x -c /x\nMatch User relay\n  AuthorizedKeysCommand {PROGRAM} "
         f"-c {good} {tail}", good),
        ("Match with a list",
         f"Match User root,re*\n  AuthorizedKeysCommand {PROGRAM} -c {good} {tail}", good),
        ("another user's Match",
         f"AuthorizedKeysCommand {PROGRAM} -c {good} {tail}\nMatch User root\n "
         f"AuthorizedKeysCommand {PROGRAM} -c /x {tail}", good),
        ("a Match that excludes",
         f"AuthorizedKeysCommand {PROGRAM} -c {good} {tail}\nMatch User *,!relay\n "
         f"AuthorizedKeysCommand {PROGRAM} -c /x {tail}", good),
        ("Match all", f"Match all\nAuthorizedKeysCommand {PROGRAM} -c {good} {tail}", good),
        ("after a Match of an included file",
         f"Include {over}/match.conf\nAuthorizedKeysCommand {PROGRAM} -c {good} {tail}", good),
        ("-c after the operands", f"AuthorizedKeysCommand {PROGRAM} {tail} -c {good}", None),
        ("none", f"AuthorizedKeysCommand {PROGRAM} {tail}", None),
        ("in a comment alone", f"# AuthorizedKeysCommand {PROGRAM} -c {good} {tail}", None)
    ]
    for name, text in (("inc1", f"AuthorizedKeysCommand {PROGRAM} -c {good} {tail}\n"),
                       ("match",
                        f"Match User root\nAuthorizedKeysCommand {PROGRAM} -c /x {tail}\n")):
        with open(f"{over}/{name}.conf", "w") as f:
            f.write(text)
    # A view of the file system in which relay is installed; the host's own stays as it is.
    view = (
        'mount -t tmpfs none "$1" && mkdir "$1/up" "$1/work" && cp -a "$3/." "$1/" && '
        'mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/up,workdir=$1/work" "$2" && rm -rf '
        '"$2/relay" && mkdir -p "$2/relay" && cp "$1/sshd_config" "$2/relay/" '
        '&& { [ ! -e "$1/relay.conf" ] || cp "$1/relay.conf" "$2/relay/"; } && shift 3 && exec "$@"'
    )
    stage = f"{rig.dir}/stage"
    for name, lines, expected in rows:
        shutil.rmtree(stage, ignore_errors=True)
        shutil.copytree(over, stage)
        with open(f"{stage}/sshd_config", "w") as f:
            f.write(f"HostKey {hostkey}\nAuthorizedKeysCommandUser relay-authkeys\n{lines}\n")
        if expected:  # sshd itself reads it so
            effective = run([
                "unshare", "-m", "sh", "-c", view, "sh", over, etc, stage, "/usr/sbin/sshd", "-T",
                "-f", f"{etc}/relay/sshd_config", "-C", "user=relay,host=x,addr=192.0.2.1"
            ],
                            check=False)
            tap.ok(
                f"authorizedkeyscommand {PROGRAM} " in effective.stdout and
                (f"-c {good}" in effective.stdout or f"-c{good}" in effective.stdout or
                 f"-lc {good}" in effective.stdout or "with space" in effective.stdout),
                f"{name}: sshd -T says the same", effective)
        answer = ask("--check",
                     FP,
                     conf=None,
                     as_root=True,
                     program=("unshare", "-m", "sh", "-c", view, "sh", over, etc, stage, PROGRAM))
        if expected:
            says(
                answer, 0, f"relay.conf is {re.escape(expected)}, as sshd is told in .*, line "
                "\\d+\\.\n(?s:.*)Granted", f"without -c, {name}")
        else:
            says(answer, 1, f"cannot be used: {default}: cannot be read", f"without -c, {name}")
    # The default relay.conf says where sshd's configuration is; and -c says what counts, but a
    # difference is told.
    other = f"{rig.dir}/etc/other_sshd_config"
    with open(other, "w") as f:
        f.write(f"AuthorizedKeysCommandUser relay-authkeys\nAuthorizedKeysCommand {PROGRAM} -c "
                f"{good} {tail}\n")
    shutil.copy(relay_conf("default.conf", other), f"{stage}/relay.conf")
    in_view = ("unshare", "-m", "sh", "-c", view, "sh", over, etc, stage, PROGRAM)
    says(ask("--check", FP, conf=None, as_root=True, program=in_view), 0,
         f"as sshd is told in {other}, line 2", "without -c, by the default relay.conf")
    says(ask("--check", FP, conf=f"{rig.dir}/etc/default.conf", as_root=True), 0,
         f"another relay.conf, {good}: {other}, line 2", "with another -c")


@test
def ends_cleanly():
    rig.ends_cleanly()


tap.run()
