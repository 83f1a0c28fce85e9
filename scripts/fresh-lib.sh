# shellcheck shell=bash
# fresh-lib.sh -- a minimal Debian in a folder, with nothing of ours in it. Sourced behind lib.sh; needs root,
# debootstrap and a network. apt, pip and the certificates are configured as on this machine. $TRANCHE_FRESH names a
# folder that debootstrap made earlier, to copy instead.

fresh_configuration=(/etc/resolv.conf /etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/apt.conf.d
    /etc/apt/auth.conf.d /etc/apt/trusted.gpg.d /etc/apt/keyrings /etc/pip.conf /etc/ssl/certs
    /usr/share/ca-certificates /usr/local/share/ca-certificates)

fresh_needs() {
    ((EUID == 0)) || die "this makes a Debian of its own and needs root"
    command -v debootstrap >/dev/null ||
        die "debootstrap is missing (apt package debootstrap); run: apt-get install debootstrap"
}

# fresh_make FOLDER SUITE
fresh_make() {
    local place=$1 suite=$2 mirror node
    if [[ -n ${TRANCHE_FRESH:-} ]]; then
        mkdir -p "$place"
        cp -a --one-file-system "$TRANCHE_FRESH/." "$place"
    else
        mirror=$(apt-get indextargets --format "\$(REPO_URI)" "Codename: $suite" | head -n 1)
        debootstrap --variant=minbase "$suite" "$place" "${mirror:?no mirror of $suite in apt}"
    fi
    for node in "${fresh_configuration[@]}"; do
        [[ -e $node ]] || continue
        mkdir -p "$place$(dirname "$node")"
        cp -aTL "$node" "$place$node" || true # links to what only this machine has
    done
    fresh_mount "$place"
}

fresh_mount() {
    local place=$1 node
    mkdir -p "$place/dev/shm"
    mount -t proc proc "$place/proc"
    for node in null urandom tty; do
        touch "$place/dev/$node"
        mount --bind "/dev/$node" "$place/dev/$node"
    done
    mount -t tmpfs tmpfs "$place/dev/shm"
}

fresh_unmount() {
    local mounted
    for mounted in dev/shm dev/null dev/urandom dev/tty proc; do
        umount "$1/$mounted" 2>/dev/null || true
    done
}

# fresh_run FOLDER COMMAND...: with nothing of our environment but what configures pip and proxies.
fresh_run() {
    local place=$1 kept
    shift
    mapfile -t kept < <(env | grep -iE '^(PIP_|[a-z]*_?(proxy|ca_bundle)=|ssl_cert|requests_ca)' || true)
    chroot "$place" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb CI="${CI:-}" \
        "${kept[@]}" "$@"
}
