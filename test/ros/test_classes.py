# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One id per distinct name; and what Nav2's layer makes of it."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='needs rclpy')

from nav2_layer import build, Cost, FREE, LayerOfNav2, LETHAL, SemanticLayer
from robot import ground, image_msg, label_info

from vos_ros.ros.classes import BACKGROUND, ClassTable, UNNAMED

#: A person, another one, something without a name, a dog: 12x12 pixels each, in a row.
LABELS = np.zeros((48, 64), np.uint8)
for number in range(4):
    LABELS[18:30, 2 + 16 * number : 14 + 16 * number] = number + 1
NAMES = {1: 'person', 2: 'person', 3: '', 4: 'dog'}
DANGER = {'person': Cost(), UNNAMED: Cost()}


def obstacles(labels: np.ndarray, names: dict[int, str], known: dict[str, Cost]) -> set[int]:
    """Give the objects whose middle is an obstacle for Nav2's layer, after one frame."""
    layer, cloud = SemanticLayer(known), ground(*LABELS.shape)
    layer.on_label_info(label_info(names))
    layer.on_images(image_msg(labels, 'mono8', (7, 0)), cloud)
    costs = layer.costmap(now_s=7.1)
    middles = {0: (4, 4), **{i + 1: (24, 8 + 16 * i) for i in range(4)}}
    return {i for i, at in middles.items() if costs.get(layer.tile_of(*cloud[at][:2])) == LETHAL}


def test_a_second_person_and_an_object_without_a_name_are_obstacles_in_nav2() -> None:
    table = ClassTable()
    assert table.assign(NAMES)
    classes = table.to_class_map(LABELS)
    assert obstacles(classes, table.names, DANGER) == {1, 2, 3}
    assert obstacles(classes, table.names, {**DANGER, 'dog': Cost()}) == {1, 2, 3, 4}


def test_labels_of_objects_make_an_obstacle_of_the_last_person_only() -> None:
    """What class_labels are for: if this fails, Nav2's layer has been read wrong."""
    names = {i: name or f'object_{i}' for i, name in NAMES.items()}
    assert obstacles(LABELS, names, DANGER) == {2}


@pytest.fixture(scope='module')
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the layer's own code."""
    made = build(tmp_path_factory.mktemp('nav2'))
    if made is None:
        pytest.skip('needs VOS_NAV2_LAYER, a checkout of semantic_segmentation_layer, and g++')
    return made


def test_the_code_of_nav2_finds_the_second_person_by_class_labels_alone(program: Path) -> None:
    table, cloud = ClassTable(), ground(*LABELS.shape)
    table.assign(NAMES)
    of_objects = {i: name or f'object_{i}' for i, name in NAMES.items()}
    given = {(1, 2, 3): (table.to_class_map(LABELS), table.names), (2,): (LABELS, of_objects)}
    for expected, (pixels, names) in given.items():
        layer = LayerOfNav2(program, DANGER)
        layer.on_label_info(label_info(names))
        layer.on_images(image_msg(pixels, 'mono8', (7, 0)), cloud)
        costs = layer.costmap(7.1)
        tiles = {i + 1: SemanticLayer({}).tile_of(*cloud[24, 8 + 16 * i, :2]) for i in range(4)}
        assert tuple(i for i, tile in tiles.items() if costs.get(tile) == LETHAL) == expected


@pytest.mark.parametrize('seed', range(20))
def test_the_copy_computes_what_the_code_of_nav2_does(program: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    names = np.array(['person', 'object', 'dog', 'background'])
    costs = {
        str(name): Cost(
            *random.integers(0, 255, 3).tolist(), int(random.integers(4)), seed % 2 > 0
        )
        for name in random.permutation(names)[: random.integers(1, 5)]
    }
    cloud = (ground(24, 32) + random.normal(0, 0.001, (24, 32, 3))).astype('f4').astype(float)
    cloud[random.random((24, 32)) < 0.05] = np.nan
    # One name twice, so that its last id counts.
    listed = random.permutation([*names, random.choice(names)]).tolist()
    info = label_info(dict(zip(random.permutation(6).tolist(), listed)))
    layers = SemanticLayer(costs), LayerOfNav2(program, costs)
    for layer in layers:
        layer.on_label_info(info)
    for second in range(int(random.integers(1, 5))):
        seen = random.integers(0, [[[6]], [[256]]], (2, 24, 32)).astype(np.uint8)
        images = [image_msg(each, 'mono8', (second, 0)) for each in seen]
        for layer in layers:
            layer.on_images(images[0], cloud, images[1])
    # Nothing is old enough to go: where classes are even after that, the layer takes any of them.
    ours, theirs = (layer.costmap(4.0) for layer in layers)
    assert ours == theirs
    assert len(theirs) > 20


def test_the_background_may_be_listed_to_clear_tiles_sooner() -> None:
    table, cloud = ClassTable(), ground(*LABELS.shape)
    table.assign(NAMES)
    layer = SemanticLayer({**DANGER, BACKGROUND: Cost(0, 0)})
    layer.on_label_info(label_info(table.names))
    layer.on_images(image_msg(table.to_class_map(LABELS), 'mono8', (7, 0)), cloud)
    here = layer.tile_of(*cloud[24, 8, :2])
    assert layer.costmap(7.0)[here] == LETHAL
    empty = np.zeros_like(LABELS)  # all have gone
    for frame in range(2):
        layer.on_images(image_msg(empty, 'mono8', (8 + frame, 0)), cloud)
    assert layer.costmap(9.0)[here] == FREE


def test_observations_outlive_their_object_with_its_cost() -> None:
    table, cloud = ClassTable(), ground(*LABELS.shape)
    table.assign(NAMES)
    layer = SemanticLayer(DANGER)
    layer.on_label_info(label_info(table.names))
    layer.on_images(image_msg(table.to_class_map(LABELS), 'mono8', (7, 0)), cloud)
    here = layer.tile_of(*cloud[24, 8, :2])
    table.assign({9: 'cat'})  # the persons are forgotten; Nav2 still has seen them
    layer.on_label_info(label_info(table.names))
    assert layer.costmap(11.0)[here] == LETHAL
    assert here not in layer.costmap(13.0)


def test_background_and_unnamed_are_there_before_any_object() -> None:
    table = ClassTable()
    assert table.names == {0: 'background', 1: 'object'}
    assert not table.assign({})
    assert not table.assign({5: ''})
    assert table.to_class_map(np.full((2, 3), 5, np.uint8)).tolist() == [[1] * 3] * 2


def test_ids_stay_when_objects_come_go_and_get_names() -> None:
    table = ClassTable()
    assert table.assign({1: 'cup', 2: ''})
    assert table.assign({1: 'cup', 2: 'plate'})
    assert not table.assign({2: 'plate'})
    assert not table.assign({3: 'cup'})
    assert table.names == {0: 'background', 1: 'object', 2: 'cup', 3: 'plate'}
    assert table.to_class_map(np.array([[0, 3]], np.uint8)).tolist() == [[0, 2]]


def test_an_object_called_background_is_no_background() -> None:
    table = ClassTable()
    assert not table.assign({1: 'background'})
    assert table.to_class_map(np.ones((1, 1), np.uint8)).item() == 1


def test_ids_above_255_of_objects_become_bytes_of_classes() -> None:
    table = ClassTable()
    table.assign({300: 'cup', 65535: 'cup'})
    classes = table.to_class_map(np.array([[0, 300, 65535]], np.uint16))
    assert (classes.dtype, classes.tolist()) == (np.uint8, [[0, 2, 2]])


def test_the_oldest_name_without_an_object_makes_room() -> None:
    table = ClassTable()
    for number in range(253):
        assert table.assign({1: 'kept', number + 2: f'name {number}'})
    assert max(table.names) == 254  # 255 is "unlabelled" in a LabelInfo
    assert 'name 0' not in table.names.values()
    assert {'background', 'object', 'kept', 'name 1', 'name 252'} <= {*table.names.values()}


def test_names_beyond_the_ids_count_as_unnamed() -> None:
    table = ClassTable()
    table.assign({number: f'name {number}' for number in range(1, 255)})
    classes = table.to_class_map(np.array([[1, 253, 254]], np.uint8))
    assert classes.tolist() == [[2, 254, 1]]
