"""Take the picture of the demo page for the documentation.

dseg demo                                              # in one terminal
python docs/screenshot.py http://127.0.0.1:7860 docs/images/demo.png
"""

import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

SIZE = {"width": 1200, "height": 900}
SHOWN = "document.querySelector('#mask img')?.complete"
COLOURS = 256  # of the palette: a third of the bytes, and hardly a difference to see


def main(url: str, out: Path) -> None:
    """Open the page, with its first render, and save it."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(url)
        page.wait_for_function(SHOWN)
        page.mouse.move(0, 0)
        page.wait_for_timeout(1000)  # for what fades in
        page.screenshot(path=out, full_page=True)
        browser.close()
    Image.open(out).convert("RGB").quantize(COLOURS).save(out, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
