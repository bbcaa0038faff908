# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The kernel's sock_diag tells what listens on this host (TCP). /proc/net/tcp has all other
connections, too: with the thousands in TIME-WAIT that a test of many requests leaves behind, a look
there takes longer than what it waits for."""
import socket
import struct

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST, NLM_F_DUMP = 1, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
TCP_LISTEN = 10
HEADER = struct.Struct("=LHHLL")  # nlmsghdr
FIXED = 72  # inet_diag_msg


def listening(family=socket.AF_INET):
    """[(address, port, inode)] of this network namespace."""
    # inet_diag_req_v2: family, protocol, extensions, padding, states, and an id that a dump does
    # not look at
    request = struct.pack("=BBBBL48x", family, socket.IPPROTO_TCP, 0, 0, 1 << TCP_LISTEN)
    size = 4 if family == socket.AF_INET else 16
    found = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as netlink:
        netlink.sendall(
            HEADER.pack(HEADER.size + len(request), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST
                        | NLM_F_DUMP, 1, 0) + request)
        while True:
            data = netlink.recv(1 << 16)
            at = 0
            while at < len(data):
                length, kind = HEADER.unpack_from(data, at)[:2]
                if kind == NLMSG_DONE:
                    return found
                if kind == NLMSG_ERROR:
                    number = -struct.unpack_from("=i", data, at + HEADER.size)[0]
                    raise OSError(number, "sock_diag")
                message = data[at + HEADER.size:at + length]
                port = struct.unpack_from(">H", message, 4)[0]
                inode = struct.unpack_from("=L", message, FIXED - 4)[0]
                found.append((socket.inet_ntop(family, message[8:8 + size]), port, inode))
                at += length + 3 & ~3
