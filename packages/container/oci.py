"""usage: oci.py LAYER.tar.gz VERSION FOLDER: an image of one layer as an OCI layout in FOLDER."""
import datetime
import gzip
import hashlib
import json
import os
import pathlib
import shutil
import sys

CONFIG = {
    "User": "10001:10001", "ExposedPorts": {"8080/tcp": {}}, "Volumes": {"/var/lib/tranche": {}}, "WorkingDir": "/var/lib/tranche",
    "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "XDG_CONFIG_HOME=/etc"],
    "Entrypoint": ["/usr/lib/tranche/entrypoint"],
    # Docker's and Podman's; OCI itself has no health check, and others pass it over.
    "Healthcheck": {"Test": ["CMD", "/usr/lib/tranche/healthcheck"], "Interval": 30_000_000_000, "Timeout": 6_000_000_000,
                    "StartPeriod": 10_000_000_000},
    "Labels": {"org.opencontainers.image.title": "tranche", "org.opencontainers.image.licenses": "Apache-2.0"},
}


def digest_of(file):
    digest = hashlib.sha256()
    for block in iter(lambda: file.read(1 << 20), b""):
        digest.update(block)
    return "sha256:" + digest.hexdigest()


def main(layer, version, folder):
    blobs = pathlib.Path(folder) / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def described(kind, path):
        with open(path, "rb") as file:
            digest = digest_of(file)
        shutil.move(path, blobs / digest[7:])
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest,
                "size": (blobs / digest[7:]).stat().st_size}

    def described_json(kind, value):
        path = blobs / "new"
        path.write_text(json.dumps(value))
        return described(kind, path)

    with gzip.open(layer) as file:
        unpacked = digest_of(file)
    when = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc)
    created = when.strftime("%Y-%m-%dT%H:%M:%SZ")
    labels = {**CONFIG["Labels"], "org.opencontainers.image.version": version}
    config = described_json("config.v1+json", {
        "created": created, "architecture": "amd64", "os": "linux", "config": {**CONFIG, "Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": [unpacked]},
        "history": [{"created": created, "created_by": "scripts/package-image"}]})
    manifest = described_json("manifest.v1+json", {
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config,
        "layers": [described("layer.v1.tar+gzip", layer)]})
    manifest["annotations"] = {"org.opencontainers.image.ref.name": f"tranche:{version}"}
    (pathlib.Path(folder) / "index.json").write_text(json.dumps(
        {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [manifest]}))
    (pathlib.Path(folder) / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))


main(*sys.argv[1:])
