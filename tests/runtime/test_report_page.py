"""The look that all pages share: a whole frame, escaped text, tables and drawings."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from fakes.html_reader import Html

from mreactor_runtime.report.page import (
    SERIES,
    STYLE,
    bullets,
    document,
    legend,
    paragraph,
    picture,
    reproduce,
    section,
    series,
    svg,
    svg_curve,
    svg_line,
    svg_text,
    table,
    terms,
)

BAD = "<script>alert('&')</script>\""


def test_a_page_is_whole_and_needs_no_other_file():
    text = document("A & B", section("One", paragraph("text")), section("Two", level=3))
    read = Html(text)
    assert (read.open, read.fetched) == ([], [])
    assert text.startswith('<!doctype html>\n<html lang="en"><head><meta charset="utf-8">')
    assert '<meta name="viewport" content="width=device-width,initial-scale=1">' in text
    assert "<title>mreactor: A &amp; B</title>" in text
    assert "<body><h1>A &amp; B</h1><h2>One</h2><p>text</p><h3>Two</h3></body>" in text


def test_every_colour_has_a_light_and_a_dark_value():
    light, dark = STYLE.split("@media (prefers-color-scheme:dark)")
    light, dark = (set(re.findall(r"(--\w+):#", part)) for part in (light, dark))
    assert light == dark
    assert set(re.findall(r"var\((--\w+)\)", STYLE)) == light


def test_every_text_is_escaped():
    made = document(
        BAD,
        section(BAD),
        paragraph(BAD),
        reproduce(BAD),
        bullets([BAD]),
        terms({BAD: BAD}),
        table([BAD], [[BAD]]),
        legend([BAD]),
        svg(9, 9, BAD, svg_text(0, 0, BAD), svg_line((0, 1), (0, 1), "grid", BAD)),
        svg(9, 9, "", svg_curve([(0, 0)], "series0", BAD)),
    )
    assert "<script>" not in made
    assert made.count("&lt;script&gt;") == 15
    read = Html(made)
    assert read.open == []
    assert read.cells == [BAD, BAD]


def test_what_stands_between_backticks_is_code():
    assert paragraph("see `a < b` and `c`") == (
        "<p>see <code>a &lt; b</code> and <code>c</code></p>"
    )
    assert paragraph("one ` alone", failed=True) == '<p class="failed">one ` alone</p>'


def test_no_lines_are_no_list():
    assert bullets([]) == ""
    assert bullets(["a", "b"]) == "<ul><li>a</li><li>b</li></ul>"


def test_failed_rows_and_words_are_marked():
    made = table(("what", "size", "why"), [("a", "1", "x"), ("b", "2", "")], words=(2,), failed={1})
    assert Html(made).rows == [
        ("", ["what", "size", "why"]),
        ("", ["a", "1", "x"]),
        ("failed", ["b", "2", ""]),
    ]
    assert re.findall('<t[hd] class="words">(.*?)<', made) == ["why", "x", ""]


def test_wide_things_scroll_within_themselves():
    for wide in (table(("a",), []), svg(9, 9, ""), picture("<svg/>")):
        assert wide.startswith('<div class="scroll"><')
        assert wide.endswith("</div>")
    assert ".scroll{overflow-x:auto}" in STYLE


def test_a_drawing_is_xml_in_the_colours_of_the_page():
    made = svg(
        100,
        50,
        "errors",
        svg_line((0, 100), (10, 10), "bound", "the bound"),
        svg_curve([(0, 1), (2.5, 3)], series(1), "one"),
        svg_text(50, 40, "step"),
    )
    (drawing,) = ET.fromstring(made)
    assert (drawing.get("viewBox"), drawing.get("aria-label")) == ("0 0 100 50", "errors")
    assert [part.get("class") for part in drawing] == ["bound", "series1", None]
    assert [part.findtext("title") for part in drawing] == ["the bound", "one", None]
    assert drawing[1].get("points") == "0.0,1.0 2.5,3.0"
    assert drawing[2].attrib == {"x": "50.0", "y": "40.0", "text-anchor": "middle"}
    assert "<title>" not in svg_line((0, 1), (0, 1), "grid")


def test_a_legend_has_the_colours_of_its_curves():
    made = legend(str(i) for i in range(SERIES + 1))
    assert re.findall('span class="(.*?)"', made) == [series(i) for i in range(SERIES + 1)]
    assert series(SERIES) == series(0)
    assert all(f".{series(i)}{{color:" in STYLE for i in range(SERIES))


def test_a_picture_goes_in_without_what_stands_before_it():
    assert picture('<?xml version="1.0"?>\n<!DOCTYPE svg>\n<svg></svg>\n') == (
        '<div class="scroll"><svg></svg>\n</div>'
    )
