"""Start the server of an exploration, print its URL, and open the browser.

Above `server`. Start at `explore`.
"""

from __future__ import annotations

import secrets
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable
from html import escape
from typing import Any

from neurosim.errors import ModelError, whole
from neurosim.explorer.opening import open_simulation
from neurosim.explorer.session import Exploration
from neurosim.model.flow import Flow
from neurosim.model.network import Network
from neurosim.simulation.simulation import Simulation

ADDRESS = "127.0.0.1"
FRAME_HEIGHT = 720  # pixels in a notebook
PATIENCE = 20.0  # s in which the server must have started


class Explorer:
    """A server that runs in a thread; a notebook shows its page in the output cell.

    Parameters
    ----------
    exploration : Exploration
    port : int
        0 for any free one.

    Attributes
    ----------
    url : str
        With the token.

    Raises
    ------
    ModelError
        The port is taken, or the packages of the extra are missing.
    """

    def __init__(self, exploration: Exploration, port: int = 0) -> None:
        self.exploration = exploration
        self._socket = _bound(whole("port", port, 0, 65535))
        self.port = int(self._socket.getsockname()[1])
        token = secrets.token_urlsafe(24)
        self.url = f"http://{ADDRESS}:{self.port}/?token={token}"
        started = threading.Event()
        self._server = _server(exploration, token, self._hosts, started.set)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True
        )
        self._thread.start()
        if not started.wait(PATIENCE):
            self.stop()
            raise ModelError(f"the server on port {self.port} has not started in {PATIENCE:g} s")

    def _hosts(self) -> list[str]:
        return [f"{ADDRESS}:{self.port}", f"localhost:{self.port}"]

    def wait(self) -> None:
        """Wait until the server stops, as by `stop` in another thread; Ctrl-C passes through."""
        while self._thread.is_alive():
            self._thread.join(0.2)

    def stop(self) -> None:
        """Stop the server."""
        self._server.should_exit = True
        if threading.current_thread() is not self._thread:
            self._thread.join(5)
        self._socket.close()

    def __repr__(self) -> str:
        return f"Explorer({self.url!r})"

    def _repr_html_(self) -> str:
        return (
            f'<iframe src="{escape(self.url)}" title="neurosim explorer" width="100%" '
            f'height="{FRAME_HEIGHT}" style="border:0"></iframe>'
        )


def explore(
    net: Network,
    flow: Flow,
    X: Any,
    Y: Any = None,
    *,
    port: int = 0,
    browser: bool | None = None,
    block: bool | None = None,
    options: dict[str, Any] | None = None,
    **keys: Any,
) -> Explorer:
    """Show a network while it relaxes and learns, on a page in the browser.

    It needs the extra ``neurosim[explore]``. The network itself stays as it is.

    Parameters
    ----------
    net, flow, X, Y
        As in `Simulation` and `Simulation.relax`.
    port : int
        0 for any free port.
    browser : bool, optional
        Whether to open the browser; by default outside of notebooks.
    block : bool, optional
        Whether to wait for Ctrl-C; by default outside of notebooks.
    options : dict, optional
        Arguments of `Simulation.live`, such as ``{"patterns": [0, 1], "plastic": True}``. By
        default the first pattern is simulated.
    **keys
        Arguments of `Simulation`.

    Returns
    -------
    Explorer
        The last line of a notebook's cell shows the page.

    Raises
    ------
    ModelError, DataError
        As in `Simulation.live`; ModelError also without the packages of the extra.

    Examples
    --------
    >>> net = Network.mlp([2, 4, 1], loss="mse")
    >>> page = explore(  # doctest: +ELLIPSIS
    ...     net, Flow.augmented(), [[0, 1]], [[1]], browser=False, block=False
    ... )
    http://127.0.0.1:...
    >>> page.url.startswith("http://127.0.0.1:")
    True
    >>> page.stop()
    """
    opened = open_simulation(Simulation(net, flow, **keys), X, Y, **(options or {}))
    in_notebook = "ipykernel" in sys.modules
    alone = not in_notebook if block is None else block
    return start(
        Exploration(opened),
        port=port,
        browser=not in_notebook if browser is None else browser,
        block=alone,
    )


def start(
    exploration: Exploration, *, port: int = 0, browser: bool = True, block: bool = True
) -> Explorer:
    """Start a server, print its URL on one line once it answers, and maybe wait for Ctrl-C."""
    page = Explorer(exploration, port)
    print(page.url, flush=True)
    if browser:
        webbrowser.open(page.url)
    if not block:
        return page
    try:
        page.wait()
    except KeyboardInterrupt:
        pass
    finally:
        page.stop()
    return page


def _bound(port: int) -> socket.socket:
    """Return a socket on this machine's own address."""
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((ADDRESS, port))
        found.listen()  # so that it accepts connections before the server's own loop begins
    except OSError as error:
        found.close()
        raise ModelError(f"port = {port}: {error.strerror}; allowed: a free port, or 0") from error
    return found


def _server(
    exploration: Exploration, token: str, hosts: Callable[[], list[str]], ready: Callable[[], None]
) -> Any:
    """Return the server of uvicorn.

    Raises
    ------
    ModelError
        A package of the extra is missing.
    """
    try:
        import uvicorn

        from neurosim.explorer.server import MOST_MESSAGE, application
    except ImportError as error:
        raise ModelError(
            f"the explorer needs the package {error.name}; try pip install 'neurosim[explore]'"
        ) from error
    config = uvicorn.Config(
        application(exploration, token, hosts, ready),
        log_level="error",
        access_log=False,
        ws="websockets-sansio",
        ws_max_size=MOST_MESSAGE,
        timeout_graceful_shutdown=1,
        server_header=False,
        ws_per_message_deflate=False,
    )
    return uvicorn.Server(config)
