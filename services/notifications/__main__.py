"""`python -m services.notifications --role all|api|consumer|relay|worker`."""

from services.notifications.app import SERVICE
from shared.service.run import main

main(SERVICE)
