# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""README and docs name only what exists: files, anchors, parameters, models, commands."""

import json
from pathlib import Path
import re
from xml.etree import ElementTree

import pytest
import yaml

from vos_ros.config import NodeConfig, RuntimeConfig, SegmenterConfig, settings

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / 'README.md').read_text(encoding='utf-8')
PAGES = [
    *sorted(ROOT.glob('*.md')),
    *sorted((ROOT / 'docs').glob('*.md')),
    ROOT / 'models' / 'README.md',
    ROOT / 'benchmarks' / 'README.md',
]
SETTINGS = {
    name for group in (RuntimeConfig, SegmenterConfig, NodeConfig) for name, _ in settings(group)
}
CODE = re.compile(r'^```.*?^```', re.M | re.S)


def links(page: Path) -> list[tuple[str, str]]:
    """Return (path, anchor) of each link that leads into the repository."""
    text = CODE.sub('', page.read_text(encoding='utf-8'))
    found = re.findall(r'\]\(([^)\s#]*)(?:#([^)\s]*))?\)', text)
    return [(path, anchor) for path, anchor in found if not re.match('[a-z]+:', path)]


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    text = CODE.sub('', page.read_text(encoding='utf-8'))
    heads = re.findall(r'^#+ (.*)$', text, re.M)
    return {re.sub(r'[^\w\- ]', '', head.lower()).replace(' ', '-') for head in heads}


def files_named(text: str) -> set[str]:
    """Return what looks like a file of this repository, in code marks or in a command."""
    return set(re.findall(r'`((?:[\w.-]+/)+[\w.-]+\.\w+)`', text))


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading_that_exist(page: Path) -> None:
    for path, anchor in links(page):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f'{path} does not exist'
        if anchor and target.suffix == '.md':
            assert anchor in anchors(target), f'{path} has no heading #{anchor}'


def test_every_file_of_the_package_that_the_pages_name_exists() -> None:
    for page in PAGES:
        for name in files_named(page.read_text(encoding='utf-8')):
            roots = (ROOT, ROOT / 'vos_ros', ROOT / 'test', ROOT / 'training', page.parent)
            first = name.split('/')[0]
            if any((root / first).is_dir() for root in roots):
                assert any((root / name).exists() for root in roots), f'{page.name}: {name}'


def test_the_readme_is_short_and_names_the_basic_parameters_of_vos_yaml() -> None:
    assert README.count('\n') <= 150
    listed = re.search(r'Basic parameters: (.*?);', README, re.S)
    assert listed is not None
    basic = (ROOT / 'config' / 'vos.yaml').read_text(encoding='utf-8').partition('== Expert')[0]
    names = yaml.safe_load(basic.rsplit('\n', 1)[0])['/**']['ros__parameters']
    assert re.findall(r'`(\w+)`', listed[1]) == list(names)


def test_the_picture_of_the_topics_shows_those_of_the_contract() -> None:
    table = README.partition('## The contract')[2].partition('## Limits')[0]
    cells = re.findall(r'^\| (?:in|out|service) \| ([^|]*) \|', table, re.M)
    named = {name for cell in cells for name in re.findall('`([^`]+)`', cell)}
    picture = ElementTree.parse(ROOT / 'docs' / 'images' / 'topics.svg')
    texts = picture.iterfind('.//{*}text[@font-family]')
    shown = {name for text in texts for name in re.findall(r'[^\s,*]+', text.text or '')}
    # camera_info is an input for ~/camera_info alone.
    assert shown - {'camera_info'} == {name for name in named if '/compressed' not in name}


@pytest.mark.parametrize('page', ['README.md', 'docs/node.md', 'docs/prompts.md'])
def test_every_dotted_parameter_that_a_page_names_exists(page: str) -> None:
    text = (ROOT / page).read_text(encoding='utf-8')
    groups = {name.split('.')[0] for name in SETTINGS if '.' in name}
    named = set(re.findall(rf'`((?:{"|".join(sorted(groups))})\.[a-z_.]+)', text))
    assert named <= SETTINGS


def test_the_models_of_the_readme_are_those_that_are_shipped_with_their_scores() -> None:
    table = README.partition('## Models')[2].partition('## ')[0]
    rows = re.findall(r'^\| \**`(\w+)`\**[^|]*\| ([\d.]+) M \| [^|]* \| ([\d.]+) \| ([\d.]+)', table, re.M)  # fmt: skip  # noqa: E501
    assert {row[0] for row in rows} == {p.parent.name for p in ROOT.glob('models/*/manifest.json')}
    for name, millions, jf_2016, jf_2017 in rows:
        manifest = json.loads((ROOT / 'models' / name / 'manifest.json').read_text())
        assert float(millions) == round(manifest['parameters'] / 1e6, 2)
        scores = [s['jf'] for s in manifest['scores'].values() if isinstance(s, dict)]
        assert [float(jf_2016), float(jf_2017)] == scores[:2]


def test_every_target_of_make_and_launch_argument_in_the_readme_exists() -> None:
    makefile = (ROOT / 'Makefile').read_text(encoding='utf-8')
    targets = set(re.findall(r'^(?:`|)make ([a-z]+)\b', README, re.M))
    assert targets
    for target in targets:
        assert re.search(rf'^{target}:', makefile, re.M), target
    for file, arguments in re.findall(r'ros2 launch vos_ros (\S+) (.*)', README):
        launch = (ROOT / 'launch' / file).read_text(encoding='utf-8')
        for name in re.findall(r'(\w+):=', arguments):
            assert f"'{name}'" in launch, name
