# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Makes sure that nothing a program started outlives it, however it ends.

keep() forks once. The child goes on as the program. The parent, the keeper, becomes the reaper of
every orphan below it (PR_SET_CHILD_SUBREAPER): sessions of an sshd that was killed, workers of a
dead httpd. It passes signals on, and when the program has ended it kills what is left, removes the
scratch directories that were named by remove_at_end(), and exits with the program's status.
"""
import ctypes
import os
import shutil
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)
_tell_keeper = None


def process_table():
    """{pid: (ppid, start time, state)} of all processes."""
    table = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as f:
                    fields = f.read().rpartition(b")")[2].split()
            except OSError:
                continue
            table[int(name)] = (int(fields[1]), int(fields[19]), fields[0].decode())
    return table


def descendants(roots):
    """{pid: start time} of all living processes below these, without them."""
    table = process_table()
    children = {}
    for pid, (ppid, _, _) in table.items():
        children.setdefault(ppid, []).append(pid)
    found, todo = {}, list(roots)
    while todo:
        for pid in children.get(todo.pop(), ()):
            if pid not in found:
                todo.append(pid)
                if table[pid][2] != "Z":
                    found[pid] = table[pid][1]
    return found


def kill_all(pids, sig=signal.SIGKILL):
    """Signals those of {pid: start time} that are still the same process; returns them."""
    table = process_table()
    alive = {
        pid: start
        for pid, start in pids.items()
        if pid in table and table[pid][1] == start and table[pid][2] != "Z"
    }
    for pid in alive:
        try:
            os.kill(pid, sig)
        except ProcessLookupError:
            pass
    return alive


def remove_at_end(path):
    """Names a directory that the keeper removes at the end."""
    os.write(_tell_keeper, path.encode() + b"\n")


def keep():
    """Splits the process in two; the caller goes on in the child. Call it before threads start."""
    global _tell_keeper
    if _tell_keeper is not None:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    told, _tell_keeper = os.pipe()
    keeper = os.getpid()
    if _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    child = os.fork()
    if child == 0:
        os.close(told)
        _libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        for sig, default in ((signal.SIGTERM, signal.SIG_DFL), (signal.SIGHUP, signal.SIG_DFL),
                             (signal.SIGINT, signal.default_int_handler)):
            if signal.getsignal(sig) == default:
                signal.signal(sig, _leave)
        if os.getppid() != keeper:
            os._exit(143)
        return
    os.close(_tell_keeper)
    try:
        status = _watch(child)
        _clean_up(told)
    except BaseException:  # nothing may come back into the program's code
        status = 70
    os._exit(status)


def _leave(number, frame):
    """Ends the program so that its atexit functions run; what comes after the first signal changes
    nothing."""
    for sig in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(sig, signal.SIG_IGN)
    sys.exit(128 + number)


def _watch(child):
    def pass_on(number, frame):
        try:
            os.kill(child, number)
        except ProcessLookupError:
            pass

    for sig in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(sig, pass_on)
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            return os.waitstatus_to_exitcode(status) if os.WIFEXITED(
                status) else 128 + os.WTERMSIG(status)


def _clean_up(told):
    for sig in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(sig, signal.SIG_IGN)
    deadline = time.monotonic() + 5
    while kill_all(descendants([os.getpid()])) and time.monotonic() < deadline:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
        time.sleep(0.02)
    os.set_blocking(told, False)
    text = b""
    try:
        while piece := os.read(told, 65536):
            text += piece
    except BlockingIOError:
        pass
    for path in text.decode().split("\n"):
        if path:
            shutil.rmtree(path, ignore_errors=True)
