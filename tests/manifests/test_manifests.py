"""The manifests in examples/: YAML without a key twice, as kustomize renders them, against Kubernetes' own schemas, and against
what the program and its documentation have: options, settings, metrics. Nothing here starts a cluster."""
import os
import pathlib
import re
import subprocess

import kubernetes_validate
import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.path.abspath(os.environ.get("TRANCHE", ROOT / "build" / "tranche"))
KUSTOMIZE = os.environ.get("TRANCHE_KUSTOMIZE", "kustomize")
MANIFESTS = sorted((ROOT / "examples").rglob("*.y*ml")) + sorted((ROOT / "packages/container").glob("*.yaml"))
FLEET = ROOT / "examples/kubernetes/fleet"
OVERLAYS = ["base", "example"]
JOBS = sorted((ROOT / "examples/kubernetes").glob("*.yaml"))
VERSIONS = ["1.30", "1.34", "1.37"]


def rendered(overlay):
    text = subprocess.run([KUSTOMIZE, "build", FLEET / overlay], check=True, capture_output=True, text=True).stdout
    return list(yaml.safe_load_all(text))


def of_kind(objects, kind):
    return [thing for thing in objects if thing["kind"] == kind]


def pod_of(thing):
    return thing["spec"]["template"]["spec"]


@pytest.mark.parametrize("path", MANIFESTS, ids=[path.name for path in MANIFESTS])
def test_each_example_is_yaml_without_a_key_twice(path):
    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node, deep=False):
            keys = [self.construct_object(key, deep=True) for key, _ in node.value
                    if key.tag != "tag:yaml.org,2002:merge"]
            assert len(keys) == len(set(keys)), f"{path}:{node.start_mark.line + 1}: {keys}"
            return super().construct_mapping(node, deep)

    assert list(yaml.load_all(path.read_text(), Loader))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", JOBS, ids=[path.name for path in JOBS])
def test_the_jobs_are_what_kubernetes_takes(path, version):
    for thing in yaml.safe_load_all(path.read_text()):
        kubernetes_validate.validate(thing, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_fleet_is_what_kubernetes_takes(overlay, version):
    things = rendered(overlay)
    kinds = {thing["kind"] for thing in things}
    assert kinds >= {"Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler", "ServiceAccount", "ConfigMap", "Job"}
    for thing in things:
        kubernetes_validate.validate(thing, version, strict=True)


def test_a_member_that_no_schema_has_is_found():
    thing = rendered("base")[0]
    thing["metadata"]["unknown"] = "x"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(thing, VERSIONS[0], strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_pod_has_rights_that_it_does_not_need(overlay):
    things = rendered(overlay)
    for thing in of_kind(things, "Deployment") + of_kind(things, "Job"):
        pod = pod_of(thing)
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False  # the service's name would make a $TRANCHE_PORT of their own
        assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            assert mounted == {volume["name"] for volume in pod["volumes"]}
            # What is written lies on a volume, and the program writes nowhere else.
            writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
            assert writable == {"/var/lib/tranche", "/tmp"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_is_named_is_there(overlay):
    things = rendered(overlay)
    names = {(thing["kind"], thing["metadata"]["name"]) for thing in things}
    for thing in of_kind(things, "Deployment") + of_kind(things, "Job"):
        pod = pod_of(thing)
        assert ("ServiceAccount", pod["serviceAccountName"]) in names
        for volume in pod["volumes"]:
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in names
            if overlay == "example" and "secret" in volume:
                assert ("Secret", volume["secret"]["secretName"]) in names
        for source in pod["containers"][0]["envFrom"]:
            if "configMapRef" in source:
                assert ("ConfigMap", source["configMapRef"]["name"]) in names
    for scaler in of_kind(things, "HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) in names


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_selector_takes_the_pods_of_one_deployment(overlay):
    things = rendered(overlay)

    def taken(selector):
        return [d["metadata"]["name"] for d in of_kind(things, "Deployment") + of_kind(things, "Job")
                if selector.items() <= d["spec"]["template"]["metadata"]["labels"].items()]

    for deployment in of_kind(things, "Deployment"):
        name, spec = deployment["metadata"]["name"], deployment["spec"]
        assert taken(spec["selector"]["matchLabels"]) == [name]
        (spread,) = pod_of(deployment)["topologySpreadConstraints"]
        assert taken(spread["labelSelector"]["matchLabels"]) == [name]
    budgets = {b["metadata"]["name"]: taken(b["spec"]["selector"]["matchLabels"]) for b in of_kind(things, "PodDisruptionBudget")}
    assert budgets == {"tranche-api": ["tranche-api"], "tranche-worker": ["tranche-worker"]}
    (service,) = of_kind(things, "Service")
    assert taken(service["spec"]["selector"]) == ["tranche-api"]


def test_each_pod_is_probed_and_has_time_to_drain():
    for deployment in of_kind(rendered("base"), "Deployment"):
        pod = pod_of(deployment)
        (container,) = pod["containers"]
        assert container["livenessProbe"]["httpGet"]["path"] == container["startupProbe"]["httpGet"]["path"] == "/healthz"
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        assert pod["terminationGracePeriodSeconds"] >= 60
        # An autoscaler owns the number of its pods: a number here would undo its work at each apply.
        assert deployment["metadata"]["name"] != "tranche-worker" or "replicas" not in deployment["spec"]


def test_the_overlay_changes_what_it_names():
    things = rendered("example")
    assert {t["metadata"].get("namespace") for t in things if t["kind"] != "Namespace"} == {"tranche"}
    images = {pod_of(t)["containers"][0]["image"] for t in of_kind(things, "Deployment") + of_kind(things, "Job")}
    assert images == {"registry.example/tranche:0.1.0"}
    (worker,) = (s for s in of_kind(things, "HorizontalPodAutoscaler") if s["metadata"]["name"] == "tranche-worker")
    assert worker["spec"]["maxReplicas"] == 40
    places = next(c for c in of_kind(things, "ConfigMap") if c["metadata"]["name"].startswith("tranche-places"))
    assert "target_session_attrs=read-write" in places["data"]["TRANCHE_STORE"]


def test_the_program_has_the_options_of_the_pods():
    def help_of(*command):
        return subprocess.run([PROGRAM, *command, "--help"], check=True, capture_output=True, text=True).stdout

    serve = help_of("serve")
    for deployment in of_kind(rendered("base"), "Deployment"):
        (container,) = pod_of(deployment)["containers"]
        assert container["command"] == ["tranche", "serve"]
        for argument in container["args"]:
            assert argument.split("=")[0] in serve.split(), argument
    (job,) = of_kind(rendered("base"), "Job")
    (container,) = pod_of(job)["containers"]
    assert "command" not in container and container["args"] == ["first-key"]  # of the image's entry point


@pytest.mark.parametrize("path", sorted(FLEET.rglob("config.yaml")), ids=lambda path: path.parent.name)
def test_the_configuration_is_one(path, tmp_path):
    done = subprocess.run([PROGRAM, "config", "check", path, "--state", tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_autoscaler_reads_metrics_that_are_documented():
    documented = (ROOT / "docs/reference/metrics.md").read_text()
    adapter = yaml.safe_load((FLEET / "prometheus-adapter.yaml").read_text())
    given = {rule["name"]["as"]: rule["metricsQuery"] for rule in adapter["rules"]["external"]}
    read = {metric["external"]["metric"]["name"] for scaler in of_kind(rendered("base"), "HorizontalPodAutoscaler")
            for metric in scaler["spec"]["metrics"] if metric["type"] == "External"}
    assert read == given.keys()
    for query in given.values():
        for name in re.findall(r"tranche_\w+", query):
            assert f"`{name}`" in documented, name


def test_the_indexed_job_has_as_many_pods_as_shards():
    job = yaml.safe_load((ROOT / "examples/kubernetes/indexed-job.yaml").read_text())
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert job["spec"]["completionMode"] == "Indexed"
    assert f"--shard \"$SHARD/{job['spec']['completions']}\"" in container["args"][0]
