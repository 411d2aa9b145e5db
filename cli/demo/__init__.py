"""`orderflow demo`: a real trading day played through the public HTTP APIs, and the proof that it adds up."""
