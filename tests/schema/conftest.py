"""What the tests of schemas share: the program that is linked with the engine, and --whole."""
import pytest

from probe import Probe


def pytest_addoption(parser):
    parser.addoption("--whole", action="store_true",
                     help="all groups of the suite with 20 answers each (many minutes)")


@pytest.fixture(scope="session")
def whole(request):
    return request.config.getoption("--whole")


@pytest.fixture(scope="module")
def probe():
    p = Probe()
    yield p
    p.close()
