"""`python -m services.mock`: exits 0 on SIGTERM or SIGINT, 2 on invalid settings, 3 when it cannot listen."""

import os
import sys

from services.mock.server import ListenError, run
from services.mock.settings import SettingsError, read_settings


def main() -> int:
    try:
        run(read_settings(sys.argv[1:], os.environ))
    except SettingsError as error:
        print(f"mock: invalid settings: {error}", file=sys.stderr)
        return 2
    except ListenError as error:
        print(f"mock: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
