# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recipes: whatever is wrong in the file is one message that names path, key and range."""

from dataclasses import fields
from pathlib import Path

import pytest

from vos_distill.data import ClipConfig
from vos_distill.recipe import BOUNDS, Recipe


def is_number(value: object) -> bool:
    return type(value) in (int, float)


def test_every_key_that_is_a_number_has_bounds_that_its_default_is_in() -> None:
    defaults = {f.name: f.default for f in fields(Recipe) if is_number(f.default)}
    defaults |= {f'clip.{f.name}': f.default for f in fields(ClipConfig) if is_number(f.default)}
    assert set(BOUNDS) == set(defaults)
    for name, (low, high) in BOUNDS.items():
        assert low <= defaults[name] <= high, name


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('steps: 0', 'steps must be 1 or more, not 0'),
        ('steps: -3', 'steps must be 1 or more'),
        ('batch: 0', 'batch must be 1 or more'),
        ('save_every: 0', 'save_every must be 1 or more'),
        ('log_every: 0', 'log_every must be 1 or more'),
        ('rate: .inf', 'rate must be above 0, not inf'),
        ('rate: .nan', 'rate must be above 0, not nan'),
        ('clip_gradient: 0.0', 'clip_gradient must be above 0'),
        ('ema: 2.0', 'ema must be 0 or more, 1 at most, not 2.0'),
        ('hard_share: 7.0', 'hard_share must be above 0, 1 at most'),
        ('seed: -1', 'seed must be 0 or more'),
        ('logit_weight: -1.0', 'logit_weight must be 0 or more'),
        ('max_bad_share: 1.1', 'max_bad_share must be 0 or more, 1 at most'),
        ('clip: {size: 60}', r'clip\.size must be a multiple of 16, not 60'),
        ('clip: {size: 0}', r'clip\.size must be 32 or more'),
        ('clip: {frames: 1}', r'clip\.frames must be 2 or more'),
        ('clip: {speed: -1.0}', r'clip\.speed must be 0 or more'),
        ('clip: {real: 2.0}', r'clip\.real must be 0 or more, 1 at most'),
        ('clip:', 'clip must be keys and values, not None'),
        ('clip: 3', 'clip must be keys and values, not 3'),
        ('clip: {gap_schedule: [3]}', r'clip\.gap_schedule must be points'),
        ('clip: {gap_schedule: [[0, a]]}', r'clip\.gap_schedule must be points'),
        ('clip: {gap_schedule: [[2, 3]]}', r'clip\.gap_schedule is'),
        ('videos: [3]', 'videos must be names of folders'),
        ('families: [3]', 'families must be dict'),
        ('families: {a: -1.0}', 'families must be names with weights from 0'),
        ('families: {3: 1.0}', 'families must be names with weights from 0'),
        ('3: 4', 'the key 3 must be text'),
        ('clip: {3: 4}', r'unknown clip\.3'),
        ('steps: [', 'not valid YAML'),
        ('[steps]', 'must be keys and values'),
        ('word', "must be keys and values .*, not 'word'"),
    ],
)
def test_a_broken_recipe_is_one_message_with_its_path(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / 'recipe.yaml'
    path.write_text(text)
    with pytest.raises(ValueError, match=said) as error:
        Recipe.read(path)
    assert str(error.value).startswith(f'{path}: ')
    assert '\n' not in str(error.value)


def test_a_recipe_that_is_no_text_or_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'none\.yaml: cannot be read'):
        Recipe.read(tmp_path / 'none.yaml')
    (tmp_path / 'a.yaml').write_bytes(b'\xff\xfe\x80')
    with pytest.raises(ValueError, match=r'a\.yaml: not valid YAML'):
        Recipe.read(tmp_path / 'a.yaml')


def test_an_empty_recipe_is_the_default(tmp_path: Path) -> None:
    (tmp_path / 'a.yaml').write_text('')
    assert Recipe.read(tmp_path / 'a.yaml') == Recipe()
