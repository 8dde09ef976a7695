"""What the service answers at which address."""

import asyncio
import base64
import hashlib
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI, Request, Response
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser

from unfreeze.images.jpeg_decoding import Undecodable
from unfreeze.runtime.processors import count_processors
from unfreeze.serving.service import v2
from unfreeze.serving.service.answers import describe_answer, describe_model, write_json
from unfreeze.serving.service.counters import Counters
from unfreeze.serving.service.decoders import CodecError, Decoders
from unfreeze.serving.service.explaining import Explainer
from unfreeze.serving.service.limits import Guard, Limits, Refusal
from unfreeze.serving.service.served import Served, Shelf

PAGE = Path(__file__).with_name("page.html")
# Content types of a body that is one image file; the second one is what curl says by default.
RAW = ("application/octet-stream", "application/x-www-form-urlencoded", "")


class Service:
    """The application, and what it works with.

    Args:
        shelf: Holds the model that answers.
        counters: Counts what happens.
        decoders: Turn images into pixels; the caller ends them after the service.
        limits: What a request may take.
        token: What clients must send; None for a service of this machine alone.
    """

    def __init__(
        self, shelf: Shelf, counters: Counters, decoders: Decoders, *, limits: Limits, token: str | None
    ) -> None:
        self.shelf = shelf
        self.counters = counters
        self.limits = limits
        self.decoders = decoders
        self.threads = ThreadPoolExecutor(count_processors(), thread_name_prefix="read")
        self.explainer = Explainer(limits.seconds_to_explain - 5)
        # A form is in memory already: its files need no disk.
        MultiPartParser.spool_max_size = limits.body
        self.app = FastAPI(title="unfreeze", docs_url=None, redoc_url=None, openapi_url=None)
        self._add_routes()
        self.guarded = Guard(self.app, limits=limits, counters=counters, token=token)

    def end(self) -> None:
        """End threads and processes."""
        self.explainer.end()
        self.threads.shutdown(cancel_futures=True)
        self.shelf.current.pool.end()

    def _add_routes(self) -> None:
        app = self.app
        app.add_api_route("/", _Page().show, methods=["GET"])
        app.add_api_route("/predict", self.predict, methods=["POST"])
        app.add_api_route("/explain", self.explain, methods=["POST"])
        app.add_api_route("/pictures/{digest}/{row}", self.show_picture, methods=["GET"])
        app.add_api_route("/metrics", self.show_metrics, methods=["GET"])
        app.add_api_route("/v2", self.describe_server, methods=["GET"])
        app.add_api_route("/v2/health/live", _confirm, methods=["GET"])
        app.add_api_route("/v2/health/ready", _confirm, methods=["GET"])
        for place in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
            app.add_api_route(place, self.describe_model, methods=["GET"])
            app.add_api_route(f"{place}/ready", self.confirm_model, methods=["GET"])
            app.add_api_route(f"{place}/infer", self.infer, methods=["POST"])
        app.add_exception_handler(Refusal, self._answer_refusal)
        app.add_exception_handler(HTTPException, self._answer_error)

    async def predict(self, request: Request) -> Response:
        """Answer for images in a form, or one image that is the body."""
        served = self.shelf.current
        with self.counters.measure("whole"):
            images = await self._read_images(request)
            described = await self._answer(served, images)
        return _respond({"model": describe_model(served), "predictions": described})

    async def explain(self, request: Request) -> Response:
        """Answer with the image and the heat of Grad-CAM over it, for the predicted class or the one asked for."""
        served = self.shelf.current
        images = await self._read_images(request)
        if len(images) != 1:
            raise Refusal(413, f"{len(images)} images: one at a time is explained", "files")
        ((source, data),) = images
        pixels = await self._decode(served, source, data)
        number = await self._choose_class(served, pixels, request.query_params.get("class"))
        model = await asyncio.to_thread(served.find_keras)
        if model is None:
            raise Refusal(
                501, "Grad-CAM needs the .keras file that the model was packed from, beside its package", "explain"
            )
        picture = await asyncio.to_thread(self.explainer.explain, model, pixels, number)
        name = served.classifier.classes[number].encode("ascii", "backslashreplace").decode()
        return Response(picture, media_type="image/png", headers={"X-Class": name})

    async def infer(self, request: Request, name: str, version: str = "") -> Response:
        """Answer a request of the Open Inference Protocol V2."""
        served = self._find(name, version)
        size, header = served.classifier.model.size, request.headers.get(v2.HEADER)
        with self.counters.measure("whole"):
            body = await request.body()
            read = partial(v2.read_request, body, header, size=size, most=self.limits.files)
            asked = await asyncio.get_running_loop().run_in_executor(self.threads, read)
            if asked.pixels is None:
                images = [(f"image {number}", data) for number, data in enumerate(asked.images)]
                described = await self._answer(served, images)
            else:
                described = await self._classify(served, [("", square) for square in asked.pixels])
            answer, headers = v2.write_answer(asked, described, describe_model(served))
        return Response(answer, headers=headers)

    def describe_server(self) -> Response:
        """Return the metadata of the service."""
        return _respond({"name": "unfreeze", "version": _find_version(), "extensions": ["binary_tensor_data"]})

    def describe_model(self, name: str, version: str = "") -> Response:
        """Return the metadata of the model."""
        served = self._find(name, version)
        model = served.classifier.model
        nearest = min(model.unlike.neighbours, len(served.classifier.reference.ids))
        return _respond(
            {
                "name": served.name,
                "versions": [served.located.version] if served.located.version else [],
                "platform": "openvino",
                "inputs": v2.describe_inputs(model.size),
                "outputs": v2.describe_outputs(len(model.classes), nearest),
                "parameters": {"digest": served.digest, "classes": list(model.classes), "backbone": model.backbone},
            }
        )

    def confirm_model(self, name: str, version: str = "") -> Response:
        """Say that the model is ready."""
        self._find(name, version)
        return _confirm()

    def show_picture(self, digest: str, row: str) -> Response:
        """Return the small picture of a training image of the present model."""
        served = self.shelf.current
        pictures = served.classifier.reference.pictures
        if digest != served.digest or not (row.isascii() and row.isdigit()) or int(row[:9]) >= len(pictures):
            raise Refusal(404, "no picture of the model that answers now", "path")
        headers = {"Cache-Control": "private, max-age=3600"}
        return Response(pictures[int(row[:9])], media_type="image/jpeg", headers=headers)

    def show_metrics(self) -> Response:
        """Return the counters for Prometheus."""
        return Response(self.counters.write(), media_type="text/plain; version=0.0.4; charset=utf-8")

    def _find(self, name: str, version: str) -> Served:
        served = self.shelf.current
        if name != served.name or version not in ("", served.located.version):
            known = f"{served.name} {served.located.version or ''}".strip()
            raise Refusal(404, f"no model {name[:80]!r} {version[:20]}: this service has {known}", "path")
        return served

    async def _read_images(self, request: Request) -> list[tuple[str, bytes]]:
        """Return the images of a request, each with what the client calls it."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "multipart/form-data":
            return await self._read_form(request)
        if kind not in RAW and not kind.startswith("image/"):
            raise Refusal(
                415, f"content type {kind[:80]!r}: send an image file as the body, or several in a form", "type"
            )
        return [("image", await request.body())]

    async def _read_form(self, request: Request) -> list[tuple[str, bytes]]:
        most = self.limits.files
        try:
            async with request.form(max_files=most, max_fields=most) as form:
                files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
                images = [(file.filename or "image", await file.read()) for file in files]
        except HTTPException as error:
            raise Refusal(413 if "Too many" in error.detail else 400, f"form: {error.detail}", "form") from None
        # The parser meets bytes that are no text, or no boundary, with errors of many kinds.
        except (ValueError, KeyError, LookupError, AssertionError):
            raise Refusal(400, "the form cannot be read: send multipart/form-data with image files", "form") from None
        if not images:
            raise Refusal(400, "the form holds no file: send each image as a file", "form")
        return images

    async def _answer(self, served: Served, images: Sequence[tuple[str, bytes]]) -> list[dict[str, Any]]:
        squares = await asyncio.gather(*(self._decode(served, source, data) for source, data in images))
        return await self._classify(served, [(source, one) for (source, _), one in zip(images, squares, strict=True)])

    async def _decode(self, served: Served, source: str, data: bytes) -> np.ndarray:
        model = served.classifier.model
        try:
            return await self.decoders.decode(data, model.size, max_pixels=min(self.limits.pixels, model.max_pixels))
        except Undecodable as error:
            kind = "codec" if isinstance(error, CodecError) else "image"
            raise Refusal(422, f"{source[:80]}: {error}", kind) from None

    async def _classify(self, served: Served, squares: Sequence[tuple[str, np.ndarray]]) -> list[dict[str, Any]]:
        answers = await asyncio.gather(*(served.classify(pixels, self.counters) for _, pixels in squares))
        return [describe_answer(served, one, source) for one, (source, _) in zip(answers, squares, strict=True)]

    async def _choose_class(self, served: Served, pixels: np.ndarray, name: str | None) -> int:
        classes = served.classifier.classes
        if name is None:
            return int((await served.classify(pixels, self.counters)).probabilities[0].argmax())
        if name not in classes:
            raise Refusal(400, f"no class {name[:80]!r}: this model has {', '.join(classes)}"[:500], "class")
        return classes.index(name)

    def _answer_refusal(self, _: Request, refusal: Exception) -> Response:
        assert isinstance(refusal, Refusal)
        self.counters.count_refusal(refusal.kind)
        return _respond({"error": refusal.reason}, refusal.status, refusal.headers)

    def _answer_error(self, _: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _respond({"error": str(error.detail)}, error.status_code, dict(error.headers or {}))


class _Page:
    """The page, with a policy that lets it load nothing from elsewhere."""

    def __init__(self) -> None:
        self._text = PAGE.read_text(encoding="utf-8")
        policy = [
            "default-src 'none'; img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'",
            "frame-ancestors 'none'",
            *(f"{kind}-src {_hash_parts(self._text, kind)}" for kind in ("script", "style")),
        ]
        self._headers = {"Content-Security-Policy": "; ".join(policy), "X-Content-Type-Options": "nosniff"}

    def show(self) -> Response:
        """Return the page."""
        return Response(self._text, media_type="text/html; charset=utf-8", headers=self._headers)


def _hash_parts(page: str, kind: str) -> str:
    parts = re.findall(rf"<{kind}>(.*?)</{kind}>", page, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in parts)
    return " ".join(f"'sha256-{digest}'" for digest in digests)


def _confirm() -> Response:
    return _respond({"ready": True})


def _respond(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(write_json(value), status, headers, media_type="application/json")


def _find_version() -> str:
    from importlib.metadata import version

    return version("unfreeze")
