"""A sweep on a Ray cluster of several nodes, one of which is killed."""

from functools import partial

import pytest

from nas.search.cluster import Cluster, RayPool
from nas.search.driver import Budget
from nas.search.ledger import FAILURE, Kind, Outcome
from nas.search.storage import close_storage
from nas.search.worker import Assignment
from tests import search_studies
from tests.search_studies import StudyHere, assert_nothing_lost_nothing_twice, sleeping

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray leaves files and sockets open
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def nodes():
    """A cluster on this machine: a head without cores and two nodes with one each."""
    ray = pytest.importorskip("ray", reason="no ray: the extra `distributed`")
    from ray import cloudpickle
    from ray.cluster_utils import Cluster as LocalNodes

    cloudpickle.register_pickle_by_value(search_studies)  # tests are not sent to the nodes
    nodes = LocalNodes(initialize_head=True, head_node_args={"num_cpus": 0})
    yield nodes, [nodes.add_node(num_cpus=1) for _ in range(2)]
    ray.shutdown()
    nodes.shutdown()
    cloudpickle.unregister_pickle_by_value(search_studies)


@pytest.fixture
def sweep(tmp_path):
    here = StudyHere(tmp_path / "study", f"sqlite:///{tmp_path / 'study.db'}", heartbeat_s=5)
    yield here
    close_storage(here.storage)


def test_a_node_that_is_killed_costs_nothing(nodes, sweep):
    cluster, (_, second) = nodes
    left = [second]

    def watch(counts):
        if counts[Outcome.DONE] >= 4 and counts[Outcome.RUNNING] == 2 and left:
            cluster.remove_node(left.pop(), allow_graceful=False)

    assignment = Assignment(sweep.place, sweep.settings, partial(sleeping, 1.0))
    pool = RayPool(Cluster(cluster.address), assignment, 2, (0,))
    sweep.drive(pool, Budget(12), watch)
    assert left == []
    failed = assert_nothing_lost_nothing_twice(sweep, 12)
    assert [trial.user_attrs[FAILURE]["kind"] for trial in failed] == [Kind.DIED]
