"""`orderflow run SERVICE`: one service as this process, until SIGTERM."""

from enum import StrEnum
from importlib import import_module
from typing import Annotated

import typer


class ServiceName(StrEnum):
    """The services, as their directories are called."""

    INVENTORY = "inventory"
    PAYMENT = "payment"
    FULFILLMENT = "fulfillment"
    DEADLINES = "deadlines"
    DASHBOARD = "dashboard"


ORDER_SERVICES = tuple(name for name in ServiceName if name is not ServiceName.DASHBOARD)
"""Those that an order's life needs: dashboard only looks on."""


def run(service: Annotated[ServiceName, typer.Argument()]) -> None:
    """Run one service in this process."""
    import_module(f"services.{service}.app").main()
