"""Settings shared by every test."""

import os

from hypothesis import settings

# Ray and TensorFlow read these when they are imported: no phoning home, no banner.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# A loaded machine is not a failing property; a failure must be repeatable from its output.
settings.register_profile("ztad", deadline=None, print_blob=True)
settings.load_profile("ztad")
