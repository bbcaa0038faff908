# Licensed under the Apache License, Version 2.0; see LICENSE.
"""One HTTP/2 request with exactly the headers that a test wants, and every event of its answer
seen."""
import re
import socket
import ssl

import h2.config
import h2.connection
import h2.events
import h2.exceptions


class Answer:
    """status: a number, or `reset` or `closed` when none came; headers (a dict), body, trailers (a
    dict); ended: whether the answer came to its end; reset: the error code of the stream's reset,
    or None."""
    def __init__(self):
        self.status, self.headers, self.body, self.trailers = "closed", {}, b"", {}
        self.ended, self.reset = False, None


class Connection(h2.connection.H2Connection):
    """Reads on after a GOAWAY without an error, as browsers do: a child of httpd that is not needed
    any more says it and answers all the same. python3-h2 takes what comes then for an error."""
    def _receive_goaway_frame(self, frame):
        return ([], []) if frame.error_code == 0 else super()._receive_goaway_frame(frame)


def _send_body(conn, left):
    """As much as the windows allow; returns what is left, None once all is sent."""
    while left is not None:
        size = min(conn.local_flow_control_window(1), conn.max_outbound_frame_size, len(left))
        if left and size <= 0:
            return left
        conn.send_data(1, left[:size], end_stream=size == len(left))
        left = left[size:] or None
    return None


def _own_name(rig, headers):
    """The name that a browser's connection for this request would have."""
    found = dict(reversed(headers))
    host = re.sub(r":\d+$", "", found.get(":authority", found.get("host", ""))).rstrip(".").lower()
    return host if re.fullmatch(rf"[\w-]+\.{re.escape(rig.domain)}", host) else rig.domain


def connect(rig, sni, timeout=10):
    """A connection with exactly this SNI, or none, whatever the certificate says."""
    context = ssl._create_unverified_context()
    context.set_alpn_protocols(["h2"])
    sock = socket.create_connection((rig.address, rig.https_port), timeout)
    try:
        return context.wrap_socket(sock, server_hostname=sni)
    except BaseException:
        sock.close()
        raise


def request(rig, headers, body=None, name=None, timeout=10, sock=None):
    """headers: a list of pairs, pseudo-headers first. Sends, and reads until the answer is over.
    name: of the connection, if it is not that of the request; sock: the connection."""
    answer = Answer()
    sock = sock or rig.tls(name or _own_name(rig, headers), alpn=["h2"], timeout=timeout)
    with sock:
        conn = Connection(config=h2.config.H2Configuration(header_encoding="latin-1",
                                                           validate_outbound_headers=False,
                                                           normalize_outbound_headers=False))
        conn.initiate_connection()
        conn.send_headers(1, headers, end_stream=body is None)
        left = body
        while not answer.ended and answer.reset is None:
            if answer.status == "closed" or left is None:
                left = _send_body(conn, left)
            sock.sendall(conn.data_to_send())
            data = sock.recv(65536)
            if not data:
                return answer
            for event in conn.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    answer.headers = dict(event.headers)
                    answer.status = int(answer.headers[":status"])
                elif isinstance(event, h2.events.DataReceived):
                    answer.body += event.data
                    conn.acknowledge_received_data(event.flow_controlled_length, 1)
                elif isinstance(event, h2.events.TrailersReceived):
                    answer.trailers = dict(event.headers)
                elif isinstance(event, h2.events.StreamEnded):
                    answer.ended = True
                elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                    answer.reset = int(event.error_code)
        if answer.status == "closed":
            answer.status = "reset"
    return answer
