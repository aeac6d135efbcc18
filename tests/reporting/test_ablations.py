"""Which variants go together."""

import pytest

from dseg.reporting.ablations import ABLATIONS, MAIN_SET, default_variant, table_of, variant_sets
from dseg.settings.profiles import profile_params
from dseg.settings.reading import load_settings


def settings_of(root, monkeypatch, profile):
    monkeypatch.chdir(root)
    base, *overrides = profile_params(profile)
    return load_settings(base, overrides)


@pytest.mark.parametrize("profile", ["embedded", "smoke", "study"])
def test_sets_part_the_variants(root, monkeypatch, profile):
    settings = settings_of(root, monkeypatch, profile)
    sets = variant_sets(settings)
    assert sorted(sum(sets.values(), [])) == sorted(settings.variants)
    assert all(sets.values()) and sets.keys() <= {MAIN_SET, *ABLATIONS}
    assert default_variant(settings) in sets[MAIN_SET]
    for name, variants in sets.items():
        assert {table_of(settings, variant) or MAIN_SET for variant in variants} == {name}


def test_sets_of_the_study(root, monkeypatch):
    sets = variant_sets(settings_of(root, monkeypatch, "study"))
    assert "rgb" in sets[MAIN_SET]
    assert "steps-5" in sets["inversions"] and "stride-4" in sets["blocks"]
    assert "linear" in sets["heads"] and "masks-otsu" in sets["masks"]


def test_a_set_follows_from_what_a_variant_changes(root, monkeypatch):
    settings = settings_of(root, monkeypatch, "smoke")
    changes = {"one": {"head": {"loss": "bce"}}, "two": {"head": {"pairs": 4}}}
    settings = settings.model_copy(update={"variants": {"inversion": {}, **changes}})
    assert variant_sets(settings) == {"main": ["inversion"], "heads": ["one"], "pairs": ["two"]}
    # Without a default nothing is about the main set.
    settings = settings.model_copy(update={"variants": changes})
    assert variant_sets(settings) == {"heads": ["one"], "pairs": ["two"]}
