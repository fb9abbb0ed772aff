"""Holds the SCIM service of a running broker against scim2-tester, and drives it with scim2-cli.

Usage: scim.py FILE, a JSON object with `url`, `token` and `ca`.
"""

import json
import os
import random
import subprocess
import sys
from datetime import datetime, timezone

import scim2_tester.filling as filling
from httpx2 import Client
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import Status, check_server

told = json.load(open(sys.argv[1]))
random.seed(1)

# What our attributes take, where the tester would write anything: a team needs no contract, and an instant is no UUID.
KNOWN = {"kind": "team", "contractEnd": datetime(2040, 1, 1, tzinfo=timezone.utc)}
chosen = filling.generate_random_value


def value_of(context, path, *arguments, **more):
    value = KNOWN.get(str(path).rsplit(":", 1)[-1])
    return value if value is not None else chosen(context, path, *arguments, **more)


filling.generate_random_value = value_of
for name in ("patch_add", "patch_replace"):
    sys.modules[f"scim2_tester.checkers.{name}"].generate_random_value = value_of

http = Client(base_url=told["url"], headers={"Authorization": f"Bearer {told['token']}"}, verify=told["ca"])
results = check_server(SyncSCIMClient(http))
wrong = [f"{result.title}: {result.reason}" for result in results if result.status in (Status.ERROR, Status.CRITICAL)]
assert not wrong, "\n".join(wrong)
succeeded = [result for result in results if result.status == Status.SUCCESS]
assert len(succeeded) > 60, f"only {len(succeeded)} checks were made"

scim2 = os.path.join(os.path.dirname(sys.executable), "scim2")
environment = {**os.environ, "SSL_CERT_FILE": told["ca"], "SCIM_CLI_HEADERS": f"Authorization: Bearer {told['token']}"}


def cli(*words):
    command = [scim2, "--url", told["url"], *words]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


cli("create", "user", "--user-name", "grace@example.org", "--active", "true")
assert "grace@example.org" in cli("query", "user")
