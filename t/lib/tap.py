# Licensed under the Apache License, Version 2.0; see LICENSE.
"""TAP for tests in Python: the checks (ok(), is_(), like() …), and what runs the functions.

    @fixture
    def rig():                  # made when a test first asks for it by its name
        rig = Rig(rlyd=True)
        yield rig
        rig.ends_cleanly()      # runs after the last test that needs it

    @test(gives="tunnel")       # what it returns is there for others by that name, as a fixture is
    def works(rig): …

    @test
    def late_news(rig, tunnel): …

    @test(needs=["late_news"])  # comes after another one for what that one leaves behind
    def overtaken(rig): …

    @test(thread="far")         # runs in a thread of that name, beside neighbours with other names
    def half_open(rig): …

    run()                       # the last line of the file

The tests run in the order of the file. `prove t/cache.t :: late_news` runs that one, with the
fixtures and the tests that it needs, and no other. A test that dies is a failed check with the
traceback, and the ones after it are not run.
"""
import atexit
import functools
import inspect
import itertools
import os
import re
import sys
import threading
import traceback

_count = 0
_failed = 0
_done = False
_died_already = False
_running = "the test"  # or the function that runs
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
    """Prints the plan and ends the program. run() does that where there are functions."""
    global _done
    _done = True
    _print(f"1..{_count}")
    if not _count:
        diag("no check was made")
    sys.exit(1 if _failed or not _count else 0)


# --- the functions

_parts = {}  # _Part by name, and by what it gives; in the order of the file


class _Part:
    """A test or a fixture. made: it has run, or it is there; value: what it gave."""
    def __init__(self, function, is_test, needs, thread):
        self.function, self.name, self.is_test = function, function.__name__, is_test
        self.thread = thread
        self.parameters = list(inspect.signature(function).parameters)
        self.needs = [*needs, *self.parameters]
        self.made, self.value, self.generator = False, None, None

    def make(self):
        global _running
        if self.is_test:
            note(f"--- {self.name}")
            _running = self.name
        self.made = True
        result = self.function(*(_parts[name].value for name in self.parameters))
        if inspect.isgenerator(result):
            self.generator, result = result, next(result)
        self.value = result

    def end(self):
        """Runs what stands behind the fixture's yield."""
        if self.generator:
            next(self.generator, None)
        self.made, self.value, self.generator = False, None, None


def _add(function, is_test, needs=(), gives=None, thread=None):
    part = _Part(function, is_test, needs, thread)
    unknown = [name for name in part.needs if name not in _parts]
    if unknown:
        raise ValueError(f"{part.name} needs {', '.join(unknown)}: nothing above it is named so")
    for name in filter(None, (part.name, gives)):
        if name in _parts:
            raise ValueError(f"{name} stands there twice")
        _parts[name] = part
    return function


def fixture(function):
    """Makes a function a fixture: what it returns, or yields, is there for those that name it."""
    return _add(function, False)


def test(function=None, *, needs=(), gives=None, thread=None):
    """Makes a function a test; see the top of this file."""
    if function is None:
        return functools.partial(test, needs=needs, gives=gives, thread=thread)
    return _add(function, True, needs, gives, thread)


def _with_needs(parts):
    """These and what they need, each once, behind what it needs."""
    found = []
    for part in parts:
        needed = _with_needs(_parts[name] for name in part.needs)
        found += [p for p in [*needed, part] if p not in found]
    return found


def _make_together(tests):
    """Runs tests at the same time, but for those of one thread: one after the other."""
    threads = {}
    for part in tests:
        threads.setdefault(part.thread, []).append(part)

    def in_turn(parts):
        for part in parts:
            part.make()

    together(*(functools.partial(in_turn, parts) for parts in threads.values()))


def _run_all(tests):
    """Makes fixtures when they are first needed, and ends them behind the last test that does."""
    there, left = [], list(tests)
    while left:
        threaded = list(itertools.takewhile(lambda part: part.thread, left))
        now = threaded or left[:1]
        left = left[len(now):]
        for part in _with_needs(now):
            if not part.is_test and not part.made:
                there.append(part)
                part.make()
        if threaded:
            _make_together(threaded)
        else:
            now[0].make()
        needed = _with_needs(left)
        for part in reversed(there):
            if part not in needed:
                part.end()
        there = [part for part in there if part.made]


def run():
    """Runs the tests of the file, or those that the command line names; prints the plan and ends
    the program."""
    tests = {part.name: part for part in _parts.values() if part.is_test}
    unknown = [name for name in sys.argv[1:] if name not in tests]
    if unknown:
        sys.exit(f"no test {', '.join(unknown)}; there are: {' '.join(tests)}")
    sys.excepthook = _died
    atexit.register(_unfinished)
    chosen = [tests[name] for name in sys.argv[1:] or tests]
    _run_all([part for part in _with_needs(chosen) if part.is_test])
    done()


def _died(kind, value, trace):
    if issubclass(kind, KeyboardInterrupt):
        sys.exit(130)
    global _died_already
    _died_already = True
    ok(False, f"{_running} died: {kind.__name__}",
       "".join(traceback.format_exception(kind, value, trace, chain=False)))


def _unfinished():
    if not _done and not _died_already:
        diag("the test ended before run() did")
        sys.stdout.flush()
        # atexit functions that were registered earlier run later: they do the cleaning up
