"""The addresses of the service: reactions, jobs, health, metrics, and a page that explains them."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from mreactor_runtime.provenance import installed_version
from mreactor_runtime.serve.answers import Answer
from mreactor_runtime.serve.body import read_body
from mreactor_runtime.serve.features import told
from mreactor_runtime.serve.jobs import DONE, FAILED, Job
from mreactor_runtime.serve.keys import check_key
from mreactor_runtime.serve.metrics import CountRequests
from mreactor_runtime.serve.openapi import ABOUT, ANSWERS, BODY, JOB_ANSWERS, RESULT_ANSWERS
from mreactor_runtime.serve.options import Options, understand
from mreactor_runtime.serve.problems import REQUEST, Refused, refused, refused_clip
from mreactor_runtime.serve.service import Service
from mreactor_runtime.serve.unread import TakeUnread
from mreactor_runtime.serve.uploads import Upload

POLL_SECONDS = "1"  # between two looks at a job
TEXT = "text/plain; version=0.0.4; charset=utf-8"


def create_app(service: Service, key: str | None = None) -> FastAPI:
    """The application. The service is at work already.

    Args: key: that requests must show; None lets everybody in.
    """
    app = FastAPIOffline(
        redoc_url=None,
        title="mreactor",
        version=installed_version() or "",
        description=ABOUT,
        swagger_ui_parameters={"displayRequestDuration": True},
    )
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)
    app.add_middleware(TakeUnread)
    app.add_middleware(CountRequests, metrics=service.metrics)
    guarded = [Depends(check_key(key))]
    app.include_router(_reactions(service), prefix="/v1", dependencies=guarded)
    app.include_router(_metrics(service), dependencies=guarded)
    app.include_router(_health(service))

    @app.get("/", include_in_schema=False)
    async def index() -> RedirectResponse:
        return RedirectResponse("docs")

    return app


def _reactions(service: Service) -> APIRouter:
    router = APIRouter(tags=["reactions"])

    @router.post("/reactions", openapi_extra={"requestBody": BODY}, responses=ANSWERS)
    async def react(request: Request, options: Annotated[Options, Query()]) -> Response:
        """React to a clip: its files in a form, or its features as JSON."""
        service.places.take()
        try:
            source, name = await read_body(request, service.limits, service.folder)
        except BaseException:
            service.places.give_back()
            raise
        try:
            limits, sampling = service.limits, service.reactor.sampling
            asked = understand(options, name, sampling, limits)
        except BaseException:
            if isinstance(source, Upload):
                source.remove()
            service.places.give_back()
            raise
        job = service.submit(source, asked)
        if asked.wait:
            await asyncio.wait([asyncio.wrap_future(job.outcome)], timeout=asked.wait)
            if job.outcome.done():
                return _file(job.outcome.result())
        service.jobs.keep(job)
        headers = {"Location": f"/v1/jobs/{job.id}", "Retry-After": POLL_SECONDS}
        return JSONResponse(job.to_dict(), HTTPStatus.ACCEPTED, headers)

    @router.get("/jobs/{job_id}", responses=JOB_ANSWERS)
    async def job(job_id: str) -> JSONResponse:
        """How far a clip is: waiting, reading, ready, sampling, done or failed."""
        job = service.jobs.get(job_id)
        if job.state == FAILED:
            job.fetched = True
        return JSONResponse(job.to_dict(), headers=_come_again(job))

    @router.get("/jobs/{job_id}/result", responses=RESULT_ANSWERS)
    async def result(job_id: str) -> Response:
        """The reactions of a job, or why there are none; 202 while they are made."""
        job = service.jobs.get(job_id)
        if job.state not in (DONE, FAILED):
            return JSONResponse(job.to_dict(), HTTPStatus.ACCEPTED, _come_again(job))
        job.fetched = True
        return _file(job.outcome.result())

    @router.delete("/jobs/{job_id}", status_code=HTTPStatus.NO_CONTENT)
    async def forget(job_id: str) -> None:
        """Forget a job and its reactions; a clip that nobody has begun to read is not done."""
        service.jobs.forget(service.jobs.get(job_id))

    return router


def _come_again(job: Job) -> dict[str, str]:
    return {} if job.state in (DONE, FAILED) else {"Retry-After": POLL_SECONDS}


def _file(answer: Answer | Refused) -> Response:
    if isinstance(answer, Refused):
        raise answer
    return Response(answer.content, media_type=answer.media, headers=answer.headers)


def _metrics(service: Service) -> APIRouter:
    router = APIRouter(tags=["operation"])

    @router.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Counts and times for Prometheus."""
        return Response(service.metrics.text(), media_type=TEXT)

    return router


def _health(service: Service) -> APIRouter:
    router = APIRouter(prefix="/health", tags=["operation"])

    @router.get("/live")
    async def live() -> JSONResponse:
        """200 while the service works; 500 where it must be started again."""
        alive = service.alive
        state = {"status": "live" if alive else "broken"}
        return JSONResponse(state, HTTPStatus.OK if alive else HTTPStatus.INTERNAL_SERVER_ERROR)

    @router.get("/ready")
    async def ready() -> JSONResponse:
        """200 while clips are taken in; 503 at the end, while what was taken in is done."""
        is_ready = service.alive and not service.places.closed
        state = "ready" if is_ready else ("draining" if service.alive else "broken")
        told = {"status": state, "taken": service.places.taken, "queue": service.limits.queue}
        return JSONResponse(told, HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE)

    return router


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)
    return JSONResponse(error.content, error.status, error.headers)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    fix = "the options are described at /docs"
    message = f"the options of the request: {told(error.errors())}"
    return await _refused(request, refused(HTTPStatus.UNPROCESSABLE_ENTITY, REQUEST, message, fix))


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    message, fix = status.description or status.phrase, "the addresses are described at /docs"
    return await _refused(request, refused(status, REQUEST, message, fix))


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    return await _refused(request, refused_clip("", REQUEST, error, None))
