"""`python -m services.cli.probe PORT`: whether the service in this container is ready.

For a container's health check, which runs every few seconds: it imports next to nothing. What the
service says is printed, so that `docker inspect` shows why it is not ready.
"""

import sys
from http.client import HTTPConnection, HTTPException

from services.cli.exit_codes import EXIT_FAILED

HOST = "127.0.0.1"
ANSWER_LIMIT_S = 4.0
"""Below the 5 s of the image's health check, which would else tell nothing."""


def probe(port: int) -> tuple[bool, str]:
    """Whether the service on this port says that it is ready, and what it said."""
    connection = HTTPConnection(HOST, port, timeout=ANSWER_LIMIT_S)
    try:
        connection.request("GET", "/health/ready")
        answer = connection.getresponse()
        return answer.status == 200, answer.read().decode()
    except (OSError, HTTPException) as error:
        return False, f"no answer on port {port}: {error!r}"
    finally:
        connection.close()


def main() -> None:
    """Print the answer; ends with 0 only where it is ready."""
    ready, said = probe(int(sys.argv[1]))
    sys.stdout.write(f"{said}\n")
    sys.exit(0 if ready else EXIT_FAILED)


if __name__ == "__main__":
    main()
