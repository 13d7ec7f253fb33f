"""One node of Apache Kafka, broker and controller in one, from its published Maven artifacts."""

from __future__ import annotations

import re
import shutil
import subprocess
import uuid
from pathlib import Path

from services.backends.debian import Programs
from services.backends.server import HOST, Server, Unavailable, connects, run

VERSION = "4.1.1"
LEAST_JAVA = 17
_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
_POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>ztad</groupId>
  <artifactId>backends</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
controller.quorum.voters=1@{host}:{controller}
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
"""
_JVM = ("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")


class Kafka(Server):
    """Plain text, loopback only; topics have to be made."""

    name = "kafka"
    program = "java"

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port()}"

    def command(self) -> list[str]:
        java = self._java()
        libraries = self._libraries()
        properties, data = self.folder / "server.properties", self.folder / "data"
        properties.write_text(
            _PROPERTIES.format(
                host=HOST, port=self.port(), controller=self.port("controller"), data=data
            )
        )
        kafka = [*java, *_JVM, "-cp", f"{libraries}/*"]
        if not (data / "meta.properties").exists():
            self.say("making its data folder")
            shutil.rmtree(data, ignore_errors=True)
            run([*kafka, "kafka.tools.StorageTool", "format", "-t", uuid.uuid4().hex[:22],
                 "-c", str(properties)], cwd=self.folder)  # fmt: skip
        return [*kafka, "kafka.Kafka", str(properties)]

    def answers(self) -> bool:
        """Not before the controller has let the broker in: topics cannot be made until then."""
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        if not connects(self.port()):
            return False
        admin = AdminClient({"bootstrap.servers": self.address, "log_level": 0})
        try:
            return bool(admin.list_topics(timeout=2).brokers)
        except KafkaException:
            return False

    def _java(self) -> list[str]:
        java = Programs(self.folder, self.say).find("java", "default-jre-headless", LEAST_JAVA)
        told = subprocess.run([*java, "-version"], capture_output=True, text=True, check=False)
        version = re.search(r'version "(\d+)', told.stderr)
        if version is None or int(version[1]) < LEAST_JAVA:
            raise Unavailable(f"{java[-1]} is too old; Kafka {VERSION} needs Java {LEAST_JAVA}")
        return java

    def _libraries(self) -> Path:
        """The jars, fetched once by Maven from wherever it is set up to fetch from."""
        libraries = self.folder / f"kafka-{VERSION}"
        if not libraries.exists():
            maven = Programs(self.folder, self.say).find("mvn", "maven")
            self.say(f"fetching Kafka {VERSION} with Maven")
            begun = self.folder / "begun"
            shutil.rmtree(begun, ignore_errors=True)
            (self.folder / "pom.xml").write_text(_POM)
            run([*maven, "-B", "-q", f"{_PLUGIN}:copy-dependencies", "-DincludeScope=runtime",
                 f"-DoutputDirectory={begun}"], cwd=self.folder)  # fmt: skip
            begun.rename(libraries)
        return libraries
