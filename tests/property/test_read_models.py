"""Every read model of every service is folded from the history of some machine: see `folds`."""

import pkgutil
from importlib import import_module

import services
from shared.store.readmodel import ReadModel
from tests.property.machine import AggregateMachine
from tests.property.test_cart import CartMachine
from tests.property.test_inventory import InventoryMachine
from tests.property.test_message import MessageMachine
from tests.property.test_order import OrderMachine
from tests.property.test_orphan import OrphanMachine
from tests.property.test_returns import ReturnsMachine

MACHINES: tuple[type[AggregateMachine], ...] = (
    CartMachine,
    InventoryMachine,
    MessageMachine,
    OrderMachine,
    OrphanMachine,
    ReturnsMachine,
)


def test_none_is_left_out() -> None:
    folded = {(model.name, model.row) for machine in MACHINES for model in machine.read_models}
    found = [module.name for module in pkgutil.walk_packages(services.__path__, "services.")]
    modules = [import_module(name) for name in found if ".readmodels." in name]
    there = {(m.name, m.row) for module in modules for m in vars(module).values() if isinstance(m, ReadModel)}
    assert there == folded
