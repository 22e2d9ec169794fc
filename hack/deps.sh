#!/bin/sh
# deps.sh: installs the Debian packages that the local environment and the tests
# need and that are not there. Daemons that come with them are not started.
# Without root it only says what is missing: tests that need it are skipped.
set -eu

# ca-certificates and git: Go modules. The rest: a Kubernetes node, its
# networks, the proxy, and a browser for the demo's page.
packages="ca-certificates git containerd runc containernetworking-plugins iproute2 iptables nftables
	conntrack ipset procps util-linux squid-openssl chromium"

missing=
for package in $packages; do
	case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true) in
	installed) ;;
	*) missing="$missing $package" ;;
	esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
	echo "deps: not installed, and only root can:$missing" >&2
	exit 0
fi

echo "deps: installing$missing"
start=$(date +%s)
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	# What installation scripts ask before they start a daemon.
	trap 'rm -f "$policy"' EXIT
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
# shellcheck disable=SC2086 # a list
if ! { apt-get update && apt-get install --yes --no-install-recommends $missing; } >"$log" 2>&1; then
	tail -n 30 "$log" >&2
	rm -f "$log"
	echo "deps: apt-get could not install$missing" >&2
	exit 1
fi
rm -f "$log"
echo "deps: installed in $(($(date +%s) - start)) s"
