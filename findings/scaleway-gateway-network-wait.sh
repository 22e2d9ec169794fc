#!/bin/bash
# scaleway-gateway-network-wait.sh: the waiter of Scaleway's Go SDK meets the
# states that a new gateway network goes through.
#
# Versions: github.com/scaleway/scaleway-sdk-go v1.39.0 (the newest in November
# 2026) and v1.0.0-beta.35.
#
# Expected: WaitForGatewayNetwork returns when the network is ready. The API
# answers the creation with "created"; then come "configuring" and "ready".
# Happens: "created" counts as an end. The waiter returns after one request,
# without an error. A network that has come as far as "configuring" is waited
# for. In v1.0.0-beta.35 the same call waited in both cases: its states to end
# in were listed by hand. In the generated waiter the states to wait in are
# listed, and "created" is not among them.
# Matters: code that creates a network, waits and goes on (to routes, to servers
# without an address of their own, to the next network of the same gateway) is
# right or wrong by the speed of the API: it meets a gateway that still refuses
# changes, or its servers have no way out yet. An upgrade of the SDK is enough.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The answers are those of the API without the fields that the waiter ignores.
# Newer versions of the SDK also ask for metadata of the API, and go on without.
cat >"$work/main.go" <<'GO'
package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/scaleway/scaleway-sdk-go/api/vpcgw/v2"
	"github.com/scaleway/scaleway-sdk-go/scw"
)

const id = "11111111-2222-4333-8444-555555555555"

func main() {
	for _, states := range [][]string{{"created", "configuring", "ready"}, {"configuring", "ready"}} {
		requests := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.Contains(r.URL.Path, "/gateway-networks/") {
				http.NotFound(w, r)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"id": %q, "gateway_id": %q, "private_network_id": %q, "zone": "fr-par-1", "status": %q}`,
				id, id, id, states[min(requests, len(states)-1)])
			requests++
		}))
		client, err := scw.NewClient(scw.WithAPIURL(server.URL), scw.WithoutAuth())
		if err != nil {
			panic(err)
		}
		interval := 10 * time.Millisecond
		network, err := vpcgw.NewAPI(client).WaitForGatewayNetwork(&vpcgw.WaitForGatewayNetworkRequest{
			Zone: scw.ZoneFrPar1, GatewayNetworkID: id, RetryInterval: &interval,
		})
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s, first %q: %q after request %d\n", os.Args[1], states[0], network.Status, requests)
		server.Close()
	}
}
GO

# run VERSION: prints a line for each of the two beginnings.
run() {
	mkdir "$work/$1"
	cd "$work/$1"
	cp ../main.go .
	{
		go mod init finding.test
		go get "github.com/scaleway/scaleway-sdk-go/scw@$1"
	} >log 2>&1 || { cat log >&2 && exit 1; }
	nice -n 5 go run . "$1"
}

output=$(run v1.39.0 && run v1.0.0-beta.35)
echo "$output"

if [ "$output" != 'v1.39.0, first "created": "created" after request 1
v1.39.0, first "configuring": "ready" after request 2
v1.0.0-beta.35, first "created": "ready" after request 3
v1.0.0-beta.35, first "configuring": "ready" after request 2' ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
