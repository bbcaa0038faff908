# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Many idle tunnels from one process, for scale.py. It reads lines `LISTEN-ADDRESS LISTEN-PORT
KEYFILE` from stdin, and connects each to HOST PORT as USER with a forward to TARGET-PORT, a few at
a time. It prints `up N` now and then, and stays until stdin ends.

usage: idleclient.py HOST PORT USER TARGET-PORT AT-ONCE
"""
import asyncio
import sys

import asyncssh


async def connect(host, port, user, target, line, gate, kept):
    address, listen, keyfile = line.split()
    async with gate:
        for attempt in range(5):
            try:
                # The key exchange and the cipher are quick at both ends; the keepalives are the
                # bundle's.
                conn = await asyncssh.connect(host,
                                              port,
                                              username=user,
                                              client_keys=[keyfile],
                                              known_hosts=None,
                                              config=None,
                                              agent_path=None,
                                              kex_algs=["curve25519-sha256"],
                                              encryption_algs=["aes128-gcm@openssh.com"],
                                              compression_algs=["none"],
                                              keepalive_interval=27,
                                              keepalive_count_max=8,
                                              login_timeout=120,
                                              connect_timeout=60,
                                              gss_host=None)
                kept.append((conn, await conn.forward_remote_port(address, int(listen), "127.0.0.1",
                                                                  target)))
                break
            except (OSError, asyncssh.Error) as e:
                if attempt == 4:
                    sys.stderr.write(f"{line}: {e}\n")
                await asyncio.sleep(1 + attempt)
    if len(kept) % 50 == 0:
        print(f"up {len(kept)}", flush=True)


async def main():
    host, port, user, target, at_once = sys.argv[1:]
    port, target, at_once = int(port), int(target), int(at_once)
    gate, kept = asyncio.Semaphore(at_once), []
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        if line.strip() == "go":
            continue
        lines = [line]
        while (line := await loop.run_in_executor(None,
                                                  sys.stdin.readline)) and line.strip() != "go":
            lines.append(line)
        await asyncio.gather(*(connect(host, port, user, target, item, gate, kept)
                               for item in lines))
        print(f"done {len(kept)}", flush=True)


asyncio.run(main())
