#!/bin/bash
# ruby-proxy-lookup.sh: Ruby's net/http meets a network in which only the proxy resolves
# names.
#
# Versions: ruby3.1 3.1.7+really3.1.2-0+deb12u1 (Debian 12), glibc 2.36. As a control: curl
# 7.88.1.
#
# Expected: a client that sends its requests to a proxy needs no name server. The proxy
# resolves the names, which is what a network without DNS to the outside relies on.
# Happens: before each request, net/http resolves the host of the URL, waits for the answer,
# and then sends the request to the proxy in any case. (URI::Generic#find_proxy looks whether
# the name leads to loopback.) Where queries are dropped, that is until the resolver gives
# up: with the search list of a pod, 20 seconds for each request, with a proxy that answers
# at once. There is no error, and the time-outs of Net::HTTP do not count: the wait comes
# before the connection. curl sends no query. Neither does net/http with the proxy as
# arguments of Net::HTTP.new, and with a name server that denies all names the wait is gone.
# Matters: a policy that drops DNS (to keep data from leaving by names) makes all programs in
# Ruby slow, and no other. Their authors see slow APIs, and the proxy's log shows fast
# answers. A closed DNS has to answer: NXDOMAIN, not silence.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# Other libraries than these come with curl and apt.
{
	apt-get download ruby3.1=3.1.7+really3.1.2-0+deb12u1 libruby3.1=3.1.7+really3.1.2-0+deb12u1 libyaml-0-2=0.2.5-1
	for package in *.deb; do dpkg-deb -x "$package" root; done
} >log 2>&1 || { cat log >&2 && exit 1; }

# The servers are a proxy, which answers all requests itself, and a name server, which
# counts queries, and drops them or denies the name (NXDOMAIN).
cat >servers.py <<'PY'
import http.server
import os
import socket
import threading

def names():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    while True:
        query, client = server.recvfrom(4096)
        with open("queries", "a") as queries:
            queries.write("query\n")
        if os.path.exists("deny"):
            server.sendto(query[:2] + b"\x81\x83" + query[4:6] + bytes(6) + query[12:], client)

class Proxy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass

threading.Thread(target=names, daemon=True).start()
server = http.server.ThreadingHTTPServer(("127.0.0.1", 3128), Proxy)
open("ready", "w").close()
server.serve_forever()
PY
# Each program makes two requests, and prints which of them took how long.
cat >by-environment.rb <<'RB'
require "net/http"
2.times do
  began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  code = Net::HTTP.get_response(URI("http://api.example.test/")).code
  took = Process.clock_gettime(Process::CLOCK_MONOTONIC) - began
  puts "#{code} #{took.round(1)}"
end
RB
cat >by-arguments.rb <<'RB'
require "net/http"
2.times do
  began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  code = Net::HTTP.new("api.example.test", 80, "127.0.0.1", 3128).get("/").code
  took = Process.clock_gettime(Process::CLOCK_MONOTONIC) - began
  puts "#{code} #{took.round(1)}"
end
RB
cat >resolv.conf <<'RESOLV'
nameserver 127.0.0.1
search orders.svc.cluster.local svc.cluster.local cluster.local
options ndots:5
RESOLV
# try TITLE COMMAND...: counts the queries, and the requests that take 15 seconds or more.
cat >try.sh <<'SH'
ip link set lo up
mount --bind resolv.conf /etc/resolv.conf
python3 servers.py &
trap 'kill %1' EXIT
until [ -e ready ]; do sleep 0.1; done
export http_proxy=http://127.0.0.1:3128
export RUBYLIB=$PWD/root/usr/lib/ruby/3.1.0:$PWD/root/usr/lib/x86_64-linux-gnu/ruby/3.1.0
libraries=$PWD/root/usr/lib/x86_64-linux-gnu
ruby() { LD_LIBRARY_PATH=$libraries root/usr/bin/ruby3.1 --disable-gems "$1"; }
get() {
	for _ in 1 2; do
		curl --silent --show-error --output /dev/null --write-out '%{http_code} %{time_total}\n' http://api.example.test/
	done
}
try() {
	local title=$1
	shift
	: >queries
	"$@" >took
	cat took >&2
	echo "$title: $(grep -c ^200 took) answers," \
		"$(awk '$2 >= 15 { slow++ } END { print slow + 0 }' took) of them after 15 s or more," \
		"$(test -s queries && echo queries || echo 'no query')"
}
try 'queries are dropped, curl' get
try 'queries are dropped, net/http, proxy in the environment' ruby by-environment.rb
try 'queries are dropped, net/http, proxy as argument' ruby by-arguments.rb
touch deny
try 'names are denied, net/http, proxy in the environment' ruby by-environment.rb
SH
output=$(unshare --map-root-user --net --mount bash -e try.sh)
echo "$output"

if [ "$output" != 'queries are dropped, curl: 2 answers, 0 of them after 15 s or more, no query
queries are dropped, net/http, proxy in the environment: 2 answers, 2 of them after 15 s or more, queries
queries are dropped, net/http, proxy as argument: 2 answers, 0 of them after 15 s or more, no query
names are denied, net/http, proxy in the environment: 2 answers, 0 of them after 15 s or more, queries' ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
