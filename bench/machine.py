# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The benches change these settings of the machine, and put them back: samepage merging, the number
of processes, a memory cgroup."""
import atexit
import os

KSM = "/sys/kernel/mm/ksm"


def _read(path):
    with open(path) as f:
        return f.read().strip()


class Setting:
    """A file below /proc/sys or /sys with another value until the end."""
    def __init__(self, path, value):
        self.path, self.before = path, _read(path)
        self.set(value)
        atexit.register(self.restore)

    def set(self, value):
        with open(self.path, "w") as f:
            f.write(str(value))

    def restore(self):
        before, self.before = self.before, None
        if before is not None:
            with open(self.path, "w") as f:
                f.write(before)


class Merging:
    """Samepage merging for processes that ask for it. usable is False where the kernel has no such
    thing or forbids it."""

    # (pages, each so many ms): while tunnels come; while nothing else goes on; afterwards, when
    # the merging of a new tunnel may take its time. The kernel's own default, 100 each 20 ms, takes
    # 2 % of a core for ever.
    FAST, FASTEST, SLOW = (3000, 20), (9000, 20), (100, 200)

    # How many processes may have one page in common, as relay-ksm.conf has it. It cannot be changed
    # while any have.
    SHARING = 2048

    def __init__(self):
        self.usable = True
        self._with_nothing_merged(
            lambda: setattr(self, "sharing", Setting(f"{KSM}/max_page_sharing", self.SHARING)))
        try:
            self.settings = [
                Setting(f"{KSM}/pages_to_scan", self.FAST[0]),
                Setting(f"{KSM}/sleep_millisecs", self.FAST[1]),
                Setting(f"{KSM}/run", 1)
            ]
        except OSError:
            self.usable = False

    def pace(self, pace):
        if self.usable:
            for setting, value in zip(self.settings, pace):
                setting.set(value)

    def restore(self):
        if self.usable:
            for setting in self.settings:
                setting.restore()
        if hasattr(self, "sharing"):
            self._with_nothing_merged(self.sharing.restore)

    @staticmethod
    def _with_nothing_merged(change):
        """Makes a change that the kernel takes only then, if it does."""
        try:
            off = Setting(f"{KSM}/run", 2) if _read(f"{KSM}/run") == "0" else None
            change()
        except OSError:
            return
        if off:
            off.restore()

    @staticmethod
    def daemon():
        """@return ksmd's pid, or None"""
        for pid in os.listdir("/proc"):
            try:
                if pid.isdigit() and _read(f"/proc/{pid}/comm") == "ksmd":
                    return int(pid)
            except OSError:
                pass
        return None


def drop_caches():
    """Drops what the kernel keeps of files' names and inodes, of /proc's, too."""
    with open("/proc/sys/vm/drop_caches", "w") as f:
        f.write("2")


def ksm_passes():
    try:
        return int(_read(f"{KSM}/full_scans"))
    except OSError:
        return 0


class Cgroup:
    """A memory cgroup, v2 or v1. It counts all: user pages, page tables, kernel stacks, sockets."""
    def __init__(self, name):
        self.path = None
        for base, usage in (("/sys/fs/cgroup", "memory.current"), ("/sys/fs/cgroup/unified",
                                                                   "memory.current"),
                            ("/sys/fs/cgroup/memory", "memory.usage_in_bytes")):
            path = f"{base}/{name}-{os.getpid()}"
            try:
                os.mkdir(path)
            except OSError:
                continue
            if not os.path.exists(f"{path}/{usage}"):
                os.rmdir(path)  # no memory controller here
                continue
            self.path, self.usage = path, usage
            atexit.register(self.remove)
            break

    def enter(self, pid=None):
        """Takes a process in (by default this one, for preexec), with all that it starts from then
        on."""
        with open(f"{self.path}/cgroup.procs", "w") as f:
            f.write(str(pid or os.getpid()))

    def mebibytes(self):
        """@return the MiB in use, without files' pages that could be dropped at once"""
        used = int(_read(f"{self.path}/{self.usage}"))
        for line in _read(f"{self.path}/memory.stat").split("\n"):
            key, value = line.split()
            if key == "inactive_file":
                used -= int(value)
        return used / 1048576

    def remove(self):
        if self.path:
            try:
                os.rmdir(self.path)
            except OSError:
                pass
        self.path = None
