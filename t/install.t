#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The README's installation, typed as it stands there, on a copy of this system: in namespaces of
its own, with an overlay over the root directory, so that nothing of it reaches the real one. Then
what it must have brought: a device's page, Redis that only the relay's parts can use, an Apache
that is well after `make uninstall`. And the same with a Redis that was there before.
script/try-readme does it on a bare Debian, with its systemd and its packages; here t/lib/systemctl
stands in."""
import os
import re
import subprocess

from lib import fixture, readme, tap, test, TOP

BUILD = os.environ.get("RELAY_BUILD", f"{TOP}/build")
NAMESPACE = f"""
mount -t tmpfs relay-test /mnt && mkdir /mnt/up /mnt/work /mnt/root &&
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/up,workdir=/mnt/work /mnt/root &&
mount -t proc proc /mnt/root/proc && mount --rbind /dev /mnt/root/dev &&
mount -t tmpfs tmpfs /mnt/root/run && mount -t tmpfs tmpfs /mnt/root/tmp &&
mkdir /mnt/root/run/lock && chmod 1777 /mnt/root/tmp /mnt/root/run/lock &&
ip link set lo up || exit 77
for tree in {TOP} {BUILD}; do case $tree in /tmp/*|/run/*)
    mkdir -p /mnt/root$tree /mnt/up$tree-tree /mnt/work$tree-tree &&
    mount -t overlay overlay /mnt/root$tree \\
        -o lowerdir=$tree,upperdir=/mnt/up$tree-tree,workdir=/mnt/work$tree-tree || exit 77
esac; done
cd /mnt/root && rm -rf root/try-relay etc/relay etc/letsencrypt var/lib/relay-redis \\
    etc/apache2/sites-enabled/relay* etc/apache2/mods-enabled/relay* \\
    etc/systemd/system/relay* etc/systemd/system/rlyd* etc/systemd/system/apache2.service.d \\
    var/log/apache2/*.log &&
mkdir -p /mnt/root/usr/local/sbin && cp {TOP}/t/lib/systemctl /mnt/root/usr/local/sbin/
: >/mnt/root/etc/hosts && echo 127.0.0.1 localhost >/mnt/root/etc/hosts
exec chroot /mnt/root /bin/bash
"""
# Built is it already; script/test builds as the README says in steps of its own.
BUILT = r"^(script/bootstrap|autoreconf|\./configure)\b"
UNITS = [
    (f"{unit}.service is a unit", "! command -v systemd-analyze || systemd-analyze verify --man=no "
     f"/etc/systemd/system/{unit}.service", None) for unit in ("relay-redis", "rlyd", "relay-sshd")
]
OLD_REDIS = [
    ("a Redis that was there before, with data and no log of changes",
     "sed -i 's/^appendonly yes/appendonly no/' /etc/redis/redis.conf && systemctl start "
     "redis-server && "
     "redis-cli SET old data && redis-cli SAVE", r"OK\nOK"),
]
OLD_REDIS_DONE = [
    ("the data is still there", "redis-cli GET old", r"^data$"),
    ("it keeps a log of changes", "redis-cli INFO persistence | grep aof_enabled",
     r"aof_enabled:1"),
    ("the parts use it, each as itself",
     "for i in 1 2 3 4 5 6 7 8 9; do redis-cli CLIENT LIST | grep -q relay-web && break; sleep 1; "
     "done; redis-cli KEYS 'relay:*' && redis-cli CLIENT LIST",
     r"(?s)relay:route:hello.*user=relay-web"),
    ("what mod_relay may not",
     "(printf 'AUTH relay-web '; cat /etc/relay/redis.d/web; echo SET relay:key:x y) | redis-cli",
     r"NOPERM"),
]


def type_in(name, steps):
    result = subprocess.run(
        ["unshare", "-m", "-n", "-p", "-f", "--kill-child", "/bin/sh", "-c", NAMESPACE],
        input=readme.script(steps),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=TOP,
        env={
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C",
            "HOME": "/root"
        })
    if result.returncode == 77:
        tap.skip_all(f"no overlay or namespaces here: {result.stdout.strip()}")
    found = readme.results(result.stdout)
    for number, (what, command, like) in enumerate(steps):
        status, output = found[number] if number < len(found) else (None, result.stdout[-2000:])
        good = status == 0 and (like is None or re.search(like, output))
        tap.ok(good,
               f"{name}: {what}") or tap.diag(f"{command}\nexit status {status}, output:\n{output}")
    tap.is_(result.stdout.splitlines()[-1:], ["END"], f"{name}: all steps ran")


def page(steps):
    """The README's last step is a device's page."""
    return [(what, command, r"(?m)^Hello from the device$" if command.startswith("curl ") else like)
            for what, command, like in steps]


@fixture
def install():
    """The README's steps, with this build and these sources."""
    steps = page(readme.steps("INSTALL A RELAY"))
    tap.ok(len(steps) > 25, "the README has commands to install", steps)
    built = ("make install", f"make -s -C {BUILD} install", None)
    return [("(the sources)", f"cd {TOP}", None)] + [
        built if step[1] == "make && make install" else step
        for step in steps if not re.match(BUILT, step[1])
    ]


@test
def new_redis(install):
    remove = readme.steps("REMOVE IT")
    tap.ok(len(remove) > 2, "the README has commands to remove it", remove)
    remove = [
        (what, f"make -s -C {BUILD} uninstall" if command.startswith("make uninstall") else command,
         like) for what, command, like in remove
    ]
    type_in(
        "new", install + readme.INSTALLED + readme.PRIVILEGES + readme.FLEET + UNITS +
        readme.CLOSED + remove + readme.REMOVED)


@test
def old_redis(install):
    old = readme.steps("A REDIS THAT IS THERE ALREADY")
    tap.ok(len(old) > 8, "the README has commands for an old Redis", old)
    commands = [command for _, command, _ in install]
    three, four, five = (next(n for n, c in enumerate(commands) if word in c)
                         for word in ("relay-redis-setup", "relay.conf /etc", "rlyd.service"))
    type_in(
        "old Redis", install[:three] + OLD_REDIS + old[:-1] + install[four:five] + old[-1:] +
        install[five:] + OLD_REDIS_DONE)


tap.run()
