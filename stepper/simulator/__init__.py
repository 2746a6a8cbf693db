"""A city of virtual people: drivers and passengers who use the service as everybody else does, over HTTP and sockets.

`manage.py simulate` lets one live around a running server, `manage.py replay` plays real pick-ups against one.
Nothing here is imported by the service itself.
"""
