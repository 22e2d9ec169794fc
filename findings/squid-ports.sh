#!/bin/bash
# squid-ports.sh: many http_port lines meet one https_port line of Squid.
#
# Version: squid-openssl 5.7-2+deb12u6 (Debian 12).
#
# Expected: Squid refuses a configuration whose ports it cannot open, as it does
# with a line that it cannot parse.
# Happens: Squid opens at most 128 ports (MAXTCPLISTENPORTS), in the order of their
# lines, http and https counted together. "squid -k parse" and "squid -k check" do
# not count, and exit with 0. The 128th http_port takes the place of the https_port
# behind it. The process runs, and each port that is missing is a warning in
# cache.log alone, which does not name it.
# Matters: a proxy that tells its clients apart by port gets one more line for each
# of them, often from an included folder before its other ports. One day the
# addition of a client closes the TLS port of all others, after a reload that every
# check called good. Count the listening sockets, not the lines.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# Other libraries than these come with curl and apt.
{
	apt-get download squid-openssl=5.7-2+deb12u6 squid-common=5.7-2+deb12u6 squid-langpack=20220130-1 \
		libecap3=1.0.1-3.4 libltdl7=2.4.7-7~deb12u1 libnetfilter-conntrack3=1.0.9-3 libnfnetlink0=1.0.2-2 libmnl0=1.0.4-3
	for package in *.deb; do dpkg-deb -x "$package" root; done
	openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=proxy.example.test -keyout key.pem -out certificate.pem
	cat certificate.pem key.pem >tls.pem
} >log 2>&1 || { cat log >&2 && exit 1; }
export LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu:$work/root/usr/lib
# Squid leaves root for another user.
chmod 777 "$work"
chmod 644 tls.pem

# try COUNT: runs Squid with one https_port and COUNT ports of http, on addresses
# of loopback that are this script's.
try() {
	local ports listening check=0 parse=0 squid
	ports=$(
		seq -f 'http_port 127.0.128.2:%g' 3129 $((3128 + $1))
		echo "https_port 127.0.128.1:3128 tls-cert=$work/tls.pem"
	)
	cat >squid.conf <<-SQUID
		$ports
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
	local command=(root/usr/sbin/squid -n findingports -f "$work/squid.conf")
	"${command[@]}" -k parse >parse.log 2>&1 || parse=$?
	"${command[@]}" -N >>log 2>&1 &
	squid=$!
	for _ in $(seq 300); do
		grep -q 'Accepting .* local=127.0.128.2:3255' cache.log 2>/dev/null && break
		sleep 0.1
	done
	sleep 2
	"${command[@]}" -k check >>log 2>&1 || check=$?
	listening=$(ss --no-header --listening --tcp --numeric src 127.0.128.1/32 | wc -l)
	echo "$1 http_port: parse $parse, check $check, http $(
		ss --no-header --listening --tcp --numeric src 127.0.128.2/32 | wc -l
	), https $listening, $(grep -o 'You have too many .* lines' cache.log || echo 'no warning')"
	kill "$squid"
	wait "$squid" || true
	rm -f cache.log
}
output=$(
	try 127
	try 128
)
echo "$output"

if [ "$output" != "127 http_port: parse 0, check 0, http 127, https 1, no warning
128 http_port: parse 0, check 0, http 128, https 0, You have too many 'https_port' lines" ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
