"""The blocks of lines for the shell in docs/OPERATIONS.md, by the heading that they stand under."""

import re

from world import ROOT


class Page:
    def __init__(self):
        self.blocks = {}
        self.run = set()
        heading, block = None, None
        for line in (ROOT / "docs/OPERATIONS.md").read_text().splitlines():
            if block is not None and line.strip() == "```":
                self.blocks.setdefault(heading, []).append("\n".join(block))
                block = None
            elif block is not None:
                block.append(line.strip())
            elif line.strip() == "```sh":
                block = []
            elif found := re.fullmatch(r"##+ (.*)", line):
                heading = found[1]

    def block(self, heading, number):
        """The block of that number, from 0, under that heading; it counts as run."""
        self.run.add((heading, number))
        return self.blocks[heading][number]

    def left(self):
        """Those that nobody has run."""
        every = {(heading, number) for heading, blocks in self.blocks.items() for number in range(len(blocks))}
        return sorted(every - self.run)
