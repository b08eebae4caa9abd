"""python -m jhash.reproduce --paper dkph --table 2 --dataset nmnist --budget quick"""

import sys

from jhash.reproduce.command import main

if __name__ == "__main__":
    sys.exit(main())
