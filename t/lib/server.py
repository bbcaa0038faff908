# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Processes that go on for a while: servers, Redis, and programs of our own. (A program that comes
to its end: basics.run().)"""
import os
import socket
import subprocess

from .basics import RigError, run, wait_for


def redis_cli(sock, *args, password=None):
    """redis-cli; its output without the last newline, with bytes that are no UTF-8 kept as
    surrogates."""
    login = ["-a", password] if password else []
    argv = ["redis-cli", "-s", sock, "--no-auth-warning", *login, *map(str, args)]
    return run(argv, "redis-cli", errors="surrogateescape").stdout.rstrip("\n")


def redis_answers(sock):
    """Says whether a Redis is there; it may want a password first."""
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(2)
            s.connect(sock)
            s.sendall(b"PING\r\n")
            return s.recv(100).startswith((b"+PONG", b"-NOAUTH"))
    except OSError:
        return False


class Server:
    """A server process, which can be stopped, killed and started again. place: the Rig or Store
    that it belongs to; it has .dir and .tail()."""
    def __init__(self, place, name, argv, ready, log, env=None):
        self.place, self.name, self.argv = place, name, argv
        self.ready, self.log = ready, log
        self.env = dict(os.environ, **(env or {}))
        self.process = None

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.argv,
                                            stdin=subprocess.DEVNULL,
                                            stdout=log,
                                            stderr=log,
                                            env=self.env,
                                            cwd=self.place.dir,
                                            start_new_session=True)

        def up():
            if not self.alive():
                raise RigError(
                    f"{self.name} ended at once, exit status {self.process.returncode}; its log:\n"
                    + self.place.tail(self.log))
            return self.ready()

        try:
            wait_for(up, f"{self.name} did not come up", 20)
        except RigError as e:
            raise RigError(f"{e}\n{self.place.tail(self.log)}") from None
        return self

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, timeout=10):
        """SIGTERM, and SIGKILL when that was not enough."""
        if self.alive():
            self.process.terminate()
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                return False
        return True

    def kill(self):
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    def restart(self):
        self.stop()
        return self.start()


class Redis(Server):
    """A Redis with a socket and options of its own, started; called with words it is redis-cli."""
    def __init__(self, place, name="redis", *options):
        self.sock = f"{place.dir}/{name}.sock"
        argv = [
            "redis-server", "--port", "0", "--unixsocket", self.sock, "--unixsocketperm", "777",
            "--save", "", "--dir", place.dir, *options
        ]
        super().__init__(place, name, argv, lambda: redis_answers(self.sock),
                         f"{place.dir}/{name}.log")
        self.start()

    def __call__(self, *args, password=None):
        return redis_cli(self.sock, *args, password=password)


class Child:
    """A program of our own, until stop(): it prints a line, .line, when it is ready, and listens to
    its standard input."""
    def __init__(self, argv, what):
        self.process = subprocess.Popen(argv,
                                        stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE,
                                        text=True,
                                        start_new_session=True)
        self.line = self.process.stdout.readline()
        if not self.line:
            self.stop()
            raise RuntimeError(f"{what} did not start")

    def ask(self, line):
        """Hands it a line; returns its next one."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
