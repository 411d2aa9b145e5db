"""What the whole-system benchmark is made of: a cheap HTTP client, the people of the shop, and accounts of CPU."""
