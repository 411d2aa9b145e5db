"""What the whole-system benchmark is made of: the people of the shop, and accounts of CPU."""
