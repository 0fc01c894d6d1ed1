#!/usr/bin/python3
"""A volume driver in Python: a pool of sparse files in a directory.

Needs Debian's python3-grpcio, python3-protobuf and python3-cryptography. To try
it:

    go run ./driver/plugin/certify examples/plugin-volume-python/plugin.py

What each call promises is said in driver/volume/volume.go and in the comments
of driver/plugin/proto; host.py has what every plugin in Python needs.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading

sys.dont_write_bytecode = True  # the program's directory is not ours to write to
# The host tells where the program is: a pinned one runs from a copy elsewhere.
sys.path.insert(0, os.path.dirname(os.environ.get("NEPHOS_PLUGIN_PATH") or os.path.abspath(__file__)))

import host  # noqa: E402
from nephos.driver.v1 import driver_pb2  # noqa: E402
from nephos.volume.v1 import volume_pb2 as pb  # noqa: E402

GIB = 1 << 30
MAX_GIB = 1 << 20
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")


class Pool:
    """Volumes are files: ID.raw has the bytes, ID.json what else is known.

    The sheet of JSON makes the volume: it is written last and removed first, so
    that a plugin which was killed finds whole volumes only.
    """

    def __init__(self, directory):
        self.directory = directory
        self.lock = threading.Lock()
        os.makedirs(directory, mode=0o700, exist_ok=True)
        for name in os.listdir(directory):  # of calls that a kill cut short
            if name.startswith(".tmp-"):
                os.unlink(os.path.join(directory, name))

    # The required calls.

    def Create(self, request, call):
        self.check(request.id, request.spec)
        with self.lock:
            if not self.there(request.id, request.spec.size_gib):
                with self.temporary() as path:
                    os.truncate(path, request.spec.size_gib * GIB)
                    self.keep(request.id, path, request.spec)
        return pb.CreateResponse()

    def Delete(self, request, call):
        self.check(request.id)
        with self.lock:
            sheet = self.sheet(request.id)
            if sheet and sheet["attachments"]:
                raise host.Conflict(f"delete volume {request.id}: it is connected")
            for path in (self.path(request.id, "json"), self.path(request.id, "raw")):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
        return pb.DeleteResponse()

    def Get(self, request, call):
        self.check(request.id)
        return pb.GetResponse(volume=self.info(request.id, self.known(request.id)))

    def List(self, request, call):
        volumes = []
        for name in sorted(os.listdir(self.directory)):
            volume, extension = os.path.splitext(name)
            sheet = self.sheet(volume) if extension == ".json" and NAME.match(volume) else None
            if sheet:
                volumes.append(self.info(volume, sheet))
        return pb.ListResponse(volumes=volumes)

    def Connect(self, request, call):
        self.check(request.id, attachment=request.connector.attachment_id)
        with self.lock:
            sheet = self.known(request.id)
            others = set(sheet["attachments"]) - {request.connector.attachment_id}
            if others:
                raise host.Conflict(f"connect volume {request.id}: it is connected already")
            sheet["attachments"][request.connector.attachment_id] = request.connector.host
            self.write(request.id, sheet)
        # The path lies below the plugin's own directory: the host refuses others.
        return pb.ConnectResponse(connection=driver_pb2.Connection(type="file", path=self.path(request.id, "raw")))

    def Disconnect(self, request, call):
        self.check(request.id, attachment=request.connector.attachment_id)
        with self.lock:
            sheet = self.sheet(request.id)
            if sheet and sheet["attachments"].pop(request.connector.attachment_id, None) is not None:
                self.write(request.id, sheet)
        return pb.DisconnectResponse()

    def Stats(self, request, call):
        disk = os.statvfs(self.directory)
        allocated = sum(v.size_gib for v in self.List(request, call).volumes)
        return pb.StatsResponse(stats=pb.Stats(
            total_gib=disk.f_blocks * disk.f_frsize / GIB, free_gib=disk.f_bavail * disk.f_frsize / GIB,
            allocated_gib=allocated, backend="python", protocol="file", thin=True))

    # The abilities: each is offered by its name, at the end of this file.

    def Extend(self, request, call):
        self.check(request.id)
        if not 1 <= request.size_gib <= MAX_GIB:
            raise host.Invalid(f"extend volume {request.id}: a size of {request.size_gib} GiB")
        with self.lock:
            sheet = self.known(request.id)
            if request.size_gib < sheet["size_gib"]:
                raise host.Invalid(f"extend volume {request.id}: it has {sheet['size_gib']} GiB already")
            os.truncate(self.path(request.id, "raw"), request.size_gib * GIB)
            sheet["size_gib"] = request.size_gib
            self.write(request.id, sheet)
        return pb.ExtendResponse()

    def CreateFromImage(self, request, call):
        self.check(request.id, request.spec)
        if request.format not in ("raw", "qcow2"):
            raise host.Invalid(f"create volume {request.id}: an image of the format {request.format!r}")
        if max(request.size, request.virtual_size) > request.spec.size_gib * GIB:
            raise host.Invalid(f"create volume {request.id}: the image is larger than it")
        with self.lock:
            if self.there(request.id, request.spec.size_gib):
                return pb.CreateFromImageResponse()
        with self.temporary() as path:
            size = 0
            with open(path, "r+b") as file, host.incoming(request.socket, call) as content:
                for piece in content:  # raises if the content breaks off
                    size += len(piece)
                    if size > request.spec.size_gib * GIB:
                        raise host.Invalid(f"create volume {request.id}: the image is larger than it")
                    if host.is_zero(piece):
                        file.seek(len(piece), os.SEEK_CUR)  # stays sparse
                    else:
                        file.write(piece)
            if request.size >= 0 and size != request.size:
                raise host.Invalid(f"create volume {request.id}: the image has {size} bytes, not {request.size}")
            if request.format == "qcow2":
                self.convert(path)
            os.truncate(path, request.spec.size_gib * GIB)
            with self.lock:
                if not self.there(request.id, request.spec.size_gib):
                    self.keep(request.id, path, request.spec)
        return pb.CreateFromImageResponse()

    def Read(self, request, call):
        self.check(request.id)
        with self.lock:
            self.known(request.id)
            file = open(self.path(request.id, "raw"), "rb")
        host.outgoing(request.socket, file)  # sends, and closes the file
        return pb.ReadResponse()

    # What they are made of.

    def check(self, volume, spec=None, attachment=None):
        """Refuses nonsense, and names that would lead out of the directory."""
        for what, name in (("volume", volume), ("attachment", attachment)):
            if name is not None and not NAME.match(name):
                raise host.Invalid(f"the {what} ID {name[:100]!r} has characters that are not allowed, or too few or many")
        if spec is not None and not 1 <= spec.size_gib <= MAX_GIB:
            raise host.Invalid(f"volume {volume}: a size of {spec.size_gib} GiB")

    def path(self, volume, extension):
        return os.path.join(self.directory, f"{volume}.{extension}")

    def sheet(self, volume):
        try:
            with open(self.path(volume, "json"), encoding="utf-8") as file:
                return json.load(file)
        except FileNotFoundError:
            return None

    def known(self, volume):
        sheet = self.sheet(volume)
        if sheet is None:
            raise host.NotFound(f"volume {volume} could not be found")
        return sheet

    def there(self, volume, size_gib):
        """Whether a volume of that ID and size is there: success, once more."""
        sheet = self.sheet(volume)
        if sheet and sheet["size_gib"] != size_gib:
            raise host.Conflict(f"create volume {volume}: it is there with {sheet['size_gib']} GiB")
        return sheet is not None

    @contextlib.contextmanager
    def temporary(self):
        handle, path = tempfile.mkstemp(prefix=".tmp-", dir=self.directory)
        os.close(handle)
        try:
            yield path
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def keep(self, volume, path, spec):
        """Makes the file at the path a volume."""
        with open(path, "rb") as file:
            os.fsync(file.fileno())
        os.rename(path, self.path(volume, "raw"))
        self.write(volume, {"size_gib": spec.size_gib, "name": spec.name, "attachments": {}})

    def write(self, volume, sheet):
        with self.temporary() as path:
            with open(path, "w", encoding="utf-8") as file:
                json.dump(sheet, file)
                file.flush()
                os.fsync(file.fileno())
            os.rename(path, self.path(volume, "json"))

    def convert(self, path):
        """Makes a raw image of one in qcow2, whose format is told, never probed."""
        raw = path + ".raw"
        try:
            done = subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, raw], capture_output=True, check=False)
            if done.returncode:
                raise host.Invalid("converting the image: " + done.stderr.decode(errors="replace")[:500])
            os.rename(raw, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(raw)

    @staticmethod
    def info(volume, sheet):
        return pb.VolumeInfo(id=volume, size_gib=sheet["size_gib"], format="raw")


if __name__ == "__main__":
    directory = os.environ.get("NEPHOS_PLUGIN_DIR")
    if not directory:
        sys.exit("plugin.py: set NEPHOS_PLUGIN_DIR to the directory of the pool")
    host.serve(
        kind="volume", name="python-files", version="1.0",
        abilities=["Extender", "ImageWriter", "ImageReader"],
        service=pb.DESCRIPTOR.services_by_name["Volume"], driver=Pool(directory))
