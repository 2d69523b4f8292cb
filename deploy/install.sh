#!/bin/sh
# Installs voxkeep on this machine, or by ssh on another: deploy/install.sh --help
set -eu
umask 022

usage() {
    cat <<'END'
deploy/install.sh central|site [OPTION…]

  central    Prefect's server, the receiver of the web hook, the central worker
  site       the worker of a site, or, with --local, a daily backup without any worker

  --host USER@HOST        install there by ssh, as root or by sudo without a password
  --pool BUSINESS--SITE   start the worker of this work pool (site)
  --local BUSINESS--SITE  back this site up daily from its own settings, onto a disk of its own (site)
  --python PROGRAM        Python 3.11 or newer; the newest that is found, where not given
  --wheels DIR            take Python packages from this folder alone: for machines without a network
  --root DIR              put everything below DIR, and leave users and services alone
  --dry-run               only say what would be done
  --uninstall             remove what was installed, whichever the role; data, settings, secrets and repositories stay

Run again it says "unchanged"; run from a newer checkout it upgrades.
END
}

fail() {
    echo "install.sh: $1" >&2
    exit 2
}

# The words that a remote machine is sent: nothing that its shell would read in another way.
plain() {
    case $1 in '' | *[!A-Za-z0-9/._@:+-]*) fail "'$1' is no name or path of plain letters, digits and /._@:+-" ;; esac
}

source=$(cd "$(dirname "$0")/.." && pwd)
role='' host='' pool='' job='' python='' wheels='' root='' dry_run='' uninstall=''
given=''
while [ $# -gt 0 ]; do
    case $1 in
        central | site) role=$1 given="$given $1" ;;
        --host | --pool | --local | --python | --wheels | --root)
            [ $# -ge 2 ] || fail "$1 wants a value"
            plain "$2"
            case $1 in
                --host) host=$2 ;;
                --wheels) wheels=$2 ;;
                *) given="$given $1 $2" ;;
            esac
            case $1 in
                --pool) pool=$2 ;;
                --local) job=$2 ;;
                --python) python=$2 ;;
                --root) root=${2%/} ;;
            esac
            shift
            ;;
        --dry-run) dry_run=yes given="$given $1" ;;
        --uninstall) uninstall=yes given="$given $1" ;;
        -h | --help) usage; exit 0 ;;
        *) fail "unknown: $1; --help tells what there is" ;;
    esac
    shift
done
[ "$role$uninstall" ] || { usage >&2; exit 2; }
[ "$role" = site ] || [ -z "$pool$job" ] || fail "--pool and --local are for a site"
for name in $pool $job; do
    case $name in *--*) ;; *) fail "$name is not BUSINESS--SITE" ;; esac
done

code='blocks flows reconcile sql voxkeep pyproject.toml requirements.lock README.md LICENSE'
opt=$root/opt/voxkeep etc=$root/etc/voxkeep units=$root/etc/systemd/system
changes=0

# change WHAT COMMAND…: do it, or only say it.
change() {
    changes=$((changes + 1))
    echo "${dry_run:+would }$1"
    shift
    [ "$dry_run" ] || "$@"
}

as_root() { [ -z "$root" ]; }

find_restic() {
    # The one built into the checkout, or one on PATH that is new enough; else it is built, which needs Go.
    if [ -x "$source/.tools/restic" ]; then
        echo "$source/.tools/restic"
        return
    fi
    sh "$source/tools/restic.sh" "$1" >&2 || return 1
    if [ -x "$1/restic" ]; then echo "$1/restic"; else command -v restic; fi
}

remote() {
    build=$(mktemp -d)
    trap 'rm -rf "$build"' EXIT
    mkdir "$build/.tools"
    if [ -z "$uninstall" ]; then
        restic=$(find_restic "$build/.tools") || fail "there is no restic to send; see above"
        [ "$restic" = "$build/.tools/restic" ] || cp "$restic" "$build/.tools/restic"
        [ -z "$wheels" ] || { cp -R "$wheels" "$build/wheels" && given="$given --wheels wheels"; }
    fi
    # shellcheck disable=SC2086 # the words of $code
    tar -C "$source" --exclude __pycache__ -cf "$build/code.tar" $code tools deploy
    # One connection: the archive goes in, and what the other machine says comes out.
    # shellcheck disable=SC2029 # $given is to be spelled out here; it has only plain words
    tar -C "$build" -cf - . | ssh "$host" "set -eu
        folder=\$(mktemp -d); trap 'rm -rf \"\$folder\"' EXIT
        tar -C \"\$folder\" -xf -; cd \"\$folder\"; tar -xf code.tar
        if [ \"\$(id -u)\" = 0 ]; then sh deploy/install.sh$given
        else sudo -n sh deploy/install.sh$given; fi"
}

find_python() {
    for candidate in ${python:-python3.13 python3.12 python3.11 python3}; do
        if "$candidate" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "there is no Python 3.11 or newer with venv here (Debian: python3-venv); name it with --python. On an old \
system such as CentOS 7 there is none that serves: docs/cluster.md says how such a site is backed up"
}

must_be_root() {
    as_root && [ "$(id -u)" != 0 ] && [ -z "$dry_run" ] && fail "run it as root"
    return 0
}

check_space() {
    folder=$opt
    while [ ! -d "$folder" ]; do folder=$(dirname "$folder"); done
    free=$(df -Pk "$folder" | awk 'END { print int($4 / 1024) }')
    [ "$free" -ge 3000 ] || fail "$folder has $free MB free; voxkeep needs 3000 MB"
}

make_user() {
    as_root || return 0
    id voxkeep >/dev/null 2>&1 && return
    change "make the user voxkeep" \
        useradd --system --user-group --home-dir /var/lib/voxkeep --no-create-home --shell /usr/sbin/nologin voxkeep
}

# make_folder MODE OWNER FOLDER
make_folder() {
    [ -d "$3" ] && return
    if as_root; then
        change "make $3" install -d -m "$1" -o "${2%:*}" -g "${2#*:}" "$3"
    else
        change "make $3" install -d -m "$1" "$3"
    fi
}

# put MODE FROM TO: a file of ours, which is remembered so that it can be removed.
put() {
    if [ -f "$3" ] && cmp -s "$2" "$3" && [ "$(stat -c %a "$3")" = "$1" ]; then return; fi
    change "write $3" install -D -m "$1" "$2" "$3"
}

remember() {
    {
        for file; do echo "$(sha256sum <"$root$file" | cut -d ' ' -f 1) $file"; done
        # What the other role has put here.
        while read -r sum file; do
            case " $* " in *" $file "*) ;; *) echo "$sum $file" ;; esac
        done <"$opt/installed"
    } >"$opt/installed.part"
    mv "$opt/installed.part" "$opt/installed"
}

make_release() {
    python=$(find_python)
    # shellcheck disable=SC2086 # the words of $code
    digest=$(cd "$source" && { "$python" --version; find $code -type f ! -name '*.pyc' | LC_ALL=C sort | xargs sha256sum; } |
        sha256sum | cut -c 1-12)
    release=$opt/releases/$digest
    [ -f "$release/.complete" ] || check_space
    [ -f "$release/.complete" ] || change "make $release with $python" build_release
    previous=$(readlink "$opt/current" 2>/dev/null || echo none)
    [ "$previous" = "releases/$digest" ] && return
    change "make it the current one" switch_release
}

build_release() {
    rm -rf "$release"
    "$python" -m venv "$release"
    if [ "$wheels" ]; then
        wheels=$(cd "$wheels" && pwd)
        export PIP_NO_INDEX=1 PIP_FIND_LINKS="$wheels" UV_NO_INDEX=1 UV_FIND_LINKS="$wheels"
    fi
    "$release/bin/python" -m pip install --quiet --disable-pip-version-check "uv==0.13.9"
    # The lock as a constraint: its versions and hashes, without the tools of the developers that it also names.
    "$release/bin/uv" pip install --quiet --python "$release/bin/python" --reinstall-package voxkeep \
        --constraint "$source/requirements.lock" --build-constraint "$source/requirements.lock" "$source"
    "$release/bin/voxkeep" --help >/dev/null
    ! as_root || runuser -u voxkeep -- "$release/bin/python" -c '' ||
        fail "the user voxkeep cannot run $python; name another with --python"
    touch "$release/.complete"
}

# The one before stays, so that there is a way back; older ones go.
switch_release() {
    ln -sfn "releases/$digest" "$opt/current.part"
    mv -T "$opt/current.part" "$opt/current"
    for old in "$opt"/releases/*; do
        case $old in "$release" | "$opt/$previous") ;; *) rm -rf "$old" ;; esac
    done
}

put_restic() {
    "$opt/bin/restic" version 2>/dev/null | grep -Eq '^restic (0\.(19\.[1-9]|[2-9][0-9])|[1-9])' && return
    change "put restic into $opt/bin" copy_restic
}

copy_restic() {
    build=$(mktemp -d)
    trap 'rm -rf "$build"' EXIT
    restic=$(find_restic "$build") || fail "there is no restic; see above"
    install -D -m 755 "$restic" "$opt/bin/restic"
    "$opt/bin/restic" version >/dev/null || fail "$opt/bin/restic does not run on this machine"
}

put_programs() {
    files=/usr/local/bin/voxkeep
    put 755 "$source/deploy/systemd/voxkeep" "$root/usr/local/bin/voxkeep"
    case $role in
        central)
            wanted='voxkeep-prefect.service voxkeep-receiver.service voxkeep-worker@.service voxkeep-watch@.service'
            wanted="$wanted voxkeep-metrics.service"
            ;;
        site) wanted='voxkeep-worker@.service voxkeep-backup@.service voxkeep-backup@.timer voxkeep-watch@.service' ;;
    esac
    for unit in $wanted; do
        put 644 "$source/deploy/systemd/$unit" "$units/$unit"
        files="$files /etc/systemd/system/$unit"
    done
    # shellcheck disable=SC2086 # one word a file
    [ "$dry_run" ] || { touch "$opt/installed" && remember $files; }
}

# settings NAME: standard input becomes an environment file that root alone can read. One that is there stays as it is.
settings() {
    if [ -e "$etc/$1" ]; then cat >/dev/null; else change "write $etc/$1" write_secret "$etc/$1"; fi
}

write_secret() {
    (umask 077 && cat >"$1.part" && mv "$1.part" "$1")
}

random() { head -c 24 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }

put_settings() {
    login=''
    if [ "$role" = central ]; then
        login=$(sed -n 's/^PREFECT_SERVER_API_AUTH_STRING=//p' "$etc/server.env" 2>/dev/null || true)
        login=${login:-voxkeep:$(random)}
        settings server.env <<END
# Prefect's server. Behind a TLS proxy it listens on this machine alone.
PREFECT_SERVER_API_HOST=127.0.0.1
PREFECT_SERVER_API_PORT=4200
PREFECT_SERVER_API_AUTH_STRING=$login
# Without it the secrets in Prefect's database cannot be read. Keep a copy somewhere else.
PREFECT_SERVER_ENCRYPTION_KEY=$(head -c 32 /dev/urandom | base64 | tr '+/' '-_')
# Where browsers find the API.
PREFECT_SERVER_UI_API_URL=http://127.0.0.1:4200/api
# Its database, in PostgreSQL; SQLite below /var/lib/voxkeep, as long as this is no setting.
#PREFECT_SERVER_DATABASE_CONNECTION_URL=postgresql+asyncpg://prefect:PASSWORD@127.0.0.1/prefect
END
        settings receiver.env <<END
# The receiver of the web hook, and the token that S3 must show.
VOXKEEP_RECEIVER_HOST=127.0.0.1
VOXKEEP_RECEIVER_PORT=8300
VOXKEEP_RECEIVER_TOKEN=$(random)
END
    fi
    settings voxkeep.env <<END
# NAME=VALUE, without quotes and backslashes.
# Prefect's server, as every process of voxkeep here finds it. A site has the address and the login of the centre's.
PREFECT_API_URL=${login:+http://127.0.0.1:4200/api}
PREFECT_API_AUTH_STRING=$login
END
    settings apply.env <<'END'
# NAME=VALUE, without quotes and backslashes.
# The secrets that settings name by {env: NAME}, one NAME=VALUE a line. Only `voxkeep` on the command line and
# voxkeep-backup@ read this; workers have theirs from Prefect.
END
}

services() {
    case $role in
        central) echo voxkeep-prefect.service voxkeep-receiver.service voxkeep-worker@central.service ;;
        site) echo ${pool:+"voxkeep-worker@$pool.service"} ${job:+"voxkeep-backup@$job.timer"} ;;
    esac
}

configured() {
    case $role in
        central) true ;;
        site) [ "$pool$job" ] && { [ -z "$pool" ] || grep -q '^PREFECT_API_URL=.' "$etc/voxkeep.env" 2>/dev/null; } ;;
    esac
}

start_services() {
    wanted=$(services)
    if [ ! -d "$root/run/systemd/system" ]; then
        echo "systemd does not run here. What remains to be done where it does:"
        echo "  systemctl daemon-reload"
    elif [ "$changes" != 0 ]; then
        change "tell systemd of it" systemctl daemon-reload
        change "restart what runs" \
            systemctl try-restart voxkeep-prefect.service voxkeep-receiver.service voxkeep-metrics.service \
            'voxkeep-worker@*.service' 'voxkeep-watch@*.service'
    fi
    configured || echo "  fill in $etc/voxkeep.env"
    for unit in ${wanted:-voxkeep-worker@BUSINESS--SITE.service}; do
        if [ ! -d "$root/run/systemd/system" ] || ! configured; then
            echo "  systemctl enable --now $unit"
        elif ! systemctl --quiet is-enabled "$unit" 2>/dev/null; then
            change "start $unit, now and always" systemctl enable --now "$unit"
        fi
    done
}

install_all() {
    must_be_root
    make_user
    make_folder 0755 root:root "$opt/bin"
    make_folder 0750 root:voxkeep "$etc/businesses"
    make_folder 0750 voxkeep:voxkeep "$root/var/lib/voxkeep"
    [ "$role" = site ] || make_folder 0750 voxkeep:voxkeep "$root/srv/voxkeep"
    make_release
    put_restic
    put_programs
    put_settings
    start_services
    [ "$changes" != 0 ] || echo unchanged
}

stop_services() {
    [ -d "$root/run/systemd/system" ] || return 0
    for unit in $(systemctl list-units --all --plain --no-legend 'voxkeep-*' | awk '{ print $1 }'); do
        change "stop $unit" systemctl disable --now "$unit"
    done
}

remove_all() {
    [ -e "$opt/installed" ] || { echo "unchanged: nothing is installed"; return; }
    must_be_root
    stop_services
    while read -r sum file; do
        if [ "$(sha256sum <"$root$file" 2>/dev/null | cut -d ' ' -f 1)" = "$sum" ]; then
            change "remove $root$file" rm "$root$file"
        elif [ -e "$root$file" ]; then
            echo "$root$file was changed by hand: it stays"
        fi
    done <"$opt/installed"
    change "remove $opt" rm -rf "$opt"
    for folder in "$etc/businesses" "$etc" "$root/var/lib/voxkeep" "$root/srv/voxkeep"; do
        # Only an empty one goes.
        [ "$dry_run" ] || rmdir "$folder" 2>/dev/null || [ ! -d "$folder" ] || echo "$folder stays, with what is in it"
    done
    [ ! -d "$root/run/systemd/system" ] || change "tell systemd of it" systemctl daemon-reload
    as_root && id voxkeep >/dev/null 2>&1 && echo "the user voxkeep stays, who owns the data"
    return 0
}

if [ "$host" ]; then remote; elif [ "$uninstall" ]; then remove_all; else install_all; fi
