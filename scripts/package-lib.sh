# shellcheck shell=bash
# package-lib.sh -- what scripts/package-* share. Sourced behind lib.sh. Whatever goes into a package does not
# depend on the folder, the time, the umask, the locale or the time zone (scripts/package-reproduce shows it).

# shellcheck disable=SC2034,SC2154 # root is lib.sh's; version, dist and deps are for the scripts
export TRANCHE_PORTABLE=1 LC_ALL=C TZ=UTC PYTHONHASHSEED=0
export CCACHE_DISABLE=1 # it may rewrite paths, and with them the program's build id
umask 022
[[ $(uname -m) == x86_64 ]] || die "packages are built on x86-64 only"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
dist=$root/dist
built=$root/build-portable
version=$(sed -n 's/^project(tranche VERSION \([0-9.]*\).*/\1/p' "$root/CMakeLists.txt")

# build_portable [SETUP-OPTION]: builds build-portable/tranche on libraries for x86-64-v3, in the folder $deps.
build_portable() {
    "$root/scripts/setup" ${1:+"$1"}
    "$root/scripts/build" portable
    deps=$(deps_dir)
    mkdir -p "$dist"
    git -C "$root" rev-parse HEAD >"$dist/commit"
}

# stage FOLDER [PREFIX]: installs the program below FOLDER, stripped; every file has the package's time.
stage() {
    rm -rf "$1"
    DESTDIR=$1 cmake --install "$built" --prefix "${2:-/usr}" --strip
    strip --strip-unneeded "$1${2:-/usr}/lib/tranche/libduckdb.so" 2>/dev/null || true
}

# dated FOLDER: gives every file and folder in it the package's time.
dated() { find "$1" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +; }

# packed FOLDER [OPTION...]: its content as a tar on standard output, in one order with the owners that it has.
packed() {
    tar -C "$1" --sort=name --format=gnu --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" "${@:2}" -cf - .
}
of_root=(--owner=0 --group=0)
