#!/usr/bin/env python3
"""Rewrites the hex blocks of docs/FORMAT.md from the golden files, after the format was changed on purpose."""
import pathlib
import re

HERE = pathlib.Path(__file__).resolve().parent
PAGE = HERE.parents[2] / "docs" / "FORMAT.md"


def block(match):
    data = (HERE / "golden" / match[1]).read_bytes()
    if match[2]:
        data = data[int(match[2]) : int(match[2]) + int(match[3])]
    digits = data.hex()
    lines = "".join(digits[at : at + 96] + "\n" for at in range(0, len(digits), 96))
    return match[0][: match.start(4) - match.start(0)] + lines + "```"


text = PAGE.read_text()
values = (HERE / "golden" / "values.txt").read_text()
text = re.sub(r"<!-- values -->\n```\n.*?```", lambda _: "<!-- values -->\n```\n" + values + "```", text, flags=re.S)
PAGE.write_text(re.sub(r"<!-- golden: (\S+?)(?: (\d+) (\d+))? -->\n```\n([0-9a-f\n]*)```", block, text))
