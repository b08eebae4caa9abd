"""Tables to paste into a paper or a page of notes."""

import re
from collections.abc import Sequence

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "→": r"$\rightarrow$",
    "–": "--",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "−": "$-$",
    "▼": r"$\bigtriangledown$",
    "▲": r"$\bigtriangleup$",
    "·": r"$\cdot$",
    "×": r"$\times$",
    "⁹": "$^9$",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "γ": r"$\gamma$",
    "λ": r"$\lambda$",
    "σ": r"$\sigma$",
}


def latex(
    header: Sequence[str], rows: Sequence[Sequence[str]], caption: str, label: str, notes: Sequence[str] = ()
) -> str:
    """A LaTeX table by the package booktabs; the first column to the left, others to the right.

    Words are escaped; `notes` stand below it in small print; `label` keeps letters, digits and - . : alone.
    """
    lines = [r"\begin{table}", r"  \centering", rf"  \caption{{{_escaped(caption)}}}"]
    lines.append(rf"  \label{{{re.sub('[^A-Za-z0-9.:-]+', '-', label)}}}")
    lines += [rf"  \begin{{tabular}}{{l{'r' * (len(header) - 1)}}}", r"    \toprule", _line(header), r"    \midrule"]
    lines += [_line(row) for row in rows]
    lines += [r"    \bottomrule", r"  \end{tabular}"]
    lines += [rf"  \par\smallskip{{\footnotesize {_escaped(note)}\par}}" for note in notes]
    lines.append(r"\end{table}")
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "    " + " & ".join(map(_escaped, cells)) + r" \\"


def _escaped(words: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in " ".join(str(words).split()))


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, the first column to the left, others to the right."""
    lines = [header, [":--"] + ["--:"] * (len(header) - 1), *rows]
    return (
        "\n".join("| " + " | ".join(_plain(cell, i == 1) for cell in line) + " |" for i, line in enumerate(lines))
        + "\n"
    )


def _plain(cell: str, rule: bool) -> str:
    return cell if rule else re.sub(r"([\\`*_|<>\[\]])", r"\\\1", " ".join(str(cell).split()))
