"""Ending tasks of an event loop."""

import asyncio


async def end_tasks(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks repeatedly until they have ended: a cancellation can be lost inside the Redis client."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=0.5)
    await asyncio.gather(*tasks, return_exceptions=True)
