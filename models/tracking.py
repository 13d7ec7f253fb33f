"""Trainings and trials on record in MLflow: parameters, metrics, and where the data came from.

MLflow takes four seconds and 100 MiB to start with a database, so it is imported when it is first
needed, and by nothing that serves.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from models.base import ModelError
from models.bundle import Bundle
from models.manifest import MANIFEST

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "ztad"
#: Of our tags in MLflow.
PREFIX = "ztad."

T = TypeVar("T")
Number = float | int
TrialState = Literal["finished", "pruned", "failed"]

#: MLflow reads these when it is imported; what an operator has set stays. Without them it reports
#: usage to its makers, asks a server that is down for minutes, draws bars, tells what it does.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
#: Most parameters or tags MLflow takes at once.
_BATCH = 100
#: Longer lists are tables, such as quantiles; they are in the bundle and no parameters.
_LONGEST_LIST = 20
_LONGEST_REASON = 300
_SQLITE = "sqlite:///"


class RegistryError(ModelError):
    """Root of every reason why the registry cannot do what was asked."""


class RegistryUnavailable(RegistryError):
    """The registry cannot be reached, read or written."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"registry {address}: {reason}")
        self.address = address
        self.reason = reason


class Tracking:
    """Trainings and trials in the MLflow at ``address``, by default a database below ``home``.

    ``address`` is ``http(s)://HOST`` of an MLflow server or ``sqlite:///FILE``. Every method may
    raise :class:`RegistryUnavailable`. Threads may share an instance; processes make their own.
    """

    def __init__(self, home: Path, address: str = "") -> None:
        self._home = home.absolute()
        self.address = address or f"{_SQLITE}{self._home / 'registry' / 'mlflow.db'}"

    @property
    def begun(self) -> bool:
        """Whether there is anything to read: a database comes into being with the first write."""
        file = self._database
        return file is None or file.exists()

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's client. Making it also makes the database, which takes three seconds."""
        file = self._database
        if file is not None:
            self._check_database(file)
        try:
            make = _import_client(with_database=file is not None)
        except ImportError as error:
            reason = f"needs MLflow, which is not installed ({error}): pip install 'ztad[train]'"
            raise RegistryUnavailable(self.address, reason) from None
        if file is None:
            return make(tracking_uri=self.address, registry_uri=self.address)
        try:
            with _alone(file.with_name(f"{file.name}.lock")):
                client = make(tracking_uri=self.address, registry_uri=self.address)
                client.search_registered_models(max_results=1)  # opens the other half of the store
        except Exception as error:  # of SQLAlchemy, Alembic, MLflow and the system
            raise RegistryUnavailable(self.address, _reason(error)) from error
        return client

    @cached_property
    def experiment(self) -> str:
        """MLflow's id of the experiment that all runs belong to, created if need be."""
        with self.reached() as client:
            from mlflow.exceptions import MlflowException

            found = client.get_experiment_by_name(EXPERIMENT)
            if found is None:
                try:
                    return str(client.create_experiment(EXPERIMENT, self._artifacts()))
                except MlflowException:  # somebody else has just created it
                    found = client.get_experiment_by_name(EXPERIMENT)
                    if found is None:
                        raise
            return str(found.experiment_id)

    def log_training(
        self,
        bundle: Bundle,
        *,
        parent: str = "",
        retrained_from: str = "",
        metrics: Mapping[str, Number] | None = None,
    ) -> str:
        """Record how a bundle was made, as its manifest tells; the id of the run.

        ``parent`` is the run of a search that chose the settings, ``retrained_from`` the version
        it is to replace, ``metrics`` what was measured beside the training.
        """
        manifest = bundle.manifest
        measured = {**manifest.details.metrics, **(metrics or {})}
        numbers = {name: value for name, value in measured.items() if _is_number(value)}
        told = {name: value for name, value in measured.items() if name not in numbers}
        tags = {
            "kind": "training",
            "version": manifest.version,
            "fingerprint": manifest.details.fingerprint,
            "retrained_from": retrained_from,
            **{f"library.{name}": number for name, number in manifest.libraries.items()},
        }
        parameters = {**manifest.details.settings, **told}
        run = self._start(manifest.version, tags, parameters, parent)
        self.finish(run, metrics=numbers)
        return run

    def start_search(self, name: str, *, settings: Mapping[str, Any], fingerprint: str = "") -> str:
        """Begin a search; the id of its run, under which :meth:`log_trial` puts the trials.

        ``settings`` are those of the search itself, ``fingerprint`` identifies its data. End it
        with :meth:`finish`.
        """
        return self._start(name, {"kind": "search", "fingerprint": fingerprint}, settings, "")

    def log_trial(
        self,
        search: str,
        number: int,
        *,
        parameters: Mapping[str, Any],
        metrics: Mapping[str, Number | Sequence[Number]],
        state: TrialState = "finished",
    ) -> str:
        """Record one trial under the run of a search; the id of its own run.

        A metric that is a sequence is one value per step. A trial whose number is on record is
        left as it is, so a search that was killed and resumed may tell again what it told.
        """
        known = self._trial(search, number)
        if known is not None:
            return known
        fingerprint = self._tags(search).get(f"{PREFIX}fingerprint", "")
        tags = {"kind": "trial", "trial": str(number), "fingerprint": fingerprint, "state": state}
        run = self._start(f"trial {number}", tags, parameters, search)
        self.finish(run, metrics=metrics, failed=state == "failed")
        return run

    def finish(
        self,
        run: str,
        *,
        metrics: Mapping[str, Number | Sequence[Number]] | None = None,
        failed: bool = False,
    ) -> None:
        """End a run, with what was measured. A search that is resumed may end again."""
        now_ms = int(time.time() * 1000)
        with self.reached() as client:
            from mlflow.entities import Metric

            values = [
                Metric(name, float(value), now_ms, step)
                for name, given in (metrics or {}).items()
                for step, value in enumerate(given if isinstance(given, Sequence) else [given])
            ]
            for some in _in_batches(values):
                client.log_batch(run, metrics=some)
            client.set_terminated(run, "FAILED" if failed else "FINISHED")

    def upload(self, run: str, bundle: Bundle, folder: str) -> str:
        """Store a bundle's files, and no others, with a run; where MLflow keeps them."""
        with self.reached() as client:
            for name in (MANIFEST, *bundle.files):
                client.log_artifact(run, str(bundle.path / name), folder)
            return f"{client.get_run(run).info.artifact_uri}/{folder}"

    def download(self, run: str, folder: str, name: str, to: Path) -> None:
        """Fetch one file that :meth:`upload` stored in ``folder`` and write it at ``to / name``."""
        with self.reached() as client, TemporaryDirectory(dir=to) as draft:
            # Where below a directory MLflow puts a file differs from store to store.
            found = client.download_artifacts(run, f"{folder}/{name}", draft)
            os.replace(found, to / name)

    @contextmanager
    def reached(self) -> Iterator[MlflowClient]:
        """The client; whatever goes wrong with it is a :class:`RegistryUnavailable`."""
        client = self.client
        from mlflow.exceptions import MlflowException

        try:
            yield client
        except (MlflowException, OSError) as error:
            raise RegistryUnavailable(self.address, _reason(error)) from error

    def _start(
        self, name: str, tags: Mapping[str, str], parameters: Mapping[str, Any], parent: str
    ) -> str:
        given = {f"{PREFIX}{key}": value for key, value in tags.items() if value}
        if parent:
            given["mlflow.parentRunId"] = parent
        experiment = self.experiment
        with self.reached() as client:
            from mlflow.entities import Param

            run = client.create_run(experiment, tags=given, run_name=name)
            run_id = str(run.info.run_id)
            params = [Param(key, str(value)) for key, value in flat(parameters)]
            for some in _in_batches(params):
                client.log_batch(run_id, params=some)
        return run_id

    def _trial(self, search: str, number: int) -> str | None:
        wanted = f"tags.`mlflow.parentRunId` = '{search}' and tags.`{PREFIX}trial` = '{number}'"
        experiment = self.experiment
        with self.reached() as client:
            found = client.search_runs([experiment], wanted, max_results=1)
        return str(found[0].info.run_id) if found else None

    def _tags(self, run: str) -> dict[str, str]:
        with self.reached() as client:
            return dict(client.get_run(run).data.tags)

    @property
    def _database(self) -> Path | None:
        if not self.address.startswith(_SQLITE):
            return None
        return Path(self.address.removeprefix(_SQLITE)).absolute()

    def _artifacts(self) -> str | None:
        """Where files go: beside a database; a server decides for itself."""
        file = self._database
        return None if file is None else (file.parent / "artifacts").as_uri()

    def _check_database(self, file: Path) -> None:
        """MLflow would try for a hundred seconds to open what cannot be opened."""
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(file)) as database:
                database.execute("PRAGMA schema_version")
        except OSError as error:
            raise RegistryUnavailable(self.address, str(error.strerror)) from None
        except sqlite3.OperationalError as error:
            raise RegistryUnavailable(self.address, str(error)) from None
        except sqlite3.DatabaseError as error:
            raise RegistryUnavailable(self.address, f"{error}: mend it, or move it away") from None


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One process at a time: MLflow does not survive two that make a database's tables."""
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _reason(error: Exception) -> str:
    """What went wrong, in one line: MLflow tells whole requests and statements."""
    cause = error.__cause__ or error.__context__
    if type(cause).__module__ == "requests.exceptions":
        return "the server cannot be reached"
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:_LONGEST_REASON]


def _import_client(*, with_database: bool) -> type[MlflowClient]:
    """MLflow without pandas, which it would import for conversions that nothing of ours needs:
    1.7 of 6 seconds. With a database also what opens it, so that this takes no time later."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    modules = cast(dict[str, Any], sys.modules)
    spared = "pandas" not in modules
    if spared:
        modules["pandas"] = None
    try:
        from mlflow import MlflowClient

        if with_database:
            import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    finally:
        if spared:
            del modules["pandas"]
    return MlflowClient


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings as ``outer.inner``, long tables left out."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        elif not (isinstance(value, list | tuple) and len(value) > _LONGEST_LIST):
            yield f"{prefix}{key}", value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _in_batches(values: Sequence[T]) -> Iterator[list[T]]:
    for start in range(0, len(values), _BATCH):
        yield list(values[start : start + _BATCH])
