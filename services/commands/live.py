"""The routing of a running gateway: read and changed over HTTP, as anybody with a key may."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, TypeVar

import msgspec

from services.commands.ports import port

if TYPE_CHECKING:
    import httpx

    from models.aliases import Alias

#: A change waits until every replica has loaded the versions it names.
TIMEOUT_S = 120.0
_CONNECT_S = 5.0


class GatewayError(Exception):
    """What a gateway was asked for and did not do; the message says why and what to do."""


class NoGateway(GatewayError):
    """Nothing answers there."""

    def __init__(self, url: str) -> None:
        super().__init__(f"no gateway answers at {url}: start one with 'ztad serve'")
        self.url = url


class Share(msgspec.Struct, frozen=True):
    """A version and the percentage of users that it answers."""

    version: str
    weight: float


class Watching(msgspec.Struct, frozen=True):
    """A version that answers nobody."""

    version: str


S = TypeVar("S", Share, Watching)


class Live(msgspec.Struct, frozen=True):
    """The document of ``GET`` and ``PUT /v1/routing``; the weights are 100 together."""

    champion: Share
    challenger: Share | None = None
    shadow: Watching | None = None
    revision: int | None = None
    changed_at: str = ""
    changed_by: str = ""


class Gateway:
    """A gateway at ``url``, called with ``api_key`` unless that is empty."""

    def __init__(self, url: str, api_key: str) -> None:
        self.url = url.rstrip("/")
        self._headers = {"authorization": f"Bearer {api_key}"} if api_key else {}

    def routing(self) -> Live:
        """Who answers now; raises :class:`NoGateway` or another :class:`GatewayError`."""
        return self._ask("GET")

    def change(self, wanted: Live) -> Live:
        """Put a routing in force, and return it once it is.

        ``wanted.revision`` is that of the routing it was made from: when somebody else has changed
        that meanwhile, nothing happens. Raises as :meth:`routing`.
        """
        kept = ("champion", "challenger", "shadow", "revision")
        document = {name: getattr(wanted, name) for name in kept}
        return self._ask("PUT", msgspec.json.encode(document))

    def feedback(self, method: str, path: str = "", document: bytes | None = None) -> bytes:
        """What ``/v1/feedback`` and below it answers; raises as :meth:`routing`."""
        return self._answer(method, f"/v1/feedback{path}", document)

    def consumers(self, method: str, path: str = "") -> bytes:
        """What ``/v1/consumers`` and below it answers; raises as :meth:`routing`."""
        return self._answer(method, f"/v1/consumers{path}", None)

    def _ask(self, method: str, document: bytes | None = None) -> Live:
        try:
            return msgspec.json.decode(self._answer(method, "/v1/routing", document), type=Live)
        except msgspec.DecodeError:
            raise GatewayError(f"{self.url}: what answers there is no gateway of ours") from None

    def _answer(self, method: str, path: str, document: bytes | None) -> bytes:
        import httpx

        timeout = httpx.Timeout(TIMEOUT_S, connect=_CONNECT_S)
        headers = {**self._headers, "content-type": "application/json"}
        try:
            with httpx.Client(trust_env=False, timeout=timeout, headers=headers) as client:
                answer = client.request(method, f"{self.url}{path}", content=document)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            raise NoGateway(self.url) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise GatewayError(f"{self.url}: {str(error) or type(error).__name__}") from None
        if not answer.is_success:
            raise GatewayError(f"{self.url}: {_refusal(answer)}")
        return answer.content


def add_gateway_options(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """Where the gateway is; ``again`` for an action whose command has these options already."""
    group = parser.add_argument_group("the gateway to change (its key: ZTAD_API_KEY)")
    group.add_argument(
        "--port", type=port, default=argparse.SUPPRESS if again else 8000,
        help="on this machine (default 8000)",
    )  # fmt: skip
    group.add_argument(
        "--url", type=_url, default=argparse.SUPPRESS if again else None,
        help="elsewhere, such as https://ztad.example.com",
    )  # fmt: skip


def gateway_of(args: argparse.Namespace, api_key: str) -> Gateway:
    return Gateway(args.url or f"http://127.0.0.1:{args.port}", api_key)


def with_version(now: Live, alias: Alias, version: str, weight: float | None = None) -> Live:
    """The routing in which ``version`` plays another part; a version plays only one.

    ``weight`` is the percentage of users for it, or None: a new champion takes over from the old
    one, a new challenger from the old one, and the first challenger starts with nobody. Raises
    :class:`GatewayError` for what would leave nobody to answer.
    """
    challenger = _unless(now.challenger, version)
    shadow = _unless(now.shadow, version)
    if alias == "champion":
        if weight is not None and weight < 100.0 and challenger is None:
            message = f"there is no challenger to answer the other {100.0 - weight:g} %"
            raise GatewayError(f"--weight {weight:g}: {message}")
        kept = now.champion.weight if challenger else 100.0
        share = kept if weight is None else weight
        other = challenger and Share(challenger.version, 100.0 - share)
        return msgspec.structs.replace(
            now, champion=Share(version, share), challenger=other, shadow=shadow
        )
    if version == now.champion.version:
        raise GatewayError(f"{version} is the champion there: promote another to champion first")
    if alias == "shadow":
        champion = now.champion if challenger else Share(now.champion.version, 100.0)
        watching = Watching(version)
        return msgspec.structs.replace(
            now, champion=champion, challenger=challenger, shadow=watching
        )
    share = weight if weight is not None else (now.challenger.weight if now.challenger else 0.0)
    champion = Share(now.champion.version, 100.0 - share)
    return msgspec.structs.replace(
        now, champion=champion, challenger=Share(version, share), shadow=shadow
    )


def without(now: Live, alias: Alias) -> Live:
    """The routing with no challenger, or no shadow."""
    if alias == "shadow":
        return msgspec.structs.replace(now, shadow=None)
    return msgspec.structs.replace(
        now, champion=Share(now.champion.version, 100.0), challenger=None
    )


def told(live: Live) -> str:
    """A routing in one line.

    >>> told(Live(Share("2", 90.0), Share("3", 10.0), Watching("4")))
    'champion 2 90 %, challenger 3 10 %, shadow 4'
    """
    parts = [f"champion {live.champion.version} {live.champion.weight:g} %"]
    if live.challenger is not None:
        parts.append(f"challenger {live.challenger.version} {live.challenger.weight:g} %")
    if live.shadow is not None:
        parts.append(f"shadow {live.shadow.version}")
    return ", ".join(parts)


def _unless(part: S | None, version: str) -> S | None:
    """The part, unless it is this version that plays it."""
    return None if part is None or part.version == version else part


def _refusal(answer: httpx.Response) -> str:
    """Why a gateway did not do it, and what to do about it."""
    hints = {
        401: "set ZTAD_API_KEY to a key of this gateway",
        403: "set ZTAD_API_KEY to a key that may change things (scope admin)",
        404: "is it a ztad of this version?",
        409: "somebody else has just changed the routing: try again",
        503: "it is not ready: try again",
    }
    try:
        message = str(msgspec.json.decode(answer.content)["error"]["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        message = f"HTTP {answer.status_code}"
    hint = hints.get(answer.status_code)
    return f"{message} ({hint})" if hint else message


def _url(text: str) -> str:
    if not text.startswith(("http://", "https://")) or "@" in text:
        message = f"{'an address' if '@' in text else repr(text)}: expected http(s)://HOST[:PORT]"
        raise argparse.ArgumentTypeError(f"{message}; a key goes into ZTAD_API_KEY")
    return text
