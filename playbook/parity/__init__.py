"""Two systems -> their differences. Pure: reads observations, starts nothing.

    comparison = compare(a, a2, b)
    comparison.ok, comparison.findings, comparison.noise

How it is decided what is noise and what is a finding:

1. Tokens that a run makes anew (identifiers, times, loopback ports, folders) are masked (`tokens`,
   `normalise`). A token that all control runs share is a constant and is compared as it is.
2. The control runs teach patterns of records with bounds on how often each occurs (`learning`, `sections`).
   A record of the new system fits if all its places do, and only the places that differ between controls
   are open.
3. Masked identifiers must stand together in the same places (`links`).
4. Orders that all controls keep, and not by chance, must be kept (`scopes`, `order`); delays of retries
   must lie within what was planned and waited (`delays`).
"""

from playbook.parity.canvas import promised_order
from playbook.parity.comparison import compare
from playbook.parity.models import Backoff, Comparison, Finding, Noise, Policy

__all__ = ["Backoff", "Comparison", "Finding", "Noise", "Policy", "compare", "promised_order"]
