"""Answer the page: its files, a WebSocket for frames and commands, and downloads.

Only this machine is answered: the Host header must name the address that is served, the Origin of
a WebSocket must be the page itself, and everything but the page's own files needs the token of the
URL. Above `session`, below `explorer`. Start at `application`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from neurosim.explorer.frames import as_json
from neurosim.explorer.session import LATER, Exploration, completed
from neurosim.results.files import save

PAGE = files("neurosim.explorer") / "page"
SHORTEST_FRAME = 1 / 60  # s
MOST_MESSAGE = 100_000  # bytes of a command
MOST_PAGES = 8
REFUSED = 1008  # close code of a WebSocket: policy violation
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
    "connect-src 'self' ws://127.0.0.1:* ws://localhost:*; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self' http://localhost:* http://127.0.0.1:*"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(eq=False)
class _Page:
    """One page that is connected."""

    socket: WebSocket
    name: str
    ready: bool = False
    since: float = float("-inf")
    epoch: int = -1
    outbox: list[str] = field(default_factory=list)


class Broadcast:
    """Run the exploration for the pages that are ready for a frame.

    A page asks for each frame when it has drawn the last one. So a heavy page lowers the frame
    rate, and a page that is closed or asleep stops the simulation.
    """

    def __init__(self, exploration: Exploration) -> None:
        self.exploration = exploration
        self.pages: list[_Page] = []
        self.lock = asyncio.Lock()
        self.wake = asyncio.Event()

    async def run(self) -> None:
        """Make frames until cancelled."""
        while True:
            await self.wake.wait()
            self.wake.clear()
            waiting = [page for page in self.pages if page.ready]
            if not waiting:
                continue
            began = asyncio.get_running_loop().time()
            async with self.lock:
                await run_in_threadpool(self.exploration.advance)
                for page in waiting:
                    await self._send_frame(page)
            spent = asyncio.get_running_loop().time() - began
            await asyncio.sleep(max(SHORTEST_FRAME - spent, 0))

    async def _send_frame(self, page: _Page) -> None:
        page.ready = False
        frame, newest = await run_in_threadpool(
            self.exploration.frame, page.name, page.since, page.epoch
        )
        page.since, page.epoch = newest, self.exploration.epoch
        await self._send(page, frame)

    async def do(self, page: _Page, command: dict[str, Any]) -> None:
        """Do a command of a page; all pages learn what it changed."""
        async with self.lock:
            answers = await run_in_threadpool(self.exploration.do, page.name, command)
        for answer in answers:
            if LATER in answer:
                answer = await run_in_threadpool(completed, answer)
            for_all = answer["type"] in ("settings", "model")
            for other in list(self.pages) if for_all else [page]:
                await self._send(other, as_json(answer))
        self.wake.set()

    async def greet(self, page: _Page) -> None:
        """Send the description of the model to a new page."""
        async with self.lock:
            text = as_json(await run_in_threadpool(self.exploration.describe))
        await self._send(page, text)

    async def _send(self, page: _Page, content: str | bytes) -> None:
        try:
            if isinstance(content, bytes):
                await page.socket.send_bytes(content)
            else:
                await page.socket.send_text(content)
        except (WebSocketDisconnect, RuntimeError):  # closed meanwhile
            self.leave(page)

    def leave(self, page: _Page) -> None:
        """Forget a page."""
        if page in self.pages:
            self.pages.remove(page)


class _Guard:
    """Refuse requests that do not come from this machine's page.

    Parameters
    ----------
    app : ASGI application
    hosts : callable
        Returns the allowed values of the Host header.
    """

    def __init__(self, app: ASGIApp, hosts: Callable[[], list[str]]) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        origin = headers.get(b"origin")
        allowed = self.hosts()
        foreign = host not in allowed
        if origin is not None:
            known = [f"http://{name}" for name in allowed]
            foreign = foreign or origin.decode("latin-1") not in known
        elif scope["type"] == "websocket":
            foreign = True
        if not foreign:
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            text = f"Host {host!r} or its origin is not this page; open the URL that was printed"
            await PlainTextResponse(text, 403, HEADERS)(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": REFUSED})


def application(
    exploration: Exploration,
    token: str,
    hosts: Callable[[], list[str]],
    ready: Callable[[], None],
) -> ASGIApp:
    """Return the server as an ASGI application.

    Parameters
    ----------
    exploration : Exploration
    token : str
        Secret part of the URL.
    hosts : callable
        Returns the allowed values of the Host header; the port is known once it is bound.
    ready : callable
        Called once the application has started.
    """
    broadcast: list[Broadcast] = []

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        broadcast.append(Broadcast(exploration))
        task = asyncio.create_task(broadcast[0].run())
        ready()
        yield
        task.cancel()
        async with broadcast[0].lock:  # a thread may still run a frame
            pass

    async def index(request: Request) -> Response:
        text = (PAGE / "index.html").read_text(encoding="utf-8")
        return Response(text, media_type="text/html", headers=HEADERS)

    async def download(request: Request) -> Response:
        async with broadcast[0].lock:
            content = await run_in_threadpool(_netcdf, exploration)
        disposition = {"Content-Disposition": "attachment; filename=run.nc"}
        return Response(content, media_type="application/x-netcdf", headers=HEADERS | disposition)

    async def socket(connection: WebSocket) -> None:
        if not _matches(connection.query_params.get("token"), token):
            await connection.close(REFUSED)
            return
        await _serve(broadcast[0], connection)

    routes = [
        Route("/", _with_token(index, token)),
        Route("/download/run.nc", _with_token(download, token)),
        WebSocketRoute("/socket", socket),
        Mount("/page", _Files(directory=str(PAGE))),
    ]
    return _Guard(Starlette(routes=routes, lifespan=lifespan), hosts)


async def _serve(broadcast: Broadcast, connection: WebSocket) -> None:
    """Serve one page until it leaves."""
    if len(broadcast.pages) >= MOST_PAGES:
        await connection.close(REFUSED)
        return
    await connection.accept()
    page = _Page(connection, str(id(connection)))
    broadcast.pages.append(page)
    try:
        await broadcast.greet(page)
        while True:
            text = await connection.receive_text()
            command = _parsed(text)
            if command.get("type") == "ready":
                page.ready = True
                broadcast.wake.set()
            elif command:
                await broadcast.do(page, command)
    except WebSocketDisconnect:
        pass
    finally:
        broadcast.leave(page)


def _parsed(text: str) -> dict[str, Any]:
    """Return a command; an empty one where the text is not one."""
    if len(text) > MOST_MESSAGE:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _matches(given: str | None, token: str) -> bool:
    return given is not None and hmac.compare_digest(given.encode(), token.encode())


Answer = Callable[[Request], Awaitable[Response]]


def _with_token(answer: Answer, token: str) -> Answer:
    """Return an answer that is given only where the URL has the token."""

    async def checked(request: Request) -> Response:
        if not _matches(request.query_params.get("token"), token):
            text = "token is missing or not that of this server; open the URL that was printed"
            return PlainTextResponse(text, 403, HEADERS)
        return await answer(request)

    return checked


class _Files(StaticFiles):
    """The page's own files, with the headers of every answer."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS)
        return response


def _netcdf(exploration: Exploration) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.nc"
        save(exploration.netcdf(), path)
        return path.read_bytes()
