# Licensed under the Apache License, Version 2.0; see LICENSE.
"""TAP for tests in Python: ok(), is_(), like() …; done() prints the plan and ends the test.

A test that dies prints a failed check with the traceback and exits non-zero; so does one whose
checks all passed but that never came to done().
"""
import atexit
import os
import re
import sys
import threading
import traceback

_count = 0
_failed = 0
_done = False
_died_already = False
_lock = threading.RLock()


def _print(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def diag(text):
    """Lines that prove shows although nobody asked."""
    for line in str(text).rstrip("\n").split("\n"):
        sys.stderr.write("# " + line + "\n")
    sys.stderr.flush()


def note(text):
    """Lines that only `prove -v` shows."""
    for line in str(text).rstrip("\n").split("\n"):
        _print("# " + line)


def ok(condition, name, detail=None):
    """One check. detail (a text, or a function that makes one) is shown when it fails."""
    global _count, _failed
    with _lock:
        _count += 1
        name = name.replace("#", "\\#").replace("\n", " ")
        if condition:
            _print(f"ok {_count} - {name}")
            return True
        _failed += 1
        _print(f"not ok {_count} - {name}")
        frame = sys._getframe(1)
        while frame.f_back and frame.f_code.co_filename == __file__:
            frame = frame.f_back
        diag(f"failed: {name} ({os.path.basename(frame.f_code.co_filename)} line {frame.f_lineno})")
        if detail is not None:
            diag(detail() if callable(detail) else detail)
        return False


def is_(got, expected, name):
    return ok(got == expected, name, f"     got: {got!r:.2000}\nexpected: {expected!r:.2000}")


def isnt(got, unexpected, name):
    return ok(got != unexpected, name, f"got what it must not be: {got!r:.2000}")


def like(text, regex, name):
    return ok(re.search(regex, text or ""), name, f"  got: {text!r:.2000}\nlacks: {regex}")


def unlike(text, regex, name):
    return ok(not re.search(regex, text or ""), name, f"got: {text!r:.2000}\n has: {regex}")


def between(value, low, high, name):
    return ok(low <= value <= high, name, f"{value} is not from {low} to {high}")


def passes(name, function, *args):
    """A check that passes when function does not raise; returns its result (None when it raised).
    """
    try:
        result = function(*args)
    except Exception:
        ok(False, name, traceback.format_exc())
        return None
    ok(True, name)
    return result


def together(*functions):
    """Runs functions that make checks at the same time, each in a thread; one that dies is a failed
    check."""
    def guarded(function):
        try:
            function()
        except BaseException:
            ok(False, f"{getattr(function, '__name__', function)} died", traceback.format_exc())

    threads = [threading.Thread(target=guarded, args=(function, )) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def skip(name, reason):
    """One check that cannot be made here, and why."""
    global _count
    with _lock:
        _count += 1
        _print(f"ok {_count} - {name} # SKIP {reason}")


def skip_all(reason):
    global _done
    _done = True
    _print(f"1..0 # SKIP {reason}")
    sys.exit(0)


def bail_out(reason):
    _print(f"Bail out!  {reason}")
    sys.exit(255)


def done():
    """The plan: call it last."""
    global _done
    _done = True
    _print(f"1..{_count}")
    if not _count:
        diag("no check was made")
    sys.exit(1 if _failed or not _count else 0)


def _died(kind, value, trace):
    if issubclass(kind, KeyboardInterrupt):
        sys.exit(130)
    global _died_already
    _died_already = True
    ok(False, f"the test died: {kind.__name__}",
       "".join(traceback.format_exception(kind, value, trace, chain=False)))


def _unfinished():
    if not _done and not _died_already:
        diag("the test ended before done()")
        sys.stdout.flush()
        # atexit functions that were registered earlier run later: they do the cleaning up


sys.excepthook = _died
atexit.register(_unfinished)
