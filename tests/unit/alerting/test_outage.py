"""A mail server that is away for five minutes: nothing is lost, and what is repeated was never
acknowledged. A real server over a real socket, a log on the disk; time is moved by hand."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from alerting.clock import ManualClock
from alerting.log import FullLog
from alerting.notifiers import make
from alerting.pipeline import Pipeline, build
from alerting.rules import load
from alerting.secret import Secrets
from services.storage.alert_log import SqliteAlertLog
from tests.unit.alerting.making import NOW_S, verdict
from tests.unit.alerting.servers import Certificates, Mailbox, certificates, mail_server

RULES = """
channels:
  mail: {{type: email, host: 127.0.0.1, port: {port}, sender: ztad@example.org,
          to: [soc@example.org], ca_file: {ca_file}, rate: {{most: 1000}}}}
otherwise: [mail]
"""
#: Seconds between two events, when the server goes and comes back, and the end of it all.
EVERY_S, GONE_S, BACK_S, END_S = 20, 60, 360, 900
STEP_S = 5.0


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("tls"))


class Outage:
    """Alerts of one user each, offered while their mail server comes and goes."""

    def __init__(self, log: FullLog, tls: Certificates) -> None:
        self.clock = ManualClock(NOW_S)
        self.mailbox = Mailbox()
        self.offered: list[str] = []
        self.port = 0
        self._log = log
        self._tls = tls

    @asynccontextmanager
    async def server(self) -> AsyncIterator[None]:
        async with mail_server(self.mailbox, self._tls.server, port=self.port) as self.port:
            yield

    def pipeline(self) -> Pipeline:
        """A process of its own, as after a restart: only the log is the same."""
        rules = load(RULES.format(port=self.port, ca_file=self._tls.authority))
        mail = make("mail", rules.channels["mail"], Secrets({}))
        return build(rules, {"mail": mail}, self._log, self.clock, random=lambda: 1.0)

    async def until(self, at_s: float, pipeline: Pipeline, *, offering: bool = True) -> None:
        """Let time pass, with an alert now and then, doing what is due."""
        while self.clock.now() < NOW_S + at_s:
            if offering and (self.clock.now() - NOW_S) % EVERY_S == 0:
                self.offered.append(f"user-{len(self.offered)}")
                user = self.offered[-1]
                await pipeline.offer([verdict(f"e-{user}", user, severity="critical")])
            await pipeline.dispatch()
            await pipeline.couriers["mail"].deliver()
            self.clock.advance(STEP_S)

    def mails(self) -> tuple[Counter[str], Counter[str]]:
        """How often each user was told of, and how often each message came."""
        mails = self.mailbox.mails()
        users = Counter(mail["Subject"].split()[1].rstrip(":") for mail in mails)
        return users, Counter(mail["Message-ID"] for mail in mails)


def told(log: FullLog, tls: Certificates, *, hang_ups: int = 0, restart: bool = False) -> Outage:
    async def talk() -> Outage:
        outage = Outage(log, tls)
        async with AsyncExitStack() as up:
            await up.enter_async_context(outage.server())
            pipeline = outage.pipeline()
            await outage.until(GONE_S, pipeline)
        await outage.until(BACK_S - 60, pipeline)
        pipeline = outage.pipeline() if restart else pipeline
        await outage.until(BACK_S, pipeline)
        outage.mailbox.hang_ups = hang_ups
        async with outage.server():
            await outage.until(BACK_S + 60, pipeline)
            await outage.until(END_S, pipeline, offering=False)
        return outage

    return asyncio.run(talk())


@pytest.mark.parametrize("restart", [False, True])
def test_a_server_away_for_five_minutes_gets_every_alert_once(
    tmp_path: Path, tls: Certificates, restart: bool
) -> None:
    log = SqliteAlertLog(tmp_path / "alerts.db")
    outage = told(log, tls, restart=restart)
    users, messages = outage.mails()
    states = asyncio.run(log.counts())
    log.close()
    assert len(outage.offered) == (BACK_S + 60) // EVERY_S
    assert users == Counter(outage.offered)
    assert set(messages.values()) == {1}
    assert states == {("mail", "sent"): len(outage.offered)}


def test_only_what_was_not_acknowledged_is_repeated(tmp_path: Path, tls: Certificates) -> None:
    log = SqliteAlertLog(tmp_path / "alerts.db")
    outage = told(log, tls, hang_ups=2)
    users, messages = outage.mails()
    log.close()
    assert set(users) == set(outage.offered)
    assert len(messages) == len(outage.offered)
    assert messages.total() == len(outage.offered) + 2
