"""Debian's python3-docker against the daemon at DOCKER_HOST. Prints a line per check and exits with 1 when one fails."""

import io
import sys
import tarfile
import time
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
    finally:
        container.remove()


def check_usage_and_limits():
    container = client.containers.run("busybox", "sleep 1000", detach=True, mem_limit="64m", pids_limit=20)
    try:
        stats = container.stats(stream=False)
        assert stats["id"] == container.id and stats["name"] == "/" + container.name
        assert stats["memory_stats"]["limit"] == 64 * 1024 * 1024
        assert stats["cpu_stats"]["system_cpu_usage"] > stats["precpu_stats"]["system_cpu_usage"] > 0
        stream = container.stats(stream=True, decode=True)
        assert next(stream)["pids_stats"] == {"current": 1, "limit": 20}
        assert next(stream)["preread"] != "0001-01-01T00:00:00Z"
        stream.close()
        assert container.update(mem_limit="128m", memswap_limit="256m", restart_policy={"Name": "on-failure", "MaximumRetryCount": 2}) == {"Warnings": None}
        container.reload()
        assert container.attrs["HostConfig"]["Memory"] == 128 * 1024 * 1024
        assert container.attrs["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 2}
        try:
            container.update(mem_limit="1m")
        except docker.errors.APIError as error:
            assert error.status_code == 400 and "Minimum memory limit" in error.explanation
        else:
            raise AssertionError("no error")
    finally:
        container.remove(force=True)


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


def running(command="sleep 1000", **options):
    return client.containers.run("busybox", command, detach=True, **options)


def check_tail_since_and_timestamps():
    container = running(["sh", "-c", "echo one; echo two; echo three"])
    try:
        container.wait()
        assert container.logs(tail=1) == b"three\n"
        assert container.logs(tail=0) == b""
        assert container.logs(since=int(time.time()) + 100) == b""
        assert container.logs(until=int(time.time()) + 100) == b"one\ntwo\nthree\n"
        stamp, text = container.logs(timestamps=True, tail=1).split(b" ", 1)
        assert stamp.startswith(b"20") and text == b"three\n"
        assert b"".join(container.logs(stream=True, follow=True)) == b"one\ntwo\nthree\n"
    finally:
        container.remove()


def check_exec_in_all_ways():
    container = running(environment={"A": "outer"}, labels={"exec": "all"})
    try:
        run = container.exec_run
        assert run("sh -c 'echo $A $B; pwd; id -u'", environment={"B": "inner"}, workdir="/etc", user="1000").output == b"outer inner\n/etc\n1000\n"
        assert run(["sh", "-c", "echo out; echo err >&2"], demux=True).output == (b"out\n", b"err\n")
        assert b"".join(run("echo streamed", stream=True).output) == b"streamed\n"
        assert run("sh -c 'test -t 1 && echo terminal'", tty=True).output == b"terminal\r\n"
        assert run("/no/such").exit_code == 127
        assert run("sleep 1000", detach=True).exit_code is None
        # The low-level way: input through the socket, its end by half-close.
        made = client.api.exec_create(container.id, "cat", stdin=True)
        connection = client.api.exec_start(made["Id"], socket=True)
        connection._sock.sendall(b"through")
        connection._sock.shutdown(1)
        assert connection.read(8)[7] == 7 and connection.read(7) == b"through"
        assert connection.read(1) == b""
        told = client.api.exec_inspect(made["Id"])
        assert told["ExitCode"] == 0 and told["Running"] is False and told["OpenStdin"] is True
    finally:
        container.remove(force=True)


def check_states():
    container = running("sleep 1000", name="states", restart_policy={"Name": "on-failure", "MaximumRetryCount": 2})
    try:
        container.pause()
        container.reload()
        assert container.status == "paused"
        assert [one.name for one in client.containers.list(filters={"status": "paused"})] == ["states"]
        container.unpause()
        container.restart(timeout=0)
        container.reload()
        assert container.status == "running" and container.attrs["HostConfig"]["RestartPolicy"]["MaximumRetryCount"] == 2
        container.stop(timeout=0)
        assert container.wait()["StatusCode"] == 137
        container.reload()
        assert container.attrs["State"]["Status"] == "exited" and container.attrs["State"]["ExitCode"] == 137
        assert client.containers.list(all=True, filters={"exited": 137, "name": "states"}) == [container]
        assert client.containers.list(filters={"name": "states"}) == []
    finally:
        container.remove(force=True)
    assert client.containers.list(all=True, ignore_removed=True) == []


def check_create_with_everything():
    container = client.containers.create(
        "busybox",
        ["sh", "-c", "cat /proc/self/limits /etc/hosts; id -G"],
        cap_add=["NET_ADMIN"],
        cap_drop=["MKNOD"],
        cpu_shares=512,
        cpuset_cpus="0",
        devices=["/dev/null:/dev/nothing:rw"],
        dns=["192.0.2.1"],
        domainname="example.test",
        extra_hosts={"friend": "192.0.2.2"},
        group_add=["7"],
        hostname="named",
        init=True,
        ipc_mode="private",
        mem_limit="64m",
        memswap_limit="128m",
        mounts=[docker.types.Mount("/scratch", None, type="tmpfs", tmpfs_size=1000000), docker.types.Mount("/etc/os", "/etc/os-release", type="bind", read_only=True)],
        nano_cpus=500000000,
        oom_score_adj=100,
        pids_limit=50,
        ports={"80/tcp": ("127.0.0.1", None), "81/udp": None},
        read_only=True,
        security_opt=["no-new-privileges"],
        shm_size="32m",
        stop_signal="SIGINT",
        sysctls={"net.ipv4.ip_unprivileged_port_start": "0"},
        tmpfs={"/run": "size=1m"},
        ulimits=[docker.types.Ulimit(name="nofile", soft=100, hard=200)],
        user="0:5",
        working_dir="/tmp",
    )
    try:
        container.start()
        container.wait()
        text = container.logs().decode()
        assert "Max open files            100                  200" in text
        assert "192.0.2.2\tfriend" in text and "named.example.test" in text
        assert text.strip().split("\n")[-1].split() == ["5", "7"]
        host = container.attrs["HostConfig"]
        assert host["Memory"] == 64 << 20 and host["ShmSize"] == 32 << 20 and host["NanoCpus"] == 500000000
    finally:
        container.remove(v=True)


def check_image_life():
    image = client.images.get("busybox")
    assert image.history()[0]["Size"] > 0 and image.attrs["RootFS"]["Layers"]
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("file")
        entry.size = 7
        tar.addfile(entry, io.BytesIO(b"content"))
    told = client.api.import_image_from_data(archive.getvalue(), repository="pyimport", tag="1", changes=["ENV A=b"])
    assert "sha256:" in told
    imported = client.images.get("pyimport:1")
    assert imported.attrs["Config"]["Env"] == ["A=b"]
    assert imported.tag("pyimport", "2") and sorted(client.images.get("pyimport:2").tags) == ["pyimport:1", "pyimport:2"]
    assert len(client.images.list("pyimport")) == 1
    data = b"".join(client.api.get_image("pyimport:1"))
    client.images.remove("pyimport:2")
    client.images.remove(imported.id)
    assert [tag for one in client.images.load(data) for tag in one.tags] == ["pyimport:1"]
    client.images.remove("pyimport:1")
    assert client.images.prune(filters={"dangling": True})["SpaceReclaimed"] >= 0
    assert client.images.list("pyimport") == []


def check_networks_in_depth():
    pool = docker.types.IPAMPool(subnet="10.243.7.0/24", gateway="10.243.7.9")
    network = client.networks.create("pydepth", ipam=docker.types.IPAMConfig(pool_configs=[pool]), labels={"x": "y"}, internal=True)
    one = running(name="pyone", network="pydepth")
    try:
        assert network.attrs["IPAM"]["Config"][0]["Gateway"] == "10.243.7.9" and network.attrs["Internal"] is True
        two = running(name="pytwo")
        network.connect(two, ipv4_address="10.243.7.77", aliases=["second"])
        two.reload()
        assert two.attrs["NetworkSettings"]["Networks"]["pydepth"]["IPAddress"] == "10.243.7.77"
        assert one.exec_run("ping -c 1 -W 2 second").exit_code == 0
        network.disconnect(two, force=True)
        two.remove(force=True)
        assert client.networks.list(filters={"label": "x=y"}) == [network]
        try:
            network.remove()
        except docker.errors.APIError as error:
            assert error.status_code == 403 and "has active endpoints" in error.explanation
        else:
            raise AssertionError("a network in use was removed")
    finally:
        one.remove(force=True)
        network.remove()
    assert client.networks.prune()["NetworksDeleted"] in (None, [])


def check_volumes_in_depth():
    volume = client.volumes.create("pydepth", driver="local", labels={"x": "y"})
    assert client.volumes.list(filters={"label": "x=y"}) == [volume] and client.volumes.list(filters={"dangling": True}) == [volume]
    container = running(volumes={"pydepth": {"bind": "/data", "mode": "ro"}})
    try:
        assert container.exec_run("touch /data/x").exit_code == 1
        try:
            volume.remove()
        except docker.errors.APIError as error:
            assert error.status_code == 409 and "volume is in use" in error.explanation
        else:
            raise AssertionError("a volume in use was removed")
    finally:
        container.remove(force=True)
    assert client.volumes.prune(filters={"all": "true"})["VolumesDeleted"] == ["pydepth"]


def check_events():
    since = int(time.time())
    client.containers.run("busybox", "true", name="pyevents", remove=True, labels={"watched": "yes"})
    until = int(time.time()) + 1
    told = list(client.events(since=since, until=until, decode=True, filters={"container": "pyevents"}))
    actions = [event["Action"] for event in told]
    # docker-py attaches by asking for logs.
    assert [one for one in actions if one in ("create", "start", "die", "destroy")] == ["create", "start", "die", "destroy"], actions
    assert all(event["Actor"]["Attributes"]["watched"] == "yes" for event in told)
    dies = list(client.events(since=since, until=until, decode=True, filters={"event": "die", "type": "container", "label": "watched=yes"}))
    assert [event["Actor"]["Attributes"]["exitCode"] for event in dies] == ["0"]
    live = client.events(decode=True, filters={"type": "volume"})
    client.volumes.create("pylive")
    assert next(live)["Actor"]["ID"] == "pylive"
    live.close()
    client.volumes.get("pylive").remove()


def check_disk_usage():
    usage = client.df()
    assert usage["LayersSize"] > 0 and usage["Images"][0]["Size"] > 0 and usage["Containers"] in ([], None)


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


def check_files():
    container = running(user="1000")
    try:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            info = tarfile.TarInfo("dir/file")
            info.size, info.mode, info.uid, info.mtime = 4, 0o640, 7, 1_600_000_000
            archive.addfile(info, io.BytesIO(b"text"))
        assert container.put_archive("/tmp", buffer.getvalue())
        assert container.exec_run("stat -c '%u %a %Y' /tmp/dir/file", user="0").output == b"7 640 1600000000\n"
        chunks, stat = container.get_archive("/tmp/dir/file")
        assert (stat["name"], stat["size"], stat["mode"], stat["linkTarget"]) == ("file", 4, 0o640, "")
        member = tarfile.open(fileobj=io.BytesIO(b"".join(chunks)))
        assert member.getnames() == ["file"] and member.extractfile("file").read() == b"text"
        container.stop(timeout=0)
        assert b"text" in b"".join(container.get_archive("/tmp/dir")[0])
        assert {"Path": "/tmp/dir/file", "Kind": 1} in container.diff()
        assert "tmp/dir/file" in tarfile.open(fileobj=io.BytesIO(b"".join(container.export()))).getnames()
        for call in (lambda: container.get_archive("/nosuch"), lambda: container.put_archive("/nosuch", buffer.getvalue())):
            try:
                call()
            except docker.errors.NotFound as error:
                assert "Could not find the file /nosuch in container" in str(error)
            else:
                raise AssertionError("no error")
    finally:
        container.remove(force=True)


def check_commit():
    container = running(["sh", "-c", "echo made > /made; exec sleep 1000"])
    try:
        while container.exec_run("test -e /made").exit_code != 0:
            time.sleep(0.02)
        image = container.commit(repository="pymade", tag="1", message="words", author="py", changes=["ENV A=b", 'CMD ["cat", "/made"]'])
        try:
            assert image.tags == ["pymade:1"] and image.attrs["Author"] == "py"
            assert client.containers.run("pymade:1", remove=True) == b"made\n"
            changed = container.commit(conf={"Cmd": ["true"], "Labels": {"x": "y"}})
            assert changed.attrs["Config"]["Labels"] == {"x": "y"}
            client.images.remove(changed.id)
        finally:
            client.images.remove("pymade:1")
    finally:
        container.remove(force=True)


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
