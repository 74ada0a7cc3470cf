"""Faults in how the application is started."""

from playbook.plants.plant import Edit, Plant

PHASE = "05_validation"
SCRIPT = "reflector/runserver.sh"
WORKER = "    exec python -m reflector.worker reflector.worker.app reflector.worker.health \\\n"
SCHEDULER = "    exec python -m reflector.worker.scheduler reflector.worker.app \\\n"

STARTED = (
    Plant(
        "start-script-calls-celery",
        PHASE,
        "the start script of the TaskIQ worker still starts Celery's",
        (
            Edit(
                SCRIPT,
                WORKER,
                "    exec celery -A reflector.worker.app worker --loglevel=info\n    exec : \\\n",
            ),
        ),
        "scripts",
        ("start_scripts",),
        by_hand=True,
    ),
    Plant(
        "scheduler-script-calls-beat",
        PHASE,
        "the start script of the TaskIQ scheduler still starts beat",
        (
            Edit(
                SCRIPT,
                SCHEDULER,
                "    exec celery -A reflector.worker.app beat --loglevel=info\n    exec : \\\n",
            ),
        ),
        "scripts",
        ("start_scripts",),
        by_hand=True,
    ),
    Plant(
        "worker-without-modules",
        PHASE,
        "the start script names no module of tasks: the worker knows none",
        (
            Edit(
                SCRIPT,
                WORKER
                + "        reflector.pipelines.main_file_pipeline reflector.pipelines.main_live_pipeline \\\n"
                "        reflector.worker.cleanup reflector.worker.healthcheck reflector.worker.ics_sync \\\n"
                "        reflector.worker.process reflector.worker.webhook\n",
                "    exec python -m reflector.worker reflector.worker.health\n",
            ),
        ),
        "scripts",
        ("start_scripts",),
    ),
)
