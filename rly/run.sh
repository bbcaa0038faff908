#!/bin/sh
# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# Keeps the tunnel of this folder open: connects, and connects again whenever the connection ends,
# until the tunnel's grant has ended. It may be copied with the folder to anywhere and started from
# anywhere: DIR/run, or `busybox sh DIR/run`. It needs a POSIX shell and OpenSSH's ssh or dropbear's
# dbclient; curl or wget help it to know when the grant has ended. It runs in the foreground and
# says on stderr what it does, a line an event; when the relay listens, `connected:` and the URLs.
#
# Exit status: 0 the grant has ended; 1 it cannot run here; 2 usage; 128 + N it was ended by signal
# N.
#
# When has the grant ended? A refused login alone does not say so: a relay that cannot reach its
# Redis refuses, too.
#   - The relay is asked, over HTTPS, for the tunnel's own URL: 410, twice, is its word that the
#     tunnel has ended.
#   - Where it cannot be asked or answers something else, the end that the folder was made with
#     counts: once that is past and logins have been refused for an hour without a break, it is
#     over. This device's clock need not be right: a tunnel that lives for two hours has ended when
#     this script has run for two hours.
#   - A tunnel that was seen alive past that end was extended, nobody here knows until when: then a
#     day instead of the hour.
#   - 404, never heard of it: the record of a tunnel's end is kept for a day. An hour of that and
#     refusals, whatever the clock says.
# RELAY_PATIENCE is the hour, in seconds; the day is 24 times as long.
#
# A copy of this folder that runs elsewhere takes the tunnel from this one, and this one takes it
# back, for ever. The sign of it: the relay ends the connection soon after it began, again and
# again, and the tunnel's URL answers while this script is not connected. Then it says so, and waits
# for minutes between its tries, as the other one does; each serves for as long.
set -u

if [ $# -gt 0 ]; then
    echo "usage: run   (in a folder that \`rly open' made, or a copy; it takes no arguments)" >&2
    exit 2
fi
self=$(readlink -f -- "$0" 2>/dev/null) || self=$0
CDPATH='' cd -- "$(dirname -- "$self")" || exit 1

tunnel=
log() { printf 'relay-tunnel%s: %s\n' "$tunnel" "$*" >&2; }
die() { log "$*"; exit 1; }

# --- what the folder says

setting() { sed -n "s/^ *$1 //p" config | head -n 1; }

if [ ! -r config ] || [ ! -r known_hosts ]; then
    die "no config and known_hosts beside $self: keep this script in its folder"
fi
# `# run: tunnel ID from SECONDS to SECONDS ask URL`
read -r _ _ _ id _ from _ end _ url <<EOF
$(grep '^# run: tunnel ' config)
EOF
[ -n "$url" ] || die "config has no line \`# run: tunnel …', which rly wrote there"
tunnel=" $id"
host=$(setting HostName) port=$(setting Port) user=$(setting User) proxy=$(setting ProxyCommand)
patience=${RELAY_PATIENCE:-3600}
urls=$(sed -n 's/^# run: serves //p' config | tr '\n' ' ')
until=$(sed -n 's/^# Tunnel [^ ]*, until \([^ ]*\) .*/\1/p' config | head -n 1)
nforwards=$(grep -c '^ *RemoteForward ' config)

# --- a place for a pipe, and for dropbear's home

state=
for base in "${TMPDIR:-/tmp}" /run /var/run /dev/shm .; do
    state=$base/relay-run.$$
    # mkdir is the check that nobody else has made it
    mkdir -m 700 "$state" 2>/dev/null && break
    state=
done
[ -n "$state" ] ||
    die "cannot make a directory in ${TMPDIR:-/tmp}, /run, /var/run, /dev/shm or this folder"
trap 'rm -rf "$state"' EXIT
case $state in /*) ;; *) state=$(pwd)/$state ;; esac
mkfifo "$state/log" 2>/dev/null || mknod "$state/log" p || die "cannot make a pipe in $state"

# --- signals: the child that runs is ended, and then this script ends

stop='' child=''
on_signal() {
    stop=$1
    [ -z "$child" ] || kill "$child" 2>/dev/null
}
trap 'on_signal 1' HUP
trap 'on_signal 2' INT
trap 'on_signal 15' TERM

finish() {
    log "ended by signal $stop"
    exit $((128 + stop))
}

# Waits for $child to end; its $status. A signal ends `wait' before that, so it is asked until the
# child is gone.
wait_child() {
    [ -z "$stop" ] || kill "$child" 2>/dev/null
    while :; do
        wait "$child"
        status=$?
        if [ $status = 127 ] || ! kill -0 "$child" 2>/dev/null; then break; fi
    done
    child=
}

pause() {
    sleep "$1" &
    child=$!
    wait_child
    [ -z "$stop" ] || finish
}

# --- time and chance

# $now: seconds by a clock that nobody sets
look_at_clock() {
    if read -r now _ 2>/dev/null </proc/uptime; then now=${now%%.*}; else now=$(date +%s); fi
}

# $random: 0 to 65535. Not awk's alone: devices that were switched on together would have the same.
draw() {
    random=$(od -A n -N 2 -t u2 /dev/urandom 2>/dev/null | tr -d ' ')
    case $random in
        '' | *[!0-9]*) random=$(hexdump -n 2 -e '"%u"' /dev/urandom 2>/dev/null) ;;
    esac
    case $random in
        '' | *[!0-9]*)
            random=$(awk -v "seed=$(setting RemoteForward | cut -d ' ' -f 1 | tr -dc 0-9)" \
                -v "pid=$$" 'BEGIN {
                    srand(); srand((srand() + seed + pid) % 2147483647)
                    rand(); print int(rand() * 65536)
                }' 2>/dev/null)
            ;;
    esac
    case $random in '' | *[!0-9]*) random=$$ ;; esac
}

# --- the client

client=
find_client() {
    for program in ssh dbclient dropbearmulti; do
        command -v $program >/dev/null || continue
        # dropbearmulti knows no -V, but names itself when it explains that
        case $($program -V 2>&1 </dev/null) in
            OpenSSH*) client=openssh ssh=$program && return ;;
            Dropbear*) [ -n "$client" ] || client=dropbear ssh=$program ;;
        esac
    done
}

# dropbear reads its own format of keys, and pins host keys in $HOME/.ssh/known_hosts under the
# host's name.
prepare_dropbear() {
    # It splits its argument at each colon.
    target=$(sed -n 's/^ *RemoteForward [^ ]* \(\[.*\)/\1/p' config | head -n 1)
    [ -z "$target" ] ||
        die "dropbear's client cannot forward to $target, an IPv6 address: install OpenSSH's ssh," \
            "or open the tunnel with a name of this device for it, such as localhost"
    mkdir -m 700 "$state/.ssh"
    sed "s/^[^ ]* /$host /" known_hosts >"$state/.ssh/known_hosts" ||
        die "cannot write $state/.ssh/known_hosts"
    key=id_relay.dropbear
    if [ ! -e $key ]; then
        [ -e id_relay ] || die "there is no private key: put the device's own here, as id_relay"
        key=id_relay
        if grep -q '^-----BEGIN' id_relay && command -v dropbearconvert >/dev/null; then
            key=$state/key
            (umask 077 && dropbearconvert openssh dropbear id_relay "$key" >/dev/null 2>&1) ||
                die "dropbearconvert cannot read id_relay; is it encrypted?"
        fi
    fi
}

# How the client tells that the relay listens. OpenSSH says so of each address, when it is asked to
# (LogVerbose, from 8.5 on). An older one and dropbear only name what was refused. They ask for one
# address more, last of all, that no key may have: answers come in the order of the requests (RFC
# 4254, 4), so when that one is refused the others are all answered.
confirm=probe probe=run-knows-by-this-refusal-that-it-is-connected
prepare_openssh() {
    if "$ssh" -G -F none -o LogVerbose=none relay >/dev/null 2>&1 </dev/null; then
        confirm=words
    else
        {
            sed -n p config &&
                printf 'Match originalhost relay\n    RemoteForward %s:1 127.0.0.1:9\n' $probe
        } >"$state/config"
    fi
    # OpenSSH 9.9 has a post-quantum key exchange that a small device does in no time, but begins
    # with another, which takes it seconds.
    kex=^mlkem768x25519-sha256
    "$ssh" -G -F none -o "KexAlgorithms=$kex" relay >/dev/null 2>&1 </dev/null || kex=
}

# Becomes the client. About a host key of a type that is not pinned dropbear asks at the terminal:
# setsid leaves it none, and then it reads its standard input, for ever where that is at its end.
# There it finds its `n'.
run_client() {
    if [ $client = openssh ]; then
        # This folder's own files, also where config would look for others first.
        set -- -N -T -o BatchMode=yes -o UserKnownHostsFile=known_hosts
        [ ! -e id_relay ] || set -- "$@" -o IdentityFile=id_relay
        [ -z "$kex" ] || set -- "$@" -o "KexAlgorithms=$kex"
        if [ $confirm = words ]; then
            exec "$ssh" "$@" -F config -o 'LogVerbose=*:ssh_confirm_remote_forward():*' relay
        fi
        exec "$ssh" "$@" -F "$state/config" -o ExitOnForwardFailure=no relay
    fi
    set -- -N -T -K 15 -i "$key" -p "$port"
    [ -z "$proxy" ] || set -- "$@" -J "$proxy"
    while read -r _ listen target; do
        set -- "$@" -R "$listen:$target"
    done <<EOF
$(grep '^ *RemoteForward ' config)
EOF
    set -- "$ssh" "$@" -R "$probe:1:127.0.0.1:9" "$user@$host"
    [ "$ssh" != dropbearmulti ] || { shift && set -- dropbearmulti dbclient "$@"; }
    ! command -v setsid >/dev/null || set -- setsid "$@"
    echo n >"$state/no"
    HOME=$state exec "$@" <"$state/no"
}

say_connected() {
    log "connected: ${urls:-the tunnel }is served until $until, unless it is extended or closed"
}

# A client that does not end by itself when an address is refused.
end_client() {
    [ $confirm = probe ] || return
    pid=
    while ! read -r pid <"$state/pid"; do sleep 1; done
    kill "$pid" 2>/dev/null
}

# Passes on what the client says; exit status: 10 it was refused, 11 it did not reach the relay, 12
# it was let in and could not listen, 13 the relay has ended the connection, 0 none of these.
listen_to_client() {
    said=0 confirmed=0
    while IFS= read -r line; do
        line=${line%"$(printf '\r')"}
        case $line in
            *'ssh_confirm_remote_forward('*': remote forward success for: '*)
                confirmed=$((confirmed + 1))
                [ $confirmed != "$nforwards" ] || say_connected
                continue
                ;;
            # ssh says so once more.
            *'ssh_confirm_remote_forward('*': remote forward failure for: '*) continue ;;
            *'port forwarding failed for listen port 1' | \
                *'TCP forward request failed (port 1 -> '*)
                [ $said = 12 ] || say_connected
                continue
                ;;
        esac
        line=${line#*ssh_confirm_remote_forward()*'): '}
        case $line in
            # config may name where the device's own key was, too; and openssl talks of
            # certificates, which nobody looks at here
            '' | 'no such identity: '* | depth=* | 'verify error:'* | 'verify return:'*) continue ;;
            *'Permission denied ('* | *'No auth methods could be used'*) said=10 ;;
            *'port forwarding failed'* | *'TCP forward request failed'*)
                [ $said = 12 ] || end_client
                said=12
                ;;
            'ssh: connect to host '* | 'ssh: Could not resolve '* | *': Connect failed: '* | \
                *': Error resolving '* | \
                *' during banner exchange'* | *connect:errno=*) said=11 ;;
            *' closed by remote host.' | *'Remote closed the connection')
                [ $said != 0 ] || said=13
                ;;
        esac
        log "$ssh: $line"
    done
    exit $said
}

# One connection, from start to end: its exit status in $code, $said, and for how long it $lasted.
connect() {
    look_at_clock
    began=$now
    : >"$state/pid"
    listen_to_client <"$state/log" &
    listener=$!
    run_client </dev/null >"$state/log" 2>&1 &
    child=$!
    echo $child >"$state/pid"
    wait_child
    code=$status
    child=$listener
    [ -z "$stop" ] || child=
    if [ -n "$child" ]; then wait_child; said=$status; fi
    [ -z "$stop" ] || finish
    look_at_clock
    lasted=$((now - began))
}

# --- whether it is over

# $answer: the HTTP status of the tunnel's own URL, or nothing. The certificate is checked where the
# program can; it is asked only after a relay with the right host key has refused the key.
ask_relay() {
    if command -v curl >/dev/null; then
        exec curl -q -s -I -m 20 -o /dev/null -w '%{http_code}\n' "$url"
    fi
    limit=
    if timeout 5 true; then
        limit='timeout 20'
    elif timeout -t 5 true; then
        limit='timeout -t 20'
    fi
    # shellcheck disable=SC2086  # words
    $limit wget -S --spider "$url" 2>&1 |
        sed -n 's/.*HTTP\/[0-9.]* \([0-9][0-9][0-9]\).*/\1/p' | tail -n 1
}

ask() {
    ask_relay </dev/null >"$state/answer" 2>/dev/null &
    child=$!
    wait_child
    [ -z "$stop" ] || finish
    answer=
    read -r answer <"$state/answer"
}

# Whether the end that the folder was made with is past: by the time that this script has run, or by
# the device's clock.
is_past_end() {
    look_at_clock
    [ $((now - start)) -ge $((end - from)) ] || [ "$(date +%s)" -ge "$end" ]
}

# After a refused login. Sets $reason when it is over.
is_over() {
    look_at_clock
    [ -n "$refused_since" ] || refused_since=$now
    ask
    case $answer in
        410) gone=$((gone + 1)) ;;
        *) gone=0 ;;
    esac
    reason="the relay says so"
    [ $gone -lt 2 ] || return 0
    needed=
    if [ "$answer" = 404 ]; then
        needed=$patience
        reason="the relay does not know it"
    elif is_past_end; then
        needed=$patience
        [ -z "$extended" ] || needed=$((patience * 24))
        reason="its time is over"
    fi
    look_at_clock
    [ -n "$needed" ] && [ $((now - refused_since)) -ge "$needed" ]
}

# After the relay has ended a connection. Whether another copy of this folder has the tunnel:
# somebody has it, or, where nobody can be asked, it has been so for a while.
is_taken() {
    [ $lasted -lt 600 ] || evicted=0
    evicted=$((evicted + 1))
    [ $evicted -ge 2 ] || return 1
    ask
    case $answer in
        404 | 410 | 503) evicted=1 && return 1 ;;
        '' | 000) [ $evicted -ge 5 ] ;;
    esac
}

# --- the loop

find_client
[ -n "$client" ] || die "neither ssh (OpenSSH) nor dbclient (dropbear) is installed"
if [ $client = dropbear ]; then prepare_dropbear; else prepare_openssh; fi
chmod 600 id_relay id_relay.dropbear 2>/dev/null

look_at_clock
start=$now said=0 backoff=2 refused_since='' gone=0 extended='' evicted=0
log "connecting to $host with $ssh ($client)"
while :; do
    connect
    taken=
    case $said in
        10)
            if is_over; then
                log "the grant has ended, $reason: not connecting again"
                exit 0
            fi
            ;;
        12) refused_since='' gone=0 ;;
        0 | 13)
            # A session that lasted makes all that was before it void.
            if [ $lasted -ge 30 ]; then
                backoff=2 refused_since='' gone=0
                ! is_past_end || extended=yes
            fi
            if [ "$said" = 13 ] && is_taken; then taken=yes; fi
            ;;
    esac
    draw
    delay=$((backoff / 2 + random % (backoff / 2 + 1)))
    [ $gone = 0 ] || [ $delay -ge 10 ] || delay=10
    if [ -n "$taken" ]; then
        log "another copy of this folder has the tunnel: does it run elsewhere, too?" \
            "Only one may; each takes it from the other"
        delay=$((150 + random % 151))
    fi
    log "the connection ended after $lasted s (exit status $code); the next try is in $delay s"
    backoff=$((backoff * 2))
    [ $backoff -le 60 ] || backoff=60
    pause $delay
done
