# SPDX-License-Identifier: Apache-2.0
# Sourced by ./run and ./check: what they need from Debian, and how it gets there.

build_packages='gcc g++ libc6-dev meson ninja-build pkg-config libuv1-dev libwebsockets-dev libwebsockets-evlib-uv libmicrohttpd-dev
	libjansson-dev libsqlite3-dev libvterm-dev libre2-dev uuid-dev lxc-dev'
client_packages='lxd-client'
test_packages='libcmocka-dev clang libclang-rt-14-dev clang-format curl python3 python3-pytest python3-pytest-xdist
	python3-pytest-timeout python3-pylxd python3-websockets python3-yaml nodejs npm scdoc lxc busybox-static qemu-system-x86
	spice-client-gtk gir1.2-spiceclientglib-2.0 python3-gi xvfb virt-viewer asciinema systemd clang-tidy cppcheck valgrind llvm'
guest_kernel='linux-image-cloud-amd64'

say() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
}

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# need_packages NAME...: installs those that are not there, after saying so.
need_packages() {
	missing=
	for package in "$@"; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
	done
	# Node.js comes from elsewhere on some machines; what counts is that it runs.
	command -v npm >/dev/null && missing=$(printf '%s' "$missing" | sed -E 's/ (nodejs|npm)( |$)/ /g; s/ (nodejs|npm)( |$)/ /g; s/ +$//')
	[ -n "$missing" ] || return 0
	[ "$(id -u)" = 0 ] || command -v sudo >/dev/null || {
		say "these packages are missing, and there is no sudo to install them with:$missing"
		return 1
	}
	say "installing with apt-get:$missing"
	as_root apt-get update -q >&2 &&
		as_root env DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends $missing >&2
}

# quietly COMMAND...: its output is shown only if it fails.
quietly() {
	output=$(mktemp)
	"$@" >"$output" 2>&1 || {
		cat "$output" >&2
		rm -f "$output"
		return 1
	}
	rm -f "$output"
}

# get_kernel DIRECTORY: has a Linux kernel and its modules there, for guests: DIRECTORY/boot, DIRECTORY/lib/modules. The
# package is not installed, for that would make an initrd of this machine's. Quick when there is one, however old.
get_kernel() {
	[ ! -d "$1" ] || return 0
	say "getting a Linux kernel for guests into $1"
	unpack_kernel "$1.new" >/dev/null 2>&1 ||
		{ quietly as_root apt-get update -q && quietly unpack_kernel "$1.new"; } || return 1
	mv "$1.new" "$1"
}

# unpack_kernel DIRECTORY: what $guest_kernel depends on is the kernel of today.
unpack_kernel() (
	rm -rf "$1" && mkdir "$1" && cd "$1" &&
		package=$(apt-cache depends "$guest_kernel" | sed -n 's/^ *Depends: //p') &&
		apt-get download -q -o APT::Sandbox::User=root "$package" &&
		dpkg-deb -x ./*.deb . && rm ./*.deb
)

# build DIRECTORY MESON-OPTION...: sets up and compiles; quick when there is nothing to do.
build() {
	directory=$1
	shift
	say "building $directory"
	[ -f "$directory/build.ninja" ] || quietly meson setup "$directory" "$@" || return 1
	quietly ninja -C "$directory"
}
