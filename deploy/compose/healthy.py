"""Exit code 0 if this container's process answers HEALTH_PATH on PORT with 200: the image's health check."""

import http.client
import os
import sys

# Not urllib: it would ask a proxy that the engine may have put into the environment.
connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["PORT"]), timeout=4)
connection.request("GET", os.environ["HEALTH_PATH"])
answer = connection.getresponse()
sys.stdout.write(answer.read(2000).decode(errors="replace"))
sys.exit(answer.status != http.HTTPStatus.OK)
