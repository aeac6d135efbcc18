"""What the page does when something on it is clicked, typed or moved.

Each method takes the values of the page's fields and returns those of its outputs, in the order
in which `dseg.demo.page` wires them. ``choices`` are the method, the view of the affinity, and the
weights of the cut in the order of `WEIGHTS`.
"""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import gradio as gr

from dseg.demo import viewer as views
from dseg.demo.viewer import WEIGHTS, Found, Look, Viewer
from dseg.errors import DsegError
from dseg.photos.folder import PhotoFile, read_photo

CUT, HEAD = "AttentionCut", "trained head"
# Our choice, below `dseg segment`'s: a file of .5 MB may ask for it, takes about a GB and a few
# seconds, and whoever else uses the page waits.
MOST_PIXELS = 50_000_000

P = ParamSpec("P")


def told(function: Callable[P, list[Any]]) -> Callable[P, Any]:
    """Show what is wrong with the input in one line, and leave the page as it is."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            return function(*args, **kwargs)
        except DsegError as error:
            gr.Warning(str(error), title="Not done")
            return gr.skip()  # of all outputs

    return wrapped


class Events:
    """Handlers of the page's events."""

    def __init__(self, viewer: Viewer) -> None:
        """Handle them with `viewer`."""
        self.viewer = viewer

    def show(self, look: Look, *choices: Any) -> list[Any]:
        """Draw everything anew: the verdict and the four panels."""
        found = self._find(look, choices)
        return [
            views.verdict(look, found),
            views.image_panel(look, found),
            views.cross_panel(look),
            views.affinity_panel(look, choices[1]),
            views.mask_panel(look, found),
        ]

    @told
    def pick(self, event: gr.SelectData, page: int, *choices: Any) -> list[Any]:
        """Look at a render: its noun, the look, the panels."""
        image, noun = self.viewer.renders(page)[event.index]
        look = self.viewer.look(image, noun)
        return [noun, look, *self.show(look, *choices)]

    @told
    def upload(self, path: str, noun: str | None, *choices: Any) -> list[Any]:
        """Look at one's own image: the look, the panels."""
        name = Path(path).name
        try:
            photo = read_photo(PhotoFile(Path(path), name), MOST_PIXELS)
        except DsegError as error:
            raise DsegError(f"{name}: {error}") from error
        look = self.viewer.look(photo.image, noun or "")
        return [look, *self.show(look, *choices)]

    @told
    def rename(self, look: Look, noun: str | None, *choices: Any) -> list[Any]:
        """Look at the same image for another noun: the look, the panels."""
        look = self.viewer.look_again(look, noun or "")
        return [look, *self.show(look, *choices)]

    @told
    def synthesise(
        self, prompt: str, noun: str | None, seed: float | None, *choices: Any
    ) -> list[Any]:
        """Look at an image of a prompt: its noun, the look, the panels."""
        look, unknown = self.viewer.imagine(prompt, noun or "", int(seed or 0))
        if unknown:
            gr.Warning(f"the model has no word for {', '.join(unknown)}, only letters of it")
        return [look.attended.noun, look, *self.show(look, *choices)]

    @told
    def point(self, event: gr.SelectData, look: Look, *choices: Any) -> list[Any]:
        """Take the affinity from where a panel was clicked: the look, the panels."""
        look = views.at_point(look, event.index)
        return [look, *self.show(look, *choices)]

    def others(self, page: int) -> list[Any]:
        """Other renders: their page, the renders."""
        return [page + 1, self.viewer.renders(page + 1)]

    def defaults(self) -> list[float]:
        """The weights of the cut in the settings."""
        return [getattr(self.viewer.settings.attentioncut, key) for key in WEIGHTS]

    def _find(self, look: Look, choices: tuple[Any, ...]) -> Found:
        method, _, *weights = choices
        if method == HEAD:
            return self.viewer.predict(look)
        return self.viewer.find(look, dict(zip(WEIGHTS, map(float, weights), strict=True)))
