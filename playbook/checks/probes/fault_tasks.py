"""The tasks of the fault tests on TaskIQ. PLAYBOOK_RUNTIME names the package with the runtime."""

from __future__ import annotations

import importlib
import os

from playbook.checks.probes import fault_bodies as bodies

_package = os.environ["PLAYBOOK_RUNTIME"]
broker = importlib.import_module(f"{_package}.broker").broker
current_task = importlib.import_module(f"{_package}.context").current_task
bodies.retries = lambda: int(current_task.request.retries)

work = broker.task("faults.work")(bodies.work)
stumble = broker.task("faults.stumble", **bodies.RETRIED)(bodies.stumble)
follow = broker.task("faults.follow")(bodies.follow)
join = broker.task("faults.join")(bodies.join)
lethal = broker.task("faults.lethal")(bodies.lethal)
write = broker.task("faults.write", **bodies.RETRIED)(bodies.write)
post = broker.task("faults.post", **bodies.RETRIED)(bodies.post)
