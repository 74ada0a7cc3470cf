"""The guide's broker with one task."""

from playbook.checks.probes.stock_broker import broker


@broker.task(task_name="probe.echo")
async def echo(value: object) -> object:
    """Return what was sent."""
    return value
