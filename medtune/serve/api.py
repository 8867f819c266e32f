"""`medtune serve`: what the command says while it serves, from the address to its end."""

import asyncio
import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from weakref import WeakKeyDictionary

import orjson

from medtune.engines.base import Engine, open_engine
from medtune.engines.config import LaunchEngine
from medtune.errors import UserError, require
from medtune.serve.addresses import authority, listen
from medtune.serve.config import Limits, ServeConfig
from medtune.serve.notices import find_red_flag
from medtune.serve.stopping import until_stopped

require("serve", "httpx", "starlette", "uvicorn")

import uvicorn  # noqa: E402  # this and what follows only where it is installed
from uvicorn.protocols.http.h11_impl import H11Protocol  # noqa: E402
from uvicorn.server import ServerState  # noqa: E402

from medtune.engines.launching import LOOPBACK, tell_launch  # noqa: E402
from medtune.engines.program import free_port  # noqa: E402
from medtune.serve.app import build_app  # noqa: E402
from medtune.serve.gate import MAX_HEADER_BYTES, OPEN_PATH, read_keys  # noqa: E402
from medtune.serve.memory import GIVE_BACK_SECONDS, give_back_holes, give_back_large_blocks  # noqa: E402
from medtune.serve.service import Service, engine_words  # noqa: E402

DRAIN_SECONDS = 3
"""What is under way may still be finished within this time when the server is told to stop."""
KEEP_ALIVE_SECONDS = 30
CHECK_SECONDS = 2
"""How often connections are looked at that send nothing, or too slowly."""
READ_BYTES = 16_384
"""Taken of a connection at a time: to take a body in chunks of a byte each apart holds up the others."""


class Fair(H11Protocol):
    """A connection that cannot keep the others waiting for long."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Nothing; the transport reads little at a time, where asyncio would read 256 KiB."""
        super().connection_made(transport)
        transport.max_size = READ_BYTES  # pyright: ignore[reportAttributeAccessIssue]


def lines(config: ServeConfig) -> Iterator[str]:
    """What is served and where; then, until the process is told to stop, nothing more."""
    keys = read_keys(config)
    if config.dry_run:
        yield f"would serve {engine_words(config.engine)} at http://{authority(config.host, config.port)}"
        yield from _settings(config, len(keys))
        if isinstance(config.engine, LaunchEngine):
            yield from tell_launch(config.engine, free_port(LOOPBACK))
        return
    give_back_large_blocks()
    service = Service(config)
    with listen(config.host, config.port) as listener, until_stopped():
        address = f"http://{authority(config.host, listener.getsockname()[1])}"
        with running(service, keys, listener):
            yield f"{address}: loading {engine_words(config.engine)}"
            yield from _settings(config, len(keys))
            started = time.monotonic()
            find_red_flag("")  # reads its lexicons
            with opened(config) as engine:
                service.begin(engine)
                yield f"ready after {time.monotonic() - started:.1f} s: {', '.join(service.models)}"
                with _ready_file(config, address):
                    while True:
                        time.sleep(GIVE_BACK_SECONDS)
                        give_back_holes()


@contextlib.contextmanager
def opened(config: ServeConfig) -> Generator[Engine]:
    """The engine while it lasts."""
    engine = open_engine(config.engine, config.runtime)
    try:
        yield engine
    finally:
        engine.close()


@contextlib.contextmanager
def running(service: Service, keys: list[bytes], listener: socket.socket) -> Generator[uvicorn.Server]:
    """The server at work in a thread of its own; at the end it finishes what is under way."""
    server = uvicorn.Server(_uvicorn_config(service, keys))
    server.config.callback_notify = _drop_slow(server.server_state, service.config.limits)

    def work() -> None:
        asyncio.run(server.serve(sockets=[listener]))

    thread = threading.Thread(target=work, name="medtune-serve", daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield server
    finally:
        server.should_exit = True
        thread.join()
        service.journal.close()


def _uvicorn_config(service: Service, keys: list[bytes]) -> uvicorn.Config:
    """How connections are kept: nothing is logged, as what is asked may stand in it."""
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    limits = service.config.limits
    return uvicorn.Config(
        build_app(service, keys),
        http=Fair,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        limit_concurrency=limits.max_connections,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        timeout_notify=CHECK_SECONDS,
    )


def _drop_slow(state: ServerState, limits: Limits) -> Callable[[], Awaitable[None]]:
    """What closes connections whose next request is not there in time; it is to be called now and then.

    uvicorn has a limit for the pause after an answer only, which the first byte of a request ends.
    """
    idle_since: WeakKeyDictionary[object, float] = WeakKeyDictionary()

    async def drop() -> None:
        now = time.monotonic()
        for connection in list(state.connections):
            assert isinstance(connection, H11Protocol)
            is_fresh = connection.cycle is None
            if not is_fresh and not connection.cycle.response_complete:
                idle_since.pop(connection, None)
                continue
            allowed = limits.body_seconds + (0 if is_fresh else KEEP_ALIVE_SECONDS)
            if now - idle_since.setdefault(connection, now) > allowed:
                connection.transport.close()

    return drop


def _settings(config: ServeConfig, num_keys: int) -> Iterator[str]:
    """What is on, and what is allowed."""
    limits, medical = config.limits, config.medical
    yield f"keys: {num_keys or 'none wanted'}" + (f", for every route but {OPEN_PATH}" if num_keys else "")
    yield (
        f"limits: {limits.max_tokens} tokens an answer, {limits.max_running} answers at once, "
        f"{limits.max_waiting} requests waiting, {limits.request_seconds:g} s, {limits.body_bytes} bytes"
    )
    is_on = {"notice": medical.notice, "reminder": medical.reminder}
    parts = [*(name for name, is_one in is_on.items() if is_one), f"label: {medical.label}"]
    yield f"medical: {', '.join(parts)}; research use only, no diagnosis, no prescription"
    if config.log_prompts:
        days = config.log_prompts_days
        yield f"prompts and answers are kept in {config.log_prompts} for {days} days, masked"


@contextlib.contextmanager
def _ready_file(config: ServeConfig, address: str) -> Generator[None]:
    """While it lasts the file tells where the server is."""
    path = config.ready_file
    if path is None:
        yield
        return
    told = {"base_url": f"{address}/v1", "port": int(address.rpartition(":")[2]), "pid": os.getpid()}
    fresh = path.with_name(f"{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(orjson.dumps(told) + b"\n")
        os.replace(fresh, path)
    except OSError as error:
        raise UserError(f"ready_file: {path}: {error.strerror}") from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
