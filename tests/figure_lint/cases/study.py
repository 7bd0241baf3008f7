"""Who took part."""

from alliance_stats.figures import flow_figure
from tests.figure_lint.cases.data import EASTERN, LONG, OTHER_SCRIPTS, ledger

CASES = {
    flow_figure: {
        "flow": lambda: flow_figure(ledger("no rating", "after the planned ending")),
        "flow, nothing set aside": lambda: flow_figure(ledger()),
        "flow, long reasons": lambda: flow_figure(ledger(LONG * 3, *OTHER_SCRIPTS, "x" * 120)),
        "flow, eastern reasons": lambda: flow_figure(ledger(*EASTERN, EASTERN[3] * 5)),
    },
}
