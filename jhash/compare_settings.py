"""Which settings tell the runs of a comparison apart."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jhash.compared import Contender
from jhash.pages import html
from jhash.workdir import flat


def section(field: Sequence[Contender]) -> str:
    """The folders by their numbers, and below them the settings of config.json in which they differ.

    Settings that not all of them have, as methods have their own, are folded away.
    """
    folders = {one.short.split(":")[0]: one.folder for one in field}
    configs = [settings(folder.config) for folder in folders.values()]
    header = ["run", *folders]
    rows = [["folder", *(folder.name for folder in folders.values())]]
    names = differing([config for config in configs if config])
    shared = [name for name in names if all(name in config for config in configs if config)]
    rows += [_row(name, configs) for name in shared]
    parts = [
        html.table(header, rows, caption="Folders, and the settings in which they differ", numeric_from=len(header))
    ]
    others = [_row(name, configs) for name in names if name not in shared]
    if others:
        table = html.table(header, others, numeric_from=len(header))
        parts.append(html.details(f"{len(others)} settings that not all of them have", table))
    return html.section("Runs", *parts)


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Field -> value of a config.json, less what makes no other experiment of it."""
    return flat({name: value for name, value in config.items() if name != "run"})


def differing(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The fields that have not one value in all."""
    names = dict.fromkeys(name for config in configs for name in config)
    return [name for name in names if len({json.dumps(config.get(name)) for config in configs}) > 1]


def _row(name: str, configs: Sequence[Mapping[str, Any]]) -> list[str]:
    return [name, *(json.dumps(config[name]) if name in config else "–" for config in configs)]


def unlike_losses(runs: Sequence[Contender]) -> str:
    """What to know of losses side by side, where the method's settings, which decide what the loss is, are not one."""
    names = differing([flat({"hyper": one.folder.config.get("hyper", {})}) for one in runs])
    if not names:
        return ""
    return (
        f"The runs differ in {', '.join(names)}. Where that changes the loss, its scale changes too, and "
        "the lower line need not be the better run."
    )
