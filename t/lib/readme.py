# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The README's commands, as they stand there, one after the other in one shell; and what must be
true afterwards.

    steps = readme.steps("INSTALL A RELAY") + readme.INSTALLED
    results = readme.results(subprocess.run(…, input=readme.script(steps)).stdout)
"""
import re

from .basics import TOP

GET = r"""get() { # NAME URL: the status and where it leads; the body is in /tmp/answer
    curl -q -s --noproxy '*' --resolve "$1:443:127.0.0.1" --resolve "$1:80:127.0.0.1" \
        -o /tmp/answer -w '%{http_code} %{redirect_url}' --cacert $LIVE/lab-ca.pem "$2"; }
as() { user=$1; shift; setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups "$@"; }
gone() { i=0; while ss -Hltn 'src 127.64.0.0/10' | grep -q .; do
    i=$((i + 1)); test $i -lt 40 || return 1; sleep 0.1; done; }"""

PAGES = "man1/rly.1 man5/mod_relay.5 man5/mod_relay_api.5 man5/relay.conf.5 man7/relay-log.7 " \
    "man8/relay-authkeys.8 man8/relay-redis-setup.8 man8/relayrewrite.8 man8/rlyd.8"

# (what, command, what its output must have)
INSTALLED = [
    ("(functions)", GET, None),
    ("the pages of the manual",
     f"for page in {PAGES}; do grep -q 'Nm rly\\|Nm relay\\|Nm mod_relay' /usr/share/man/$page && "
     "! grep '@[a-z]*@' /usr/share/man/$page || exit 1; done", None),
    ("plain HTTP leads to HTTPS, with the path as it was",
     """get hello.$DOMAIN "http://hello.$DOMAIN/a%2Fb%3F?c=%20" """,
     r"^308 https://hello\.[^/]+/a%2Fb%3F\?c=%20$"),
    ("the bare domain has the virtual host's own content",
     "get $DOMAIN https://$DOMAIN/ && cmp /tmp/answer /var/www/html/index.html", r"^200 $"),
    ("a name that was never opened", "get other.$DOMAIN https://other.$DOMAIN/", r"^404 $"),
    ("relay-authkeys --check", "/usr/libexec/relay-authkeys --check ~/try-relay/hello/id_relay.pub",
     r"(?m)^Granted"),
    ("rly list", "rly list", r"hello"),
    ("the API", "get api.$DOMAIN https://api.$DOMAIN/v1/health && cat /tmp/answer",
     r'^200 {"v":1,"status":"ok"}'),
    ("httpd has as many descriptors as README says",
     """grep 'Max open files' /proc/$(cat /run/apache2/apache2.pid)/limits
     sh -c 'ulimit -n 65536' || echo 'or this machine allows fewer'""",
     r" 65536 +65536 |allows fewer"),
]
PRIVILEGES = [
    ("a program of www-data can connect to Redis, and do nothing there",
     "as www-data redis-cli -s /run/relay-redis/redis.sock SET relay:key:x y", r"NOAUTH"),
    ("… nor read what is there",
     "as www-data redis-cli -s /run/relay-redis/redis.sock HGETALL relay:route:hello", r"NOAUTH"),
    ("other users cannot even connect",
     "as nobody redis-cli -s /run/relay-redis/redis.sock PING; true", r"Permission denied"),
    ("no port", "! ss -Hltn 'sport = :6379' | grep .", None),
    ("www-data can read no password",
     "for f in web authkeys rlyd rly api admin; do ! as www-data cat /etc/relay/redis.d/$f || exit "
     "1; done", r"^(cat: \S+: Permission denied\n){6}$"),
    ("relay-authkeys reads its own",
     "for f in web rlyd rly api admin; do ! as relay-authkeys cat /etc/relay/redis.d/$f || exit 1; "
     "done; "
     "as relay-authkeys cat /etc/relay/redis.d/authkeys",
     r"^(cat: \S+: Permission denied\n){5}[0-9a-f]{48}\n$"),
    ("no password in Redis's files",
     "! grep -rlF -f <(cat /etc/relay/redis.d/*) /etc/relay/redis.acl /etc/relay/redis.conf "
     "/var/lib/relay-redis", None),
    ("nor in a command line or an environment",
     "! cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -F -f "
     "<(cat /etc/relay/redis.d/*)", None),
    ("nor in a log",
     "! grep -rlF -f <(cat /etc/relay/redis.d/*) /var/log /run/systemctl-stand-in 2>/dev/null",
     None),
    ("the administrator gets in",
     "(printf 'AUTH relay-admin '; cat /etc/relay/redis.d/admin; echo ACL WHOAMI) | "
     "redis-cli -s /run/relay-redis/redis.sock", r"OK\nrelay-admin"),
    ("relay-redis-setup again changes nothing",
     "find /etc/relay -ls >/tmp/a; cat /etc/relay/redis.d/* >/tmp/b; relay-redis-setup; find "
     "/etc/relay -ls | cmp - /tmp/a && "
     "cat /etc/relay/redis.d/* | cmp - /tmp/b", r"^$"),
    ("an upgrade that gives a part more rights is said",
     "cp /usr/share/mod_relay/redis-users.conf /tmp/users; sed -i 's/^user relay-web .*/& "
     "+exists/' /usr/share/mod_relay/redis-users.conf; echo 'user other on nopass' "
     ">>/etc/relay/redis.acl; relay-redis-setup",
     r"^relay-redis-setup: not the rights that this version ships: relay-web\. relay-redis-setup "
     r"--rights"),
    ("… and given; other users stay, passwords too",
     "relay-redis-setup --rights; cat /etc/relay/redis.d/* | cmp - /tmp/b; grep -c -e '^user "
     "other on nopass$' "
     "-e '^user relay-web .*+exists #[0-9a-f]*$' -e '^user default off ' /etc/relay/redis.acl",
     r"systemctl restart relay-redis\n3\n$"),
    ("(back again)",
     "cp /tmp/users /usr/share/mod_relay/redis-users.conf; sed -i '/^user other /d' "
     "/etc/relay/redis.acl; relay-redis-setup --rights", None),
    ("a password that is to change, and Redis restarted: it has forgotten nothing",
     "rm /etc/relay/redis.d/rly; relay-redis-setup && systemctl restart relay-redis && rly list",
     r"hello"),
]
FLEET = [
    ("relay-redis-setup --fleet makes users and configuration for a replica",
     "relay-redis-setup --fleet 10.0.0.2 10.0.0.1 && cd /var/lib/relay-redis && stat -c '%a %U %n' "
     "redis.conf sentinel.conf && grep -c -e '^replicaof 10.0.0.1 6379$' -e '^bind 10.0.0.2$' -e "
     "'^replica-announce-ip 10.0.0.2$' redis.conf && ! grep -E '^[^#]*(ADDRESS|PRIMARY|PASSWORD)' "
     "redis.conf sentinel.conf",
     r"(?s)600 relay-redis redis.conf\n600 relay-redis sentinel.conf\n3\n$"),
    ("… with the passwords that it has made",
     "grep -c \"^masterauth $(cat /etc/relay/redis.d/replica)$\" redis.conf; grep -c \"$(cat "
     "/etc/relay/redis.d/sentinel)\" sentinel.conf", r"^1\n3\n$"),
    ("… again changes nothing", "find /etc/relay /var/lib/relay-redis/*.conf -ls >/tmp/a; "
     "relay-redis-setup --fleet 10.0.0.2 10.0.0.1; relay-redis-setup; find /etc/relay "
     "/var/lib/relay-redis/*.conf -ls | cmp - /tmp/a", r"^$"),
    ("… and the first primary follows nobody", "rm redis.conf sentinel.conf; relay-redis-setup "
     "--fleet 127.0.0.1 127.0.0.1 && ! grep '^replicaof' redis.conf && grep -c '^sentinel monitor "
     "relay 127.0.0.1 6379 2$' sentinel.conf", r"1\n$"),
    ("that Redis and that Sentinel start",
     "mkdir -p /tmp/fleet && chown relay-redis /tmp/fleet *.conf && as relay-redis redis-server "
     "$PWD/redis.conf --dir /tmp/fleet --unixsocket '' --daemonize yes --pidfile /tmp/fleet/r && "
     "as relay-redis redis-server $PWD/sentinel.conf --sentinel --daemonize yes --pidfile "
     "/tmp/fleet/s; for i in $(seq 100); do redis-cli -p 26379 SENTINEL get-master-addr-by-name "
     "relay | grep -q 6379 && redis-cli PING | grep -q NOAUTH && break; sleep 0.1; done; redis-cli "
     "-p 26379 SENTINEL get-master-addr-by-name relay; redis-cli PING; redis-cli -p 26379 SENTINEL "
     "MASTERS", r"127.0.0.1\n6379\nNOAUTH.*\n\nNOPERM"),
    ("(ended)", "kill $(cat /tmp/fleet/[rs]); rm -f redis.conf sentinel.conf; cd - >/dev/null",
     None),
]
CLOSED = [
    ("rly close", "rly close hello && sleep 1 && get hello.$DOMAIN https://hello.$DOMAIN/",
     r"410 $"),
    ("… ended the session", "gone", None),
    # (AH01882: the distribution's own packages are of different ages; see riglog.py. RLY111: Redis
    # was restarted)
    ("Apache's logs are clean",
     "! grep -h -E ':(warn|error|crit|alert|emerg)\\]' /var/log/apache2/relay-error.log "
     "/var/log/apache2/error.log | grep -v -E 'AH01882|RLY111'", None),
]
REMOVED = [("Apache is well without", "apachectl configtest && ! apachectl -M | grep relay",
            r"Syntax OK"),
           ("… and runs", "curl -q -s -o /dev/null -w '%{http_code}' http://127.0.0.1/", r"^200$"),
           ("no page of the manual is left",
            f"for page in {PAGES}; do ! test -e /usr/share/man/$page || exit 1; done", None)]


def steps(section):
    """(what, command, None) for each command of a section: lines that are indented by four."""
    with open(f"{TOP}/README") as f:
        text = f.read()
    start = text.index(f"\n{section}\n") + len(section) + 2
    end = re.search(r"(?m)^[A-Z][A-Z .]{3,}$", text[start:])
    lines = text[start:start + end.start() if end else None].replace("\\\n", "")
    return [(f"README: {line.strip()}", line.strip(), None) for line in lines.split("\n")
            if re.match(r" {4}\S", line)]


def script(todo):
    """bash's input that runs them, in one shell as a person would, and says how each went."""
    text = "exec 2>&1\n"
    for number, (_, command, _) in enumerate(todo):
        if command.endswith("&"):
            command += "\nsleep 1"  # as long as a person needs for the next line
        # a step that wants to leave needs a shell of its own
        opening, closing = ("(", ")") if "exit" in command else ("{", "}")
        text += (f"{opening} {command}\n{closing} </dev/null >/tmp/out 2>&1; "
                 f"echo \"STEP {number} $?\"; sed 's/^/| /; $a\\' /tmp/out\n")
    return text + "echo END\n"


def results(output):
    """[(status, output)] of the steps, as far as they ran."""
    found = []
    for line in output.split("\n"):
        match = re.match(r"STEP \d+ (\d+)$", line)
        if match:
            found.append([int(match.group(1)), ""])
        elif found and line.startswith("| "):
            found[-1][1] += line[2:] + "\n"
    return found
