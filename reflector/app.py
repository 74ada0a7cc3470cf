"""The API process: FastAPI application, its middleware and its routes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse

# Imported for its effect: it makes the tasks that the views start know their broker.
import reflector.worker.app  # noqa: F401
from reflector.logger import logger
from reflector.settings import settings
from reflector.views import health, meetings, rooms, transcripts, transcripts_audio, websockets
from reflector.ws_manager import get_ws_manager


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Listen for events while the API runs."""
    settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
    manager = get_ws_manager()
    await manager.start()
    try:
        yield
    finally:
        await manager.stop()


app = FastAPI(title="Reflector", lifespan=lifespan)
app.add_middleware(
    CORSMiddleware,
    allow_origins=[settings.UI_BASE_URL],
    allow_credentials=True,
    allow_methods=["*"],
    allow_headers=["*"],
)

v1 = APIRouter(prefix="/v1")
for view in (transcripts, transcripts_audio, rooms, meetings, websockets):
    v1.include_router(view.router)
app.include_router(v1)
app.include_router(health.router)


@app.exception_handler(Exception)
async def internal_error(request: Request, error: Exception) -> JSONResponse:
    """Answer in the form of all other errors, and keep the details in the log."""
    logger.error("Request failed", method=request.method, path=request.url.path, exc_info=error)
    return JSONResponse({"detail": "Internal error; the server's log has the details"}, 500)
