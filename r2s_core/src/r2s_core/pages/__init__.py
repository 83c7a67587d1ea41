"""What every HTML page of r2s is made of: one base, one style sheet, macros and charts.

A page is a template in `templates/` that extends `base.html`, filled with plain values; another
package's page lies in that package and extends the same base. A page is one file: pictures and
videos are embedded, it has no script, and its own policy forbids it the network.
"""

from r2s_core.pages.elements import (
    Card,
    Command,
    Film,
    Line,
    Shot,
    State,
    Strip,
    Table,
    command_line,
)
from r2s_core.pages.render import write_page

__all__ = [
    "Card",
    "Command",
    "Film",
    "Line",
    "Shot",
    "State",
    "Strip",
    "Table",
    "command_line",
    "write_page",
]
