"""Reports as one HTML page that opens from disk: the frame around them, and their common parts."""

from __future__ import annotations

import base64
import html
import os
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import fabg

PACKAGES = ("mediapipe", "mujoco", "numpy", "opencv-contrib-python", "av", "ros-kilted-rclpy")
"""Whose versions a report names."""

LARGEST_VIDEO_BYTES = 25_000_000
"""A larger video stays a file beside the page."""


def provenance(packages: Iterable[str] = PACKAGES) -> dict[str, Any]:
    """Return when, with which versions and on what kind of machine a result was made."""
    versions = {"fabg": fabg.__version__, "python": platform.python_version()}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": versions,
        "machine": {"system": f"{platform.system()} {platform.machine()}", "cores": os.cpu_count()},
    }


def page(*, title: str, subtitle: str, body: str, footer: str) -> str:
    """Return a whole page; `title` and `subtitle` are texts, `body` and `footer` HTML."""
    folder = files("fabg")
    template = Template(folder.joinpath("page.html").read_text(encoding="utf-8"))
    style = folder.joinpath("page.css").read_text(encoding="utf-8")
    return template.substitute(
        title=escape(title), subtitle=escape(subtitle), style=style, body=body, footer=footer
    )


def escape(text: object) -> str:
    """Return a text as HTML shows it."""
    return html.escape(str(text), quote=True)


def sentence(text: str) -> str:
    """Return a message as a sentence."""
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def warnings(texts: Iterable[str]) -> str:
    """Return messages that nobody should miss."""
    return "".join(f'<p class="warning">{escape(sentence(text))}</p>' for text in texts)


def tile(value: str, unit: str, text: str) -> str:
    """Return one number with what it means."""
    return (
        f'<div class="card tile"><b>{escape(value)} <small>{escape(unit)}</small></b>'
        f"<span>{escape(text)}</span></div>"
    )


def rows(cells: Iterable[Sequence[object]]) -> str:
    """Return the rows of a table."""
    return "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in cells)


def table(head: Sequence[str], cells: Iterable[Sequence[object]], *, empty: str = "nothing") -> str:
    """Return a table on a card; `empty` is said when it has no row."""
    body = rows(cells) or f'<tr><td colspan="{len(head)}" class="soft">{escape(empty)}</td></tr>'
    titles = "".join(f"<th>{escape(name)}</th>" for name in head)
    return (
        f'<div class="card scroll"><table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def embedded(data: bytes, kind: str) -> str:
    """Return bytes of a MIME type as an address that needs no file."""
    return f"data:{kind};base64," + base64.b64encode(data).decode()


def video(path: Path) -> str:
    """Return what plays a video that lies beside the page: it is put inside unless it is large."""
    large = path.stat().st_size > LARGEST_VIDEO_BYTES
    source = escape(path.name) if large else embedded(path.read_bytes(), "video/mp4")
    return f'<video controls muted loop playsinline preload="metadata" src="{source}"></video>'


def made_with(result: Mapping[str, Any]) -> str:
    """Return the versions and the machine of a result with `provenance`, as HTML."""
    versions = " · ".join(f"{name} {version}" for name, version in result["versions"].items())
    machine = result["machine"]
    return f"<p>{escape(versions)}</p><p>{escape(machine['system'])}, {machine['cores']} cores</p>"
