#!/bin/bash
# dnsmasq-nftset-timeout.sh: a firewall by names meets elements that time out.
#
# Versions: dnsmasq 2.90-4~deb12u2, nftables 1.0.6-2+deb12u2 (Debian 12), Linux 6.18.
#
# Expected: with "nftset=/example.test/..." dnsmasq puts the addresses of its answers into a
# set of nftables. The set has a timeout, so that old addresses leave it. If the timeout
# is longer than the TTL, each address that dnsmasq answers with is in the set.
# Happens: no timeout is long enough. Only answers from the upstream server are added, not
# those from dnsmasq's cache. And to add an element that is there succeeds and does not
# begin its timeout anew, so that an answer shortly before the timeout changes nothing.
# Until its TTL has passed, the cache gives an address that the firewall no longer lets
# through. Without the cache (cache-size=0) each answer is in the set when it is given.
# Matters: this is how egress is opened for names without a proxy. With a timeout of an
# hour and a TTL of five minutes, each host is unreachable about once an hour, for up to
# five minutes, then works again, while dig always shows the right address. A shorter
# timeout makes it more frequent, a longer one rarer and harder to find.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# Other libraries than these come with curl and apt.
{
	apt-get download dnsmasq-base=2.90-4~deb12u2 libdbus-1-3=1.14.10-1~deb12u1 libnetfilter-conntrack3=1.0.9-3 \
		libnfnetlink0=1.0.2-2 nftables=1.0.6-2+deb12u2 libnftables1=1.0.6-2+deb12u2 libnftnl11=1.2.4-2 \
		libxtables12=1.8.9-2 libjansson4=2.14-2 libmnl0=1.0.4-3 libedit2=3.1-20221030-2
	for package in *.deb; do dpkg-deb -x "$package" root; done
} >log 2>&1 || { cat log >&2 && exit 1; }
export LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu:$work/root/lib/x86_64-linux-gnu

cat >try.py <<'PY'
import json
import socket
import struct
import subprocess
import threading
import time

ADDRESS = "192.0.2.7"
QUESTION = b"\3www\7example\4test\0" + struct.pack(">HH", 1, 1)

class Upstream:
    """A server that answers each question with one address."""
    def __init__(self, ttl):
        self.ttl, self.asked = ttl, 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.53", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            query, client = self.socket.recvfrom(4096)
            self.asked += 1
            record = struct.pack(">HHHIH", 0xC00C, 1, 1, self.ttl, 4) + socket.inet_aton(ADDRESS)
            header = query[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0)
            self.socket.sendto(header + QUESTION + record, client)

def ask():
    """Asks dnsmasq, which has to answer with the address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(60)
        client.connect(("127.0.0.1", 53))
        client.send(struct.pack(">HHHHHH", 1, 0x0100, 1, 0, 0, 0) + QUESTION)
        answer = client.recv(4096)
    assert answer.endswith(socket.inet_aton(ADDRESS)), answer

def nft(*command):
    return subprocess.run(["root/usr/sbin/nft", *command], check=True, capture_output=True, text=True).stdout

def in_set():
    listed = json.loads(nft("--json", "list", "set", "inet", "firewall", "allowed"))["nftables"]
    return any("elem" in item.get("set", {}) for item in listed)

def until(condition):
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)

def listening():
    try:
        socket.create_connection(("127.0.0.1", 53)).close()
    except ConnectionRefusedError:
        return False
    return True

def run(timeout, ttl, cache, wait):
    upstream = Upstream(ttl)
    nft(f"flush ruleset; add table inet firewall; add set inet firewall allowed {{ type ipv4_addr; timeout {timeout}s; }}")
    dnsmasq = subprocess.Popen([
        "root/usr/sbin/dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file=",
        "--listen-address=127.0.0.1", "--bind-interfaces", f"--cache-size={cache}", f"--server=127.0.0.53#{upstream.port}",
        "--nftset=/example.test/4#inet#firewall#allowed"], stderr=subprocess.DEVNULL)
    try:
        until(listening)
        print(f"timeout {timeout} s, TTL {ttl} s, cache-size {cache}:")
        def answer(when):
            ask()
            print(f"  {when}: in the set {in_set()}, answers of the server {upstream.asked}")
        answer("first answer")
        if wait:
            time.sleep(wait)
            answer("the next answer of the server")
        until(lambda: not in_set())
        answer("after the timeout")
    finally:
        dnsmasq.kill()
        dnsmasq.wait()

run(timeout=10, ttl=300, cache=150, wait=0)
run(timeout=30, ttl=20, cache=150, wait=21)
run(timeout=10, ttl=300, cache=0, wait=0)
PY
# A network namespace of its own, with or without root.
output=$(unshare --map-root-user --net sh -c 'ip link set lo up && exec python3 -u try.py')
echo "$output"

if [ "$output" != 'timeout 10 s, TTL 300 s, cache-size 150:
  first answer: in the set True, answers of the server 1
  after the timeout: in the set False, answers of the server 1
timeout 30 s, TTL 20 s, cache-size 150:
  first answer: in the set True, answers of the server 1
  the next answer of the server: in the set True, answers of the server 2
  after the timeout: in the set False, answers of the server 2
timeout 10 s, TTL 300 s, cache-size 0:
  first answer: in the set True, answers of the server 1
  after the timeout: in the set True, answers of the server 2' ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
