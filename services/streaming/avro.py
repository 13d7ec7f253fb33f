"""Events in Avro, framed as schema registries agree on: a zero byte, the id of the schema that it
was written with (4 bytes, big-endian), the record."""

from __future__ import annotations

import asyncio
from io import BytesIO
from typing import Any

import fastavro
import httpx
import msgspec

from services.streaming.base import BrokerAway, StreamError
from services.streaming.scoring import Undecodable

_FRAME_BYTES = 5
#: The registry has this long to answer, seconds.
ANSWER_WITHIN_S = 5.0


class UnknownSchema(LookupError):
    """The registry has no such schema."""


class SchemaRegistry:
    """``GET /schemas/ids/{id}`` of a registry; what was answered once never changes.

    ``user`` is a name and a password, or None. One per event loop.
    """

    def __init__(self, url: str, user: tuple[str, str] | None = None) -> None:
        self._client = httpx.AsyncClient(
            base_url=url.rstrip("/"), auth=user, timeout=ANSWER_WITHIN_S, trust_env=False
        )
        self._schemas: dict[int, Any] = {}
        self._asking = asyncio.Lock()

    async def schema(self, schema_id: int) -> Any:
        """A parsed schema; raises :class:`UnknownSchema`, or ``StreamError`` when the registry
        does not tell."""
        if schema_id not in self._schemas:
            async with self._asking:
                if schema_id not in self._schemas:
                    self._schemas[schema_id] = await self._asked(schema_id)
        return self._schemas[schema_id]

    async def close(self) -> None:
        """Let go of its connections; in the event loop that it was used in."""
        await self._client.aclose()

    async def _asked(self, schema_id: int) -> Any:
        try:
            answer = await self._client.get(f"/schemas/ids/{schema_id}")
        except httpx.HTTPError as error:
            raise BrokerAway(f"schema registry: {type(error).__name__}") from None
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise UnknownSchema(schema_id)
        if answer.is_error:
            raise StreamError(f"schema registry: {answer.status_code}; check its address and "
                              "ZTAD_SCHEMA_REGISTRY_USERNAME, _PASSWORD")  # fmt: skip
        try:
            document = answer.json()
            if document.get("schemaType", "AVRO") != "AVRO":
                raise UnknownSchema(schema_id)
            return fastavro.parse_schema(msgspec.json.decode(document["schema"]))
        except (ValueError, KeyError, AttributeError, fastavro.schema.SchemaParseException):
            raise StreamError(
                f"schema registry: no schema in its answer for id {schema_id}"
            ) from None


class AvroDecode:
    """Values in Avro -> events as JSON; absent fields are those that are null."""

    def __init__(self, registry: SchemaRegistry) -> None:
        self._registry = registry

    async def close(self) -> None:
        await self._registry.close()

    async def __call__(self, value: bytes) -> bytes:
        if len(value) < _FRAME_BYTES or value[0] != 0:
            raise Undecodable("expected Avro: a zero byte, four of the schema's id, the record")
        schema_id = int.from_bytes(value[1:_FRAME_BYTES], "big")
        try:
            schema = await self._registry.schema(schema_id)
        except UnknownSchema:
            raise Undecodable(f"the registry has no Avro schema {schema_id}") from None
        try:
            read = BytesIO(value)
            read.seek(_FRAME_BYTES)
            record: Any = fastavro.schemaless_reader(read, schema, None)
            if not isinstance(record, dict):
                raise Undecodable(f"expected a record, schema {schema_id} is none")
            present = {name: given for name, given in record.items() if given is not None}
            return msgspec.json.encode(present)
        except Undecodable:
            raise
        except Exception as error:  # noqa: BLE001 - bytes of strangers fail in every way there is
            raise Undecodable(f"not of schema {schema_id}: {type(error).__name__}") from None
