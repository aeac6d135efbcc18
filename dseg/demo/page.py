"""The page: what is where, and which event calls what."""

from typing import Any

import gradio as gr
import numpy as np

from dseg.demo.events import CUT, HEAD, Events
from dseg.demo.pictures import legend
from dseg.demo.viewer import VIEWS, WEIGHTS, Viewer
from dseg.photos.inspection import GENERIC

# System fonts: the page is to work without a network, and to ask for nothing elsewhere.
THEME = gr.themes.Default(
    primary_hue="blue",
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
    spacing_size=gr.themes.sizes.spacing_sm,
)
CSS = """
.gradio-container { max-width: 1160px !important; margin: 0 auto; }
.panel { min-width: 160px; gap: 2px; }
.panel img { cursor: crosshair; }
.legend { font-size: 0.86em; color: var(--body-text-color-subdued); }
#renders .grid-container { grid-template-columns: repeat(auto-fill, minmax(68px, 1fr)); gap: 4px; }
#renders .thumbnail-item { aspect-ratio: 1; }
#renders .caption-label { font-size: 0.7em; padding: 1px 4px; }
#renders .grid-wrap { height: auto; min-height: 0; max-height: none; overflow: hidden; }
.legend { display: flex; align-items: center; gap: 0.5em; }
.legend span { height: 0.7em; width: 9em; border-radius: 2px; }
footer { display: none !important; }
"""
# One queue for all: the model looks at one image at a time.
ALONE: dict[str, Any] = {
    "show_progress": "minimal",
    "concurrency_limit": 1,
    "concurrency_id": "model",
    "api_visibility": "private",
}

QUIET = ALONE | {"show_progress": "hidden"}


def build(viewer: Viewer, name: str) -> gr.Blocks:
    """The page of a viewer.

    Args:
        viewer: What images are looked at with.
        name: Of its base model, for the reader.
    """
    events, first = Events(viewer), viewer.renders(0)
    with gr.Blocks(title="dseg", analytics_enabled=False, delete_cache=(300, 1800)) as page:
        gr.Markdown(_introduction(viewer, name))
        look, number = gr.State(viewer.look(*first[0])), gr.State(0)
        with gr.Row():
            with gr.Column(scale=4, min_width=240):
                noun = _noun_field(viewer, first[0][1])
                with gr.Tabs():
                    with gr.Tab("Render"):
                        gallery = _gallery(first)
                        others = gr.Button("Render others", size="sm")
                    with gr.Tab("Upload"):
                        own = gr.File(
                            file_types=["image"],
                            show_label=False,
                            height=150,
                            elem_id="own",
                        )
                    with gr.Tab("Prompt"):
                        prompt = gr.Textbox(
                            viewer.prompt(first[0][1]),
                            label="Prompt",
                            info="with one of the nouns",
                            elem_id="prompt",
                        )
                        seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=2**31 - 1)
                        synthesise = gr.Button("Synthesise", variant="primary")
                methods = [CUT, HEAD] if viewer.segmenter else [CUT]
                method = gr.Radio(methods, value=CUT, label="Mask by", visible=len(methods) > 1)
                with gr.Accordion("Weights of AttentionCut", open=True):
                    sliders = [_slider(viewer, key) for key in WEIGHTS]
                    reset = gr.Button("As in params.yaml", size="sm")
            with gr.Column(scale=7, min_width=400):
                verdict = gr.Markdown(elem_id="verdict")
                with gr.Row():
                    image = _panel("image", "Image", ", click on it")
                    cross = _panel("cross", "Cross map", " of the noun")
                with gr.Row():
                    affinity = _panel("affinity", "Affinity", " to the point")
                    mask = _panel("mask", "Mask", ", grey if dropped")
                view = gr.Radio(list(VIEWS), value=next(iter(VIEWS)), label="Affinity shows")
                gr.HTML(_legend())

        panels = [verdict, image, cross, affinity, mask]
        chosen = [method, view, *sliders]

        page.load(events.show, [look, *chosen], panels, **ALONE)
        gallery.select(events.pick, [number, *chosen], [noun, look, *panels], **ALONE)
        others.click(events.others, [number], [number, gallery], **ALONE)
        own.upload(events.upload, [own, noun, *chosen], [look, *panels], **ALONE)
        noun.input(events.rename, [look, noun, *chosen], [look, *panels], **ALONE)
        gr.on(
            [synthesise.click, prompt.submit],
            events.synthesise,
            [prompt, noun, seed, *chosen],
            [noun, look, *panels],
            **ALONE,
        )
        for panel in panels[1:]:
            panel.select(events.point, [look, *chosen], [look, *panels], **QUIET)
        gr.on(
            [each.change for each in chosen],
            events.show,
            [look, *chosen],
            panels,
            trigger_mode="always_last",
            **QUIET,
        )
        reset.click(events.defaults, None, sliders, **ALONE)
    return page


def _introduction(viewer: Viewer, name: str) -> str:
    text = (
        "# dseg\n"
        f"How **{name}** sees an image: where the noun attends, what attends alike, and the mask "
        "that AttentionCut makes of both."
    )
    if viewer.nouns:
        count = sum(noun != GENERIC for noun in viewer.nouns)
        text += (
            f" This model knows {count} nouns and the word {GENERIC}. It has seen renders like "
            "the ones here and **never a photograph**: what it says of one means little."
        )
    return text


def _noun_field(viewer: Viewer, value: str) -> gr.Dropdown:
    return gr.Dropdown(
        list(viewer.nouns or viewer.classes),
        value=value,
        label="Noun",
        info="all that the model knows" if viewer.nouns else "or any other word",
        allow_custom_value=True,
        elem_id="noun",
    )


def _gallery(renders: list[tuple[np.ndarray, str]]) -> gr.Gallery:
    return gr.Gallery(
        renders,
        show_label=False,
        columns=4,
        object_fit="cover",
        allow_preview=False,
        interactive=False,
        format="png",
        buttons=[],
        elem_id="renders",
    )


def _slider(viewer: Viewer, key: str) -> gr.Slider:
    value = float(getattr(viewer.settings.attentioncut, key))
    top = 5 * value or 1.0
    step = top / 100
    return gr.Slider(
        step if key == "tau" else 0.0,  # a threshold without softness divides by it
        top,
        value=value,
        step=step,
        label=WEIGHTS[key],
        info=key,
        elem_id=key,
    )


def _panel(name: str, title: str, meaning: str) -> gr.Image:
    with gr.Column(elem_classes="panel", min_width=160):
        gr.Markdown(f"**{title}**{meaning}")
        return gr.Image(
            show_label=False,
            interactive=False,
            type="numpy",
            format="png",
            buttons=["fullscreen", "download"],
            elem_id=name,
            alt_text=title,
        )


def _legend() -> str:
    colours = ", ".join(legend())
    return (
        f'<div class="legend">0 <span style="background: linear-gradient(90deg, {colours})">'
        "</span> the map's largest value; the image shows through in grey</div>"
    )
