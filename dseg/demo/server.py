"""Command `demo`: serve the page on this machine until it is stopped."""

import importlib.util
import os
import signal
import socket
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType
from typing import Literal
from urllib.parse import urlsplit

from dseg import load
from dseg.base_model.pipeline import load_pipeline
from dseg.errors import DsegError
from dseg.photos.exported import CHECKOUT
from dseg.settings.profiles import DEFAULT_PROFILE, profile_params
from dseg.settings.reading import load_settings

UPLOAD = "20mb"


def run(
    model: str | None = None,
    head: Path | None = None,
    profile: str = DEFAULT_PROFILE,
    port: int = 7860,
    host: str = "127.0.0.1",
    share: Literal["no", "yes"] = "no",
) -> None:
    """Serve the page until Ctrl+C.

    Args:
        model: Folder of a pipeline or id on the hub; left out, that of the profile.
        head: Folder of an exported head, to choose beside AttentionCut; left out, the shipped one
            if the model is that of the profile.
        profile: Whose settings are the page's defaults.
        port: Where the page is served.
        host: Address to listen on; another than the default is open to others, without a password.
            Requests under other names than it and those of loopback are refused.
        share: yes makes a public address through a service of Gradio's makers.

    Raises:
        DsegError: Gradio is missing, the port is not free, there is no such profile, or as
            `load_pipeline`.
    """
    if importlib.util.find_spec("gradio") is None:
        raise DsegError("the demo needs gradio: run make setup, or pip install 'gradio>=6.0'")
    base, *overrides = profile_params(profile)
    settings = load_settings(base, overrides)
    check_port(host, port)
    with tempfile.TemporaryDirectory(prefix="dseg-demo-") as folder:
        _prepare(Path(folder))
        # Here, since Gradio reads these variables when it is imported, and that takes seconds.
        try:
            from starlette.middleware import Middleware

            from dseg.demo.hosts import Doorkeeper, Hosts, notices
            from dseg.demo.page import CSS, THEME, build
            from dseg.demo.viewer import Viewer
        except (ImportError, ValueError) as error:  # among them a proxy that it cannot use
            raise DsegError(
                f"gradio cannot be loaded ({error}); if that is about a proxy, unset ALL_PROXY"
            ) from error

        chosen = settings.model
        pipe = load_pipeline(
            model or chosen.path,
            revision=None if model else chosen.revision,
            dtype=chosen.dtype,
            device=chosen.device,
        )
        shipped = CHECKOUT / "models" / f"dseg-head-{profile}"
        if head is None and model is None and shipped.is_dir():
            head = shipped
        segmenter = None if head is None else load(head, device=chosen.device)
        page = build(Viewer(pipe, settings, segmenter), model or chosen.path)
        hosts = Hosts(host)
        try:
            _, local, public = page.queue().launch(
                server_name=f"[{host}]" if ":" in host else host,  # IPv6, as in a URL
                server_port=port,
                share=share == "yes",
                theme=THEME,
                css=CSS,
                max_file_size=UPLOAD,
                app_kwargs={"middleware": [Middleware(Doorkeeper, hosts=hosts)]},
                footer_links=[],
                run_history=False,
                enable_monitoring=False,
                ssr_mode=False,
                prevent_thread_lock=True,
                quiet=True,
            )
        except OSError as error:  # taken since it was looked at
            raise DsegError(f"port {port} of {host}: {error}") from error
        if public:
            hosts.names.add(urlsplit(public).hostname or "")
        for line in notices(host, port, public):
            print(line, file=sys.stderr)
        print(f"serving {local} (Ctrl+C ends it)", flush=True)
        try:
            _wait()
        finally:
            page.close(verbose=False)


def check_port(host: str, port: int) -> None:
    """Raise DsegError unless this machine can listen there."""
    if not 0 < port < 2**16:
        raise DsegError(f"--port {port}: expected 1 to {2**16 - 1}")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise DsegError(
            f"cannot listen on port {port} of {host} ({error.strerror}): name another with --port "
            "or --host"
        ) from error


def _prepare(folder: Path) -> None:
    """Make Gradio keep its files in `folder`, and to itself."""
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    # Gradio asks its own server whether it is up; a proxy for the web must not be in between.
    around = [*filter(None, [os.environ.get("NO_PROXY")]), "127.0.0.1", "localhost"]
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = ",".join(around)


def _wait() -> None:
    """Return at Ctrl+C, or when the process is asked to end, so that files are removed."""
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    stopped.wait()
