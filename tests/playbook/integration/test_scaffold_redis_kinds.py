"""The same broker on a cluster, behind sentinels and over TLS (trap T13)."""

import contextlib
import datetime as dt
import inspect
import ipaddress
import select
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from taskiq import AsyncBroker, AsyncTaskiqTask
from taskiq_redis import RedisStreamClusterBroker, RedisStreamSentinelBroker

from playbook.lab import Process, RedisServer, wait_until
from playbook.lab.redis_server import find_redis
from playbook.lab.waiting import free_port
from playbook.scaffold.worker.canvas import chord
from playbook.scaffold.worker.connections import client
from playbook.scaffold.worker.plans import Plan
from playbook.scaffold.worker.sending import send
from playbook.scaffold.worker.workflow import start
from tests.playbook.integration.scaffold import GROUP, our_broker, receiving, until

pytestmark = pytest.mark.integration
STOCK = (RedisStreamClusterBroker, RedisStreamSentinelBroker)


@contextlib.contextmanager
def running(folder: Path, name: str, *options: str) -> Iterator[None]:
    """A Redis server with these options."""
    folder.mkdir(parents=True, exist_ok=True)
    with Process([str(find_redis()), *options], name=name, log_path=folder / f"{name}.log", cwd=folder):
        yield


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """A cluster of one node that owns all slots: enough to refuse scripts whose keys lie in several."""
    # The port of the cluster bus is 10,000 higher.
    port = next(port for port in iter(free_port, None) if port < 55_000)
    options = ["--port", str(port), "--cluster-enabled", "yes", "--bind", "127.0.0.1", "--save", ""]
    with running(tmp_path, "cluster", *options):
        node = redis.Redis(port=port)
        assert wait_until(lambda: answers(node), 10)
        node.execute_command("CLUSTER ADDSLOTS", *range(16_384))
        assert wait_until(lambda: node.execute_command("CLUSTER INFO")["cluster_state"] == "ok", 10)
        yield f"redis+cluster://127.0.0.1:{port}"


@pytest.fixture
def sentinel(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    with RedisServer(tmp_path / "redis") as master:
        config = tmp_path / "sentinel.conf"
        config.write_text(
            f"port {port}\nbind 127.0.0.1\nsentinel monitor ours 127.0.0.1 {master.port} 1\n"
            "sentinel down-after-milliseconds ours 1000\n"
        )
        with running(tmp_path, "sentinel", str(config), "--sentinel"):
            assert wait_until(lambda: answers(redis.Redis(port=port)), 10)
            yield f"sentinel://127.0.0.1:{port}/0?master_name=ours"


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[str]:
    """A Redis behind a server that ends TLS: not every Redis is built with TLS."""
    certificate = make_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    with RedisServer(tmp_path / "redis") as plain, TlsServer(context, plain.port) as front:
        threading.Thread(target=front.serve_forever, args=(0.05,), daemon=True).start()
        yield f"rediss://127.0.0.1:{front.server_address[1]}/0?ssl_ca_certs={certificate}"
        front.shutdown()


class TlsServer(socketserver.ThreadingTCPServer):
    """Takes TLS connections on a free port and hands their bytes to a plain port."""

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext, port: int) -> None:
        super().__init__(("127.0.0.1", 0), Relay)
        self.context = context
        self.port = port


class Relay(socketserver.BaseRequestHandler):
    server: TlsServer

    def handle(self) -> None:
        # A TLS socket must not be read and written by two threads at once, so both ways are polled here.
        with (
            self.server.context.wrap_socket(self.request, server_side=True) as outside,
            socket.create_connection(("127.0.0.1", self.server.port)) as inside,
            contextlib.suppress(OSError),
        ):
            ways = {outside: inside, inside: outside}
            while True:
                ready = [outside] if outside.pending() else select.select(list(ways), [], [])[0]
                for source in ready:
                    data = source.recv(65_536)
                    if not data:
                        return
                    ways[source].sendall(data)


def make_certificate(folder: Path) -> Path:
    """Write a key and a certificate for 127.0.0.1, signed by itself; return the file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - dt.timedelta(hours=1)).not_valid_after(
        now + dt.timedelta(days=1)
    )
    certificate = builder.add_extension(address, critical=False).sign(key, hashes.SHA256())
    file = folder / "certificate.pem"
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate.public_bytes(Encoding.PEM)
    )
    return file


def answers(node: Any) -> bool:
    try:
        return bool(node.ping())
    except redis.RedisError:
        return False


@pytest.mark.parametrize("kind", ["cluster", "sentinel", "tls"])
async def test_tasks_results_delays_retries_and_workflows(kind: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(kind)
    broker = our_broker(url, queues=("default", "other"), lease=1.0)

    @broker.task("double")
    async def double(number: int) -> int:
        return 2 * number

    @broker.task("again", bind=True, default_retry_delay=0.1, max_retries=1)
    async def again(self: Any) -> None:
        raise self.retry(exc=ValueError("no"))

    @broker.task("total")
    async def total(numbers: list[int]) -> int:
        return sum(numbers)

    looking = client(url)
    async with receiving(broker):
        tasks = [
            await double.kiq(1),
            await send(double, [2], countdown=0.2),
            await send(double, [3], queue="other"),
        ]
        results = [await task.wait_result(check_interval=0.02, timeout=10) for task in tasks]
        assert [result.return_value for result in results] == [2, 4, 6]
        plan = Plan.of(chord([double.s(1), double.s(2).set(queue="other", countdown=0.1)], total.s()))
        await start(plan, broker)
        chorded = AsyncTaskiqTask[int](plan.final, broker.result_backend)
        assert (await chorded.wait_result(check_interval=0.02, timeout=10)).return_value == 6
        failed = await (await again.kiq()).wait_result(check_interval=0.02, timeout=10)
        assert isinstance(failed.error, ValueError)
        await until(lambda: looking.xlen(broker.keys.stream("default")) == 0)
        looking.xadd(broker.keys.stream("default"), {"foreign": "entry"})
        await until(lambda: looking.xlen(broker.keys.dead) == 1)


def read_by_the_dead(node: Any, stream: str) -> None:
    """Read what is in a stream, as a worker that is no more."""
    node.xgroup_create(stream, GROUP, id="0")
    assert node.xreadgroup(GROUP, "dead", {stream: ">"})


@pytest.mark.parametrize("kind", ["cluster", "sentinel"])
async def test_what_a_dead_worker_had_read_is_run(kind: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(kind)
    broker = our_broker(url, lease=1.0)
    seen: list[int] = []

    @broker.task("note")
    async def note(number: int) -> None:
        seen.append(number)

    await note.kiq(1)
    looking = client(url)
    read_by_the_dead(looking, broker.keys.stream("default"))
    looking.zadd(broker.keys.workers("default"), {"dead": 1})
    async with receiving(broker):
        await until(lambda: seen == [1])


@pytest.mark.parametrize("kind", ["cluster", "sentinel"])
async def test_stock_never_runs_it(kind: str, request: pytest.FixtureRequest) -> None:
    """These two brokers know no reclaim at all, so no option and no traffic helps."""
    url = request.getfixturevalue(kind)
    broker = stock_on(url)
    seen: list[int] = []

    @broker.task("note")
    async def note(number: int) -> None:
        seen.append(number)

    await note.kiq(1)
    looking = client(url)
    read_by_the_dead(looking, "taskiq")
    async with receiving(broker):
        for number in range(2, 12):
            await note.kiq(number)
            await until(lambda number=number: number in seen)  # type: ignore[misc]
    assert 1 not in seen
    assert looking.xpending("taskiq", GROUP)["pending"] == 1


def stock_on(url: str) -> AsyncBroker:
    """taskiq-redis' broker for a cluster or for sentinels. Its defaults for both times end in T6 and T7."""
    options: dict[str, Any] = {
        "consumer_group_name": GROUP,
        "consumer_id": "0",
        "xread_block": 50,
        "socket_timeout": None,
    }
    assert all("idle_timeout" not in inspect.signature(kind).parameters for kind in STOCK)
    if url.startswith("redis+cluster:"):
        return RedisStreamClusterBroker(url.replace("+cluster", "", 1), **options)
    port = urlsplit(url).port
    assert port
    return RedisStreamSentinelBroker([("127.0.0.1", port)], "ours", **options)


def test_a_sentinel_url_without_a_master_is_refused() -> None:
    with pytest.raises(ValueError, match="master_name"):
        our_broker("sentinel://127.0.0.1:26379/0")
