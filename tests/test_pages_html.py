"""The parts of a page: nested as they should be, words escaped, written whole or not at all."""

import pytest
from page_reader import Page, assert_stands_alone

from jhash.pages import html

HOSTILE = "<script>alert('x')</script> & \"quoted\""


def whole():
    parts = [
        html.paragraph(HOSTILE),
        html.note(HOSTILE),
        html.table([HOSTILE, "b"], [[HOSTILE, "1"]], caption=HOSTILE),
        html.details(HOSTILE, html.preformatted(HOSTILE)),
        html.figure("<svg></svg>", HOSTILE),
        html.side_by_side(html.paragraph("left"), html.paragraph("right")),
    ]
    return html.document(HOSTILE, [html.section(HOSTILE, *parts)])


def test_every_word_is_escaped_and_every_tag_closed():
    page = assert_stands_alone(whole())
    assert page.words.count(HOSTILE) == 13 - 2  # title, h1, h2, p, note, caption, 2 cells, summary, pre, figcaption


def test_a_page_without_parts_is_a_page():
    assert Page(html.document("empty", [])).words.count("empty") == 2


@pytest.mark.parametrize("letter", ["\x00", "\x1b", "\ud800", "\ufffe"])
def test_what_no_page_may_hold_is_replaced(letter):
    assert html.escaped(f"a{letter}b") == "a\ufffdb"


def test_other_scripts_and_line_breaks_stay():
    assert html.escaped("über 数字\n😀") == "über 数字\n😀"


def test_columns_of_numbers_are_on_the_right():
    text = html.table(["method", "variant", "mAP"], [["itq", "x", ".5"]], numeric_from=2)
    assert '<th scope="row">itq</th><td>x</td><td class="number">.5</td>' in text


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="row 1: expected 2 cells, found 1"):
        html.table(["a", "b"], [["1", "2"], ["3"]])


def test_a_page_is_written_whole_and_nothing_else(tmp_path):
    html.write(tmp_path / "a.html", "über")
    assert (tmp_path / "a.html").read_bytes() == "über".encode()
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]


def test_what_cannot_be_written_leaves_what_was_there(tmp_path):
    (tmp_path / "a.html").mkdir()  # a folder in the page's place: the last step, the renaming, fails
    (tmp_path / "a.html" / "kept").touch()
    with pytest.raises(OSError):
        html.write(tmp_path / "a.html", "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html"]
    assert (tmp_path / "a.html" / "kept").exists()
