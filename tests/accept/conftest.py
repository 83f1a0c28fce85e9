"""What the acceptance tests share: a server for each module, whose clock they can move. The clients are
Google's own, as the registries have them."""
import pytest

from server import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("serve"), "--test-clock")
    yield running
    assert running.stop() == 0
