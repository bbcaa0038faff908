# Licensed under the Apache License, Version 2.0; see LICENSE.
"""An Apache as a device, with files for git and for WebDAV."""
import os

from lib import APACHE2, MODULES, run, tap, write

from .app import App

CONF = """\
ServerRoot "{dir}"
DefaultRuntimeDir "{dir}"
PidFile "{dir}/httpd.pid"
ServerName device.invalid
User www-data
Group www-data
ErrorLog "{dir}/error.log"
Listen 127.0.0.1:{port}
TypesConfig /etc/mime.types
DocumentRoot "{dir}/www"
<Directory "{dir}/www">
    Require all granted
</Directory>
"""
ALWAYS = ("mpm_event", "authz_core", "mime")


class Apache(App):
    """modules, and conf where {dir} is its own directory."""
    modules, conf = (), ""

    def start(self):
        os.chmod(f"{self.rig.dir}/apps", 0o755)
        os.mkdir(f"{self.dir}/www")
        run(["chown", "www-data", self.dir, f"{self.dir}/www"])
        load = "".join(f"LoadModule {m}_module {MODULES}/mod_{m}.so\n"
                       for m in (*ALWAYS, *self.modules))
        conf = write(f"{self.dir}/httpd.conf", (load + CONF + self.conf).format(dir=self.dir,
                                                                                port=self.port))
        self.serve([APACHE2, "-f", conf, "-D", "FOREGROUND"])


class Git(Apache):
    """git over HTTPS: git-http-backend."""
    name = "git"
    quick = True
    needs = ("/usr/bin/git", "/usr/lib/git-core/git-http-backend")
    modules = ("alias", "env", "cgid")
    conf = """
SetEnv GIT_PROJECT_ROOT "{dir}/repositories"
SetEnv GIT_HTTP_EXPORT_ALL
ScriptSock "{dir}/cgisock"
ScriptAlias "/git/" "/usr/lib/git-core/git-http-backend/"
<Directory /usr/lib/git-core>
    Require all granted
</Directory>
"""

    def start(self):
        run(["git", "init", "-q", "--bare", f"{self.dir}/repositories/it.git"])
        run(["git", "-C", f"{self.dir}/repositories/it.git", "config", "http.receivepack", "true"])
        run(["chown", "-R", "www-data", f"{self.dir}/repositories"])
        super().start()

    def git(self, page, *args, **more):
        return run([
            "git", "-c", f"http.sslCAInfo={self.rig.ca}", "-c", "http.curloptResolve="
            f"{page.host}:{self.rig.https_port}:{self.rig.address}", "-c", "user.name=nobody", "-c",
            "user.email=nobody@device.invalid", *args
        ],
                   env={"HOME": self.dir, "PATH": os.environ["PATH"], "no_proxy": "*", **more})

    def check(self, page):
        work, url = f"{self.dir}/work", f"{page.url}/git/it.git"
        self.git(page, "init", "-q", "-b", "main", work)
        # above http.postBuffer, so that it is sent in chunks, after a request that asks
        with open(f"{work}/big", "wb") as f:
            f.write(os.urandom(5_000_000))
        self.git(page, "-C", work, "add", "big")
        self.git(page, "-C", work, "commit", "-q", "-m", "one")
        tap.passes("git: a push of 5 MB", self.git, page, "-C", work, "push", "-q", url, "main")
        tap.passes("git: a clone, by protocol version 2", self.git, page, "-c",
                   "protocol.version=2", "clone", "-q", "-b", "main", url, f"{self.dir}/clone")
        same = run(["cmp", f"{work}/big", f"{self.dir}/clone/big"], check=False)
        tap.is_(same.returncode, 0, "git: the clone has what was pushed")
        tap.passes("git: a shallow clone by HTTP/1.1", self.git, page, "-c",
                   "http.version=HTTP/1.1", "clone", "-q", "--depth", "1", "-b", "main", url,
                   f"{self.dir}/shallow")


# What is said to it line by line, and what has to stand on the device then. Each MOVE and COPY
# has a Destination, with the address that cadaver was given.
SAID = """\
open {url}/files/
mkcol folder
put {dir}/file one
copy one folder/two
move one "folder/th ree"
mkcol moved
move folder moved/
lock moved/folder/two
put {dir}/file moved/folder/two
unlock moved/folder/two
propset moved/folder/two colour green
propget moved/folder/two colour
get moved/folder/two {dir}/back
delete "moved/folder/th ree"
quit
"""


class WebDav(Apache):
    """WebDAV: mod_dav, and cadaver as a client."""
    name = "webdav"
    quick = True
    needs = ("/usr/bin/cadaver", f"{MODULES}/mod_dav.so")
    modules = ("dav", "dav_fs", "dav_lock")
    conf = """
DavLockDB "{dir}/locks"
<Directory "{dir}/www/files">
    Dav On
</Directory>
"""

    def start(self):
        super().start()
        os.mkdir(f"{self.dir}/www/files")
        run(["chown", "www-data", f"{self.dir}/www/files"])

    def check(self, page):
        write(f"{self.dir}/file", "something\n" * 1000)
        hosts = write(f"{self.dir}/hosts", f"{self.rig.address} {page.host}\n")
        # cadaver has no options for addresses and authorities: it sees files of its own instead
        inside = ("mount --bind \"$1\" /etc/hosts && "
                  "mount --bind \"$2\" /etc/ssl/certs/ca-certificates.crt && exec cadaver")
        said = run(["unshare", "--mount", "--", "sh", "-c", inside, "sh", hosts, self.rig.ca],
                   input=SAID.format(url=page.url, dir=self.dir),
                   check=False,
                   env={"HOME": self.dir, "PATH": os.environ["PATH"], "TERM": "dumb"})
        text = said.stdout + said.stderr
        tap.unlike(text, r"failed|error|Error|Could not", "webdav: cadaver has no complaints")
        tap.like(text, r"green", "webdav: a property is kept")
        there = sorted(
            os.path.relpath(os.path.join(where, name), f"{self.dir}/www/files")
            for where, folders, files in os.walk(f"{self.dir}/www/files") for name in files
            if ".DAV" not in where)
        tap.is_(there, ["moved/folder/two"], "webdav: files are where they were moved to")
        same = run(["cmp", f"{self.dir}/file", f"{self.dir}/back"], check=False)
        tap.is_(same.returncode, 0, "webdav: what comes back is what was sent")
