#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The README's installation, as it stands there, on a copy of this system: in namespaces of its own, with an overlay
over the root directory, so that nothing of it reaches the real one. Commands marked R are checked to be in the README."""
import os
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [f"{TOP}/script/lib", f"{TOP}/t/lib"]
import tap

BUILD = os.environ.get("RELAY_BUILD", f"{TOP}/build")
NAMESPACE = """
mount -t tmpfs relay-test /mnt && mkdir /mnt/up /mnt/work /mnt/root &&
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/up,workdir=/mnt/work /mnt/root &&
mount -t proc proc /mnt/root/proc && mount --rbind /dev /mnt/root/dev &&
ip link set lo up || exit 77
rm -rf /mnt/root/root/relay-* && cat >/mnt/root/root/steps
exec chroot /mnt/root /bin/sh /root/steps
"""
# (what, command, whether it is written so in the README)
STEPS = [
    ("make install", f"make -s -C {BUILD} install", False),
    ("Redis listens on its socket", r"""sed -i -e 's/^# *unixsocket .*/unixsocket \/run\/redis\/redis-server.sock/' \
        -e 's/^# *unixsocketperm .*/unixsocketperm 770/' -e 's/^appendonly no/appendonly yes/' /etc/redis/redis.conf
     grep -q '^unixsocket /run/redis/redis-server.sock' /etc/redis/redis.conf &&
     grep -q '^unixsocketperm 770' /etc/redis/redis.conf && grep -q '^appendonly yes' /etc/redis/redis.conf""", False),
    ("Apache may use it", "usermod -aG redis www-data", True),
    ("so may relay-authkeys", "usermod -aG redis relay-authkeys", True),
    ("Redis starts", """install -d -o redis -g redis -m 2755 /run/redis
     su -s /bin/sh redis -c 'redis-server /etc/redis/redis.conf --daemonize yes --port 0 >/dev/null'""", False),
    ("relay.conf", "cp /usr/share/mod_relay/relay.conf /etc/relay/relay.conf", True),
    ("its domain", r"sed -i 's/relay\.example\.com/relay.your.domain/g' /etc/relay/relay.conf", True),
    ("(devices connect to loopback here)", "sed -i 's/^;ssh = .*/ssh = 127.0.0.1:443/' /etc/relay/relay.conf && "
     "grep -q '^ssh = 127' /etc/relay/relay.conf", False),
    ("rlyd's unit", "cp /usr/share/mod_relay/sshd-conf/rlyd.service /etc/systemd/system/", True),
    ("rlyd starts", """mkdir -p /run/sshd /run/relay && ssh-keygen -A >/dev/null &&
     sed -n 's/^ExecStart=\\(.*\\)/\\1/p' /usr/share/mod_relay/sshd-conf/rlyd.service >/root/rlyd && test -s /root/rlyd &&
     { sh /root/rlyd >/root/rlyd.log 2>&1 & } && i=0 && until test -S /run/relay/rlyd.sock; do
        i=$((i + 1)); test $i -lt 50 || break; sleep 0.1; done; test -S /run/relay/rlyd.sock || { cat /root/rlyd.log; false; }""", False),
    ("a listening sshd starts", """mkdir -p /run/sshd && ssh-keygen -A >/dev/null &&
     sed -n 's/^ExecStart=\\(.*\\) -D/\\1/p' /usr/share/mod_relay/sshd-conf/relay-sshd.service >/root/sshd && test -s /root/sshd &&
     sh /root/sshd && i=0 && until ss -Hltn 'sport = :2222' | grep -q .; do
        i=$((i + 1)); test $i -lt 50 || exit 1; sleep 0.1; done""", False),
    ("relay.load", "cp /usr/share/mod_relay/apache-conf/relay.load /etc/apache2/mods-available/", True),
    ("the virtual host", "cp /usr/share/mod_relay/apache-conf/relay-vhost.conf /etc/apache2/sites-available/", True),
    ("its domain", r"sed -i 's/relay\.example\.com/relay.your.domain/g' /etc/apache2/sites-available/relay-vhost.conf", True),
    ("a certificate", """mkdir -p /etc/letsencrypt/live/relay.your.domain && cd /etc/letsencrypt/live/relay.your.domain &&
     openssl req -x509 -newkey rsa:2048 -nodes -keyout privkey.pem -out fullchain.pem -subj /CN=relay.your.domain \\
        -addext basicConstraints=critical,CA:FALSE -addext 'subjectAltName=DNS:*.relay.your.domain,DNS:relay.your.domain' \\
        2>/dev/null""", False),
    ("a2enmod", "a2enmod relay", True),
    ("a2ensite", "a2ensite relay-vhost", True),
    ("configtest", "apachectl configtest", True),
    ("Apache starts", "apachectl start", False),
    ("rly open 80", "cd /root && rly open -n nas 8123", False),
    ("the device's ssh", """(cd /root/relay-*/ && exec ssh -N -F config relay) &
     /usr/bin/python3 -m http.server -b 127.0.0.1 -d /usr/share/mod_relay 8123 >/dev/null 2>&1 &
     for i in 1 2 3 4 5 6 7 8 9 10; do
        ss -Hltn 'src 127.64.0.0/10' | grep -q . && ss -Hltn 'sport = :8123' | grep -q . && exit 0; sleep 0.5; done; exit 1""", False),
    ("the page is there", """get() { curl -q -s --noproxy '*' --resolve "$1:443:127.0.0.1" --resolve "$1:80:127.0.0.1" \\
            --cacert /etc/letsencrypt/live/relay.your.domain/fullchain.pem -o /tmp/answer -w '%{http_code} %{redirect_url}' "$2"; }
     test "$(get nas.relay.your.domain https://nas.relay.your.domain/relay.conf)" = '200 ' &&
     cmp /tmp/answer /usr/share/mod_relay/relay.conf""", False),
    ("plain HTTP leads to HTTPS, with the path as it was",
     """test "$(get nas.relay.your.domain 'http://nas.relay.your.domain/a%2Fb%3F?c=%20')" = \\
            '308 https://nas.relay.your.domain/a%2Fb%3F?c=%20'""", False),
    ("the bare domain has the vhost's own content", """test "$(get relay.your.domain https://relay.your.domain/)" = '200 ' &&
     cmp /tmp/answer /var/www/html/index.html""", False),
    ("relay-authkeys --check", "/usr/libexec/relay-authkeys --check /root/relay-*/id_relay.pub | grep -q '^Granted'", False),
    ("rly close", "rly close nas && test \"$(get nas.relay.your.domain https://nas.relay.your.domain/)\" = '410 '", False),
    ("rly close ended the session", """i=0; while ss -Hltn 'src 127.64.0.0/10' | grep -q .; do
        i=$((i + 1)); test $i -lt 20 || break; sleep 0.1; done; ! ss -Hltn 'src 127.64.0.0/10' | grep .""", False),
    ("rlyd's log is clean", "! grep -E 'error|warning' /root/rlyd.log", False),
    # (AH01882: the distribution's own packages are of different ages; see riglog.py)
    ("Apache's logs are clean", "! grep -h -E ':(warn|error|crit|alert|emerg)\\]' /var/log/apache2/relay-error.log "
     "/var/log/apache2/error.log | grep -v AH01882", False),
]


def main():
    script = "exec 2>&1\n"
    for number, (_, command, _) in enumerate(STEPS):
        # the step runs in this shell, so that functions stay; only those that `exit` or start jobs need one of their own
        opening, closing = ("(", ")") if "exit" in command else ("{", "; }")
        script += f"{opening} {command}\n{closing.lstrip('; ')} >/tmp/out 2>&1; echo \"STEP {number} $?\"; sed 's/^/| /' /tmp/out\n"
    script += "echo END\n"
    result = subprocess.run(["unshare", "-m", "-n", "-p", "-f", "--kill-child", "/bin/sh", "-c", NAMESPACE], input=script,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C"})
    if result.returncode == 77:
        tap.skip_all(f"no overlay or namespaces here: {result.stdout.strip()}")
    with open(f"{TOP}/README") as f:
        readme = f.read()
    status, output = {}, {}
    current = None
    for line in result.stdout.splitlines():
        if line.startswith("STEP "):
            current = int(line.split()[1])
            status[current], output[current] = int(line.split()[2]), ""
        elif current is not None:
            output[current] += line + "\n"
    for number, (what, command, written) in enumerate(STEPS):
        tap.is_(status.get(number), 0, f"{number}: {what}") or tap.diag(f"{command}\n{output.get(number, result.stdout[-2000:])}")
        if written:
            tap.ok(command in readme, f"{number}: the README says so", command)
    tap.is_(result.stdout.splitlines()[-1:], ["END"], "all steps ran")
    tap.done()


main()
