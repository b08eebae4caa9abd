"""How the pages look: one style sheet for phone, desktop and paper, light and dark.

Series of a chart differ by colour (Okabe and Ito, "Color Universal Design", 2008), and by dashes and shapes besides.
"""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
ON_DARK = ("#56B4E9", "#D55E00", "#009E73", "#CC79A7", "#F2F2F2", "#E69F00", "#0072B2")

_LIGHT_SERIES = " ".join(f"--s{i}: {colour};" for i, colour in enumerate(COLOURS))
_DARK_SERIES = " ".join(f"--s{i}: {colour};" for i, colour in enumerate(ON_DARK))
_SERIES = "\n".join(
    f"svg .s{i} {{ stroke: var(--s{i}); color: var(--s{i}) }} svg .f{i} {{ fill: var(--s{i}) }}"
    for i in range(len(COLOURS))
)

# Charts are drawn 360 units wide with text of 15, which a phone shows nearly as they are; a wide screen enlarges them
# by half, and there their text is made smaller.
STYLE = f"""
:root {{ color-scheme: light dark; --ink: #1c1c1c; --soft: #565656; --paper: #ffffff; --ground: #f7f7f4;
  --rule: #d9d9d4; --grid: #e2e2de; --right: #006b4e; --wrong: #b34700; {_LIGHT_SERIES} }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #ececec; --soft: #b5b5b5; --paper: #1d1f21; --ground: #141517;
  --rule: #3c3f42; --grid: #34373a; --right: #2fc79b; --wrong: #f08a3c; {_DARK_SERIES} }} }}
* {{ box-sizing: border-box }}
body {{ margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, -apple-system, sans-serif;
  overflow-wrap: anywhere; -webkit-text-size-adjust: 100% }}
main {{ max-width: 1160px; margin: auto; padding: 20px 16px 60px }}
h1 {{ font-size: 26px; line-height: 1.25; margin: 8px 0 16px }}
h2 {{ font-size: 20px; line-height: 1.3; margin: 40px 0 8px; padding-top: 12px; border-top: 1px solid var(--rule) }}
h3 {{ font-size: 17px; margin: 24px 0 6px }}
p {{ margin: 8px 0; max-width: 46em }} .note {{ font-size: 14px; color: var(--soft) }}
.scroll {{ overflow-x: auto; max-width: 100% }}
.beside {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 430px), 1fr)); gap: 8px 24px;
  align-items: start }}
.beside > * {{ min-width: 0 }}
table {{ border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; margin: 8px 0;
  background: var(--paper); overflow-wrap: normal }}
caption {{ text-align: left; padding: 4px 0; color: var(--soft); caption-side: top }}
th, td {{ padding: 5px 12px; border-bottom: 1px solid var(--rule); text-align: left; white-space: nowrap }}
thead th {{ border-bottom: 2px solid var(--soft); vertical-align: bottom }} tbody th {{ font-weight: 600 }}
td {{ white-space: normal; min-width: 5em; max-width: 40em }} th.number, td.number {{ text-align: right }}
td.number {{ white-space: nowrap; min-width: 0 }} th.number {{ white-space: normal; min-width: 5.5em }}
th:first-child {{ position: sticky; left: 0; background: var(--paper); border-right: 1px solid var(--rule) }}
pre {{ overflow-x: auto; padding: 12px; background: var(--paper); border: 1px solid var(--rule); border-radius: 4px;
  font: 13px/1.45 ui-monospace, monospace; overflow-wrap: normal }}
details {{ margin: 8px 0 }} summary {{ cursor: pointer; padding: 6px 0; font-weight: 600 }}
figure {{ margin: 12px 0; padding: 10px; background: var(--paper); border: 1px solid var(--rule); border-radius: 6px;
  min-width: 0 }}
figcaption {{ font-size: 14px; color: var(--soft); margin-top: 6px }}
svg.chart {{ display: block; height: auto; margin: auto }}
svg.chart text {{ font-family: system-ui, -apple-system, sans-serif }}
svg .ink {{ fill: var(--ink) }} svg .soft {{ fill: var(--soft) }} svg .ground {{ fill: var(--paper) }}
svg .grid {{ stroke: var(--grid) }} svg .axis {{ stroke: var(--soft) }} svg .ring {{ stroke: var(--paper) }}
svg .rest {{ fill: var(--soft) }}
{_SERIES}
@media (max-width: 640px) {{ main {{ padding: 10px 12px 40px }} figure {{ padding: 6px }}
  th, td {{ padding: 5px 8px }}
  th:first-child {{ min-width: min(7em, 42vw); max-width: 42vw; white-space: normal; overflow-wrap: break-word }} }}
@media (min-width: 900px) {{ svg.chart:not(.wide) text {{ font-size: 10.5px }} }}
.search {{ display: grid; grid-template-columns: 150px 1fr; gap: 14px; padding: 14px 0;
  border-top: 1px solid var(--rule) }}
.answers {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(112px, 1fr)); gap: 8px; align-items: start }}
.item {{ margin: 0; padding: 5px; border: 3px solid var(--rule); overflow: hidden; font-size: 13px }}
.item.right {{ border-color: var(--right) }} .item.wrong {{ border-color: var(--wrong); border-style: dashed }}
.item img, .item svg {{ display: block; height: 104px; max-width: 100%; margin: auto; object-fit: contain }}
.item .strip {{ height: auto; max-height: 130px; width: 100%; max-width: 260px }}
.crisp {{ image-rendering: pixelated }} .item .crisp:not(.strip) {{ width: 104px }}
.words {{ margin: 2px 0; line-height: 1.35 }}
.item figcaption {{ font-size: 12px; margin-top: 4px }}
b.right {{ color: var(--right) }} b.wrong {{ color: var(--wrong) }}
@media (max-width: 640px) {{ .search {{ grid-template-columns: 1fr }} .search > .item {{ max-width: 190px }}
  .answers {{ grid-template-columns: 1fr 1fr }} }}
@media print {{ :root {{ --ground: #fff; --paper: #fff }} main {{ max-width: none; padding: 0 }}
  .scroll, pre {{ overflow: visible }} pre {{ white-space: pre-wrap }} figure, tr, .search {{ break-inside: avoid }}
  h2 {{ break-after: avoid }} details::details-content {{ content-visibility: visible; display: block }} }}
"""
