import json
import os
import subprocess
import time
import unittest
import urllib.request

import openstack


def start():
    """Starts a cloud and returns its process, its clouds.yaml and its URL."""
    process = subprocess.Popen(
        [os.environ.get("TESTCLOUD", "testcloud"), "-stdin", "-clouds", "testcloud.yaml"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:  # it prints its clouds.yaml, and then that it is ready
        if line.startswith("# ready: "):
            return process, "testcloud.yaml", line.removeprefix("# ready: ").strip()
    raise RuntimeError("testcloud ended at once")


class TestMyProgram(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.process, file, cls.url = start()
        cls.config = openstack.config.OpenStackConfig(config_files=[file])
        cls.conn = openstack.connection.Connection(config=cls.config.get_one("testcloud"))

    @classmethod
    def tearDownClass(cls):
        cls.process.stdin.close()  # -stdin: the cloud ends with the test, whatever happens
        cls.process.wait()
        cls.process.stdout.close()

    def setUp(self):
        self.post("/reset")  # each test begins with an empty cloud

    def post(self, path, body=None):
        request = urllib.request.Request(
            self.url + path, method="POST", data=json.dumps(body or {}).encode(),
            headers={"Content-Type": "application/json", "X-Auth-Token": self.conn.auth_token})
        with urllib.request.urlopen(request) as response:
            return json.loads(response.read() or "null")

    def boot(self, name):
        image = self.conn.image.create_image(
            name="image", disk_format="raw", container_format="bare", data=b"an image")
        network = self.conn.network.create_network(name="net")
        self.conn.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.0.0.0/24")
        flavor = self.conn.compute.find_flavor("m1.tiny")
        return self.conn.compute.create_server(
            name=name, image_id=image.id, flavor_id=flavor.id, networks=[{"uuid": network.id}])

    def test_a_server_boots(self):
        server = self.conn.compute.wait_for_server(self.boot("web"), interval=0.05)
        self.assertEqual("ACTIVE", server.status)
        self.assertTrue(server.addresses["net"][0]["addr"].startswith("10.0.0."))

    def test_waiting_without_polling(self):
        server = self.boot("web")
        # The answer comes when the server is ACTIVE, or in ERROR, or after 30 seconds.
        answer = self.conn.compute.get(f"/servers/{server.id}?wait=ACTIVE&wait_timeout=30").json()
        self.assertEqual("ACTIVE", answer["server"]["status"])

    def test_the_api_is_too_busy(self):
        self.post("/faults/v1/rules", {"rule": {
            "id": "busy", "point": "api", "effect": "error",
            "service": "compute", "operation": "POST /servers", "status": 503, "count": 1}})
        with self.assertRaises(openstack.exceptions.HttpException) as caught:
            self.boot("web")
        self.assertEqual(503, caught.exception.status_code)
        self.boot("web")  # and then it works

    def test_a_host_cannot_run_guests(self):
        self.post("/faults/v1/rules", {"rule": {
            "point": "driver", "effect": "error", "service": "hypervisor", "operation": "Ensure", "kind": "invalid"}})
        server = self.boot("web")
        with self.assertRaises(openstack.exceptions.ResourceFailure):
            self.conn.compute.wait_for_server(server, interval=0.05)

    def test_snapshots(self):
        self.boot("web")
        self.post("/testcloud/v1/snapshots", {"name": "one server"})
        self.boot("db")
        self.post("/reset", {"snapshot": "one server"})
        self.assertEqual(["web"], [s.name for s in self.conn.compute.servers()])

    def test_time_passes(self):
        server = self.boot("web")
        self.conn.compute.wait_for_server(server, interval=0.05)
        self.post("/faults/v1/rules", {"rule": {"point": "host", "effect": "dead", "host": "host-1"}})
        self.post("/testcloud/v1/clock", {"advance_seconds": 300})
        for _ in range(200):  # the cloud notices, and hears of the others again
            states = {s.host: s.state for s in self.conn.compute.services(binary="nova-compute")}
            if states["host-1"] == "down" and states["host-2"] == "up":
                return
            time.sleep(0.05)
        self.fail(states)


if __name__ == "__main__":
    unittest.main()
