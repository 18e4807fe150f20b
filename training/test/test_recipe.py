# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recipes: whatever is wrong in the file is one message that names path, key and range."""

from dataclasses import fields
from pathlib import Path

import pytest

from vos_distill.data import ClipConfig
from vos_distill.recipe import read_yaml, Recipe


@pytest.mark.parametrize('part', [Recipe, ClipConfig])
def test_every_key_that_is_a_number_has_bounds_that_its_default_is_in(
    part: type[Recipe | ClipConfig],
) -> None:
    numbers = [f for f in fields(part) if type(f.default) in (int, float)]
    assert numbers
    for item in numbers:
        low, high = item.metadata['range']
        assert low <= item.default <= high, item.name
        assert item.metadata['description'], item.name


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
        ('ema: 2.0', 'ema must lie in 0.0 .. 1.0, not 2.0'),
        ('hard_share: 7.0', 'hard_share must be above 0, 1 at most'),
        ('seed: -1', 'seed must lie in 0 .. '),
        ('seed: 9223372036854775808', 'seed must lie in 0 .. 9223372036854775807, not'),
        (f'seed: {10**400}', 'seed must lie in 0 .. 9223372036854775807, not'),
        ('logit_weight: -1.0', 'logit_weight must be 0 or more'),
        ('max_bad_share: 1.1', 'max_bad_share must lie in 0.0 .. 1.0'),
        ('clip: {size: 60}', r'clip\.size must be a multiple of 16, not 60'),
        ('clip: {size: 0}', r'clip\.size must be 32 or more'),
        ('clip: {frames: 1}', r'clip\.frames must be 2 or more'),
        ('clip: {speed: -1.0}', r'clip\.speed must be 0 or more'),
        ('clip: {real: 2.0}', r'clip\.real must lie in 0.0 .. 1.0'),
        ('memory: none', 'memory must be one of finite, infinite, not'),
        ('labels: all', 'labels must be one of gt, teacher, mixed, not'),
        ('{teacher: truth, representation_weight: 0.0, labels: mixed}', 'a teacher that is a net'),
        ('teacher: truth', 'truth has logits alone; set representation_weight: 0'),
        ('clip:', 'clip must be keys and values, not None'),
        ('clip: 3', 'clip must be keys and values, not 3'),
        ('clip: {gap_schedule: [3]}', r'clip\.gap_schedule must be points'),
        ('clip: {gap_schedule: [[0, a]]}', r'clip\.gap_schedule must be points'),
        ('clip: {gap_schedule: [[2, 3]]}', r'clip\.gap_schedule is'),
        ('still_repeats: {BIG_small: 0}', 'still_repeats must be names of sets with whole num'),
        ('still_repeats: {BIG_small: 1.5}', 'still_repeats must be names of sets'),
        ('still_side: 0', 'still_side must be 32 or more'),
        ('subsets: [a.txt]', 'subsets must be dict'),
        ('subsets: {davis2017: 3}', 'subsets must be data sets with files'),
        ('subsets: {davis: a.txt}', 'subsets names davis, which is not among the videos'),
        ('optimiser: sgd', 'optimiser must be one of adamw, adam, not'),
        ('step_at: 0.5', 'step_at must be list, not 0.5'),
        ('step_at: [125000]', 'step_at must be shares of the run above 0 and below 1, in order'),
        ('step_at: [0.8, 0.5]', 'step_at must be shares .* in order'),
        ('step_at: [a]', 'step_at must be shares'),
        ('step_factor: 0.0', 'step_factor must be above 0'),
        ('videos: [3]', 'videos must be names of folders'),
        ('families: [3]', 'families must be dict'),
        ('families: {a: -1.0}', 'families must be names with weights from 0'),
        ('families: {a: .inf}', 'families must be names with weights from 0'),
        ('families: {3: 1.0}', 'families must be names with weights from 0'),
        ('3: 4', 'the key 3 must be text'),
        ('clip: {3: 4}', r'unknown clip\.3'),
        ('steps: [', 'not valid YAML'),
        ('steps: 5\nbatch: 2\nsteps: 6', 'the key steps is given twice .*line 3'),
        ('clip: {size: 64, size: 96}', 'the key size is given twice'),
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


def test_a_key_that_a_merge_brings_may_be_given_again(tmp_path: Path) -> None:
    path = tmp_path / 'a.yaml'
    path.write_text('a: {b: &b {c: 1}}\nd: {e: &e {<<: *b, c: 2}}\nf: {<<: *e, c: 3}')
    assert read_yaml(path) == {'a': {'b': {'c': 1}}, 'd': {'e': {'c': 2}}, 'f': {'c': 3}}


def test_the_largest_seed_is_a_seed(tmp_path: Path) -> None:
    (tmp_path / 'a.yaml').write_text(f'seed: {2**63 - 1}')
    assert Recipe.read(tmp_path / 'a.yaml').seed == 2**63 - 1


def test_an_empty_recipe_is_the_default(tmp_path: Path) -> None:
    (tmp_path / 'a.yaml').write_text('')
    assert Recipe.read(tmp_path / 'a.yaml') == Recipe()
