"""Markdown as a list of statements: each paragraph, list item, table row and code block, with the headings above it.

The parser is markdown-it-py, which reads CommonMark as it is specified; what stands here only walks its tree.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from tierkeep.errors import MissingExtraError
from tierkeep.importers.markdown_marks import Mark, read

if TYPE_CHECKING:
    from markdown_it.tree import SyntaxTreeNode

#: Levels of lists and quotes that are followed, two for each; no person writes so many, and a parser may not be led on for ever.
_MAX_NESTING = 100
_HEADING_CHARS = 200
#: Where a line of the source ends within a paragraph. No text holds it: the parser takes every NUL out.
_WRAP = "\x00"
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n\s*[\w.-]+[ \t]*:(?:.*\n)*?(?:---|\.\.\.)[ \t]*(?:\n|\Z)")
#: What Hermes agent writes between the entries of its files.
_SECTION_SIGN = re.compile(r"^[ \t]*§[ \t]*$", re.MULTILINE)
_LINE_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_LABELLED = re.compile(r"[^\W\d_][\w /'-]{0,39}:\s+\S")
_ADDRESS = re.compile(r"(?:https?|mailto):", re.IGNORECASE)


class Block(NamedTuple):
    """One statement of a file.

    Attributes:
        text: What it says, without Markdown.
        headings: The headings above it, outermost first.
        line: 1-based line on which it begins.
        lead: The bold words at its beginning, "" without: whoever speaks, in a line of our own.
        mark: What it says of itself, in a line of our own.
        language: Of a code block; None for what is none.
    """

    text: str
    headings: tuple[str, ...]
    line: int
    lead: str = ""
    mark: Mark | None = None
    language: str | None = None


class _Inline(NamedTuple):
    text: str
    lead: str
    mark: Mark | None


def blocks(text: str, skipped: Counter[str]) -> Iterator[Block]:
    """Yield the statements of a Markdown text in order.

    Args:
        text: The file.
        skipped: Counts what is left out, by reason.

    Raises:
        MissingExtraError: markdown-it-py is not installed.
    """
    try:
        from markdown_it import MarkdownIt
        from markdown_it.tree import SyntaxTreeNode
    except ImportError as error:
        raise MissingExtraError("reading Markdown files", extra="markdown") from error
    parser = MarkdownIt("commonmark", {"maxNesting": _MAX_NESTING}).enable("table")
    tokens = parser.parse(_prepared(text, skipped))
    if any(token.level >= _MAX_NESTING - 1 for token in tokens):
        skipped[f"lines nested deeper than {_MAX_NESTING // 2} times"] += 1
    yield from _Walk(skipped).all(SyntaxTreeNode(tokens).children, ())


def _prepared(text: str, skipped: Counter[str]) -> str:
    """Return the text without what is not Markdown; every line keeps its number."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if front := _FRONT_MATTER.match(text):
        skipped["front matter"] += 1
        text = "\n" * front[0].count("\n") + text[front.end() :]
    return _SECTION_SIGN.sub("", text)


class _Walk:
    """Goes through the tree and remembers the headings."""

    def __init__(self, skipped: Counter[str]) -> None:
        self._skipped = skipped
        self._headings: list[tuple[int, str]] = []

    def all(self, nodes: Sequence[SyntaxTreeNode], labels: tuple[str, ...]) -> Iterator[Block]:
        """Yield the statements of some nodes; labels are the names that list items above have given them."""
        for child in nodes:
            if child.type == "heading":
                self._heading(child)
            elif child.type == "paragraph":
                yield from self._paragraph(child, labels)
            elif child.type in ("bullet_list", "ordered_list"):
                for item in child.children:
                    yield from self._item(item, labels)
            elif child.type == "blockquote":
                yield from self.all(child.children, labels)
            elif child.type in ("fence", "code_block"):
                yield self._block(child, child.content.strip("\n"), labels, language=child.info.partition(" ")[0])
            elif child.type == "table":
                yield from self._table(child, labels)
            elif child.type == "html_block":
                self._skipped["HTML comments" if child.content.lstrip().startswith("<!--") else "HTML blocks"] += 1

    def _heading(self, node: SyntaxTreeNode) -> None:
        level = int(node.tag[1:])
        text = self._inline(node).text.replace(_WRAP, " ").replace("\n", " ").strip()
        self._headings = [(above, title) for above, title in self._headings if above < level]
        if text:
            self._headings.append((level, text[:_HEADING_CHARS]))

    def _item(self, node: SyntaxTreeNode, labels: tuple[str, ...]) -> Iterator[Block]:
        """Yield a list item and what is nested in it. A text that ends in a colon only names what follows it."""
        if len(node.children) > 1 and node.children[0].type == "paragraph":
            said = self._inline(node.children[0])
            if said.text.endswith(":") and said.mark is None:
                yield from self.all(node.children[1:], (*labels, said.text.replace(_WRAP, " ").rstrip(": ")[:_HEADING_CHARS]))
                return
        yield from self.all(node.children, labels)

    def _paragraph(self, node: SyntaxTreeNode, labels: tuple[str, ...]) -> Iterator[Block]:
        said = self._inline(node)
        lines = [line for line in said.text.split(_WRAP) if line.strip()]
        if len(lines) > 1 and said.mark is None and all(map(_LABELLED.match, lines)):  # "Name: Ana", "City: Lisbon": a list in all but form
            for line in lines:
                yield self._block(node, line, labels)
        elif said.text:
            yield self._block(node, said.text.replace(_WRAP, " "), labels, lead=said.lead, mark=said.mark)

    def _table(self, node: SyntaxTreeNode, labels: tuple[str, ...]) -> Iterator[Block]:
        head: list[str] = []
        for part in node.children:
            for row in part.children:
                cells = [self._inline(cell).text.replace(_WRAP, " ") for cell in row.children]
                if part.type == "thead":
                    head = cells
                    continue
                named = [f"{name}: {cell}" if name else cell for name, cell in zip(head, cells, strict=False) if cell]
                if named:
                    yield self._block(row, "; ".join(named), labels)

    def _block(
        self, node: SyntaxTreeNode, text: str, labels: tuple[str, ...], *, lead: str = "", mark: Mark | None = None,
        language: str | None = None,
    ) -> Block:
        headings = tuple(title for _, title in self._headings)
        said = f"{': '.join(labels)}: {text}" if labels else text
        return Block(said, headings, node.map[0] + 1 if node.map else 0, lead, mark, language)

    def _inline(self, node: SyntaxTreeNode) -> _Inline:
        """Return the text inside a block; a line of the source ends in `_WRAP`, a line break in a line feed."""
        inlines = [child.token for child in node.children if child.type == "inline"]
        tokens = [token for inline in inlines if inline is not None for token in inline.children or ()]
        said: list[str] = []
        lead: str | None = None
        mark: Mark | None = None
        links: list[tuple[str, int]] = []
        bold = 0
        for token in tokens:
            if token.type == "strong_open":
                bold += 1
            elif token.type == "strong_close":
                bold -= 1
                lead = "".join(said) if lead is None else lead
            elif token.type == "link_open":
                links.append((str(token.attrs.get("href", "")), len(said)))
            elif token.type == "link_close" and links:
                said.append(_address(*links.pop(), said))
            elif token.type == "html_inline":
                mark = mark or self._html(token.content, said)
            else:
                piece = {"softbreak": _WRAP, "hardbreak": "\n"}.get(token.type, token.content)
                if piece and not bold and lead is None:
                    lead = ""  # it does not begin in bold
                said.append(piece)
        text, lead = "".join(said), lead or ""
        if mark is not None and lead.endswith(":"):
            return _Inline(text[len(lead) :].strip(), lead[:-1].strip(), mark)
        return _Inline(text.strip(), "", mark)

    def _html(self, html: str, said: list[str]) -> Mark | None:
        """Return the mark; take in a line break, and leave other tags and comments out."""
        if _LINE_BREAK.fullmatch(html):
            said.append("\n")
            return None
        mark = read(html)
        if mark is None and html.startswith("<!--"):
            self._skipped["HTML comments"] += 1
        return mark


def _address(address: str, start: int, said: Sequence[str]) -> str:
    """Return the address of a link, where it is one of the web or a mailbox, and its text does not say it already."""
    return f" ({address})" if _ADDRESS.match(address) and address not in "".join(said[start:]) else ""
