"""Charts: well-formed, marks where the numbers are, nothing told by colour alone, hostile names, nothing to draw."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from jhash.pages import charts, svg
from jhash.pages.charts import Bar, Line

SVG = "{http://www.w3.org/2000/svg}"
NAMES = ["<script>", 'a & "b"', "\x00", "数字 " * 40]


def read(picture):
    root = ElementTree.fromstring(picture)
    assert root.get("role") == "img" and root.get("aria-label") == root.find(f"{SVG}title").text
    width, height = map(float, root.get("viewBox").split()[2:])
    for words in root.iter(f"{SVG}text"):
        assert float(words.get("font-size")) >= 14
    for words in root.findall(f"{SVG}text"):
        assert 0 <= float(words.get("x")) <= width and 0 <= float(words.get("y")) <= height
    return root


def points(line):
    return np.array([point.split(",") for point in line.get("points").split()], float)


def texts(root):
    return [one.text for one in root.iter(f"{SVG}text")]


def test_lines_go_up_where_numbers_do_and_lie_over_their_ticks():
    root = read(charts.lines("t", "x", "y", [Line("a", [0, 1, 2], [0.0, 0.5, 1.0])]))
    drawn = points(root.find(f"{SVG}polyline"))
    assert np.diff(drawn[:, 0]) == pytest.approx([drawn[1, 0] - drawn[0, 0]] * 2, abs=0.11)
    assert np.diff(drawn[:, 1]) == pytest.approx([-charts.PLOT / 2] * 2, abs=0.11)
    ticks = {one.text: float(one.get("x")) for one in root.iter(f"{SVG}text") if one.get("text-anchor") == "middle"}
    assert [ticks[name] for name in "012"] == pytest.approx(drawn[:, 0], abs=0.11)


def test_a_logarithmic_axis_spaces_powers_of_two_evenly_and_drops_zero():
    drawn = points(
        read(charts.lines("t", "bits", "y", [Line("a", [0, 16, 32, 64], [9, 1, 1, 1])], log=True)).find(
            f"{SVG}polyline"
        )
    )
    assert len(drawn) == 3
    assert drawn[1, 0] - drawn[0, 0] == pytest.approx(drawn[2, 0] - drawn[1, 0], abs=0.11)


def test_an_axis_that_need_not_begin_at_zero_shows_small_differences():
    line = [Line("a", [1, 2], [100.0, 101.0])]
    high, low = (
        np.ptp(points(read(charts.lines("t", "x", "y", line, zero=zero)).find(f"{SVG}polyline"))[:, 1])
        for zero in (False, True)
    )
    assert low < 3 and high > 100


def test_a_band_is_a_polygon_around_its_line():
    root = read(charts.lines("t", "x", "y", [Line("a", [1, 2], [0.5, 0.5], ([0.4, 0.4], [0.6, 0.6]))]))
    band, line = points(root.find(f"{SVG}polygon")), points(root.find(f"{SVG}polyline"))
    assert band[:, 1].min() < line[0, 1] < band[:, 1].max()


def test_points_that_are_not_finite_are_left_out():
    root = read(charts.lines("t", "x", "y", [Line("a", [1, 2, 3], [1.0, np.nan, 2.0]), Line("b", [1], [np.inf])]))
    assert [len(points(line)) for line in root.findall(f"{SVG}polyline")] == [2]


def test_nothing_is_drawn_of_nothing():
    assert charts.lines("t", "x", "y", []) == charts.lines("t", "x", "y", [Line("a", [1], [np.nan])]) == ""
    assert charts.bars("t", "y", {"g": [Bar("a", None)]}, 3) == charts.bars("t", "y", {}, 3) == ""
    assert charts.heat("t", "x", "y", ["a"], ["b"], np.array([[np.nan]])) == ""
    assert charts.scatter("t", np.zeros((0, 2)), np.zeros(0, int), []) == ""


def markers(path):
    """The markers of a path, each from its first point on, in figures."""
    found = []
    for drawn in path.get("d").split("z")[:-1]:
        numbers = np.array(re.findall(r"-?\d+\.?\d*", drawn), float)
        start = [0, 0, *numbers[2:]] if "a" in drawn else numbers - np.resize(numbers[:2], len(numbers))
        found.append(np.array(start))
    return found


def samples(root):
    """Of each name of a legend the paths that stand before it."""
    return [group.findall(f"{SVG}path") for group in root.findall(f"{SVG}g")]


@pytest.mark.parametrize("size", [2, 50])
def test_thirty_lines_differ_without_their_colours(size):
    root = read(charts.lines("t", "x", "y", [Line(f"m{i}", range(size), [i] * size) for i in range(30)]))
    legend = [(line.get("stroke-dasharray"), marker.get("d")) for line, marker in samples(root)]
    assert len(set(legend)) == 30
    drawn = [one.get("stroke-dasharray") for one in root.findall(f"{SVG}polyline")]
    assert drawn == [dashes for dashes, _ in legend]


@pytest.mark.parametrize(("size", "most"), [(1, 1), (2, 2), (12, 12), (50, 5), (400, 5)])
def test_each_line_has_the_markers_of_its_legend(size, most):
    root = read(charts.lines("t", "x", "y", [Line(f"m{i}", range(size), [i] * size) for i in range(12)]))
    drawn = [path for path in root.findall(f"{SVG}path") if path.get("class", "").startswith("f")]
    for path, (_, sample) in zip(drawn, samples(root), strict=True):
        assert len(markers(path)) == most
        for marker in markers(path):
            np.testing.assert_allclose(marker, markers(sample)[0], atol=0.21)


def test_lines_that_lie_on_each_other_have_their_markers_in_other_places():
    root = read(charts.lines("t", "x", "y", [Line(f"m{i}", range(100), range(100)) for i in range(5)]))
    places = [
        re.findall(r"M(\S+) ", path.get("d")) for path in root.findall(f"{SVG}path") if path.get("fill") != "none"
    ]
    places = [float(x) for xs in places[-5:] for x in xs]
    assert min(np.diff(sorted(places))) > 3


def test_twenty_classes_differ_without_their_colours():
    classes = np.repeat(np.arange(20), 2)
    root = read(charts.scatter("t", np.random.default_rng(0).normal(size=(40, 2)), classes, [*map(str, range(20))]))
    legend = [path for (path,) in samples(root)]
    assert len({(path.get("fill") == "none", path.get("d")) for path in legend}) == 20
    drawn = [path for path in root.findall(f"{SVG}path")]
    assert [path.get("fill") == "none" for path in drawn] == [path.get("fill") == "none" for path in legend]
    for path, sample in zip(drawn, legend, strict=True):
        size = 3.2 / 4  # of the field's to the legend's
        if len(markers(sample)[0]) > 7:  # a circle is drawn by radii
            np.testing.assert_allclose(markers(path)[0], size * markers(sample)[0], atol=0.21)


@pytest.mark.parametrize(
    ("low", "high"), [(1e17, 1e17), (1e17, 1e17 + 16), (1e17, 1.0000001e17), (-1e17, -1e17), (-3, -3), (0, 5e-324)]
)
def test_ticks_of_equal_and_of_extreme_numbers_are_different_and_cover_them(low, high):
    found = svg.ticks(low, high)
    assert found[0] <= low <= high <= found[-1] and 3 <= len(found) <= 9
    assert (np.diff(found) > 0).all() and len(set(svg.labels(found))) == len(found)


@pytest.mark.parametrize("values", [[1e17] * 3, [1e-300] * 3, [1e-300, 2e-300], [-1e17, 1e17], [-5.0] * 2, [0, 5e-324]])
def test_extreme_numbers_are_drawn_inside_the_field(values):
    root = read(charts.lines("t", "x", "y", [Line("a", range(len(values)), values)], zero=False))
    heights = [float(tick.get("d").split()[1].split("H")[0]) for tick in root.findall(f"{SVG}path[@class='grid']")]
    drawn = points(root.find(f"{SVG}polyline"))
    assert len(drawn) == len(values) and min(heights) <= drawn[:, 1].min() <= drawn[:, 1].max() <= max(heights)


def test_a_long_name_stands_in_the_legend_in_several_lines_and_whole():
    name = "a method (of several variants), 64 bits, and a folder of many words that tell it from another one"
    root = read(charts.lines("t", "x", "y", [Line("short", [1, 2], [1, 2]), Line(name, [1, 2], [2, 1])]))
    below = texts(root)[texts(root).index("short") + 1 :]
    assert " ".join(below) == name and len(below) > 1


def test_names_in_capitals_have_more_room_in_a_legend():
    places = []
    for name in ("dkph-tsx", "DKPH-TSX"):
        root = read(charts.lines("t", "x", "y", [Line(name, [1, 2], [1, 2]), Line("b", [1, 2], [2, 1])]))
        (after,) = [float(one.get("x")) for one in root.iter(f"{SVG}text") if one.text == "b"]
        places.append(after)
    assert places[1] > places[0] + 15


def test_bars_are_as_long_as_their_values_and_carry_them():
    root = read(charts.bars("t", "mAP", {"g": [Bar("a", 0.2), Bar("b", 0.4, 0.3, 0.5), Bar("c", None)]}, 3))
    widths = [float(bar.get("width")) for bar in root.iter(f"{SVG}rect") if bar.get("height") == "18"]
    assert widths[1] == pytest.approx(2 * widths[0], abs=0.2) and len(widths) == 2
    assert {"0.200", "0.400", "–", "a", "b", "c", "g"} <= set(texts(root))


def test_bars_below_zero_lie_on_the_other_side():
    root = read(charts.bars("t", "difference", {"": [Bar("a", -0.2), Bar("b", 0.2)]}, 3))
    left, right = (bar for bar in root.iter(f"{SVG}rect") if bar.get("height") == "18")
    assert float(left.get("x")) + float(left.get("width")) == pytest.approx(float(right.get("x")), abs=0.11)


def test_no_grid_line_crosses_the_name_of_a_group():
    name = "a group whose name is longer than bars have room"
    root = read(charts.bars("t", "difference", {"g": [Bar("a", -0.2)], name: [Bar("a", 0.2)]}, 3))
    parts = list(root)
    words = next(place for place, one in enumerate(parts) if (one.text or "").startswith("a group"))
    behind, base = parts[words - 1], float(parts[words].get("y"))
    top, left = float(behind.get("y")), float(behind.get("x"))
    assert behind.get("class") == "ground" and top < base - svg.FONT * 0.8 and top + float(behind.get("height")) > base
    assert left + float(behind.get("width")) > float(parts[words].get("x")) + svg.width_of(parts[words].text)
    lines = [place for place, one in enumerate(parts) if one.get("class") in ("grid", "axis")]
    assert max(lines) < words - 1


def test_differences_carry_their_signs_and_the_digits_of_their_table():
    groups = {"": [Bar("a", -0.04), Bar("b", 0.26), Bar("c", -0.16)]}
    said = texts(read(charts.bars("t", "difference", groups, 1, signed=True)))
    assert {"+0.0", "+0.3", "−0.2"} <= set(said) and not any("-" in words for words in said)


def test_a_cell_carries_its_number_and_an_empty_one_none():
    root = read(charts.heat("t", "answers", "asks", ["a", "b"], ["c"], np.array([[0.25, np.nan]])))
    assert ".250" in texts(root) and len(root.findall(f"{SVG}rect")) == 2


def test_letters_of_a_cell_stand_out_from_it():
    picture = charts.heat("t", "x", "y", list("abcde"), ["r"], np.linspace(0, 1, 5)[None])
    cells = [one.get("fill") for one in read(picture).findall(f"{SVG}rect")][1:]
    letters = [one.get("fill") for one in read(picture).findall(f"{SVG}text") if "." in one.text][:5]

    def light(colour):
        share = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        return np.where(share > 0.04045, ((share + 0.055) / 1.055) ** 2.4, share / 12.92) @ [0.2126, 0.7152, 0.0722]

    for cell, letter in zip(cells, letters, strict=False):
        bright, dark = sorted((light(cell), light(letter)), reverse=True)
        assert (bright + 0.05) / (dark + 0.05) >= 4.5


def test_many_columns_are_scrolled_and_not_shrunk():
    root = read(charts.heat("t", "x", "y", [f"c{i}" for i in range(16)], ["r"], np.zeros((1, 16))))
    width = float(root.get("viewBox").split()[2])
    least = float(root.get("style").split("min-width:")[1].removesuffix("px"))
    assert width > svg.WIDTH and least * svg.FONT / width >= 12


def test_values_of_another_shape_are_refused():
    with pytest.raises(AssertionError):
        charts.heat("t", "x", "y", ["a"], ["b"], np.zeros((2, 2)))


def test_a_scatter_shows_twenty_classes_and_says_how_many_more_there_are():
    classes = np.repeat(np.arange(25), 3)
    root = read(
        charts.scatter("t", np.random.default_rng(0).normal(size=(75, 2)), classes, [f"c{i}" for i in range(25)])
    )
    assert {"c0 (3)", "c19 (3)", "5 other classes (15)"} <= set(texts(root)) and "c20 (3)" not in texts(root)


def test_points_without_a_class_are_grey():
    root = read(charts.scatter("t", np.eye(2), np.array([0, -1]), ["a"]))
    assert {"a (1)", "no class (1)"} <= set(texts(root))


@pytest.mark.parametrize("name", NAMES)
def test_hostile_names_are_escaped_and_stay_inside(name):
    values = np.random.default_rng(0).random((1, 1))
    pictures = [
        charts.lines(name, name, name, [Line(name, [1, 2], [1, 2])]),
        charts.bars(name, name, {name: [Bar(name, 1.0)]}, 3),
        charts.heat(name, name, name, [name], [name], values),
        charts.scatter(name, np.eye(2), np.zeros(2, int), [name]),
    ]
    for picture in pictures:
        read(picture)
        assert "<script" not in picture


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 0, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-3, 7, [-4, -2, 0, 2, 4, 6, 8]),
        (0, 4e-7, [0, 1e-7, 2e-7, 3e-7, 4e-7]),
    ],
)
def test_ticks_are_round_and_cover_the_range(low, high, expected):
    assert svg.ticks(low, high) == pytest.approx(expected)


def test_powers_of_two_are_few():
    assert svg.powers(1, 2000) == [1, 4, 16, 64, 256, 1024]
    assert svg.powers(16, 64) == [16, 32, 64]


def test_labels_tell_ticks_apart():
    assert svg.labels([0.0, 0.25, 0.5]) == ["0.00", "0.25", "0.50"]
    assert svg.labels([0.0, 1000.0]) == ["0", "1,000"]
    assert svg.labels([0.0, 2e6]) == ["0", "2e+06"]
