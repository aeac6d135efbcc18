"""The demo page: the command, and the page itself in a real browser."""

import io
import os
import shutil
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from dseg.cli import main
from dseg.demo.server import check_port
from dseg.errors import DsegError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
# The command, with a word about every connection and every name looked up off this machine.
SERVE = """
import sys
def watch(event, details):
    if event in ("socket.connect", "socket.getaddrinfo"):
        host = details[1][0] if event == "socket.connect" else details[0]
        if host not in ("127.0.0.1", "localhost", "::1", None):
            print("off this machine:", event, host, file=sys.stderr, flush=True)
sys.addaudithook(watch)
from dseg.cli import main
sys.exit(main(sys.argv[1:]))
"""
CHANGED = """([name, before]) => {
    const picture = document.querySelector(`#${name} img`);
    return picture && picture.src !== before && picture.complete;
}"""
PANELS = ("image", "cross", "affinity", "mask")
PATIENCE = 300_000  # ms: only a page that hangs waits for so long


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_taken_port_is_one_line(capsys, monkeypatch, root):
    monkeypatch.chdir(root)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["demo", "--port", str(port)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: cannot listen on port {port} of 127.0.0.1 (")
    assert said.endswith("name another with --port or --host\n") and said.count("\n") == 1


def test_ports_and_hosts_that_are_none():
    for port in (0, 65536):
        with pytest.raises(DsegError, match="expected 1 to 65535"):
            check_port("127.0.0.1", port)
    with pytest.raises(DsegError, match="cannot listen on port"):
        check_port("host.invalid", free_port())


def test_without_gradio_the_error_says_what_to_do(capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["demo"]) == 2
    assert "the demo needs gradio: run make setup" in capsys.readouterr().err


@pytest.fixture(scope="module")
def server(root, tmp_path_factory):
    """Address of a running demo; afterwards it has ended well and left nothing."""
    folder = tmp_path_factory.mktemp("demo")
    temporary = folder / "tmp"
    temporary.mkdir()
    port = free_port()
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, "demo", "--port", str(port)],
            cwd=root,
            env=os.environ | {"TMPDIR": str(temporary)},
            stdout=out,
            stderr=err,
        )
    try:
        end = time.monotonic() + PATIENCE / 1000
        while "serving" not in (folder / "out").read_text():
            assert process.poll() is None, (folder / "err").read_text()
            assert time.monotonic() < end, "the demo does not start"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/"
        assert list(temporary.glob("dseg-demo-*")), "uploads are kept elsewhere"
    finally:
        process.terminate()
        status = process.wait(timeout=120)
    assert status == 0
    assert list(temporary.glob("dseg-demo-*")) == []
    assert (folder / "err").read_text() == ""


@pytest.mark.parametrize("way", ["", "config", "gradio_api/info", "gradio_api/upload"])
def test_only_requests_from_the_page_under_its_own_name_are_answered(server, way) -> None:
    send = partial(httpx.post, files={"files": b"x"}) if "upload" in way else httpx.get
    port = httpx.URL(server).port
    own = f"localhost:{port}"
    for headers in ({}, {"Host": own}, {"Host": own, "Origin": f"http://{own}"}):
        assert send(server + way, headers=headers).status_code == 200
    for headers in (
        {"Host": f"evil.example:{port}"},
        {"Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ):
        answer = send(server + way, headers=headers)
        assert answer.status_code == 403 and answer.text.startswith("this page ")


def test_it_listens_on_an_address_of_ipv6(root) -> None:
    try:
        check_port("::1", port := free_port())
    except DsegError:
        pytest.skip("no IPv6")
    process = subprocess.Popen(
        [sys.executable, "-m", "dseg", "demo", "--host", "::1", "--port", str(port)],
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"serving http://[::1]:{port}/ (Ctrl+C ends it)\n"
        assert httpx.get(f"http://[::1]:{port}/").status_code == 200
    finally:
        process.terminate()
        process.wait(timeout=120)


@pytest.fixture(scope="module")
def page(server):
    """The page, open in a browser. It has logged no error and asked for nothing elsewhere."""
    playwright = pytest.importorskip("playwright.sync_api")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser: expected one of {', '.join(BROWSERS)} on PATH")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(PATIENCE)
        requests, problems = [], []
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "console",
            lambda message: problems.append(message.text) if message.type == "error" else None,
        )
        page.goto(server)
        page.wait_for_function(CHANGED, arg=["mask", ""])
        yield page
        browser.close()
    assert problems == []
    assert [url for url in requests if not url.startswith((server, "data:", "blob:"))] == []


def pixels(page, panel: str) -> np.ndarray:
    url = page.get_attribute(f"#{panel} img", "src")
    return np.array(Image.open(io.BytesIO(page.request.get(url).body())).convert("RGB"))


def sources(page) -> dict[str, str]:
    return {panel: page.get_attribute(f"#{panel} img", "src") for panel in PANELS}


def wait(page, before: dict[str, str], panel: str) -> None:
    page.wait_for_function(CHANGED, arg=[panel, before[panel]])


def message(page) -> str:
    """What the page complains about; afterwards it is closed."""
    toast = page.locator(".toast-body")
    toast.first.wait_for()
    said = toast.first.inner_text()
    page.locator(".toast-close").first.click()
    toast.first.wait_for(state="detached")
    return said


def test_a_render_is_looked_at(page):
    before, mask = sources(page), pixels(page, "mask")
    button = page.locator("#renders button.thumbnail-item").nth(1)
    noun = button.inner_text().strip()
    button.click()
    wait(page, before, "mask")
    wait(page, before, "cross")
    assert page.input_value("#noun input") == noun
    assert (pixels(page, "mask") != mask).any()
    text = page.inner_text("#verdict")
    assert text.startswith(("Kept.", "Dropped: ")) and f"a photo of a {noun}" in text
    assert {pixels(page, panel).shape for panel in PANELS} == {(448, 448, 3)}


def test_a_click_moves_the_point_and_the_affinity(page):
    before = sources(page)
    affinity, cross = pixels(page, "affinity"), pixels(page, "cross")
    box = page.locator("#image img").bounding_box()
    page.click("#image img", position={"x": box["width"] / 16, "y": box["height"] / 16})
    wait(page, before, "affinity")
    moved = pixels(page, "affinity")
    assert (moved != affinity).any()
    # The ring is where the click was, in the pictures' own pixels.
    ring = pixels(page, "image")[28 - 9 : 28 + 10, 28 - 9 : 28 + 10]
    assert (ring == 0).all(axis=2).any() and (ring == 255).all(axis=2).any()
    np.testing.assert_array_equal(pixels(page, "cross"), cross)


def test_a_weight_changes_the_mask_and_reset_brings_it_back(page):
    before, mask = sources(page), pixels(page, "mask")
    page.fill("#tau input[type=number]", "0.5")
    page.keyboard.press("Enter")
    wait(page, before, "mask")
    assert (pixels(page, "mask") != mask).any()
    changed = sources(page)
    page.get_by_role("button", name="As in params.yaml").click()
    wait(page, changed, "mask")
    np.testing.assert_array_equal(pixels(page, "mask"), mask)


def test_an_unknown_noun_is_said_in_a_line_and_leaves_the_page(page):
    before, noun = sources(page), page.input_value("#noun input")
    page.fill("#noun input", "zebra")
    page.keyboard.press("Enter")
    said = message(page)
    assert "the model has no word 'zebra'" in said and "strawberry" in said
    assert "Traceback" not in said and sources(page) == before
    page.fill("#noun input", "object")
    page.keyboard.press("Enter")
    wait(page, before, "cross")
    assert noun != "object" and "a photo of an object" in page.inner_text("#verdict")


def test_own_images_keep_their_shape(page, tmp_path: Path):
    page.get_by_role("tab", name="Upload").click()
    broken, photo = tmp_path / "broken.png", tmp_path / "photo.png"
    broken.write_bytes(b"no image")
    values = np.random.default_rng(0).integers(0, 256, (12, 24, 3), np.uint8)
    Image.fromarray(values).resize((300, 150)).save(photo)
    before = sources(page)
    page.set_input_files("#own input[type=file]", broken)
    assert "broken.png: not an image of a known format" in message(page)
    page.get_by_label("Clear").first.click()
    page.set_input_files("#own input[type=file]", photo)
    wait(page, before, "mask")
    assert {pixels(page, panel).shape for panel in PANELS} == {(224, 448, 3)}
    assert "300 × 150 pixels" in page.inner_text("#verdict") or "no box" in page.inner_text(
        "#verdict"
    )


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(page, tmp_path: Path):
    large, before = tmp_path / "large.png", sources(page)
    Image.new("1", (7_072, 7_072)).save(large)
    page.get_by_label("Clear").first.click()
    page.set_input_files("#own input[type=file]", large)
    assert "large.png: too large: more than 50,000,000 pixels (7,072 x 7,072)" in message(page)
    assert sources(page) == before


def test_a_long_prompt_is_refused_in_a_line(page):
    page.get_by_role("tab", name="Prompt").click()
    before = sources(page)
    page.fill("#prompt textarea", "a photo of a donut " * 50_000)
    page.get_by_role("button", name="Synthesise").click()
    assert message(page).endswith("the prompt has 950,000 characters: expected 300 at the most")
    assert sources(page) == before


def test_a_prompt_is_synthesised(page):
    page.get_by_role("tab", name="Prompt").click()
    before = sources(page)
    page.fill("#prompt textarea", "a photo of a donut on grass")
    page.get_by_role("button", name="Synthesise").click()
    wait(page, before, "mask")
    assert page.input_value("#noun input") == "donut"
    assert "synthesised from “a photo of a donut on grass”" in page.inner_text("#verdict")


@pytest.mark.parametrize("width", [1400, 800, 400])
def test_nothing_is_cut_off_in_a_narrow_window(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for panel in PANELS:
        box = page.locator(f"#{panel} img").bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["width"] >= 150


def test_a_proxy_that_gradio_cannot_use_is_one_line() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = subprocess.run(
        [sys.executable, "-m", "dseg", "demo", "--port", str(port)],
        env={**os.environ, "ALL_PROXY": "socks5://127.0.0.1:9"},
        capture_output=True,
        text=True,
    )
    (line,) = [line for line in done.stderr.splitlines() if line.strip()]
    assert done.returncode == 2 and "unset ALL_PROXY" in line
