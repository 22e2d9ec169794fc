#!/bin/bash
# apt-https-proxy-exit.sh: the exit code of "apt-get update" meets a proxy that refuses.
#
# Versions: apt 2.6.1, squid-openssl 5.7-2+deb12u6 (Debian 12).
#
# Expected: with an archive that the proxy does not allow, "apt-get update" fails, and
# whether its address is one of http:// or https:// makes no difference to that.
# Happens: for http:// the proxy's 403 is the archive's answer, an error, and the exit code is
# 100. For https:// it is an answer to CONNECT, which apt counts among the failures to
# connect, and these are only warnings: "Some index files failed to download. They have been
# ignored, or old ones used instead". The exit code is 0. An archive that is down (503)
# and a proxy that is down are the same. --error-on=any makes 100 of them.
# Matters: "apt-get update && apt-get install" in the build of an image, or in user data,
# passes its first half. The second installs what the old lists have, or cannot locate a
# package whose name is right, and the search for the cause begins there, not at the proxy.
# A machine whose archives moved to https:// has no updates any more, and the job that
# fetches the lists succeeds each day.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"

# Other libraries than these come with curl and apt.
{
	apt-get download squid-openssl=5.7-2+deb12u6 squid-common=5.7-2+deb12u6 squid-langpack=20220130-1 \
		libecap3=1.0.1-3.4 libltdl7=2.4.7-7~deb12u1 libnetfilter-conntrack3=1.0.9-3 libnfnetlink0=1.0.2-2 libmnl0=1.0.4-3
	for package in *.deb; do dpkg-deb -x "$package" root; done
} >log 2>&1 || { cat log >&2 && exit 1; }
[ "$(dpkg-query -W -f '${Version}' apt)" = 2.6.1 ] || { echo "another apt: $(apt-get --version | head -n 1)" >&2 && exit 1; }
export LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu:$work/root/usr/lib
# Squid leaves root for another user.
chmod 777 "$work"

# The proxy refuses one archive. At the other one nothing listens.
cat >squid.conf <<SQUID
http_port 127.0.128.7:3128
acl refused dstdomain -n refused.test
http_access deny refused
http_access allow all
access_log none
cache deny all
cache_log $work/cache.log
pid_filename $work/squid.pid
coredump_dir none
netdb_filename none
pinger_enable off
mime_table $work/root/usr/share/squid/mime.conf
icon_directory $work/root/usr/share/squid/icons
error_directory $work/root/usr/share/squid-langpack/templates
visible_hostname proxy.example.test
shutdown_lifetime 0 seconds
SQUID
root/usr/sbin/squid -n findingaptexit -f "$work/squid.conf" -N >>log 2>&1 &
for _ in $(seq 600); do
	(: <>/dev/tcp/127.0.128.7/3128) 2>/dev/null && break
	sleep 0.1
done

# update ARCHIVE PROXY [OPTION]: "apt-get update" with lists and settings of its own.
update() {
	local status=0
	echo "deb [trusted=yes] $1/debian bookworm main" >sources.list
	rm -rf lists cache
	mkdir -p lists/partial cache/archives/partial
	env -i PATH="$PATH" http_proxy="$2" https_proxy="$2" timeout 300 apt-get -o Dir::Etc::sourcelist="$work/sources.list" \
		-o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::main=/dev/null -o Dir::Etc::parts=/dev/null \
		-o Dir::State="$work" -o Dir::State::lists="$work/lists" -o Dir::State::status=/dev/null -o Dir::Cache="$work/cache" \
		-o APT::Sandbox::User= -o Acquire::Retries=0 "${@:3}" update >update.log 2>&1 || status=$?
	echo "$1, proxy $(sed 's/.*:3128/up/; s/.*:3129/down/' <<<"$2")${3:+, $3}: exit $status," \
		"$(grep -oE '(403|503) +(Forbidden|Service)|Could not connect' update.log | head -n 1 | tr -s ' ')," \
		"errors $(grep -c ^E: update.log || true), warnings $(grep -c ^W: update.log || true)"
	cat update.log >>log
}
up=http://127.0.128.7:3128
output=$(
	update http://refused.test $up
	update https://refused.test $up
	update https://127.0.128.8:8443 $up
	update https://refused.test http://127.0.128.7:3129
	update https://refused.test $up --error-on=any
)
echo "$output"

if [ "$output" != 'http://refused.test, proxy up: exit 100, 403 Forbidden, errors 2, warnings 0
https://refused.test, proxy up: exit 0, 403 Forbidden, errors 0, warnings 2
https://127.0.128.8:8443, proxy up: exit 0, 503 Service, errors 0, warnings 2
https://refused.test, proxy down: exit 0, Could not connect, errors 0, warnings 2
https://refused.test, proxy up, --error-on=any: exit 100, 403 Forbidden, errors 2, warnings 0' ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
