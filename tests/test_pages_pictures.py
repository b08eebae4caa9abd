"""Pictures of results: well-formed, a line a method, nothing drawn where nothing was measured."""

import xml.etree.ElementTree as ElementTree

from jhash.pages.pictures import map_at_k, precision_at_rank, precision_recall

SVG = "{http://www.w3.org/2000/svg}"


def row(method, k, value, **more):
    interval = None if value is None else [value - 0.05, value + 0.05]
    return {
        "dataset": "a & b",
        "method": method,
        "bits": 16,
        "metric": "map",
        "k": k,
        "value": value,
        "ci95": interval,
    } | more


def test_a_line_and_a_band_for_each_method():
    rows = [row(method, k, 0.5) for method in ("mcmsh", "itq") for k in (5, 20)]
    picture = ElementTree.fromstring(map_at_k(rows))
    assert len(picture.findall(f"{SVG}polyline")) == len(picture.findall(f"{SVG}polygon")) == 2


def test_seeds_are_averaged():
    two = map_at_k([row("itq", k, value) for k in (5, 20) for value in (0.2, 0.4)])
    one = map_at_k([row("itq", k, 0.3, ci95=[0.25, 0.35]) for k in (5, 20)])
    lines = [ElementTree.fromstring(svg).find(f"{SVG}polyline").get("points").split() for svg in (one, two)]
    heights = [[float(point.split(",")[1]) for point in line] for line in lines]
    assert heights[0] != [] and heights[0][0] == heights[0][1]
    assert heights[1][0] == heights[1][1]


def test_rows_without_a_cut_off_or_a_value_draw_nothing():
    assert map_at_k([row("itq", None, 0.5), row("itq", 5, None)]) == ""


def curve(query, database, precision, seed=0):
    names = {"dataset": "d", "method": "m", "seed": seed, "query": f"{query} test", "database": f"{database} train"}
    return names | {"rank": [1, 2, 4], "precision": precision, "recall": [0.1, 0.5, 1.0]}


def names(picture):
    return {one.text for one in ElementTree.fromstring(picture).iter(f"{SVG}text")}


def test_two_directions_have_a_line_each_and_seeds_share_it():
    curves = [curve("image", "text", [1, 1, 0.5], seed) for seed in (0, 1)] + [curve("text", "image", [1, 0.5, 0.2])]
    for picture in (precision_recall(curves), precision_at_rank(curves)):
        assert len(ElementTree.fromstring(picture).findall(f"{SVG}polyline")) == 2
        assert {"m: image → text", "m: text → image"} <= names(picture)


def test_many_directions_have_a_line_for_each_medium_that_asks():
    media = ("image", "text", "audio")
    curves = [curve(a, b, [1, 1, 1]) for a in media for b in media if a != b]
    assert set(media) <= names(precision_recall(curves))


def test_rankings_of_different_lengths_share_a_line():
    short, long = curve("image", "text", [1, 1, 0.5]), curve("image", "text", [1, 1, 0.5, 0.2])
    long |= {"rank": [1, 2, 4, 8], "recall": [0.1, 0.2, 0.5, 1.0]}
    line = ElementTree.fromstring(precision_at_rank([short, long])).find(f"{SVG}polyline")
    assert len(line.get("points").split()) == 4
