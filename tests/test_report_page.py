"""An evaluation written down: what stands in Markdown, LaTeX, CSV and on the page."""

import csv
import re

import pytest

from echoframe.evaluation.exports import as_csv, latex
from echoframe.evaluation.plots import plot
from echoframe.evaluation.report import write_report
from echoframe.evaluation.table import markdown
from reported import small_evaluation, small_table


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    return {path.suffix: path for path in write_report(small_evaluation(folder), folder / "out")}


def test_a_difference_whose_interval_excludes_0_is_marked_everywhere():
    table = small_table()
    lines = markdown(table).splitlines()
    (marked,) = (line for line in lines if line.startswith("| *ours - theirs*"))
    assert "| -0.20 [-0.30, -0.10] \\* |" in marked
    assert marked.count("\\*") == 1
    assert "- An asterisk marks a difference whose 95 % interval excludes 0." in lines
    assert latex(table).count("$^{*}$") == 1
    rows = list(csv.DictReader(as_csv(table).splitlines()))
    assert [row["figure"] for row in rows if row["excludes_0"] == "yes"] == ["kl"]
    assert {row["excludes_0"] for row in rows if row["kind"] != "difference"} == {""}


def test_seeds_have_a_row_with_their_deviation():
    table = small_table()
    assert "| ours_100%: mean of 3 seeds | 0.50 ± 0.02 |" in markdown(table)
    assert r"ours\_100\%: mean of 3 seeds & 0.50 $\pm$ 0.02 &" in latex(table)
    (row, *_) = (row for row in csv.DictReader(as_csv(table).splitlines()) if row["kind"] == "seeds")
    assert (row["value"], row["deviation"], row["low"], row["n"]) == ("0.5", "0.02", "", "12")
    assert "- What follows ± is the standard deviation over seeds." in markdown(table)


def test_latex_has_as_many_cells_in_each_row_and_a_rule_between_kinds():
    lines = latex(small_table()).splitlines()
    rows = [line for line in lines if line.endswith("\\\\")]
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {8}
    assert "{lrrrrrrrr}" in latex(small_table())
    assert lines.count("\\midrule") == 4  # before systems, seeds, the bound, the difference
    assert "% On 12 clips." in lines


def test_the_page_links_to_films_and_sounds_where_they_lie(written):
    page, out = written[".html"].read_text(), written[".html"].parent
    assert "<title>Evaluation: small</title>" in page
    assert re.findall(r'<video[^>]* src="([^"]*)"', page) == ["../films/cat%20%26%20dog.mp4", "../films/rain.mp4"]
    chosen = re.findall(r'data-sound="([^"]*)"( checked)?', page)
    assert chosen[:3] == [
        ("../films/cat%20%26%20dog.mp4", ""),
        ("../ours/cat%20%26%20dog.wav", " checked"),
        ("../theirs/cat%20%26%20dog.wav", ""),
    ]
    assert (out / "../ours/rain.wav").is_file()
    assert [path.name for path in sorted(out.iterdir())] == [
        f"evaluation.{end}" for end in ("csv", "html", "json", "md", "tex")
    ]
    assert max(path.stat().st_size for path in out.iterdir()) < 500_000
    assert "<td>-0.20 *<small>[-0.30, -0.10]</small></td>" in page
    groups = re.findall(r'<th class="group" colspan="(\d)">([^<]*)</th>', page)
    assert groups == [("2", "distance of the sets"), ("3", "what is heard"), ("2", "when it is heard")]


def test_a_plot_keeps_names_as_text_and_never_reads_them_as_mathematics():
    table = small_table()
    table.lines[0] = type(table.lines[0])(name="$a$ <b>", cells=table.lines[0].cells)
    drawn = plot(table, table.columns[0])
    assert "$a$ &lt;b&gt;" in drawn
    assert "theirs, whose name goes on and on" in drawn
    assert "ours - theirs" not in drawn
