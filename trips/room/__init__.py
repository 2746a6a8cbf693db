"""The operations room: what it shows of drivers and trips, the queue of what needs a person, and who sees to what."""
