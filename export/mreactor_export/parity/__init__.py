"""The proof that exported graphs compute what the reference computes.

`verify` takes figures of engines against the reference, `verify_bundle` opens a bundle's own. Each
figure is one comparison: of names, axes, shapes, types and values, in that order.
"""

from mreactor_export.parity.figures import Figure, ParityError, Report
from mreactor_export.parity.proof import verify, verify_bundle

__all__ = ["Figure", "ParityError", "Report", "verify", "verify_bundle"]
