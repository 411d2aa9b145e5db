"""What services say to each other: one module of public events per owner, each event defined once."""
