"""The services in virtual time: their own tasks and decisions, on topics and a Redis in memory."""
