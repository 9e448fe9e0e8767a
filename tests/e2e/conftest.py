"""These tests are about native runs, whether or not this machine has a Docker engine."""

import os

os.environ["ENVIRONMENT"] = "native"
