"""Two made-up services to test the foundation with: a teller keeps accounts, an auditor hears of them."""
