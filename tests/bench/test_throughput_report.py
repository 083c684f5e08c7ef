"""The reports of `mreactor-bench throughput`: JSON, Markdown and the page."""

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import torch
from fakes.bench_rows import CONFIG, RATES, make_row

from mreactor_bench.throughput.compare import Comparison
from mreactor_bench.throughput.page import page
from mreactor_bench.throughput.report import Report
from mreactor_bench.throughput.setting import TimingPlan
from mreactor_bench.throughput.weights import Weights


@pytest.fixture
def weights() -> Weights:
    return Weights("tiny", "0" * 64, CONFIG, checkpoint=None)


def make_report(weights: Weights) -> Report:
    a, b = make_row((0.5, 0.4)), make_row((0.25, 0.1), runner="eager")
    return Report(
        command="mreactor-bench throughput --engine '<torch>'",
        device={"device": "cpu", "processor": "A & B", "memory_bytes": None},
        weights=weights,
        plan=TimingPlan(2, 0.0, 1),
        rates=RATES,
        rates_after=replace(RATES, matmul={"fp32": 9e8}),
        settings=(a.setting, b.setting),
        rows=(a, b),
        comparisons=(Comparison(a, b),),
        failures=("no <memory>",),
    )


def test_the_json_holds_everything_again(weights: Weights):
    record = json.loads(make_report(weights).to_json())
    assert (record["schema_version"], record["kind"]) == (1, "throughput")
    assert {"date", "versions", "command", "device", "rates", "ceilings"} <= record.keys()
    assert record["versions"]["torch"] == torch.__version__
    assert record["model"]["checkpoint_sha256"] == weights.sha256
    assert record["model"]["config"] == CONFIG.to_dict()
    row = record["rows"][0]
    assert row["setting"] == {
        **{"runner": "torch", "dtype": "fp32", "device": "cpu", "threads": None},
        **{"batch_size": 1, "frames": 20, "samples": 2},
        **{"scheduler": "ddim", "steps": 3, "timestep_spacing": "logsnr", "guidance_scale": 1.0},
    }
    assert row["seconds"] == [0.5, 0.4]
    assert row["figures"]["latency_median"] == 0.45
    assert record["comparisons"][0]["ratios"] == [2.0, 4.0]
    assert record["comparisons"][0]["ratio"] == 3.0


def test_the_markdown_says_the_ceiling_first(weights: Weights):
    text = make_report(weights).to_markdown()
    headings = re.findall("^## (.+)$", text, re.MULTILINE)
    assert headings == [
        *("Ceiling", "Comparisons", "Figures", "Not measured", "Peers"),
        "What is inside a figure",
    ]
    assert "Measured again at the end: products fp32 -10%, copy +0%." in text
    for lines in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.count("|") for line in lines.splitlines()}) == 1  # whole tables


class Balance(HTMLParser):
    """Every tag that is opened is closed, in order."""

    VOID = ("meta",)

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "src" not in dict(attrs)
        assert "href" not in dict(attrs)
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag


def test_the_page_needs_no_other_file_and_escapes_what_it_shows(weights: Weights):
    text = page(make_report(weights))
    parser = Balance()
    parser.feed(text)
    assert parser.stack == []
    assert "&lt;torch&gt;" in text
    assert "A &amp; B" in text
    assert "<memory>" not in text


def test_the_plots_show_every_call_and_the_floor(weights: Weights):
    ratios, times = (
        ET.fromstring(svg) for svg in re.findall("<svg.*?</svg>", page(make_report(weights)))
    )
    assert len(times.findall("rect")) == 4  # two rows, and the two of the comparison
    assert len(times.findall("circle")) == 8
    assert [dot.findtext("title") for dot in ratios.findall("circle")] == ["2", "4"]
    assert ratios.find("rect/title").text == "3"  # pyright: ignore
    left, right, *_ = (float(bar.get("width", "0")) for bar in times.findall("rect"))
    assert left / right == pytest.approx(0.45 / 0.175, rel=0.01)
    across = [
        float(node.get("cx") or 0) for node in (*times.iter("circle"), *ratios.iter("circle"))
    ]
    assert max(across) <= float(times.get("width", "0"))
