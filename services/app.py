"""``build(args)``: the whole graph on one screen.

Run it with ``ztad serve``, or bare: ``serve run services.app:build bundle=PATH``.
"""

# Annotations stay types here: Serve makes AppArgs of a plain mapping only when build() names the
# class itself, not its name in a string.
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from ray import serve
from ray.serve import Application
from ray.serve._private.constants import RAY_SERVE_ENABLE_HA_PROXY, RAY_SERVE_HAPROXY_BINARY_PATH

from ensemble.scorer import load_bundle
from models import DETECTORS
from models.bundle import Bundle
from services.deployments import Combiner, DetectorReplica, Explainer, Preprocessor
from services.haproxy import tells_peers
from services.ingress import Gateway
from services.recorder import Recorder, RecorderArgs
from services.shared_history.address import where_of
from services.streaming.args import StreamArgs
from services.streaming.deployment import StreamWorker

#: Cores each replica claims. Little, so that every stage fits on two cores; on a cluster the
#: deployment options claim what a stage really uses.
CORES = 0.1


class Options(BaseModel):
    """Serve options of one deployment, by the names Serve gives them; absent ones stay default."""

    model_config = ConfigDict(extra="forbid")

    num_replicas: int | None = None
    max_ongoing_requests: int | None = None
    max_queued_requests: int | None = None
    ray_actor_options: dict[str, Any] | None = None
    autoscaling_config: dict[str, Any] | None = None
    max_replicas_per_node: int | None = None
    rolling_update_percentage: float | None = None
    max_surge_percent: int | None = None
    graceful_shutdown_wait_loop_s: float | None = None
    graceful_shutdown_timeout_s: float | None = None
    health_check_period_s: float | None = None
    health_check_timeout_s: float | None = None


class AppArgs(BaseModel):
    """Everything the graph is built from."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    bundle: str
    """Directory of the model bundle to begin with, readable on every node."""
    models_dir: str | None = None
    """Where further versions lie, one directory each by its version, readable on every node."""
    state_dir: str | None = None
    """Where the Preprocessor keeps the live history; without it the history is in memory only."""
    history: str | None = None
    """Address of the Redis in which Preprocessors share one history, instead of ``state_dir``:
    ``redis://HOST:PORT/DB``, ``rediss://`` for TLS. The password is in ``ZTAD_REDIS_PASSWORD``."""
    auth: Literal["keys", "none"] = "keys"
    """``none``: without keys, and for this machine's own requests alone."""
    keys_file: str | None = None
    """Where the API keys are (``ztad keys``), readable where the gateway runs; changes are seen
    within two seconds."""
    api_key_hashes: list[str] = Field(default_factory=list)
    """SHA-256 of further keys, with every scope and without end: those of ``ZTAD_API_KEYS``."""
    requests_per_s: float = 0.0
    """Most requests a second per key that has no rate of its own; 0: no limit."""
    audit_log: str | None = None
    """File of the audit log, ``-`` for standard output; without it the gateway's own log."""
    ack: Literal["fast", "durable"] = "fast"
    """When a verdict is answered: ``fast`` as soon as it is made, ``durable`` once it is on a disk
    of the Recorder."""
    tracing: bool = False
    """Whether the gateway opens spans (Serve's own tracing is switched on beside it)."""
    recorder: RecorderArgs = Field(default_factory=RecorderArgs)
    """What is kept of verdicts and alerts, and where."""
    stream: StreamArgs | None = None
    """Kafka topics that events are read from and verdicts written to; without it none."""
    deployments: dict[str, Options] = Field(default_factory=dict)
    """Options per deployment name: Gateway, Preprocessor, IsolationForest, ..."""

    @field_validator("history")
    @classmethod
    def _known(cls, address: str | None) -> str | None:
        if address is not None:
            where_of(address)
        return address


_DEFAULTS: dict[str, dict[str, Any]] = {
    "Gateway": {
        "max_ongoing_requests": 20_000,
        "max_queued_requests": 2_000,
        "backpressure_config": {"status_code": 503, "retry_after_s": 1},
    },
    "Preprocessor": {"max_ongoing_requests": 64},
    "Combiner": {"max_ongoing_requests": 64},
    "Explainer": {"max_ongoing_requests": 4, "max_queued_requests": 16},
    "Recorder": {"max_ongoing_requests": 64},
}
#: Beside every graph, when a stream is configured; it settles what is under way before it ends.
_STREAM = {"max_ongoing_requests": 16, "graceful_shutdown_timeout_s": 10.0}
_DETECTOR_DEFAULTS: dict[str, Any] = {"max_ongoing_requests": 64}
#: The stages of every graph, beside one deployment per detector.
STAGES = tuple(_DEFAULTS)
_DEFAULTS["StreamWorker"] = _STREAM


#: Deployments of which there can be one replica only, and why.
_SINGLE = {
    "Preprocessor": "the embedded history lives in one process, unless 'history' names a Redis",
    "Recorder": "one process owns the files of the store",
}


class MoreThanOneReplica(ValueError):
    """Two replicas would each know half of what happened."""

    def __init__(self, name: str, replicas: int) -> None:
        super().__init__(
            f"deployments.{name}.num_replicas is {replicas}: {_SINGLE[name]}; set it to 1"
        )


class NoSuchDeployment(ValueError):
    """Options that would reach nobody: most likely a name was mistyped."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"deployments.{name}: there is none; expected {', '.join(known)}")


class NobodyAdmitted(ValueError):
    """A gateway that asks for keys and knows none, or for this machine and cannot recognise it."""


def build(args: AppArgs) -> Application:
    """Gateway -> Preprocessor -> every detector of the bundle -> Combiner; Explainer, Recorder.

    And a StreamWorker that calls the same where a stream is given.

    Raises ``models.bundle.BundleError`` for a bundle that cannot be trusted,
    :class:`NoSuchDeployment`, :class:`MoreThanOneReplica` and :class:`NobodyAdmitted`.
    """
    bundle = load_bundle(Path(args.bundle))
    _check_names(args, bundle)
    _check_single(args)
    _check_admission(args)
    detectors = {
        name: _bind(args, deployment_name(name), DetectorReplica, args.bundle, name)
        for name in bundle.detectors
    }
    settings = args.model_dump(exclude={"deployments"})
    preprocessor = _bind(
        args, "Preprocessor", Preprocessor, args.bundle, args.state_dir, args.history
    )
    combiner = _bind(args, "Combiner", Combiner, args.bundle)
    recorder = _bind(args, "Recorder", Recorder, _recorder(args), args.tracing)
    judging = (preprocessor, detectors, combiner)
    stream = None
    if args.stream is not None:
        stream = _bind(args, "StreamWorker", StreamWorker, settings, *judging, recorder)
    explainer = _bind(args, "Explainer", Explainer, args.bundle)
    return _bind(args, "Gateway", Gateway, settings, *judging, explainer, recorder, stream)


def _recorder(args: AppArgs) -> RecorderArgs:
    """Whoever waits for a confirmation wants it to mean something; a position in a topic is
    committed for good."""
    waited_for = args.ack == "durable" or args.stream is not None
    return args.recorder.model_copy(update={"durable": args.recorder.durable or waited_for})


def deployment_name(detector: str) -> str:
    """The deployment of a detector is called like its class.

    >>> deployment_name("one_class_svm")
    'OneClassSVM'
    """
    return DETECTORS[detector].partition(":")[2]


def _bind(args: AppArgs, name: str, what: type[Any], *arguments: Any) -> Application:
    options = {
        "name": name,
        "ray_actor_options": {"num_cpus": CORES},
        "graceful_shutdown_timeout_s": 5.0,
        "health_check_period_s": 2.0,
        "health_check_timeout_s": 10.0,
        **_DEFAULTS.get(name, _DETECTOR_DEFAULTS),
    }
    if name in args.deployments:
        options |= args.deployments[name].model_dump(exclude_none=True)
    if "autoscaling_config" in options:
        options.pop("num_replicas", None)
    deployment: Any = serve.deployment(what)
    application: Application = deployment.options(**options).bind(*arguments)
    return application


def _check_names(args: AppArgs, bundle: Bundle) -> None:
    known = [*_DEFAULTS, *(deployment_name(name) for name in bundle.detectors)]
    for name in args.deployments:
        if name not in known:
            raise NoSuchDeployment(name, known)


def _check_admission(args: AppArgs) -> None:
    if args.auth == "none":
        if RAY_SERVE_ENABLE_HA_PROXY and not tells_peers(RAY_SERVE_HAPROXY_BINARY_PATH):
            raise NobodyAdmitted(
                "auth: none answers this machine alone, but Serve's HAProxy hides who asks: "
                "use 'ztad serve', or unset RAY_SERVE_ENABLE_HA_PROXY"
            )
    elif args.keys_file is None and not args.api_key_hashes:
        raise NobodyAdmitted(
            "keys_file: none given, so no key would ever be known; make one with "
            "'ztad keys create', or set auth: none to answer this machine alone"
        )


def _check_single(args: AppArgs) -> None:
    for name in _SINGLE:
        if name == "Preprocessor" and args.history is not None:
            continue
        options = args.deployments.get(name, Options())
        scaling = options.autoscaling_config or {}
        replicas = max(options.num_replicas or 1, int(scaling.get("max_replicas", 1)))
        if replicas > 1:
            raise MoreThanOneReplica(name, replicas)
