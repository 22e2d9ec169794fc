#!/bin/bash
# cloud-init-scaleway-proxy.sh: cloud-init's data source for Scaleway meets a machine on
# which the proxy is set for all services.
#
# Version: cloud-init 25.1.4-1+deb13u1 (Debian 13), run with Python and requests 2.28.1 of
# Debian 12.
#
# Expected: the metadata of an Instance are at a link-local address (169.254.42.42), which
# cloud-init asks from the machine itself, whatever proxy the machine's programs use.
# Happens: cloud-init asks with the library requests, which obeys HTTP_PROXY. It asks the
# proxy for 169.254.42.42, is refused, and takes Scaleway for absent. The data source has
# no check for a machine that it has seen before, so the record of the first boot does not
# count, and what remains for the boot is the data source "None", whose instance ID is
# another one. NO_PROXY with 169.254.169.254, the address that other clouds have and that
# most lists name, does not help. And with a proxy that would lead there, user data were
# asked from a port above 1024, for which Scaleway has no answer: the data source binds its
# privileged port for direct connections alone.
# Matters: DefaultEnvironment in /etc/systemd/system.conf.d is the short way to give kubelet,
# containerd and all others of a node the egress proxy. User data write that file on the
# first boot, when cloud-init already has its metadata. On the second one, cloud-init has
# neither user data nor keys, and takes the machine for a new one. The list needs
# 169.254.42.42, or 169.254.0.0/16 for requests.
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
trixie=(-o Dir::Etc::sourcelist="$work/trixie.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$work/lists"
	-o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=)
{
	apt-get "${trixie[@]}" update
	apt-get "${trixie[@]}" download cloud-init=25.1.4-1+deb13u1
	apt-get download python3-jsonschema=4.10.3-1 python3-attr=22.2.0-1 python3-pyrsistent=0.18.1-1+b3 \
		python3-yaml=6.0-3+b2 python3-requests=2.28.1+dfsg-1 python3-certifi=2022.9.24-1 \
		python3-chardet=5.1.0+dfsg-2 python3-idna=3.3-1+deb12u1 python3-urllib3=1.26.12-1+deb12u4 \
		python3-six=1.16.0-4 python3-configobj=5.0.8-1 python3-jinja2=3.1.2-1+deb12u3 \
		python3-markupsafe=2.1.2-1+b1 python3-oauthlib=3.2.2-1 python3-jsonpatch=1.32-2 python3-json-pointer=2.3-2
	for package in *.deb; do dpkg-deb -x "$package" root; done
} >log 2>&1 || { cat log >&2 && exit 1; }

cat >try.py <<'PY'
import contextlib
import http.server
import os
import threading

from cloudinit import helpers, sources, url_helper
from cloudinit.reporting import events
from cloudinit.sources import DataSourceScaleway

seen = []

def serve(name, address, answer):
    """Serves as the metadata service, or as the proxy, and notes who asks for what."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            port = "privileged" if self.client_address[1] < 1024 else "other"
            seen.append(f"{name} {self.path} ({port} port)")
            status, body = answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(address, Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

def metadata(path):
    if "/vendor_data/" in path:
        return 404, b""
    return 200, b"#cloud-config\n" if "/user_data/" in path else b'{"id": "1", "private_ip": null}'

serve("metadata", ("169.254.42.42", 80), metadata)
serve("closed", ("172.16.28.8", 3128), lambda _: (403, b""))
serve("open", ("172.16.28.8", 3129), lambda path: metadata(path))

def boot(**variables):
    """What the local stage of cloud-init asks, when the address of the first interface is there."""
    for name in ["HTTP_PROXY", "NO_PROXY"]:
        os.environ.pop(name, None)
    os.environ.update(variables)
    seen.clear()
    paths = helpers.Paths({"cloud_dir": os.getcwd(), "run_dir": os.getcwd()})
    # The time-outs are longer than those of an Instance, for a busy machine.
    config = {"datasource": {"Scaleway": {"max_wait": 30, "timeout": 120}}}
    source = DataSourceScaleway.DataSourceScaleway(config, None, paths)
    source.metadata_urls = source.metadata_urls[:1]
    try:
        source._set_metadata_url(source.metadata_urls)
        source._crawl_metadata()
        result = "metadata"
    except (DataSourceScaleway.ConnectionError, url_helper.UrlError) as error:
        result = type(error).__name__
    print(" ".join(f"{name}={value}" for name, value in variables.items()) or "no proxy", "->", result)
    for request in sorted(set(seen), key=seen.index):
        print(" ", request)
    return source

boot()
source = boot(HTTP_PROXY="http://172.16.28.8:3128", NO_PROXY="169.254.169.254")
print("  an instance seen before:", source.check_instance_id({}))
reporter = events.ReportEventStack("finding", "finding", reporting_enabled=False)
found, name = sources.find_source(
    {}, None, source.paths, [sources.DEP_FILESYSTEM, sources.DEP_NETWORK], ["Scaleway", "None"], ["cloudinit.sources"], reporter)
print("  what remains:", name, found.get_instance_id())
boot(HTTP_PROXY="http://172.16.28.8:3128", NO_PROXY="169.254.0.0/16")
boot(HTTP_PROXY="http://172.16.28.8:3129")
PY
# A network of its own; -S: no packages of this machine.
cat >try.sh <<'SH'
ip link set lo up
ip address add 169.254.42.42/32 dev lo
ip address add 172.16.28.8/32 dev lo
exec env -i PYTHONPATH="$PWD/root/usr/lib/python3/dist-packages" /usr/bin/python3 -S try.py
SH
output=$(unshare --map-root-user --net sh -e try.sh)
echo "$output"

if [ "$output" != 'no proxy -> metadata
  metadata / (other port)
  metadata /conf?format=json (other port)
  metadata /user_data/cloud-init (privileged port)
  metadata /vendor_data/cloud-init (privileged port)
HTTP_PROXY=http://172.16.28.8:3128 NO_PROXY=169.254.169.254 -> ConnectionError
  closed http://169.254.42.42/ (other port)
  an instance seen before: False
  what remains: DataSourceNone iid-datasource-none
HTTP_PROXY=http://172.16.28.8:3128 NO_PROXY=169.254.0.0/16 -> metadata
  metadata / (other port)
  metadata /conf?format=json (other port)
  metadata /user_data/cloud-init (privileged port)
  metadata /vendor_data/cloud-init (privileged port)
HTTP_PROXY=http://172.16.28.8:3129 -> metadata
  open http://169.254.42.42/ (other port)
  open http://169.254.42.42/conf?format=json (other port)
  open http://169.254.42.42/user_data/cloud-init (other port)
  open http://169.254.42.42/vendor_data/cloud-init (other port)' ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
