"""Tasks for the live probes, on the migrated Reflector's own broker. A TaskIQ worker loads this module
too."""

from reflector.worker.broker import broker

from reflector import db
from reflector.db.rooms import rooms_controller


@broker.task(task_name="probe.echo")
async def echo(value: object) -> object:
    """Return what was sent."""
    return value


@broker.task(task_name="probe.room_exists")
async def room_exists(name: str) -> bool:
    """Whether a worker's session finds a room of this name."""
    async with db.get_session_context() as session:
        return await rooms_controller.get_by_name(session, name) is not None
