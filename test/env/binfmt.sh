#!/bin/sh
# Registers Debian's emulators, speaking the protocol of the image
# docker.io/tonistiigi/binfmt: --install a,b; --uninstall name; --version; and
# always the status as JSON. As there, what can't be registered is said on
# stderr and does not change the exit code: whoever asks reads the status.
misc=/proc/sys/fs/binfmt_misc
conf=/usr/lib/binfmt.d

# debian_name gives Debian's name of a platform, which is QEMU's.
debian_name() {
	case ${1#linux/} in
	arm64 | arm64/*) echo aarch64 ;;
	arm | arm/*) echo arm ;;
	*) echo "${1#linux/}" ;;
	esac
}

# platforms are the platforms that one of Debian's names runs, as JSON strings.
platforms() {
	case $1 in
	aarch64) echo '"linux/arm64"' ;;
	arm) echo '"linux/arm/v7", "linux/arm/v6"' ;;
	x86_64) echo '"linux/amd64"' ;;
	*) echo "\"linux/$1\"" ;;
	esac
}

install() {
	name=$(debian_name "$1")
	if [ -e "$misc/qemu-$name" ]; then
		echo "installing: $1 qemu-$name already registered" >&2
	elif [ ! -f "$conf/qemu-$name.conf" ]; then
		echo "installing: $1 not found" >&2
	else
		# Debian's interpreters expect P (argv[0] is preserved); F opens them
		# now, so that they work in other containers after this one is gone.
		line=$(sed -n '/^:/{s/:[A-Z]*$/:PF/;p;q}' "$conf/qemu-$name.conf")
		if printf '%s' "$line" >"$misc/register"; then
			echo "installing: $1 OK" >&2
		else
			echo "installing: $1 cannot register qemu-$name" >&2
		fi
	fi
}

uninstall() {
	name=$(debian_name "$1")
	found=
	for entry in "$misc"/$name "$misc"/qemu-$name; do # unquoted: it may be a pattern
		case ${entry##*/} in register | status) continue ;; esac
		[ -e "$entry" ] || continue
		found=1
		printf '%s' -1 >"$entry" && echo "uninstalling: ${entry##*/} OK" >&2
	done
	[ "$found" ] || echo "uninstalling: $1 not found" >&2
}

status() {
	supported=$(platforms "$(uname -m)") emulators=
	for entry in "$misc"/*; do
		entry=${entry##*/}
		case $entry in register | status | '*') continue ;; esac
		emulators="$emulators${emulators:+, }\"$entry\""
		[ -f "$conf/$entry.conf" ] && supported="$supported, $(platforms "${entry#qemu-}")"
	done
	printf '{\n  "supported": [%s],\n  "emulators": [%s]\n}\n' "$supported" "$emulators"
}

install= uninstall=
while [ $# -gt 0 ]; do
	case $1 in
	--version | -version) echo "binfmt/hullwright-env qemu/$(cat /etc/qemu-version)" && exit 0 ;;
	--install | -install) install=$2 && shift ;;
	--install=* | -install=*) install=${1#*=} ;;
	--uninstall | -uninstall) uninstall=$2 && shift ;;
	--uninstall=* | -uninstall=*) uninstall=${1#*=} ;;
	*) echo "binfmt: unknown argument $1" >&2 && exit 1 ;;
	esac
	shift
done
[ -e "$misc/status" ] || mount -t binfmt_misc binfmt_misc "$misc" || exit 1
IFS=,
set -f
for name in $uninstall; do set +f; uninstall "$name"; set -f; done
set +f
if [ "$install" = all ]; then
	install=$(cd "$conf" && ls | sed 's/^qemu-//; s/\.conf$//' | tr '\n' ,)
fi
for name in $install; do install "$name"; done
status
