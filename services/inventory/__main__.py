"""`python -m services.inventory --role all|api|consumer|relay|worker`."""

from services.inventory.app import SERVICE
from shared.service.run import main

main(SERVICE)
