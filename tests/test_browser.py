"""A page in a real browser: as wide as a phone, nothing small, no errors, something to see."""

import json
import re
import shutil
import subprocess
from html import escape

import numpy as np
import pytest
from page_runs import config_of, finished, streams, video
from PIL import Image
from untrained_runs import untrained

from jhash import experiment
from jhash.pages import run as page
from jhash.reproduce import command, runs

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="needs chromium or google-chrome in PATH"),
]

# Of the page inside a frame of a given width: its width, the smallest letters that are seen, what broke.
MEASURE = """
<script>
const frame = document.querySelector('iframe'), errors = [];
frame.addEventListener('load', () => {
  const inside = frame.contentDocument, root = inside.documentElement;
  inside.querySelectorAll('details').forEach(one => { one.open = true });
  let smallest = [1e9, ''], outside = [];
  const walk = inside.createTreeWalker(inside.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const parent = walk.currentNode.parentElement, words = walk.currentNode.textContent.trim();
    if (!words || ['TITLE', 'STYLE', 'title'].includes(parent.tagName)) continue;
    const svg = parent.closest('svg');
    const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
    const size = parseFloat(frame.contentWindow.getComputedStyle(parent).fontSize) * scale;
    if (size < smallest[0]) smallest = [size, words];
  }
  inside.querySelectorAll('section > *').forEach(one => {
    if (one.getBoundingClientRect().right > root.clientWidth + 1) outside.push(one.outerHTML.slice(0, 80));
  });
  const found = {width: root.scrollWidth, window: root.clientWidth, smallest, outside,
    pictures: [...inside.images].filter(one => !one.complete || !one.naturalWidth).length,
    height: root.scrollHeight};
  const said = document.createElement('pre');
  said.id = 'found';
  said.textContent = JSON.stringify(found);
  document.body.append(said);
});
</script>
"""


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """The pages of a run on video, of one on media, and of a table with its picture."""
    written = {}
    for name, made in {
        "video": (config_of("mcmsh", "nmnist"), video(), ("mcmsh", "itq", "lsh", "cosine")),
        "media": (config_of("she", "digits"), streams(), ("she",)),
    }.items():
        folder = tmp_path_factory.mktemp(name)
        page.write(finished(folder, *made, bits=32 if name == "video" else 16))
        written[name] = folder / page.PAGE
    folder = tmp_path_factory.mktemp("table")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "run", untrained)
        patch.setattr(runs, "compile_cache", lambda cache: None)
        words = ["--paper", "mcmsh", "--table", "1", "--dataset", "jhmdb", "--budget", "quick"]
        assert command.main([*words, "--workdir", str(folder)]) == 0
    written["table"] = folder / "mcmsh-table-1-jhmdb-quick" / page.PAGE
    return written


def browse(folder, address, *options):
    command = [
        BROWSER,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--enable-logging=stderr",
    ]
    command += [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=5000", *options, f"file://{address}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr, re.findall(r".*CONSOLE.*", done.stderr)
    return done.stdout


def framed(folder, report, width):
    """A page that shows the report in a window of that width: a headless window itself is never narrower than 500."""
    outer = folder / f"{width}.html"
    text = escape(report.read_text(encoding="utf-8"))
    style = f"border:0;width:{width}px;height:2000px"
    body = f'<body style="margin:0"><iframe style="{style}" srcdoc="{text}"></iframe>{MEASURE}</body>'
    outer.write_text(f'<!doctype html><meta charset="utf-8">{body}', encoding="utf-8")
    return outer


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("name", ["video", "media", "table"])
def test_a_page_fits_its_window_and_can_be_read(tmp_path, reports, name, width):
    dumped = browse(tmp_path, framed(tmp_path, reports[name], width), "--dump-dom", "--window-size=1400,2000")
    found = json.loads(re.search(r'<pre id="found">(.*?)</pre>', dumped, re.S)[1].replace("&amp;", "&"))
    assert found["window"] == width and found["height"] > 1500
    assert found["width"] <= width, found
    assert found["outside"] == []
    assert found["smallest"][0] >= 12, found["smallest"]
    assert found["pictures"] == 0


@pytest.mark.parametrize("dark", [False, True])
def test_a_page_is_not_blank_and_has_a_dark_side(tmp_path, reports, dark):
    picture = tmp_path / "page.png"
    how = [f"--screenshot={picture}", "--window-size=1280,3000"]
    browse(tmp_path, reports["video"], *how, *(["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] * dark))
    pixels = np.asarray(Image.open(picture).convert("L"))
    ground = np.bincount(pixels.ravel()).argmax()
    assert (ground < 60) if dark else (ground > 200)
    written = np.abs(pixels.astype(int) - int(ground)) > 60
    assert written.mean() > 0.01 and written[:1500].any() and written[1500:].any()
