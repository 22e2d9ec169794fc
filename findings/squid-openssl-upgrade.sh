#!/bin/bash
# squid-openssl-upgrade.sh: apt's order of an upgrade meets the scripts of two
# packages of Squid.
#
# Versions: squid and squid-openssl 6.13-2+deb13u4 (Debian 13), planned by the apt
# of Debian 12 as an upgrade from 6.13-2.
#
# Expected: after an upgrade of squid-openssl the service runs the new binary.
# Happens: in Debian 13 the service belongs to the package squid, whose postinst
# restarts it. squid-openssl has the binary that runs (the preferred alternative of
# /usr/sbin/squid), and depends on squid with Pre-Depends. Therefore apt unpacks
# and configures squid first: the restart, with an outage, is one of the old
# binary. Then the new binary is unpacked, and squid-openssl's postinst restarts
# nothing. The process goes on from a file that has been deleted.
# Matters: unattended upgrades look done: versions are new, the service was
# restarted a minute ago. The fix is not in use until something else restarts
# Squid, such as needrestart. To see it, look for "(deleted)" in /proc/PID/exe.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# Debian 13's list of packages, from the mirror of this machine.
# shellcheck disable=SC2016 # apt's own syntax.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' | head --lines=1)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >trixie.list
mkdir lists
# A machine that has the former version of both packages, and nothing else.
for package in squid squid-openssl; do
	cat <<-STATUS
		Package: $package
		Status: install ok installed
		Architecture: amd64
		Version: 6.13-2
		Maintainer: Nobody <nobody@example.test>
		Description: the former version

	STATUS
done >status
trixie=(-o Dir::Etc::sourcelist="$work/trixie.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$work/lists"
	-o Dir::State::status="$work/status" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=)
{
	apt-get "${trixie[@]}" update
	apt-get "${trixie[@]}" download squid=6.13-2+deb13u4 squid-openssl=6.13-2+deb13u4
	apt-get "${trixie[@]}" --simulate --no-install-recommends install squid-openssl=6.13-2+deb13u4 >plan
	for package in squid squid-openssl; do dpkg-deb --control "$package"_*.deb "$package"; done
} >log 2>&1 || { cat log >&2 && exit 1; }
output=$(
	sed -En 's/^(Inst|Conf) (squid|squid-openssl) .*/\1 \2/p' plan
	for package in squid squid-openssl; do
		echo "postinst of $package: $(grep -oE 'update-alternatives --install .*|_dh_action=restart' $package/postinst | sort -u | paste -sd';')"
	done
)
echo "$output"

if [ "$output" != 'Inst squid
Conf squid
Inst squid-openssl
Conf squid-openssl
postinst of squid: _dh_action=restart;update-alternatives --install /usr/sbin/squid squid /usr/sbin/squid-gnutls 50
postinst of squid-openssl: update-alternatives --install /usr/sbin/squid squid /usr/sbin/squid-openssl 70' ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
