"""`python -m reflector.db`: create the tables that do not exist yet."""

import asyncio

from reflector.db import create_all

if __name__ == "__main__":
    asyncio.run(create_all())
