"""The manifests in examples/ are YAML, and say the same N in each place. By dbt's environment, which reads YAML."""
import pytest
import yaml

from server import ROOT

MANIFESTS = sorted((ROOT / "examples").rglob("*.y*ml"))


@pytest.mark.parametrize("path", MANIFESTS, ids=[path.name for path in MANIFESTS])
def test_each_example_is_yaml_without_a_key_twice(path):
    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node, deep=False):
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            assert len(keys) == len(set(keys)), f"{path}:{node.start_mark.line + 1}: {keys}"
            return super().construct_mapping(node, deep)

    assert list(yaml.load_all(path.read_text(), Loader))


def test_the_indexed_job_has_as_many_pods_as_shards():
    job = yaml.safe_load((ROOT / "examples/kubernetes/indexed-job.yaml").read_text())
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert job["spec"]["completionMode"] == "Indexed"
    assert f"--shard \"$SHARD/{job['spec']['completions']}\"" in container["args"][0]
