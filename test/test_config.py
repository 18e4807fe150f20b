# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
import re

import pytest

from vos_ros.backends import BACKENDS
from vos_ros.config import (
    from_settings,
    InitConfig,
    MemoryConfig,
    NodeConfig,
    Objects3dConfig,
    read_settings,
    RuntimeConfig,
    SegmenterConfig,
    settings,
    to_settings,
)
from vos_ros.errors import VosError

_ALL = (RuntimeConfig, SegmenterConfig, NodeConfig)


@pytest.mark.parametrize('cls', [*_ALL, Objects3dConfig])
def test_every_setting_explains_itself(cls: type) -> None:
    for name, item in settings(cls):
        assert re.fullmatch(r'\S.{9,}[^.]', item.metadata['description']), name
        assert set(item.metadata) == {'description', 'unit', 'range', 'choices', 'live'}
        if name.rsplit('_', 1)[-1] in ('ms', 's', 'hz', 'mib'):
            assert item.metadata['unit'], name


def test_no_parameter_name_occurs_in_two_classes() -> None:
    names = [name for cls in _ALL for name, _ in settings(cls)]
    assert len(names) == len(set(names))


def test_backend_choices_are_the_table_of_backends() -> None:
    choices = dict(settings(RuntimeConfig))['backend'].metadata['choices']
    assert set(choices) == {'auto', *BACKENDS}


@pytest.mark.parametrize(
    ('cls', 'name', 'value', 'part'),
    [
        pytest.param(SegmenterConfig, 'max_objects', 0, '1 .. 254', id='below'),
        pytest.param(SegmenterConfig, 'max_objects', 255, '1 .. 254', id='above'),
        pytest.param(SegmenterConfig, 'max_objects', 2.0, 'int', id='float for int'),
        pytest.param(SegmenterConfig, 'max_objects', True, 'int', id='bool for int'),
        pytest.param(SegmenterConfig, 'input_size', 16, 'at least 32 px', id='tiny input'),
        pytest.param(MemoryConfig, 'min_score', float('nan'), '0.0 .. 1.0', id='nan'),
        pytest.param(RuntimeConfig, 'backend', 'abacus', 'auto, tensorrt', id='choice'),
        pytest.param(RuntimeConfig, 'model', 3, 'str', id='int for str'),
        pytest.param(InitConfig, 'wait_s', -1.0, '60.0 s', id='unit is said'),
    ],
)
def test_invalid_value_is_refused_with_name_and_remedy(
    cls: type, name: str, value: object, part: str
) -> None:
    with pytest.raises(VosError) as caught:
        cls(**{name: value})
    assert name in str(caught.value)
    assert part in str(caught.value)


def test_flat_names_and_dataclasses_are_inverse() -> None:
    config = from_settings(SegmenterConfig, {'input_size': 320, 'memory.mem_every': 2})
    assert config == SegmenterConfig(input_size=320, memory=MemoryConfig(mem_every=2))
    assert from_settings(SegmenterConfig, to_settings(config)) == config


def test_misspelt_setting_is_refused_with_the_known_ones() -> None:
    with pytest.raises(VosError, match=r'memory\.mem_evry.*memory\.mem_every'):
        from_settings(SegmenterConfig, {'memory.mem_evry': 2})


def test_whole_number_is_taken_for_a_real_one() -> None:
    assert InitConfig(wait_s=2).wait_s == 2


def test_settings_of_a_command_line_have_the_type_of_their_default() -> None:
    given = ['redetect.enabled=true', 'memory.mem_every=2', 'redetect.max_distance=1']
    values = read_settings(SegmenterConfig, given)
    config = from_settings(SegmenterConfig, values)
    assert (config.redetect.enabled, config.memory.mem_every) == (True, 2)
    assert config.redetect.max_distance == 1
    assert read_settings(RuntimeConfig, ['model=3']) == {'model': '3'}


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('redetect.enabled', 'NAME=VALUE'),
        ('redetect.enabled=yes', 'must be bool'),
        ('redetect.enabled=1', 'must be bool'),
        ('memory.mem_every=2.5', 'must be int'),
        ('memory.mem_evry=2', 'unknown setting'),
    ],
)
def test_a_wrong_setting_of_a_command_line_is_refused(text: str, message: str) -> None:
    with pytest.raises(VosError, match=message):
        from_settings(SegmenterConfig, read_settings(SegmenterConfig, [text]))
