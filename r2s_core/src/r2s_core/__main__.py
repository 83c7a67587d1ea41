"""`python -m r2s_core` is `r2s`."""

import sys

from r2s_core.cli import main

sys.exit(main())
