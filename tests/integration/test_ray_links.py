"""Calls of Ray's actors, through the conformance suite of links: each end is an actor of a real cluster."""

import os
import subprocess
import sys

import pytest

from tests.conformance.link_stories import STORIES
from tests.integration.conftest import Cluster
from tests.support.long import some_of

pytestmark = [pytest.mark.service, pytest.mark.timeout(240)]


@pytest.mark.parametrize("story", some_of(STORIES, "a_cut_holds_back_and_loses_nothing"))
def test_calls_of_rays_actors_keep_a_transports_promises(cluster: Cluster, story: str) -> None:
    played = subprocess.run(
        (sys.executable, "-m", "tests.integration.ray_links", story),
        env=os.environ | cluster.environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert played.returncode == 0, played.stdout + played.stderr
