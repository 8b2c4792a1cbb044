# shellcheck shell=sh
# Sourced by tests/run, examples/run and bench/run, with $top set to the top of the tree.
#
#   provision PACKAGE...           installs those of these Debian packages that are missing
#   build_in DIR [configure options]   builds the tree in $top/DIR

# Packages that were said to be missing are installed by root or through sudo; where nothing is
# missing, nothing is called, so that neither is needed.
provision() {
    missing=
    for package; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
            missing="$missing $package"
    done
    [ -n "$missing" ] || return 0

    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        as_root=sudo
    else
        echo "Packages are missing; as root: apt-get install --no-install-recommends$missing" >&2
        exit 1
    fi
    echo "Installing$missing"
    provision_log=$(mktemp)
    # shellcheck disable=SC2086 # words are meant to split
    if ! provision_apt "$as_root" $missing >"$provision_log" 2>&1; then
        tail -n 20 "$provision_log" >&2
        echo "apt-get could not install$missing" >&2
        rm -f "$provision_log"
        exit 1
    fi
    rm -f "$provision_log"
}

# The lists are fetched where they are older than a day, or do not know a package.
provision_apt() {
    as_root=$1
    shift
    if [ -z "$(find /var/lib/apt/lists/partial -maxdepth 0 -mmin -1440 2>/dev/null)" ] ||
        ! apt-get install -s --no-install-recommends "$@" >/dev/null 2>&1; then
        $as_root apt-get update -q </dev/null
    fi
    # sudo drops the environment of its caller
    $as_root env DEBIAN_FRONTEND=noninteractive sh -c "$provision_install" sh "$@" </dev/null
}

# A package may bring a service: what has been asked for is its program, and nothing is started. Where
# nobody has said yet what may be started, policy-rc.d says so for as long as this takes.
# shellcheck disable=SC2016 # for the shell that runs it
provision_install='
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap "rm -f $policy" EXIT
        trap "exit 1" HUP INT TERM
        printf "#!/bin/sh\nexit 101\n" >"$policy" && chmod 755 "$policy" || exit 1
    fi
    apt-get install -q -y --no-install-recommends "$@"'

# build_in DIR: quiet unless something fails, and then the end of DIR/build.log.
build_in() {
    build_dir=${top:?}/$1
    shift
    mkdir -p "$build_dir" || exit 1
    echo "Building in ${build_dir##*/}/"
    if ! build_steps "$@" >"$build_dir/build.log" 2>&1; then
        tail -n 40 "$build_dir/build.log" >&2
        echo "The build failed; all of it is in $build_dir/build.log" >&2
        exit 1
    fi
}

build_steps() {
    if [ ! -f "$top/configure" ] || [ ! -f "$top/Makefile.in" ] ||
        [ -n "$(find "$top/configure.ac" "$top/Makefile.am" -newer "$top/configure")" ]; then
        (cd "$top" && autoreconf -i) || return 1
    fi
    # once configured, make looks after it
    if [ ! -f "$build_dir/Makefile" ]; then
        (cd "$build_dir" && "$top/configure" "$@") || return 1
    fi
    make -C "$build_dir" -j "$(nproc)"
}
