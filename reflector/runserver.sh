#!/bin/sh
# Start one of the application's processes: ./runserver.sh server | worker | beat | flower
# Run it in the folder above the package, or with the package installed.
set -eu

case "${1:-server}" in
server)
    python -m reflector.db
    exec uvicorn reflector.app:app --host "${HOST:-0.0.0.0}" --port "${PORT:-1250}"
    ;;
worker)
    exec celery -A reflector.worker.app worker --loglevel=info
    ;;
beat)
    exec celery -A reflector.worker.app beat --loglevel=info
    ;;
flower)
    exec celery -A reflector.worker.app flower --port="${FLOWER_PORT:-5555}"
    ;;
*)
    echo "runserver.sh: unknown process '$1'; use server, worker, beat or flower" >&2
    exit 2
    ;;
esac
