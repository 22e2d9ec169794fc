#!/bin/sh
# deps.sh [local|verify|cilium|clients|npm]: installs the missing Debian packages of the
# local environment and the tests, those of the local environment alone, those of make
# verify, those of Cilium's agent, those of make clients, or npm, by which the test of the
# demo's page gets axe-core. It removes no package, and starts no daemon that comes with
# one, now or at the next boot. Without root it only lists the missing packages: tests
# that need them are skipped.
set -eu

# The names are those of Debian 12 and 13, and of Ubuntu 24.04, where Chromium is a snap:
# tests of pages are skipped there. On a distribution other than Debian, mmdebstrap needs
# the keys of Debian's archive, and gpg, by which it finds the key of a release.
browser=chromium
keys=
if ! grep -qsx 'ID=debian' /etc/os-release; then
	browser=
	keys="debian-archive-keyring gpg"
fi

# ca-certificates and git: Go modules. mmdebstrap, systemd-container and dnsmasq-base: the
# proxy machine. The rest: a Kubernetes node and its networks.
packages="ca-certificates git containerd runc containernetworking-plugins iproute2 iptables nftables conntrack ipset
	procps util-linux mmdebstrap $keys systemd-container dnsmasq-base"
daemons="containerd"
if [ -z "${1:-}" ]; then
	# gcc and libc6-dev: the race detector. mtail, prometheus-node-exporter, rsyslog and
	# curl: the machine's metrics, its log server and its configuration. haproxy: its
	# port for sidecars. prometheus: promtool, which tests the alert rules. The rest:
	# the proxy, and a browser for the demo's page.
	packages="$packages gcc libc6-dev squid-openssl haproxy $browser mtail rsyslog rsyslog-openssl curl
		prometheus-node-exporter prometheus"
	daemons="$daemons squid haproxy mtail rsyslog prometheus-node-exporter prometheus"
fi
if [ "${1:-}" = verify ]; then
	# ruby-mdl: the Markdown linter mdl. prometheus: promtool.
	packages="ca-certificates git shellcheck ruby-mdl prometheus"
	daemons="prometheus"
fi
if [ "${1:-}" = cilium ]; then
	# Beside those of the local environment. clang: the agent compiles its
	# datapath while it runs.
	packages="clang"
	daemons=
fi
if [ "${1:-}" = clients ]; then
	packages="mmdebstrap $keys iproute2"
	daemons=
fi
if [ "${1:-}" = npm ]; then
	packages=
	daemons=
fi
case ${1:-} in
clients | npm)
	# Not the package npm beside an npm from elsewhere: their Node conflicts.
	command -v npm >/dev/null || packages="$packages npm"
	;;
esac

missing=
for package in $packages; do
	case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true) in
	installed) ;;
	*) missing="$missing $package" ;;
	esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
	echo "deps: missing packages, which root can install:$missing" >&2
	exit 0
fi

# Installation scripts call this script before they start a daemon. The second
# line identifies a leftover of a killed run.
policy=/usr/sbin/policy-rc.d
mark='# created by deps.sh of egress.scw while it runs'
log=$(mktemp)
heartbeat=
clean_up() {
	[ -z "$heartbeat" ] || kill "$heartbeat" 2>/dev/null || true
	if grep -qsxF "$mark" "$policy"; then rm -f "$policy"; fi
	rm -f "$log"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
if grep -qsxF "$mark" "$policy"; then rm -f "$policy"; fi
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy"
	chmod 755 "$policy"
fi

new_daemons=
for daemon in $daemons; do
	[ -e "/lib/systemd/system/$daemon.service" ] || new_daemons="$new_daemons $daemon"
done

echo "deps: installing$missing"
start=$(date +%s)
(while sleep 30 >/dev/null 2>&1; do echo "deps: still installing after $(($(date +%s) - start)) s"; done) &
heartbeat=$!
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # a list
if ! { apt-get update && apt-get install --yes --no-install-recommends --no-remove \
	-o DPkg::Lock::Timeout=300 $missing; } >"$log" 2>&1; then
	tail -n 30 "$log" >&2
	echo "deps: apt-get could not install$missing" >&2
	exit 1
fi
for daemon in $new_daemons; do
	systemctl disable "$daemon.service" >/dev/null 2>&1 || true # a machine without systemd does not start them either
done
echo "deps: installed in $(($(date +%s) - start)) s"
