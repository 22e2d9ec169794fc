#!/bin/bash
# haproxy-h2-port.sh: the port of a requested URL meets HAProxy's HTTP/2.
#
# Versions: haproxy 2.6.12-1+deb12u4, curl 7.88.1-10+deb12u14 (Debian 12).
#
# Expected: HAProxy forwards a request with the authority that the client wrote, and
# the two versions of HTTP that a front end offers make no difference to its backend.
# Happens: by HTTP/2, HAProxy removes a port from the authority that is the default of
# the scheme: "a.example:443" arrives as "a.example". By HTTP/1.1 the same client's
# same URL arrives with its port. Another port stays in both. The scheme, which would
# say what was removed, is not part of the request to the backend.
# Matters: a backend that judges destinations (a forward proxy, a router by port) reads
# a host without a port as port 80. So a rule about port 443 depends on the version of
# HTTP that client and front end agree on, which neither of them shows.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$work"' EXIT
cd "$work"

# libsystemd0 and libpcre2-8-0 belong to each Debian.
{
	apt-get download haproxy=2.6.12-1+deb12u4 liblua5.3-0=5.3.6-2 \
		libopentracing-c-wrapper0=1.1.3-3+b1 libopentracing1=1.6.0-4
	for package in *.deb; do dpkg-deb -x "$package" root; done
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=a.example -keyout key.pem -out crt.pem
	cat crt.pem key.pem >tls.pem
} >log 2>&1 || { cat log >&2 && exit 1; }
[ "$(dpkg-query -W -f '${Version}' curl)" = 7.88.1-10+deb12u14 ] || { echo "another curl: $(curl --version | head -n 1)" >&2 && exit 1; }

# The backend answers with the host that it is asked for.
cat >backend.py <<'PY'
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = self.headers["Host"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
open("backend.new", "w").write(str(server.server_port))
__import__("os").rename("backend.new", "backend")
server.serve_forever()
PY
python3 backend.py &
until [ -e backend ]; do sleep 0.1; done

cat >haproxy.cfg <<CFG
defaults
	mode http
	timeout connect 60s
	timeout client 60s
	timeout server 60s
frontend both
	bind unix@$work/front ssl crt tls.pem alpn h2,http/1.1
	default_backend backend
backend backend
	server backend 127.0.0.1:$(cat backend)
CFG
LD_LIBRARY_PATH=$(find "$work/root" -name 'lib*.so*' -printf '%h:') root/usr/sbin/haproxy -db -q -f haproxy.cfg &
until [ -S front ]; do sleep 0.1; done

# HAProxy's listener is a socket in the file system: curl is told the host by --header.
asked() {
	curl --silent --show-error --fail --insecure --unix-socket front "$1" --header "Host: $2" \
		--write-out ' by HTTP/%{http_version}' https://a.example/
}
{
	for host in a.example:443 a.example:8443; do
		for version in --http1.1 --http2; do
			echo "$host arrives as $(asked "$version" "$host")"
		done
	done
} | tee seen

diff - seen <<'SEEN' || { echo "the behaviour has changed" >&2 && exit 1; }
a.example:443 arrives as a.example:443 by HTTP/1.1
a.example:443 arrives as a.example by HTTP/2
a.example:8443 arrives as a.example:8443 by HTTP/1.1
a.example:8443 arrives as a.example:8443 by HTTP/2
SEEN
echo "HAProxy 2.6.12 removes :443 from the authority of HTTP/2, and keeps it by HTTP/1.1"
