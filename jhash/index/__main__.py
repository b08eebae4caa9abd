"""python -m jhash.index"""

import sys

from jhash.index.command import main

sys.exit(main())
