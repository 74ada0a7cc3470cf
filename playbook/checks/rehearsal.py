"""The way back from a phase, rehearsed under load and in both directions: by flag, and by code.

An application with a module that sends work of every kind (`probes/mill.py`) is migrated by the phases' own
slices. Processes of two neighbouring states of it, the phase's and the one before, then run on one Redis.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from celery import Celery

from playbook.checks.driver import Driver
from playbook.checks.suite_checks import written
from playbook.config import Application
from playbook.inventory import inventory
from playbook.lab import Lab, LabError, Process, wait_until
from playbook.lab.children import Children
from playbook.lab.programs import log_says
from playbook.lab.reflector_env import REFLECTOR
from playbook.lab.waiting import free_port, together
from playbook.models import Model
from playbook.phases import PHASES
from playbook.slices import sliced
from playbook.tree import Tree, read_tree

MILL = Path(__file__).parent / "probes" / "mill.py"
MODULE, APP = "reflector/mill.py", "reflector/worker/app.py"
INCLUDED = '        "reflector.worker.cleanup",\n'
SCHEDULED = "app.conf.beat_schedule = {\n"
EVERY = 0.5
"""Seconds between two ticks of the schedule."""

SETTLE = 120.0
"""Seconds that may pass until all that was sent has ended."""


class Rehearsal(Model):
    """What came of it.

    Attributes:
        phase: from which it was gone back.
        sent: attempts that had to end.
        on_taskiq: attempts that TaskIQ started.
        lost: those that did not end.
        doubled: attempts that started more than once.
        refused: dead letters.
        flag: seconds from when the route went back to Celery until nothing was sent to TaskIQ any more.
        drained: seconds from then until TaskIQ had run dry.
        back: seconds that it took to replace all processes by those of the phase before, under load.
        forth: the same in the other direction.
        ticks: how often the schedule's task ran.
        gap: longest time between two of these, in seconds.
    """

    phase: str
    sent: int
    on_taskiq: int
    lost: list[str]
    doubled: list[str]
    refused: int
    flag: float
    drained: float
    back: float
    forth: float
    ticks: int
    gap: float


def states(application: Application, folder: Path) -> dict[str, Path]:
    """Write the application with the mill as each phase before the cutover leaves it; return the folders."""
    tree = with_mill(read_tree(application.base, application.folders))
    roots = {}
    for phase in PHASES:
        if phase.slice is not None and phase.name < "06":
            tree = sliced(phase.slice, application, tree).tree
            roots[phase.name] = written(tree, application, folder / phase.name)
    return roots


def with_mill(tree: Tree) -> Tree:
    """Put the mill into the bundled application, and its tick into the schedule."""
    app = tree[APP].replace(INCLUDED, f'        "reflector.mill",\n{INCLUDED}')
    entry = f'    "tick": {{"task": "reflector.mill.tick", "schedule": {EVERY}}},\n'
    app = app.replace(SCHEDULED, SCHEDULED + entry)
    return tree.with_file(MODULE, MILL.read_text(encoding="utf-8")).with_file(APP, app)


@dataclass
class Crew:
    """The processes of one state of the application."""

    children: Children
    rate: float
    with_scheduler: bool

    def __post_init__(self) -> None:
        root = self.children.workspace / "reflector"
        self.modules = ["reflector.worker.app", "reflector.worker.health"]
        self.modules += sorted({task.module for task in inventory(root).tasks})
        self.workers: list[Process] = []
        self.schedulers: list[Process] = []
        self.producer: Process | None = None
        self.node = ""

    def start_workers(self) -> None:
        """Start the workers of both systems."""
        celery, taskiq = ({"MILL_SYSTEM": system} for system in ("celery", "taskiq"))
        name = f"celery-{free_port()}"
        self.node = f"{name}@lab"
        self.workers = together(
            lambda: self.children.celery_worker(name=name, env=celery),
            lambda: self.children.taskiq_worker(modules=self.modules, env=taskiq),
        )

    def start_schedulers(self) -> None:
        """Start beat, and TaskIQ's scheduler if this state has one."""
        starts = [self.children.beat, self.children.taskiq_scheduler]
        self.schedulers = together(*starts[: 1 + self.with_scheduler])

    def start_producer(self) -> None:
        """Start to send."""
        command = [sys.executable, "-c", f"from reflector.mill import main; main({self.rate})"]
        self.producer = self.children.spawn(command, name="producer", ready=log_says("sending"))

    def stop_producer(self) -> None:
        """Stop to send."""
        if self.producer is not None:
            self.producer.stop()

    def stop_schedulers(self) -> None:
        """Stop both schedulers."""
        together(*(process.stop for process in self.schedulers))

    def stop_workers(self) -> None:
        """Let the workers end what they have, and stop them.

        A Celery worker is told first to take nothing more. One that is stopped in the middle of a task may
        give back the task's message, although it has run: its acknowledgement was not sent yet.

        Raises:
            LabError: the Celery worker did not come to an end with what it has.
        """
        with Celery(broker=self.children.env["CELERY_BROKER_URL"]) as app:
            app.control.cancel_consumer("celery", destination=[self.node], reply=True)
            inspect = app.control.inspect(destination=[self.node], limit=1)
            looks = (inspect.active, inspect.reserved, inspect.scheduled)
            has = partial(_of_node, self.node)
            if not wait_until(lambda: not any(has(look()) for look in looks), SETTLE):
                raise LabError(f"{self.node} did not run dry; see {self.children.logs_dir}")
        together(*(partial(worker.stop, 60) for worker in self.workers))

    def take_over(self, other: Crew) -> float:
        """Replace the processes of another state one after the other; return how many seconds it took.

        Work goes on meanwhile: what starts, starts before what stops, but for the schedulers.
        """
        began = time.monotonic()
        self.start_workers()
        self.start_producer()
        other.stop_producer()
        other.stop_schedulers()
        self.start_schedulers()
        other.stop_workers()
        return time.monotonic() - began


def _of_node(node: str, answer: Any) -> Any:
    """What a worker says that it has; one that does not answer counts as busy."""
    return (answer or {}).get(node, True)


def rehearse(
    application: Application, roots: dict[str, Path], phase: str, folder: Path, rate: float, seconds: float
) -> Rehearsal:
    """Go back from a phase and forth again while work goes on.

    Parameters:
        application: what is migrated.
        roots: its states by phase, see `states`.
        phase: from which to go back; 02 or later, up to 05.
        folder: for logs and data.
        rate: attempts per second.
        seconds: of load in each situation.

    Raises:
        LabError: a process did not start, or nothing ran any more.
    """
    names = sorted(roots)
    before = names[names.index(phase) - 1]
    with Lab(roots[phase], folder / "lab") as lab:
        lab.env |= {"MILL_LEDGER": lab.redis.url, "TASKIQ_KEY_PREFIX": "{taskiq}"}
        older = Children(REFLECTOR, roots[before], folder / "before", free_port())
        older.env = dict(lab.env)
        new = Crew(lab, rate, phase >= "04")
        old = Crew(older, rate, before >= "04")
        try:
            return _Rehearsed(lab, phase, new, old, seconds * rate).run()
        finally:
            for process in (*old.workers, *old.schedulers, *filter(None, [old.producer])):
                process.kill()


@dataclass
class _Rehearsed:
    lab: Lab
    phase: str
    new: Crew
    old: Crew
    load: float

    def run(self) -> Rehearsal:
        driver = Driver(self.lab, "celery")
        self.redis: Any = self.lab.redis.client()
        self.new.start_workers()
        self.new.start_schedulers()
        self.new.start_producer()
        self._work()
        driver.ask("route", "taskiq")
        self._work()
        flag_at, drained = self._flag_back(driver)
        driver.ask("route", "taskiq")
        self._work()
        self._flag_back(driver)
        back = self.old.take_over(self.new)
        self._work()
        forth = self.new.take_over(self.old)
        driver.ask("route", "taskiq")
        self._work()
        self.new.stop_producer()
        self.new.stop_schedulers()
        wait_until(lambda: not self._missing(), SETTLE, 0.5)
        return self._found(flag_at, drained, back, forth)

    def _flag_back(self, driver: Driver) -> tuple[float, float]:
        """Set the route to Celery and let TaskIQ run dry; return when it was set, and how long that took."""
        driver.ask("route", "celery")
        at = time.time()
        self._work()
        if not wait_until(self._dry, SETTLE):
            raise LabError(f"TaskIQ did not run dry; see {self.lab.logs_dir}")
        return at, time.time() - at

    def _dry(self) -> bool:
        queue = "{taskiq}:queue:default"
        waiting = self.redis.xlen(queue) + self.redis.xlen(f"{queue}:suspects")
        later = self.redis.zcard(f"{queue}:delayed")
        return not (waiting + later)

    def _work(self) -> None:
        """Let time pass until so much has been done."""
        goal = self.redis.llen("mill:ends") + self.load
        if not wait_until(lambda: self.redis.llen("mill:ends") >= goal, SETTLE):
            raise LabError(f"nothing runs any more; see {self.lab.logs_dir}")

    def _missing(self) -> set[str]:
        ended = {noted.rpartition(" ")[0] for noted in self.redis.lrange("mill:ends", 0, -1)}
        return set(self.redis.hkeys("mill:sent")) - ended

    def _found(self, flag_at: float, drained: float, back: float, forth: float) -> Rehearsal:
        starts = self.redis.lrange("mill:starts", 0, -1)
        attempts = Counter(noted.rpartition(" ")[0] for noted in starts)
        sent = {name: float(at) for name, at in self.redis.hgetall("mill:sent").items()}
        ticks = sorted(map(float, self.redis.lrange("mill:ticks", 0, -1)))
        return Rehearsal(
            phase=self.phase,
            sent=len(sent),
            on_taskiq=sum(noted.endswith(" taskiq") for noted in starts),
            lost=sorted(self._missing()),
            doubled=[attempt for attempt, times in attempts.items() if times > 1],
            refused=self.redis.xlen("{taskiq}:dead"),
            flag=self._last_sent(starts, sent, flag_at, drained),
            drained=drained,
            back=back,
            forth=forth,
            ticks=len(ticks),
            gap=max((later - earlier for earlier, later in pairwise(ticks)), default=0.0),
        )

    def _last_sent(self, starts: list[str], sent: dict[str, float], flag_at: float, drained: float) -> float:
        """Seconds after the route went back at which something was sent to TaskIQ for the last time."""
        taskiq = {noted.split(" ")[0] for noted in starts if noted.endswith(" taskiq")}
        late = [at - flag_at for name, at in sent.items() if name.split(" ")[0] in taskiq]
        return max((seconds for seconds in late if 0 < seconds < drained), default=0.0)
