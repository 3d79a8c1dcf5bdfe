"""Calls of Ray's actors, through the conformance suite of links: each end is an actor of a real cluster."""

import os
import subprocess
import sys

import pytest

from tests.conformance.link_stories import STORIES
from tests.integration.test_joining_a_cluster import Cluster, cluster

__all__ = ["cluster"]

pytestmark = [pytest.mark.service, pytest.mark.timeout(240)]


def test_calls_of_rays_actors_keep_a_transports_promises(cluster: Cluster) -> None:
    played = subprocess.run(
        (sys.executable, "-m", "tests.integration.ray_links"),
        env=os.environ | cluster.environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert played.returncode == 0, played.stdout + played.stderr
    assert played.stdout.splitlines() == [*STORIES]
