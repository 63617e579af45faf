"""Debian's python3-docker against the daemon at DOCKER_HOST. Prints a line per check and exits with 1 when one fails."""

import io
import sys
import tarfile
import traceback

import docker

client = docker.from_env()


def check_ping_and_version():
    assert client.ping()
    assert client.version()["Os"] == "linux"
    assert client.info()["Images"] >= 1


def check_run():
    assert client.containers.run("busybox", "echo hello", remove=True) == b"hello\n"


def check_run_fails_with_the_exit_code():
    try:
        client.containers.run("busybox", ["sh", "-c", "echo why >&2; exit 3"], remove=True)
    except docker.errors.ContainerError as error:
        assert error.exit_status == 3
        assert b"why" in error.stderr
    else:
        raise AssertionError("no error")


def check_life():
    container = client.containers.run("busybox", "sleep 1000", detach=True, name="py", labels={"made": "here"})
    try:
        assert container.status in ("created", "running")
        container.reload()
        assert container.status == "running"
        assert client.containers.list(filters={"label": "made=here"}) == [container]
        assert container.exec_run("echo inside") == (0, b"inside\n")
        assert container.exec_run("sh -c 'exit 4'").exit_code == 4
        assert any("sleep 1000" in " ".join(row) for row in container.top()["Processes"])
        container.rename("py2")
        container.kill()
        assert container.wait()["StatusCode"] == 137
        container.start()
        container.stop(timeout=0)
    finally:
        container.remove(force=True)


def check_logs():
    container = client.containers.run("busybox", ["sh", "-c", "echo one; echo two >&2; echo three"], detach=True)
    try:
        container.wait()
        assert container.logs(stdout=True, stderr=False) == b"one\nthree\n"
        assert container.logs(stdout=False, stderr=True) == b"two\n"
        assert list(container.logs(stream=True, stderr=False)) == [b"one\n", b"three\n"]
        assert container.logs(tail=1, stderr=False) == b"three\n"
    finally:
        container.remove()


def check_attach():
    container = client.containers.create("busybox", "cat", stdin_open=True, detach=False)
    try:
        socket = container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
        container.start()
        socket._sock.sendall(b"typed\n")
        header = socket.read(8)
        assert header[0] == 1 and int.from_bytes(header[4:], "big") == 6
        assert socket.read(6) == b"typed\n"
        socket.close()
    finally:
        container.remove(force=True)


def check_networks():
    network = client.networks.create("pynet", driver="bridge", labels={"a": "b"})
    container = client.containers.run("busybox", "sleep 1000", detach=True)
    try:
        network.connect(container, aliases=["friend"])
        network.reload()
        assert [one.id for one in network.containers] == [container.id]
        network.disconnect(container)
        assert client.networks.list(names=["pynet"]) == [network]
    finally:
        container.remove(force=True)
        network.remove()


def check_volumes():
    volume = client.volumes.create("pyvol", labels={"a": "b"})
    mount = {"pyvol": {"bind": "/data", "mode": "rw"}}
    try:
        client.containers.run("busybox", "touch /data/file", volumes=mount, remove=True)
        assert client.containers.run("busybox", "ls /data", volumes=mount, remove=True) == b"file\n"
        assert volume in client.volumes.list()
    finally:
        volume.remove()


def check_images():
    image = client.images.get("busybox")
    assert image.tag("pytag", tag="1")
    data = b"".join(image.save(named=True))
    assert "manifest.json" in tarfile.open(fileobj=io.BytesIO(data)).getnames()
    client.images.remove("pytag:1")
    assert client.images.load(data)[0].id == image.id
    assert image.history()


def check_errors():
    for call, kind in (
        (lambda: client.containers.get("unknown"), docker.errors.NotFound),
        (lambda: client.images.get("unknown"), docker.errors.ImageNotFound),
        (lambda: client.networks.get("unknown"), docker.errors.NotFound),
        (lambda: client.volumes.get("unknown"), docker.errors.NotFound),
    ):
        try:
            call()
        except kind:
            continue
        raise AssertionError(kind)


failed = 0
for name, check in [pair for pair in globals().items() if pair[0].startswith("check_")]:
    try:
        check()
        print("ok", name)
    except Exception:
        failed += 1
        print("FAILED", name)
        traceback.print_exc(file=sys.stdout)
sys.exit(1 if failed else 0)
