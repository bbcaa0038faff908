#!/usr/bin/python3
# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A gRPC service on a device: h2c:// behind, HTTP/2 with TLS in front; Python's grpcio at both
ends."""
import os
import threading
import time
from concurrent import futures

os.environ["GRPC_VERBOSITY"] = "NONE"
for proxy in ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
    os.environ.pop(proxy, None)
import grpc

from lib import Rig, tap, test, wait, within

MB = 1024 * 1024


class Service(grpc.GenericRpcHandler):
    """Messages are plain bytes: no protoc is needed."""
    def service(self, details):
        method = details.method.rpartition("/")[2]
        unary = grpc.unary_unary_rpc_method_handler
        return {
            "Echo":
            unary(lambda message, context: message),
            "Meta":
            unary(self.meta),
            "Fail":
            unary(self.fail),
            "Slow":
            unary(lambda message, context: time.sleep(float(message)) or b"done"),
            "Count":
            grpc.unary_stream_rpc_method_handler(self.count),
            "Sum":
            grpc.stream_unary_rpc_method_handler(
                lambda messages, context: str(sum(map(len, messages))).encode()),
            "Chat":
            grpc.stream_stream_rpc_method_handler(lambda messages, context:
                                                  (b"re: " + m for m in messages)),
        }.get(method)

    @staticmethod
    def meta(message, context):
        context.set_trailing_metadata((("x-trailer", "at the end"), ))
        context.send_initial_metadata((("x-initial", "at the start"), ))
        return ";".join(f"{k}={v}" for k, v in context.invocation_metadata()
                        if isinstance(v, str)).encode()

    @staticmethod
    def fail(message, context):
        context.set_trailing_metadata((("x-why", "because"), ))
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "the printer is on fire")

    @staticmethod
    def count(message, context):
        for i in range(int(message)):
            yield f"{i} {time.time()}".encode()
            time.sleep(0.5)


def status_of(function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except grpc.RpcError as e:
        return e.code()
    return grpc.StatusCode.OK


def check_calls(channel, mpm):
    echo = channel.unary_unary("/test.Device/Echo")
    tap.is_(echo(b"hello", timeout=10), b"hello", f"{mpm}: a unary call")
    big = os.urandom(3 * MB)
    tap.ok(echo(big, timeout=30) == big, f"{mpm}: 3 MB there and back")
    tap.is_(echo(b"", timeout=10), b"", f"{mpm}: an empty message")
    answer, call = channel.unary_unary("/test.Device/Meta").with_call(b"",
                                                                      metadata=(("x-ask", "me"),
                                                                                ("x-forwarded-for",
                                                                                 "6.6.6.6")),
                                                                      timeout=10)
    tap.like(answer.decode(), r"(^|;)x-ask=me(;|$)", f"{mpm}: metadata reach the device")
    tap.like(answer.decode(), r"(^|;)x-forwarded-for=127\.0\.0\.1(;|$)",
             f"{mpm}: X-Forwarded-For is the relay's")
    tap.unlike(answer.decode(), r"6\.6\.6\.6", f"{mpm}: and not the visitor's")
    tap.ok(("x-initial", "at the start") in call.initial_metadata(),
           f"{mpm}: initial metadata come back", call.initial_metadata())
    tap.ok(("x-trailer", "at the end") in call.trailing_metadata(), f"{mpm}: and trailing ones",
           call.trailing_metadata())
    try:
        channel.unary_unary("/test.Device/Fail")(b"", timeout=10)
        failed = None
    except grpc.RpcError as e:
        failed = e
    tap.is_((failed.code(), failed.details(), dict(failed.trailing_metadata() or ()).get("x-why")),
            (grpc.StatusCode.FAILED_PRECONDITION, "the printer is on fire", "because"),
            f"{mpm}: an error's status, in trailers")
    tap.is_(status_of(channel.unary_unary("/test.Device/None"), b"", timeout=10),
            grpc.StatusCode.UNIMPLEMENTED, f"{mpm}: a method that does not exist")
    late = [
        time.time() - float(m.split()[1])
        for m in channel.unary_stream("/test.Device/Count")(b"5", timeout=20)
    ]
    tap.ok(
        len(late) == 5 and max(late) < 0.5, f"{mpm}: a server's stream arrives message by message",
        late)
    tap.is_(
        channel.stream_unary("/test.Device/Sum")(iter([b"x" * 10000] * 100), timeout=20),
        b"1000000", f"{mpm}: a client's stream")
    got = list(channel.stream_stream("/test.Device/Chat")(iter([b"a", b"b", b"c"]), timeout=10))
    tap.is_(got, [b"re: a", b"re: b", b"re: c"], f"{mpm}: streams both ways")
    tap.is_(status_of(channel.unary_unary("/test.Device/Slow"), b"5", timeout=0.5),
            grpc.StatusCode.DEADLINE_EXCEEDED, f"{mpm}: a deadline")
    began = time.monotonic()
    results = list(
        futures.ThreadPoolExecutor(20).map(
            lambda i: echo(str(i).encode() * 1000, timeout=20) == str(i).encode() * 1000,
            range(200)))
    tap.ok(all(results), f"{mpm}: 200 calls, 20 at once, in {time.monotonic() - began:.1f} s")


def ping_pong(channel):
    """A chat in which each side waits for the other."""
    gate, said = threading.Semaphore(1), []

    def messages():
        for i in range(5):
            if not gate.acquire(timeout=5):
                return
            yield str(i).encode()

    for answer in channel.stream_stream("/test.Device/Chat")(messages(), timeout=20):
        said.append(answer)
        gate.release()
    return said


def check_mpm(mpm):
    rig = Rig(mpm=mpm)
    server = grpc.server(futures.ThreadPoolExecutor(32), handlers=(Service(), ))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    tunnel = rig.open(f"h2c://127.0.0.1:{port}")
    rig.connect(tunnel)
    with open(rig.ca, "rb") as f:
        credentials = grpc.ssl_channel_credentials(f.read())
    options = (("grpc.ssl_target_name_override", rig.host(tunnel)),
               ("grpc.default_authority",
                f"{rig.host(tunnel)}:{rig.https_port}"), ("grpc.max_receive_message_length", -1))
    with grpc.secure_channel(f"127.0.0.1:{rig.https_port}", credentials, options) as channel:
        check_calls(channel, mpm)
        tap.is_(ping_pong(channel), [f"re: {i}".encode() for i in range(5)],
                f"{mpm}: a chat, each waiting for the other")
        server.stop(0).wait()
        server = grpc.server(futures.ThreadPoolExecutor(32), handlers=(Service(), ))
        server.add_insecure_port(f"127.0.0.1:{port}")
        server.start()
        codes = [
            status_of(channel.unary_unary("/test.Device/Echo"), b"x", timeout=10) for _ in range(20)
        ]
        tap.ok(
            codes[2:] == [grpc.StatusCode.OK] * 18 and
            set(codes) <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE},
            f"{mpm}: a restart of the service costs no more than a call for each process of "
            "httpd's", codes)
        rig.rly("close", tunnel["id"])
        ended = wait(
            lambda: status_of(channel.unary_unary("/test.Device/Echo"), b"x", timeout=10) != grpc.
            StatusCode.OK, 5)
        tap.ok(within(1.0, ended), f"{mpm}: no call a second after the tunnel's end", ended)
        codes = {
            status_of(channel.unary_unary("/test.Device/Echo"), b"x", timeout=10)
            for _ in range(5)
        }
        tap.ok(grpc.StatusCode.OK not in codes, f"{mpm}: nor any later", codes)
    server.stop(0)
    rig.ends_cleanly(f"{mpm}: the rig")


@test
def event():
    check_mpm("event")


@test
def worker():
    check_mpm("worker")


tap.run()
