"""What dashboard publishes on `dashboard.events`: what people do there beside the order process."""

from shared.events.envelope import Topic

DASHBOARD_EVENTS = Topic(name="dashboard.events", facts=(), publisher="dashboard")
"""Nothing yet: what they do to an order is an event on the topics that others do that on."""
