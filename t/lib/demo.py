# Licensed under the Apache License, Version 2.0; see LICENSE.
"""script/demo's work; the arguments were checked there."""
import argparse
import html
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time

from . import keeper, relayrig
from .apirig import ApiRig

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Device behind NAT</title>
<style>
 body {{ font: 17px/1.5 system-ui, sans-serif; margin: 12vh auto; max-width: 34em; padding: 0 1em;
        color: #223; background: #eef1f5 }}
 main {{ background: #fff; padding: 1.5em 2em; border-radius: 10px; box-shadow: 0 2px 12px #0002 }}
 h1 {{ font-size: 1.4em; margin-top: 0 }}
 code {{ background: #eef1f5; padding: .1em .3em; border-radius: 4px }}
</style>
<main>
<h1>Hello from the device</h1>
<p>This page comes from a small web server on <code>127.0.0.1:{port}</code> of <code>{host}</code>,
which nobody can reach from outside.</p>
<p>Your browser spoke HTTPS with Apache; mod_relay looked the name up in Redis; sshd carried the
request to the stock <code>ssh</code> that the device runs.</p>
</main></html>
"""

TOKEN = ("token", "new", "--role", "operator", "-t", "1d", "the demo's portal")


class Stop(Exception):
    """SIGINT or SIGTERM came."""


def stop_on_signals():
    def handler(number, frame):
        for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sig, signal.SIG_IGN)
        raise Stop(number)

    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, handler)


class Demo:
    def __init__(self, options):
        self.options = options
        self.out = sys.stderr if options.once or options.json else sys.stdout
        self.rig, self.api = None, {}

    def say(self, text):
        self.out.write(text + "\n")
        self.out.flush()

    def step(self, text):
        self.say(f"* {text}")

    def shown(self, *argv, env=""):
        """A command as a person would type it."""
        return f"    {env}{' '.join(shlex.quote(str(a)) for a in argv)}"

    def run(self):
        build = subprocess.run([f"{relayrig.TOP}/script/build"],
                               stdin=subprocess.DEVNULL,
                               stdout=sys.stderr)
        if build.returncode:
            raise relayrig.RigError("the build failed; what it said stands above")
        self.rig = rig = self.start_rig(say=self.step,
                                        rlyd="auto",
                                        many=True,
                                        domain=self.options.domain)
        self.step("opening a tunnel for the device")
        self.device = self.start_device()
        args = ("open", "-d", "demo-nas", "-t", "1h", "-o", f"{rig.dir}/bundles/1", self.device.url)
        self.say(self.shown(rig.program("rly"), *args, env=f"RELAY_CONF={rig.conf} "))
        self.tunnel = rig.open(self.device.url, device="demo-nas", ttl="1h")
        self.url = f"https://{rig.host(self.tunnel)}:{rig.https_port}/"
        self.step("connecting the device with stock ssh and the bundle that it was given")
        self.say(self.shown("ssh", "-N", "-F", f"{self.tunnel['bundle']}/config", "relay"))
        self.session = rig.connect(self.tunnel)
        if self.options.once:
            return self.fetch(sys.stdout.fileno())
        self.fetch(None)
        if self.options.json:
            self.print_json()
        else:
            self.print_help()
        self.stay()
        return 0

    def start_rig(self, **options):
        if not self.options.api:
            return relayrig.Rig(**options)
        rig = ApiRig(others=False, rate=600, **options)
        base = f"https://api.{rig.domain}:{rig.https_port}"
        self.step("making a token of the API")
        self.say(self.shown(rig.program("rly"), *TOKEN, env=f"RELAY_CONF={rig.conf} "))
        self.api = {
            "api": f"{base}/v1/", "portal": f"{base}/portal/", "token": rig.token(*TOKEN[2:])
        }
        return rig

    def start_device(self):
        rig = self.rig
        if self.options.page:
            # a copy: FILE may be a thing that can be read only once
            page = f"{rig.dir}/page{os.path.splitext(self.options.page)[1]}"
            shutil.copyfile(self.options.page, page)
            return rig.device("demo-nas", page=page)
        page = f"{rig.dir}/page.html"
        port = relayrig.free_port((rig.http_port, rig.https_port, rig.ssh_port))
        with open(page, "w") as f:
            f.write(PAGE.format(port=port, host=html.escape(socket.gethostname())))
        return rig.device("demo-nas", page=page, port=port)

    def curl(self):
        host = self.rig.host(self.tunnel)
        return [
            "curl", "--cacert", self.rig.ca, "--resolve",
            f"{host}:{self.rig.https_port}:{self.rig.address}", self.url
        ]

    def curl_api(self):
        rig = self.rig
        return [
            "curl", "--cacert", rig.ca, "--resolve",
            f"api.{rig.domain}:{rig.https_port}:{rig.address}", "-H",
            f"Authorization: Bearer {self.api['token']}", f"{self.api['api']}tunnels"
        ]

    def fetch(self, stdout):
        """Gets the page as a visitor does, its bytes to the descriptor stdout, or to nowhere."""
        self.step("fetching the page through HTTPS, with the certificate checked")
        argv = self.curl()
        self.say(self.shown(*argv))
        result = subprocess.run([argv[0], "-q", "-sS", "--fail", "--noproxy", "*", *argv[1:]],
                                stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL if stdout is None else stdout,
                                stderr=sys.stderr)
        if result.returncode:
            raise relayrig.RigError("the page could not be fetched\n" + self.rig.tail("httpd") +
                                    self.rig.tail("sshd"))
        return 0

    def pids(self):
        return dict(self.rig.pids, ssh=self.session.pid, device=self.device.pid)

    def print_json(self):
        rig = self.rig
        print(json.dumps({
            "url": self.url,
            "domain": rig.domain,
            "https_port": rig.https_port,
            "ca": rig.ca,
            "conf": rig.conf,
            "bundle": self.tunnel["bundle"],
            "redis": rig.redis_sock,
            "pids": self.pids(),
            "id": self.tunnel["id"],
            "name": self.tunnel["routes"][0]["name"],
            "rly": rig.program("rly"),
            "http_port": rig.http_port,
            "ssh_port": rig.ssh_port,
            "dir": rig.dir,
            **self.api,
        }),
              flush=True)

    def print_help(self):
        rig, conf = self.rig, f"RELAY_CONF={self.rig.conf} "
        self.say(f"""
The device is at

    {self.url}

  fetch it
{self.shown(*self.curl())}
  see it in a browser that knows the demo's certificate authority, or accepts it for this once:
    {rig.ca}
  ({self.resolves()})
  look at the tunnel
{self.shown(rig.program('rly'), 'list', env=conf)}
  end it; the URL then answers 410
{self.shown(rig.program('rly'), 'close', self.tunnel['id'], env=conf)}
  read the logs
    {rig.dir}/log
""")
        if self.api:
            self.say(f"""The portal is at

    {self.api['portal']}

  sign in there with
    {self.api['token']}
  or call the API
{self.shown(*self.curl_api())}
""")
        self.say(f"It stays for {self.options.seconds:g} s, or until Ctrl-C." if self.options.
                 seconds is not None else "Ctrl-C ends everything.")

    def resolves(self):
        rig = self.rig
        if rig.domain.endswith(".localhost"):
            return "names below .localhost are this machine's, for browsers and for curl"
        return (f"chromium --host-resolver-rules='MAP *.{rig.domain} {rig.address}', or a line in "
                f"/etc/hosts: {rig.address} {rig.host(self.tunnel)}" +
                (f" api.{rig.domain}" if self.api else ""))

    def stay(self):
        end = None if self.options.seconds is None else time.monotonic() + self.options.seconds
        told = False
        while end is None or time.monotonic() < end:
            time.sleep(0.2 if end is None else max(0, min(0.2, end - time.monotonic())))
            if not told and self.session.process.poll() is not None:
                told = True
                self.say("The device's ssh has ended: " +
                         (self.session.output().strip().split("\n")[-1] or "no word"))

    def end(self):
        if self.rig is not None:
            self.step("ending all of it")
            self.rig.stop()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--api", action="store_true")
    parser.add_argument("--page")
    parser.add_argument("--domain")
    parser.add_argument("--for", dest="seconds", type=float)
    demo = Demo(parser.parse_args())
    stop_on_signals()
    keeper.keep()
    status = 1
    try:
        status = demo.run()
    except Stop as stop:
        # Ctrl-C is how a demo without a time to end is meant to end
        number = stop.args[0]
        status = 0 if number == signal.SIGINT and not demo.options.once else 128 + number
    except (relayrig.RigError, OSError, RuntimeError) as e:
        demo.say(f"demo: {e}")
    finally:
        stop_on_nothing()
        demo.end()
    sys.exit(status)


def stop_on_nothing():
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, signal.SIG_IGN)


main()
