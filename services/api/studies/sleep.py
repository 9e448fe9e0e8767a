"""The sleep study: a wait of ``ms`` milliseconds, awaited or blocking, behind ``def`` or ``async def``.

Bodies go through FastAPI's own encoder, as in the study, and the annotation is not used as a response model.
"""

from __future__ import annotations

import asyncio
import time

import anyio
from fastapi import APIRouter

from services.api.meter import Meter
from services.api.settings import Settings
from services.api.studies.study import Study

router = APIRouter()


@router.get("/async_endpoint_async_processing", response_model=None)
async def async_endpoint_async_processing(ms: int = 1000) -> dict[str, int]:
    await asyncio.sleep(ms / 1000)
    return {"wait_ms": ms}


@router.get("/sync_endpoint_sync_processing", response_model=None)
def sync_endpoint_sync_processing(ms: int = 1000) -> dict[str, int]:
    time.sleep(ms / 1000)
    return {"wait_ms": ms}


# The study compares with this endpoint without giving its path; it is named like the others.
@router.get("/sync_endpoint_async_processing", response_model=None)
def sync_endpoint_async_processing(ms: int = 1000) -> dict[str, int]:
    anyio.run(asyncio.sleep, ms / 1000)
    return {"wait_ms": ms}


@router.get("/sync_endpoint_mix_processing", response_model=None)
def sync_endpoint_mix_processing(ms: int = 500) -> dict[str, int]:
    anyio.run(asyncio.sleep, ms / 1000)
    time.sleep(ms / 1000)
    return {"wait_ms": ms}


@router.get("/async_endpoint_mix_processing", response_model=None)
async def async_endpoint_mix_processing(ms: int = 500) -> dict[str, int]:
    await asyncio.sleep(ms / 1000)
    time.sleep(ms / 1000)  # on the event loop, on purpose: this is what the study shows
    return {"wait_ms": ms}


def make_study(_settings: Settings, _meter: Meter) -> Study:
    return Study(router)
