"""Fixtures of pytest: a Gemini API of this machine that answers at once, without a model.

tranche_url     base URL of the service, one for the whole session
tranche_client  a google.genai.Client for it
tranche_clock   its clock: tranche_clock.advance(3600)

The configuration is the file that the ini option `tranche_config` names, if any: answers, failures and delays are
set there, or by a request's own header or label.
"""
import pytest

import tranche


def pytest_addoption(parser):
    parser.addini("tranche_config", "configuration file of the service of the tranche fixtures")


@pytest.fixture(scope="session")
def _tranche_server(request):
    config = request.config.getini("tranche_config")
    with tranche.serve(test_clock=True, config=request.config.rootpath / config if config else None) as server:
        yield server


@pytest.fixture(scope="session")
def tranche_url(_tranche_server):
    """Base URL of a Gemini API that answers at once, the same each time."""
    return _tranche_server.url


@pytest.fixture(scope="session")
def tranche_client(_tranche_server):
    """A google.genai.Client for it."""
    return _tranche_server.client


@pytest.fixture(scope="session")
def tranche_clock(_tranche_server):
    """The service's clock, which only the tests move."""
    return _tranche_server.clock
