# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Directories in which another release of Debian runs: debootstrap makes them once, they are kept
below $RELAY_ROOTS (/var/tmp/relay-roots), and what runs there has mounts of its own. script/on and
script/try-readme use them."""
import os
import shutil
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ROOTS = os.environ.get("RELAY_ROOTS", "/var/tmp/relay-roots")
ENV = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8",
    "HOME": "/root", "TERM": "dumb"
}
# Runs in a mount namespace of its own. $1: the root; $2: its first process; $3: where that starts.
BOOT = r"""set -e
mount --bind "$1" "$1" && cd "$1"
mount -t proc proc proc
if [ "$SYS" = host ]; then mount --rbind /sys sys; else mount -t sysfs -o ro sysfs sys; fi
[ "$SYS" != unified ] || mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
for d in null zero full random urandom tty; do : >dev/$d; mount --bind /dev/$d dev/$d; done
mkdir dev/pts dev/shm && mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
ln -s pts/ptmx dev/ptmx; ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin; ln -s fd/1 dev/stdout; ln -s fd/2 dev/stderr
mount -t tmpfs -o mode=755 tmpfs run && mkdir -m 1777 run/lock
exec chroot . /usr/bin/env -i container=relay HOME=/root LANG=C.UTF-8 PATH="$PATH" \
    /bin/sh -c "cd ${3:-/} && exec $2"
"""


def mirror():
    """@return where this machine's apt gets its release's packages; None: debootstrap's default"""
    with open("/etc/os-release") as f:
        release = dict(line.rstrip().split("=", 1) for line in f if "=" in line)
    found = subprocess.run([
        "apt-get", "indextargets", "--format", "$(RELEASE) $(COMPONENT) $(REPO_URI)",
        "Created-By: Packages"
    ],
                           capture_output=True,
                           text=True).stdout
    for line in found.splitlines():
        name, component, uri = line.split(" ", 2)
        if name == release.get("VERSION_CODENAME") and component == "main":
            return uri
    return None


def pristine(suite, variant, say):
    """@return a tarball of what debootstrap makes; it ends the program where that fails"""
    tarball = f"{ROOTS}/pristine-{suite}-{variant}.tar"
    if os.path.exists(tarball):
        return tarball
    if not shutil.which("debootstrap"):
        sys.exit("debootstrap is missing: script/bootstrap --tests installs it")
    os.makedirs(ROOTS, exist_ok=True)
    say(f"debootstrap {suite} ({variant})")
    new = f"{ROOTS}/new-{os.getpid()}"
    options = [f"--variant={variant}"] if variant != "default" else []
    where = mirror()
    try:
        made = subprocess.run(["debootstrap", *options, suite, new, *([where] if where else [])],
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT,
                              text=True)
        if made.returncode:
            sys.exit(f"{made.stdout[-3000:]}\ndebootstrap {suite} failed: is the mirror "
                     f"{where or 'of its default'} to be reached?")
        subprocess.run(["tar", "-C", new, "-cf", f"{tarball}.new", "."], check=True)
        os.rename(f"{tarball}.new", tarball)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return tarball


def unpack(tarball, path):
    """Makes a root of a tarball, in place of one that may be there."""
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    subprocess.run(["tar", "-C", path, "-xf", tarball], check=True)


def network(path):
    """Names are looked up in the root as on this machine, whose network it has."""
    shutil.copy("/etc/resolv.conf", f"{path}/etc/resolv.conf")


def checkout():
    """@return the files of the tree that git knows or would take, relative to TOP"""
    names = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                           cwd=TOP,
                           check=True,
                           stdout=subprocess.PIPE,
                           text=True).stdout.split("\0")
    return sorted(name for name in set(names) if name and os.path.lexists(f"{TOP}/{name}"))


def copy_file(source, target):
    """A file that has not changed is left alone, for make's sake, which goes by times."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.islink(source):
        if not os.path.islink(target) or os.readlink(target) != os.readlink(source):
            os.path.lexists(target) and os.unlink(target)
            os.symlink(os.readlink(source), target)
        return
    with open(source, "rb") as f:
        text = f.read()
    if os.path.islink(target):
        os.unlink(target)
    same = os.path.exists(target)
    if same:
        with open(target, "rb") as f:
            same = f.read() == text
    if not same:
        with open(target, "wb") as f:
            f.write(text)
    os.chmod(target, 0o755 if os.stat(source).st_mode & 0o100 else 0o644)


def copy_tree(place):
    """Brings a copy of the checkout up to date: what is built there stays."""
    names, known = checkout(), f"{place}/.git/relay-copied"
    if os.path.exists(known):
        with open(known) as f:
            for name in set(f.read().split("\0")) - set(names):
                if name and os.path.lexists(f"{place}/{name}"):
                    os.unlink(f"{place}/{name}")
    for name in names:
        copy_file(f"{TOP}/{name}", f"{place}/{name}")
    # tests and script/lint ask git which files there are, script/mutate clones the last commit
    for argv in (["init", "-q"], ["add", "-A"], [
            "-c", "user.name=copy", "-c", "user.email=copy@localhost", "commit", "-q",
            "--allow-empty", "-m", "a copy"
    ]):
        subprocess.run(["git", "-C", place, *argv], check=True, stderr=subprocess.DEVNULL)
    with open(known, "w") as f:
        f.write("\0".join(names))
