# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
For mkdocs: README.md is the first page, and links to files of the repository lead there.

The pages are written for a reader of the repository, with links relative to their own folder; what
is no page of the site (code, reports, licences) is linked in the repository, and must exist there.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
import posixpath
import re
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
_LINK = re.compile(r'(!?\[[^\]]*\]\()([^)\s#]+)(#[^)\s]*)?\)')


def on_files(files: Any, config: Any) -> Any:
    """Add README.md as index.md."""
    text = (ROOT / 'README.md').read_text(encoding='utf-8')
    files.append(File.generated(config, 'index.md', content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Turn links out of docs/ into links to the repository."""
    is_readme = page.file.src_uri == 'index.md'
    folder = '' if is_readme else 'docs'

    def relink(found: re.Match[str]) -> str:
        head, link, anchor = found[1], found[2], found[3] or ''
        if re.match(r'[a-z]+:', link):
            return found[0]
        target = posixpath.normpath(posixpath.join(folder, link))
        if not (ROOT / target).exists():
            raise PluginError(f'{page.file.src_uri}: {link} does not exist')
        if target == 'README.md':
            return f'{head}index.md{anchor})'
        if target.startswith('docs/') and not target.endswith('.py'):
            return f'{head}{PurePosixPath(target).relative_to("docs")}{anchor})'
        kind = 'tree' if (ROOT / target).is_dir() else 'blob'
        return f'{head}{config.repo_url.rstrip("/")}/{kind}/main/{target}{anchor})'

    return _LINK.sub(relink, markdown)
