#!/bin/bash
# ruby-squid-ipv6.sh: Ruby's net/http meets Squid at an IPv6 address.
#
# Versions: ruby3.1 3.1.7+really3.1.2-0+deb12u1, squid-openssl 5.7-2+deb12u6 (Debian
# 12). As a control: curl 7.88.1.
#
# Expected: https://[2001:db8::1]:8443/ reaches the same server through a proxy as
# without one, or is refused. no_proxy can take an address off the proxy.
# Happens: net/http asks for "CONNECT 2001:db8::1:8443", without brackets. Squid
# reads the host up to the first colon, takes the rest for no port, and the
# number 2001 for an IPv4 address: it connects to 0.0.7.209, port 443. Its log shows
# an address and a port that no client asked for, and Ruby reports "503 Service
# Unavailable". no_proxy does not help in any spelling, because URI::Generic splits
# its entries at colons, so an IPv6 address is never one entry.
# Matters: in an IPv6 cluster KUBERNETES_SERVICE_HOST is such an address. A Ruby
# program that talks to the API server fails as soon as its pod has proxy
# variables, lists of exceptions do not mend it, and the proxy's log names a
# destination that leads nowhere. Only the name of the API server works.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# Other libraries than these come with curl and apt.
{
	apt-get download squid-openssl=5.7-2+deb12u6 squid-common=5.7-2+deb12u6 squid-langpack=20220130-1 \
		libecap3=1.0.1-3.4 libltdl7=2.4.7-7~deb12u1 libnetfilter-conntrack3=1.0.9-3 libnfnetlink0=1.0.2-2 libmnl0=1.0.4-3 \
		ruby3.1=3.1.7+really3.1.2-0+deb12u1 libruby3.1=3.1.7+really3.1.2-0+deb12u1 libyaml-0-2=0.2.5-1
	for package in *.deb; do dpkg-deb -x "$package" root; done
	openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=origin.example.test -keyout key.pem -out certificate.pem
} >log 2>&1 || { cat log >&2 && exit 1; }

cat >squid.conf <<SQUID
http_port 127.0.0.1:3128
http_access allow all
logformat tunnel %rm %ru %>Hs %Sh/%<a
access_log stdio:$work/access.log tunnel
cache deny all
cache_log $work/cache.log
pid_filename none
coredump_dir none
netdb_filename none
pinger_enable off
mime_table $work/root/usr/share/squid/mime.conf
icon_directory $work/root/usr/share/squid/icons
error_directory $work/root/usr/share/squid-langpack/templates
visible_hostname proxy.example.test
shutdown_lifetime 0 seconds
SQUID
chmod 777 "$work"

# Runs in a network namespace that has nothing but the address. Squid, which
# leaves root, has no root there that it could leave.
cat >ask.sh <<'SH'
ip link set lo up
ip -6 address add 2001:db8::1/128 dev lo nodad
export LD_LIBRARY_PATH=$PWD/root/usr/lib/x86_64-linux-gnu:$PWD/root/usr/lib
export RUBYLIB=$PWD/root/usr/lib/ruby/3.1.0:$PWD/root/usr/lib/x86_64-linux-gnu/ruby/3.1.0
openssl s_server -accept '[2001:db8::1]:8443' -key key.pem -cert certificate.pem -www -quiet >>log 2>&1 &
unshare --user --map-user=13 --map-group=13 root/usr/sbin/squid -n findingruby -N -f "$PWD/squid.conf" >>log 2>&1 &
for _ in $(seq 300); do
	(: <>/dev/tcp/127.0.0.1/3128) 2>/dev/null && (: <>/dev/tcp/2001:db8::1/8443) 2>/dev/null && break
	sleep 0.2
done
export http_proxy=http://127.0.0.1:3128 https_proxy=http://127.0.0.1:3128
url='https://[2001:db8::1]:8443/'
curl=(curl --globoff --silent --insecure --output page --write-out '%{http_code}' "$url")
ruby=(root/usr/bin/ruby3.1 --disable-gems -r net/http -e "begin
  print Net::HTTP.get_response(URI('$url')).code
rescue => error
  print error.message
end")
for list in '' 2001:db8::1 '[2001:db8::1]' 2001:db8::/32; do
	for client in curl ruby; do
		declare -n command=$client
		before=$(wc -l <access.log)
		result=$(no_proxy=$list "${command[@]}" 2>>log || true)
		sleep 1
		echo "$client, no_proxy=$list: $result, proxy: $(sed "1,${before}d" access.log)"
	done
done
SH
output=$(timeout --signal=KILL 400 unshare --map-root-user --net --pid --fork --kill-child bash ask.sh)
echo "$output"

asked='CONNECT [2001:db8::1]:8443 200 HIER_DIRECT/2001:db8::1'
misread='503 "Service Unavailable", proxy: CONNECT 0.0.7.209:443 503 HIER_DIRECT/0.0.7.209'
if [ "$output" != "curl, no_proxy=: 200, proxy: $asked
ruby, no_proxy=: $misread
curl, no_proxy=2001:db8::1: 200, proxy: 
ruby, no_proxy=2001:db8::1: $misread
curl, no_proxy=[2001:db8::1]: 200, proxy: $asked
ruby, no_proxy=[2001:db8::1]: $misread
curl, no_proxy=2001:db8::/32: 200, proxy: $asked
ruby, no_proxy=2001:db8::/32: $misread" ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
