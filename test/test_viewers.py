# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is shipped for RViz, Foxglove, the aggregator and docker names only what there is."""

from collections.abc import Iterator
import json
from pathlib import Path
import re
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / 'config'


def published(page: str, node: str) -> set[str]:
    """List the topics that a page of the docs says a node publishes, absolute."""
    rows = re.findall(r'^\| (`.*?) \|', (ROOT / 'docs' / page).read_text(), re.M)
    names = {name for row in rows for name in re.findall('`(.*?)`', row)}
    return {f'/{node}{name[1:]}' for name in names if name[0] == '~'}


TOPICS = published('node.md', 'vos') | published('objects_3d.md', 'objects_3d')


def values(tree: Any) -> Iterator[str]:
    """Yield every text in a tree of lists and dictionaries."""
    if isinstance(tree, dict):
        for each in tree.values():
            yield from values(each)
    elif isinstance(tree, list):
        for each in tree:
            yield from values(each)
    elif isinstance(tree, str):
        yield tree


def topics_in(tree: Any) -> set[str]:
    return {text for text in values(tree) if re.match(r'/(vos|objects_3d)/', text)}


def test_rviz_shows_topics_that_the_nodes_have() -> None:
    shown = yaml.safe_load((CONFIG / 'vos.rviz').read_text())
    assert '/vos/overlay' in topics_in(shown)
    assert topics_in(shown) <= TOPICS
    displays = shown['Visualization Manager']['Displays']
    for display in (each for each in displays if 'Topic' in each):
        # A reliable publisher of depth 1 or 2, volatile.
        assert display['Topic']['Durability Policy'] == 'Volatile'


def test_foxglove_shows_topics_that_the_nodes_have() -> None:
    layout = json.loads((CONFIG / 'foxglove_layout.json').read_text())
    assert '/vos/overlay/compressed' in topics_in(layout)
    assert topics_in(layout) <= TOPICS
    # Each panel that is placed is described, and the other way round.
    tabs = [tab for each in layout['configById'].values() for tab in each.get('tabs', [])]
    placed = {text for text in values([layout['layout'], tabs]) if '!' in text}
    assert placed == {*layout['configById']}


def test_the_image_of_docker_is_made_of_files_that_exist() -> None:
    text = (ROOT / 'docker' / 'Dockerfile').read_text()
    for source in re.findall(r'^COPY (\S+) \S+$', text, re.M):
        assert (ROOT / source).exists(), source
    ignored = (ROOT / 'docker' / 'Dockerfile.dockerignore').read_text().splitlines()
    needed = {'package.xml', 'setup.py', 'vos_ros', 'launch', 'config', 'models', 'resource'}
    assert needed.isdisjoint(ignored)


def test_the_dev_container_is_a_stage_of_that_image() -> None:
    settings = json.loads((ROOT / '.devcontainer' / 'devcontainer.json').read_text())
    dockerfile = (ROOT / '.devcontainer' / settings['build']['dockerfile']).resolve()
    assert dockerfile == ROOT / 'docker' / 'Dockerfile'
    assert f'AS {settings["build"]["target"]}' in dockerfile.read_text()
