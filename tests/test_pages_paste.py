"""Tables and references to paste: escaped, whole, and naming the papers that were used."""

import re

import pytest

from jhash.config import method_names
from jhash.pages import bibliography, paste

HEADER, ROWS = ["method", "mAP@5_x"], [["a & b", "50 % ±.01 won"], ["$\\alpha$ {~^#}", "–"]]


def test_latex_is_escaped_and_has_a_cell_for_each():
    text = paste.latex(HEADER, ROWS, "5 % of_all", "tab: x_y")
    assert r"\caption{5 \% of\_all}" in text and r"\label{tab:-x-y}" in text
    assert r"a \& b & 50 \% $\pm$.01 won \\" in text
    assert r"\$\textbackslash{}alpha\$ \{\textasciitilde{}\textasciicircum{}\#\} & -- \\" in text
    assert text.count(r"\begin") == text.count(r"\end") == 2 and r"\begin{tabular}{lr}" in text
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]


def test_a_line_break_in_a_cell_does_not_break_a_table():
    assert r"a b & c \\" in paste.latex(["x", "y"], [["a\nb", "c"]], "", "t")
    assert paste.markdown(["x", "y"], [["a\nb", "c"]]).splitlines()[2] == "| a b | c |"


def test_markdown_has_its_rule_and_escapes_bars():
    lines = paste.markdown(["m", "x|y"], [["a|b", "<i>*1*"]]).splitlines()
    assert lines == [r"| m | x\|y |", "| :-- | --: |", r"| a\|b | \<i\>\*1\* |"]


@pytest.mark.parametrize("name", sorted(bibliography.ENTRIES))
def test_an_entry_is_well_formed(name):
    text = bibliography.bibtex([name])
    assert re.match(r"@(article|inproceedings)\{\w+,\n", text) and text.endswith("}\n")
    assert text.count("{") == text.count("}")
    fields = set(re.findall(r"^  (\w+) = \{", text, re.M))
    assert {"author", "title", "year"} < fields and fields & {"journal", "booktitle"}


def test_each_paper_is_named_once_and_methods_of_no_paper_not_at_all():
    text = bibliography.bibtex(["mcmsh", "itq", "cosine", "itq", "joint"])
    assert re.findall(r"@\w+\{(\w+),", text) == ["hao2022mcmsh", "gong2011itq"]
    assert bibliography.bibtex(["cosine"]) == ""


def test_every_method_of_a_paper_has_an_entry():
    assert set(method_names()) - set(bibliography.ENTRIES) == {"cosine", "joint"}
