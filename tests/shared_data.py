"""Real data sets that lie beside the checkout, or where LHY_SHARED_DATA says; tests skip those that are not there."""

import os
from pathlib import Path

SHARED = Path(os.environ.get("LHY_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
