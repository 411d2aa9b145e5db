"""`python -m services.returns --role all|api|consumer|relay|worker`."""

from services.returns.app import SERVICE
from shared.service.run import main

main(SERVICE)
