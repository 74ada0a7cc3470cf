"""The oracle's driver on a broker that runs tasks in place, one case after the other.

    ENVIRONMENT=pytest CELERY_BROKER_URL=... python in_place_driver.py taskiq CASES OUT

Redis is only where tasks note what they do.
"""

from playbook.oracle import driver

# The broker keeps the last hundred results.
driver.AT_ONCE = 1

if __name__ == "__main__":
    driver.main()
