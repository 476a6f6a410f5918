"""`orderflow ingest`: events taken over HTTP by this process, until SIGTERM."""

from services.ingest.app import main


def ingest() -> None:
    """Take events by HTTP on INGEST_HOST and INGEST_PORT, from who has a token.

    As many processes as one likes may take them.
    """
    main()
