"""Kafka and Redis that let nobody in without TLS and a password, each with a real certificate."""

import re
import socket
import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path

import yaml
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

from services.cli.kafka_server import (
    _API_VERSIONS,
    APACHE_START_LIMIT_S,
    CLUSTER_ID,
    ApacheKafka,
)
from services.cli.redis_server import CONFIG, LocalRedis
from services.cli.server import HOST, free_port
from tests.support.compose import CHECKOUT

ADMIN = "admin"
PASSWORD = "long-and-of-nobody"
"""Of all users: what is tested is what each of them may do."""
GRANT_LIMIT_S = 20.0


class Certificate:
    """A certificate for 127.0.0.1 that is its own authority: `ca` is what a client trusts."""

    def __init__(self, directory: Path) -> None:
        self.ca, self.key = directory / "cert.pem", directory / "key.pem"
        self.both = directory / "both.pem"
        subprocess.run(
            (
                *("openssl", "req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"),
                *("-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", "/CN=orderflow-test"),
                *("-addext", f"subjectAltName=IP:{HOST}"),
                *("-keyout", str(self.key), "-out", str(self.ca)),
            ),
            check=True,
            capture_output=True,
        )
        self.both.write_text(self.key.read_text() + self.ca.read_text())


class SecuredKafka(ApacheKafka):
    """Apache Kafka with SASL_SSL, SCRAM-SHA-512 and rights: without one nobody but ADMIN may."""

    def __init__(
        self, like: ApacheKafka, certificate: Certificate, users: Sequence[str], directory: Path
    ) -> None:
        java, jars = like._java[0], Path(like._java[-1]).parent
        super().__init__(java, jars, data_dir=directory / "kafka", log=directory / "kafka.log")
        self._certificate = certificate
        self._users = users

    def _format(self) -> None:
        login = "org.apache.kafka.common.security.scram.ScramLoginModule required"
        settings = {
            "listeners": f"SASL_SSL://{self.bootstrap_servers},CONTROLLER://{HOST}:"
            f"{self._properties['controller_port']}",
            "advertised.listeners": f"SASL_SSL://{self.bootstrap_servers}",
            "listener.security.protocol.map": "SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "SASL_SSL",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": f'{login} username="{ADMIN}" '
            f'password="{PASSWORD}";',
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self._certificate.both,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self._certificate.ca,
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:{ADMIN};User:ANONYMOUS",
        }
        with self._config.open("a") as config:
            config.writelines(f"{name}={value}\n" for name, value in settings.items())
        scram = [f"SCRAM-SHA-512=[name={user},password={PASSWORD}]" for user in self._users]
        subprocess.run(
            (
                *(*self._java, "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID),
                *("-c", str(self._config), *(w for user in scram for w in ("--add-scram", user))),
            ),
            check=True,
            capture_output=True,
            timeout=APACHE_START_LIMIT_S,
        )

    def _serves(self) -> bool:
        context = ssl.create_default_context(cafile=self._certificate.ca)
        try:
            with (
                socket.create_connection((HOST, self.port), timeout=2) as plain,
                context.wrap_socket(plain, server_hostname=HOST) as asking,
            ):
                asking.sendall(_API_VERSIONS)
                return bool(asking.recv(1))
        except OSError:
            return False


class SecuredRedis(LocalRedis):
    """Redis with TLS alone, whose users have the rights that the runbook gives them."""

    def __init__(self, program: str, certificate: Certificate, directory: Path) -> None:
        super().__init__(program, "", data_dir=directory, log=directory / "redis.log", why="")
        port = free_port()
        rights = [*redis_rights(), (ADMIN, "~* +@all")]
        users = [f"--user {name} on >{PASSWORD} {may}" for name, may in rights]
        users.append("--user default off")
        tls = f"--port 0 --tls-port {port} --tls-auth-clients no --tls-ca-cert-file"
        words = f"{tls} {certificate.ca} --tls-cert-file {certificate.ca} --tls-key-file"
        more = [*words.split(), str(certificate.key), *" ".join(users).split()]
        self._child.argv = (program, str(CONFIG), "--dir", str(directory), *more)
        self._address = f"{HOST}:{port}/0?ssl_ca_certs={certificate.ca}"
        self.redis_url = self.url_of(ADMIN)

    def url_of(self, user: str) -> str:
        """As whom a service connects."""
        return f"rediss://{user}:{PASSWORD}@{self._address}"


def redis_rights() -> list[tuple[str, str]]:
    """The users in Redis and their rights, as the runbook has them."""
    runbook = (CHECKOUT / "docs" / "runbook.md").read_text()
    return re.findall(r"^ACL SETUSER (\w+) on >PASSWORD (.+)$", runbook, re.MULTILINE)


def kafka_rights(service: str) -> list[AclBinding]:
    """The rights that deploy/k8s gives a service's user in Kafka."""
    path = CHECKOUT / "deploy" / "k8s" / "components" / "strimzi" / "users.yaml"
    users = {
        user["metadata"]["name"]: user["spec"]["authorization"]["acls"]
        for user in yaml.safe_load_all(path.read_text())
    }
    return [
        AclBinding(
            ResourceType[acl["resource"]["type"].upper()],
            acl["resource"]["name"],
            ResourcePatternType.LITERAL,
            f"User:{service}",
            "*",
            AclOperation[operation.upper()],
            AclPermissionType.ALLOW,
        )
        for acl in users[f"orderflow-{service}"]
        for operation in acl["operations"]
    ]


def grant(servers: str, certificate: Certificate, rights: list[AclBinding]) -> None:
    """Give rights, as ADMIN."""
    admin = AdminClient(
        {
            "bootstrap.servers": servers,
            "security.protocol": "SASL_SSL",
            "sasl.mechanisms": "SCRAM-SHA-512",
            "sasl.username": ADMIN,
            "sasl.password": PASSWORD,
            "ssl.ca.location": str(certificate.ca),
        }
    )
    for given in admin.create_acls(rights, request_timeout=GRANT_LIMIT_S).values():
        given.result(GRANT_LIMIT_S)
