"""gunicorn's settings, set to uvicorn's values where the two differ by default.

gunicorn closes an idle connection after 2 s and uvicorn after 5 s; a stage that changes the server
must not change that too.
"""

from __future__ import annotations

from typing import Any

keepalive = 5
backlog = 2048
graceful_timeout = 1
worker_class = "uvicorn_worker.UvicornWorker"
loglevel = "warning"
# gunicorn would put a control socket into the user's home, which no run cleans up.
control_socket_disable = True

# The worker object of this process, for ``/effective``.
live_worker: Any = None


def post_worker_init(worker: Any) -> None:
    # gunicorn executes this file separately; the service imports it as a module: set the variable there.
    from services.api import gunicorn_conf

    gunicorn_conf.live_worker = worker


def child_exit(server: Any, worker: Any) -> None:  # noqa: ARG001
    from services.api.gauge_files import worker_gone

    worker_gone(worker.pid)
