"""`python -m services.cart --role all|api|consumer|relay|worker`."""

from services.cart.app import SERVICE
from shared.service.run import main

main(SERVICE)
