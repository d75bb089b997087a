#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The folders of src and cli as docs/layers.svg: an arrow for each folder that another one includes, those left out that
follow from others.

    tools/draw_layers.py            prints the picture
    tools/draw_layers.py --write    puts it into docs
"""
import os
import re
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
PICTURE = os.path.join(ROOT, "docs", "layers.svg")
WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 132, 40, 22, 34, 12

# column and caption; the row follows from the includes
PLACES = {
    "base": (2.5, "files, JSON, threads"), "kernels": (3, "inner loops"), "text": (2, "tokenizers"),
    "model": (2.5, "families, files"), "tasks": (1.6, "text to answer"), "run": (0.6, "plan, session"),
    "api": (0, "espalier.h"), "eval": (1.6, "data sets, metrics"), "create/layers": (2.5, "forward, backward"),
    "create/network": (3.4, "the encoder in floats"), "create/quantize": (3.5, "floats to 8 bits"),
    "create/feed": (2.5, "steps of data"), "create/distill": (2.5, "teachers"), "create/compile": (1.2, "to one file"),
    "create/train": (3, "trainer, recipes"), "create/prune": (4.4, "masks"), "create/init": (5.5, "random weights"),
    "create/vocab": (5.2, "vocabularies"), "create/state": (4, "to resume a run"), "create/demo": (2.5, "the whole pipeline"),
    "create/open": (0.2, "file or directory"),
    "cli": (2.5, "commands"),
}


def folder(path):
    parts = path.split(os.sep)
    if parts[0] == "cli":
        return "cli"
    return "/".join(parts[1:3]) if parts[1] == "create" else parts[1]


def includes():
    """{folder: folders that it includes}"""
    found = {}
    for top in ("src", "cli"):
        for place, _, names in os.walk(os.path.join(ROOT, top)):
            for name in names:
                if not name.endswith((".c", ".h")):
                    continue
                path = os.path.join(place, name)
                own = found.setdefault(folder(os.path.relpath(path, ROOT)), set())
                with open(path, encoding="utf-8") as stream:
                    for other in re.findall(r'^#include "(\w+/[^"]+)"', stream.read(), re.M):
                        if os.path.exists(os.path.join(ROOT, "src", other)):
                            own.add(folder(os.path.join("src", other)))
    return {name: others - {name} for name, others in found.items()}


def below(graph, name):
    """All that a folder reaches."""
    return graph[name].union(*(below(graph, other) for other in graph[name]))


def picture():
    graph = includes()
    height = {}

    def level(name):
        if name not in height:
            height[name] = 1 + max(map(level, graph[name]), default=-1)
        return height[name]

    top = max(map(level, graph))
    columns = max(column for column, _ in PLACES.values()) + 1
    size = (2 * MARGIN + columns * (WIDTH + GAP_X) - GAP_X, 2 * MARGIN + (top + 1) * (HEIGHT + GAP_Y) - GAP_Y)

    def corner(name):
        column = PLACES.get(name, (columns - 1, ""))[0]
        return MARGIN + column * (WIDTH + GAP_X), MARGIN + (top - height[name]) * (HEIGHT + GAP_Y)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]:g} {size[1]:g}" font-family="sans-serif" '
           'font-size="13" text-anchor="middle">',
           '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
           '<path d="M0 0L8 4L0 8z" fill="#666"/></marker></defs>',
           f'<rect width="{size[0]:g}" height="{size[1]:g}" fill="#fff"/>']
    for name in sorted(graph):
        x, y = corner(name)
        for other in sorted(graph[name]):
            if not any(other in below(graph, between) for between in graph[name]):
                to_x, to_y = corner(other)
                out.append(f'<line x1="{x + WIDTH / 2:g}" y1="{y + HEIGHT:g}" x2="{to_x + WIDTH / 2:g}" y2="{to_y:g}" '
                           'stroke="#666" marker-end="url(#tip)"/>')
    for name in sorted(graph):
        x, y = corner(name)
        colour = "#dcefd9" if name.startswith("create/") else "#eee" if name in ("cli", "eval") else "#d7e6f5"
        out.append(f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="5" fill="{colour}" stroke="#666"/>'
                   f'<text x="{x + WIDTH / 2:g}" y="{y + 17:g}" font-weight="bold">{name}</text>'
                   f'<text x="{x + WIDTH / 2:g}" y="{y + 32:g}" font-size="11">{PLACES.get(name, (0, ""))[1]}</text>')
    return "\n".join(out + ["</svg>"]) + "\n"


def main():
    if sys.argv[1:] != ["--write"]:
        print(picture(), end="")
        return
    with open(PICTURE, "w", encoding="utf-8") as stream:
        stream.write(picture())


if __name__ == "__main__":
    main()
