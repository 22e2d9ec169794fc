#!/bin/bash
# scaleway-zone-without-region.sh: a profile of Scaleway's configuration file
# meets the variable that selects another zone.
#
# Version: github.com/scaleway/scaleway-sdk-go v1.39.0.
#
# Expected: with SCW_DEFAULT_ZONE=nl-ams-1 everything is made in Amsterdam: the
# zone is in the region nl-ams, and the SDK itself knows that (Zone.Region).
# Happens: the profile's region stays. Products of a zone (instances, gateways)
# are asked for in Amsterdam, and those of a region (private networks, addresses,
# clusters) in Paris. SCW_DEFAULT_REGION alone splits them the other way round.
# Nothing warns.
# Matters: the quickest way to try another data centre is this variable. A
# list then shows half of what there is, a clean-up deletes half of it, and the
# rest is paid for. A server in Amsterdam and a network in Paris are both made
# before anything fails. Who sets one of the two variables has to set the other.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
umask 077

cat >config.yaml <<'YAML'
access_key: SCWXXXXXXXXXXXXXXXXX
secret_key: 11111111-2222-4333-8444-555555555555
default_region: fr-par
default_zone: fr-par-1
YAML

# Lists servers, gateways, networks and clusters, and prints where they were
# asked for.
cat >main.go <<'GO'
package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"
	"github.com/scaleway/scaleway-sdk-go/api/k8s/v1"
	"github.com/scaleway/scaleway-sdk-go/api/vpc/v2"
	"github.com/scaleway/scaleway-sdk-go/api/vpcgw/v2"
	"github.com/scaleway/scaleway-sdk-go/scw"
)

func main() {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if parts := strings.Split(r.URL.Path, "/"); len(parts) > 4 {
			asked = append(asked, parts[1]+" "+parts[4])
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"total_count": 0}`)
	}))
	defer server.Close()

	config, err := scw.LoadConfig()
	check(err)
	profile, err := config.GetActiveProfile()
	check(err)
	client, err := scw.NewClient(scw.WithProfile(profile), scw.WithEnv(), scw.WithAPIURL(server.URL))
	check(err)

	_, err = instance.NewAPI(client).ListServers(&instance.ListServersRequest{})
	check(err)
	_, err = vpcgw.NewAPI(client).ListGateways(&vpcgw.ListGatewaysRequest{})
	check(err)
	_, err = vpc.NewAPI(client).ListPrivateNetworks(&vpc.ListPrivateNetworksRequest{})
	check(err)
	_, err = k8s.NewAPI(client).ListClusters(&k8s.ListClustersRequest{})
	check(err)
	fmt.Println(strings.Join(asked, ", "))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
GO
{
	go mod init finding.test
	go get github.com/scaleway/scaleway-sdk-go/scw@v1.39.0
	nice -n 5 go build -o list .
} >log 2>&1 || { cat log >&2 && exit 1; }

# list [VARIABLE=VALUE…]: one run with these variables only.
list() {
	echo "${*:-profile alone}: $(env -i HOME="$work" SCW_CONFIG_PATH="$work/config.yaml" "$@" ./list)"
}
output=$(
	list
	list SCW_DEFAULT_ZONE=nl-ams-1
	list SCW_DEFAULT_REGION=nl-ams
	list SCW_DEFAULT_ZONE=nl-ams-1 SCW_DEFAULT_REGION=nl-ams
)
echo "$output"

if [ "$output" != 'profile alone: instance fr-par-1, vpc-gw fr-par-1, vpc fr-par, k8s fr-par
SCW_DEFAULT_ZONE=nl-ams-1: instance nl-ams-1, vpc-gw nl-ams-1, vpc fr-par, k8s fr-par
SCW_DEFAULT_REGION=nl-ams: instance fr-par-1, vpc-gw fr-par-1, vpc nl-ams, k8s nl-ams
SCW_DEFAULT_ZONE=nl-ams-1 SCW_DEFAULT_REGION=nl-ams: instance nl-ams-1, vpc-gw nl-ams-1, vpc nl-ams, k8s nl-ams' ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
