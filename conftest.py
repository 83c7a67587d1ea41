"""Load the installed r2s_core before pytest names test modules after the folder of that name.

With `--import-mode=importlib`, `r2s_core/tests/test_x.py` becomes the module
`r2s_core.tests.test_x`, and pytest would make the folder `r2s_core/` its parent package.
"""

import r2s_core  # noqa: F401
