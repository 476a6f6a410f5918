"""`orderflow pages`: the dashboard's pages, served by this process until SIGTERM."""

from services.dashboard.web.app import main


def pages() -> None:
    """Serve the dashboard on DASHBOARD_HOST and DASHBOARD_PORT, of what `run dashboard` keeps.

    As many processes as one likes may serve it: each reads Redis, and decides nothing.
    """
    main()
