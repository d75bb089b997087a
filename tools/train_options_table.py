#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The options of a training stage as the table of docs/training.md, from train_options.inc.

    tools/train_options_table.py            prints the table
    tools/train_options_table.py --write    puts it into docs/training.md, between its two marks
"""
import os
import re
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
TRAIN = os.path.join(ROOT, "src", "create", "train")
WORDS = [os.path.join(TRAIN, "train_options.c"), os.path.join(ROOT, "src", "eval", "plain_reader.c")]
DOCS = os.path.join(ROOT, "docs", "training.md")
BEGIN, END = "<!-- train_options.inc: begin -->\n", "<!-- train_options.inc: end -->\n"


def word_lists():
    """{"espi_pattern_words": ["4x1", …]}"""
    found = []
    for path in WORDS:
        with open(path, encoding="utf-8") as stream:
            found += re.findall(r"^const char \*const (\w+)\[\] = \{(.*?), NULL\};", stream.read(), re.M | re.S)
    return {name: re.findall(r'"([^"]*)"', words) for name, words in found}


def rows():
    """(kind, fields, free); fields are texts, strings without their quotes."""
    with open(os.path.join(TRAIN, "train_options.inc"), encoding="utf-8") as stream:
        text = re.sub(r"/\*.*?\*/|^#.*?$", "", stream.read(), flags=re.M | re.S)
    text = re.sub(r'"\s*\n\s*"', "", text)
    for free, kind, inside in re.findall(r'^(FREE\()?([A-Z]+)\(((?:"[^"]*"|[^"()])*)\)', text, re.M):
        fields = [field.strip() for field in re.findall(r'"[^"]*"|[^,"]+', inside) if field.strip()]
        yield kind, [field.strip('"') for field in fields], bool(free)


def number(text):
    return {"SIZE_MAX": "", "UINT32_MAX": "", "1 << 20": "1048576", "1 << 24": "16777216"}.get(text, text)


def limits(low, high):
    return f"{low} to {number(high)}" if number(high) else f"{low} or more"


def table():
    words, out = word_lists(), ["| option and key | value | default | what |\n|---|---|---|---|\n"]
    for kind, fields, free in rows():
        if kind == "GROUP":
            out.append(f"| **{fields[0].rstrip(':')}** | | | |\n")
            continue
        name, what = fields[1], fields[-1]
        if kind == "WORD":
            choice = words[fields[3]]
            value, default = " ".join(f"`{word}`" for word in choice), f"`{choice[int(fields[2])]}`"
        elif kind in ("SIZE", "REAL"):
            value = ("whole number, " if kind == "SIZE" else "") + limits(fields[3], fields[4])
            default = number(fields[2])
        else:
            value, default = {"FLAG": ("`true`", "`false`"), "LIST": (f"{fields[2]}…", "")}.get(kind, (fields[2], ""))
        out.append(f"| `{name}`{' *' if free else ''} | {value} | {default} | {what} |\n")
    return "".join(out)


def split(text):
    """What stands before, in and behind the marks."""
    before, rest = text.split(BEGIN)
    inside, behind = rest.split(END)
    return before, inside, behind


def main():
    if sys.argv[1:] != ["--write"]:
        print(table(), end="")
        return
    with open(DOCS, encoding="utf-8") as stream:
        before, _, behind = split(stream.read())
    with open(DOCS, "w", encoding="utf-8") as stream:
        stream.write(before + BEGIN + "\n" + table() + "\n" + END + behind)


if __name__ == "__main__":
    main()
