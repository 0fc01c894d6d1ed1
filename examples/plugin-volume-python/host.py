"""What a plugin in Python needs of its host: the handshake with mutual TLS, the
services that go-plugin asks for, errors, streams and the log.

The comments of driver/plugin/proto/nephos/driver/v1/driver.proto describe all
of it.
"""

import base64
import contextlib
import datetime
import errno
import json
import os
import socket
import struct
import sys
import threading
from concurrent import futures

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from google.protobuf import message_factory, symbol_database

from nephos.driver.v1 import driver_pb2

COOKIE = "c3a1f6a5-0d6b-4d0e-8a55-nephos-driver"
CONTRACT = 1
END, ZEROS, FAULT = 0, 0xFFFFFFFE, 0xFFFFFFFF
MAX_FRAME = 1 << 20
MAX_ZEROS = 1 << 30


class Fault(Exception):
    """An error that keeps its meaning on the other side."""

    code = grpc.StatusCode.UNKNOWN


class Invalid(Fault):
    code = grpc.StatusCode.INVALID_ARGUMENT


class NotFound(Fault):
    code = grpc.StatusCode.NOT_FOUND


class Conflict(Fault):
    code = grpc.StatusCode.FAILED_PRECONDITION


class BrokenOff(Fault):
    code = grpc.StatusCode.DATA_LOSS


def log(level, message, **fields):
    """Writes a line that arrives in the host's log with its level and fields."""
    print(json.dumps({"@level": level, "@message": message, **fields}), file=sys.stderr, flush=True)


# Streams: the host listens, the plugin connects.

NOTHING = bytes(MAX_FRAME)


def is_zero(piece):
    """Whether a piece of at most MAX_FRAME bytes is all zeros, as most of a volume."""
    return piece == (NOTHING if len(piece) == MAX_FRAME else NOTHING[: len(piece)])


def connect(path):
    conn = socket.socket(socket.AF_UNIX)
    conn.connect(path)
    return conn


def exactly(conn, n):
    """Reads n bytes."""
    pieces = bytearray()
    while len(pieces) < n:
        piece = conn.recv(n - len(pieces))
        if not piece:
            raise BrokenOff("the content broke off")
        pieces += piece
    return bytes(pieces)


@contextlib.contextmanager
def incoming(path, call):
    """The content that comes by a socket, in pieces."""
    with connect(path) as conn:
        # A call that is cancelled wakes whoever waits for content.
        call.add_callback(lambda: hang_up(conn))
        yield pieces(conn)


def hang_up(conn):
    with contextlib.suppress(OSError):
        conn.shutdown(socket.SHUT_RDWR)


def pieces(conn):
    while True:
        (n,) = struct.unpack(">I", exactly(conn, 4))
        if n == END:
            return
        if n in (ZEROS, FAULT):
            (size,) = struct.unpack(">I", exactly(conn, 4))
            if n == FAULT:
                fault = driver_pb2.Fault.FromString(exactly(conn, min(size, 1 << 16)))
                raise BrokenOff(fault.message)
            while size:
                step = min(size, MAX_FRAME)
                yield bytes(step)
                size -= step
        elif n > MAX_FRAME:
            raise BrokenOff(f"a frame of {n} bytes")
        else:
            yield exactly(conn, n)


def outgoing(path, file):
    """Sends a file's content and closes it. Returns once it is connected."""
    try:
        conn = connect(path)
    except OSError:
        file.close()
        raise
    threading.Thread(target=send, args=(conn, file), daemon=True).start()


def send(conn, file):
    with conn, file, contextlib.suppress(ConnectionError):  # the host may hang up
        offset, size = 0, os.fstat(file.fileno()).st_size
        while offset < size:
            try:
                data = os.lseek(file.fileno(), offset, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                data = size  # nothing but a hole is left
            if data > offset:
                step = min(data - offset, MAX_ZEROS)
                conn.sendall(struct.pack(">II", ZEROS, step))
            else:
                piece = os.pread(file.fileno(), MAX_FRAME, offset)
                step = len(piece)
                if not step:
                    raise OSError("the file became shorter")
                conn.sendall(struct.pack(">I", step) + piece)
            offset += step
        conn.sendall(struct.pack(">I", END))


# Services.


def answering(method):
    """Wraps a driver's method so that its errors become statuses."""

    def answer(request, call):
        try:
            return method(request, call)
        except Fault as fault:
            call.abort(fault.code, str(fault)[:4096])
        except OSError as error:
            log("error", "a call failed", error=str(error))
            call.abort(grpc.StatusCode.UNKNOWN, str(error)[:4096])

    return answer


def handlers(service, driver):
    """Serves those of a service's methods that the driver has."""
    # Messages by their names: older and newer protobuf differ.
    get = getattr(message_factory, "GetMessageClass", None) or symbol_database.Default().GetPrototype
    methods = {}
    for method in service.methods:
        if hasattr(driver, method.name):
            methods[method.name] = grpc.unary_unary_rpc_method_handler(
                answering(getattr(driver, method.name)),
                request_deserializer=get(method.input_type).FromString,
                response_serializer=get(method.output_type).SerializeToString)
    return grpc.method_handlers_generic_handler(service.full_name, methods)


def plain(service, method, answer):
    """Serves a method whose messages are bytes to us."""
    return grpc.method_handlers_generic_handler(
        service, {method: grpc.unary_unary_rpc_method_handler(lambda request, call: answer())})


class Plugin:
    """nephos.driver.v1.Plugin."""

    def __init__(self, **about):
        self.about = about

    def Describe(self, request, call):
        return driver_pb2.DescribeResponse(**self.about)


def certificate():
    """A key and a certificate for this run alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.utcnow()
    cert = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1)).not_valid_after(now + datetime.timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256()))
    return key, cert


def serve(kind, name, version, abilities, service, driver):
    """Runs the driver as a plugin until the host ends it or is gone."""
    if os.environ.get("NEPHOS_PLUGIN") != COOKIE:
        sys.exit(f"{sys.argv[0]}: this is a plugin: Nephos starts it, and by hand it does nothing")
    if str(CONTRACT) not in os.environ.get("PLUGIN_PROTOCOL_VERSIONS", "").split(","):
        log("error", "the host does not speak this contract", wanted=CONTRACT)
    key, cert = certificate()
    ended = threading.Event()

    def shutdown():
        ended.set()
        return b""

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=64))
    server.add_generic_rpc_handlers((
        handlers(service, driver),
        handlers(driver_pb2.DESCRIPTOR.services_by_name["Plugin"], Plugin(kind=kind, name=name, version=version, abilities=abilities)),
        plain("grpc.health.v1.Health", "Check", lambda: b"\x08\x01"),  # HealthCheckResponse{status: SERVING}
        plain("plugin.GRPCController", "Shutdown", shutdown),
    ))
    credentials = grpc.ssl_server_credentials(
        [(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
          cert.public_bytes(serialization.Encoding.PEM))],
        root_certificates=os.environ["PLUGIN_CLIENT_CERT"].encode(), require_client_auth=True)
    path = os.path.join(os.environ["PLUGIN_UNIX_SOCKET_DIR"], "python.sock")
    server.add_secure_port("unix:" + path, credentials)
    server.start()
    der = base64.b64encode(cert.public_bytes(serialization.Encoding.DER)).decode().rstrip("=")
    print(f"1|{CONTRACT}|unix|{path}|grpc|{der}", flush=True)

    def watch():
        # The host holds the other end of standard input, which ends with it.
        while sys.stdin.buffer.read(4096):
            pass
        ended.set()

    threading.Thread(target=watch, daemon=True).start()
    ended.wait()
    server.stop(grace=0.2).wait()
    os._exit(0)  # whatever a call was doing is told by what it left
