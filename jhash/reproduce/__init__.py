"""The tables and figures of the five papers, each by one command: `python -m jhash.reproduce --list`.

A paper's file (`she.py`, `dkph.py`, ...) says which runs each needs; `runs.py` carries them out or finds them in the
cache; `outcome.py` sets ours beside the print; `page.py` shows it.
"""
