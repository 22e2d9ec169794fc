#!/bin/bash
# cloud-init-scaleway-schema.sh: cloud-init's data source for Scaleway meets
# cloud-init's own schema of network configurations.
#
# Version: cloud-init 25.1.4-1+deb13u1 (Debian 13), run with the Python of Debian 12.
#
# Expected: a module of cloud-init writes a network configuration that cloud-init
# accepts.
# Happens: for the address that DHCP leased, the data source adds a route to the
# metadata service, 169.254.42.42, with "on-link: true", netplan's spelling. The
# schema of version 2 knows "to", "via" and "metric" of a route, and nothing
# else. So each Instance with a public IPv4 address, and without netplan's Python
# library (whose parser is asked first and admits the key), breaks the schema.
# Matters: the warning "Invalid network-config provided" makes "cloud-init status"
# exit with 2 ("degraded") on every healthy machine. Set-ups that wait for a
# proxy by "cloud-init status --wait" take it for failed. Those that therefore
# accept 2 no longer see the warnings about their own user data.
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

# The metadata are those of an Instance with two flexible addresses, without the
# fields that the network configuration does not need.
cat >try.py <<'PY'
import types

from cloudinit import sources
from cloudinit.config import schema
from cloudinit.sources.DataSourceScaleway import DataSourceScaleway

source = DataSourceScaleway.__new__(DataSourceScaleway)
source._network_config = sources.UNSET
source.distro = types.SimpleNamespace(fallback_interface="ens2")
source.ephemeral_fixed_address = "198.51.100.10"
source.metadata = {
    "private_ip": None,
    "public_ips": [
        {"address": "198.51.100.10", "netmask": "32", "gateway": "62.210.0.1", "family": "inet"},
        {"address": "198.51.100.11", "netmask": "32", "gateway": "62.210.0.1", "family": "inet"},
    ],
}
config = source.network_config
print("routes:", config["ethernets"]["ens2"]["routes"])
try:
    schema.validate_cloudconfig_schema(config=config, schema_type=schema.SchemaType.NETWORK_CONFIG, strict=True)
except schema.SchemaValidationError as error:
    print(error)
PY
# -S: no packages of this machine, of which netplan's would answer first.
output=$(PYTHONPATH=$work/root/usr/lib/python3/dist-packages /usr/bin/python3 -S try.py)
echo "$output"

if [ "$output" != "routes: [{'on-link': True, 'to': '169.254.42.42/32', 'via': '62.210.0.1'}]
Cloud config schema errors: ethernets.ens2.routes.0: Additional properties are not allowed ('on-link' was unexpected)" ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
