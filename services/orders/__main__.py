"""`python -m services.orders --role all|api|consumer|relay|worker`."""

from services.orders.app import SERVICE
from shared.service.run import main

main(SERVICE)
