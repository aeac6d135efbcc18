"""What a run costs: counts against the workflow's own lists, and arithmetic by hand."""

from pathlib import Path

import pytest

from dseg.orchestration.budget import Geometry, Stage, count_stages
from dseg.orchestration.calibration import Rates
from dseg.orchestration.plan import Plan

TINY = Geometry((64, 64), (12, 16, 16), {1: 32, 2: 64, 4: 128}, 1000)
ONES = Rates(**dict.fromkeys(Rates.__annotations__, 1.0))


@pytest.fixture
def plan(root: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.chdir(root)
    return Plan("embedded")


def stages(plan: Plan, geometry: Geometry = TINY) -> dict[str, Stage]:
    found = count_stages(plan.settings, geometry, plan.sizes())
    return {stage.name: stage for stage in found}


@pytest.mark.parametrize("profile", ["embedded", "study"])
def test_every_shard_and_head_is_a_job_of_one_stage(
    root: Path, monkeypatch: pytest.MonkeyPatch, profile: str
) -> None:
    monkeypatch.chdir(root)
    plan = Plan(profile)
    found = stages(plan)
    rendered = [
        path for path in plan.needed_shards() if "/renders" in path and "/latents/" not in path
    ]
    jobs = sum(stage.jobs for stage in found.values())
    assert jobs == len(plan.needed_shards()) - len(rendered) + len(plan.settings.variants)
    assert found["predictions"].jobs == len(plan.evaluated_shards()) - sum(
        len(plan.shards(folder)) for folder in plan.predicted(plan.settings.recordings)
    )
    drawn = {f"images/{name}" for name in plan.drawn if f"images/{name}" in plan.needed()}
    assert drawn == {name for name in found if name.startswith("images/")}


def test_masks_that_only_judge_are_counted(plan: Plan) -> None:
    assert "masks by others" not in stages(plan)
    instruments = plan.settings.instruments.model_copy(update={"scored": 100})
    plan.settings = plan.settings.model_copy(update={"instruments": instruments})
    per_shard = plan.settings.synthesis.items_per_shard
    assert stages(plan)["masks by others"].images == per_shard > 100


def test_passes_by_hand(plan: Plan) -> None:
    settings, found = plan.settings, stages(plan)
    count = settings.prompts.count
    synthesis = found["images/main"]
    assert synthesis.passes == 2 * settings.synthesis.steps * count
    # 20 steps, from 1 to 951 by 50; recorded are 101 to 451.
    assert (settings.synthesis.steps, settings.attention.timesteps) == (20, (0.1, 0.5))
    assert synthesis.work["recording"] == 8 * count
    # 20 steps, one iteration each, up to .3 of the timesteps: 0, 50, ..., 250.
    assert (settings.inversion.steps, settings.inversion.timesteps[-1]) == (20, 0.3)
    assert found["latents"].passes == 6 * found["latents"].images
    unguided = settings.model_copy(
        update={"synthesis": settings.synthesis.model_copy(update={"guidance": 1.0})}
    )
    plan.settings = unguided
    assert stages(plan)["images/main"].passes == settings.synthesis.steps * count


def test_bytes_by_hand(plan: Plan) -> None:
    settings, found = plan.settings, stages(plan)
    count = settings.prompts.count
    image, affinity = 64 * 64 * 3, 256 * settings.attention.neighbours * 6
    cross = sum(2 * (16 // stride) ** 2 for stride in settings.attention.cross_strides)
    assert found["images/main"].size == count * (image + cross + affinity)
    kept = len(settings.inversion.timesteps)
    assert found["latents"].size == found["latents"].images * kept * 2 * 12 * 16 * 16
    assert found["masks"].size == found["masks"].images * 64 * 64 * 3
    assert found["head"].scratch == count * 2 * (32 * 256 + 64 * 64)
    features = settings.features.model_copy(update={"components": 40})
    plan.settings = settings.model_copy(update={"features": features})
    assert stages(plan)["head"].scratch == count * 2 * (32 * 256 + 40 * 64)


def test_hours_are_counts_times_rates() -> None:
    stage = Stage("x", 3, 10, {"sampling": 50, "cutting": 7200, "decoding": 10}, guided=True)
    assert stage.passes == 100
    assert stage.gpu_hours(ONES) == pytest.approx((50 + 10 + 3) / 3600)  # and three loadings
    assert stage.core_hours(ONES) == pytest.approx(2)
    alone = Stage("y", 3, 10, {"cutting": 3600})
    assert alone.gpu_hours(ONES) == 0
