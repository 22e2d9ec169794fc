#!/bin/bash
# scaleway-zones-error.sh: the SDK's types of errors meet its lists of several zones.
#
# Version: github.com/scaleway/scaleway-sdk-go v1.39.0.
#
# Expected: WithZones and WithRegions change where a list looks, and the errors stay what
# they are: to errors.As, a denied request is a *scw.PermissionsDeniedError, and one
# that came too often is a *scw.ResponseError with the status 429.
# Happens: with either option, one zone is enough, the error of a request becomes text in
# another error. errors.As finds neither its type nor the *scw.ResponseError with the
# status. If one zone of several fails, the answers of the others are dropped.
# Matters: code that tells errors apart (to wait and try again, to go on without a product
# that is not allowed, to take "not found" for an empty list) stops to do so the day
# it looks into a second zone. It compiles, and its message still reads the same. What
# remains is to ask each zone by itself.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export CGO_ENABLED=0

# The answers are those of the API, without the fields that the SDK ignores here.
cat >main.go <<'GO'
package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"
	"github.com/scaleway/scaleway-sdk-go/api/k8s/v1"
	"github.com/scaleway/scaleway-sdk-go/scw"
)

func main() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.Contains(r.URL.Path, "/zones/fr-par-1/"):
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"type": "permissions_denied", "message": "insufficient permissions", "details": [{"resource": "instance", "action": "read"}]}`)
		case strings.Contains(r.URL.Path, "/regions/fr-par/"):
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(http.StatusTooManyRequests)
		default:
			w.Header().Set("X-Total-Count", "1")
			fmt.Fprint(w, `{"servers": [{"name": "there", "zone": "nl-ams-1"}]}`)
		}
	}))
	client, err := scw.NewClient(scw.WithAPIURL(server.URL), scw.WithoutAuth())
	if err != nil {
		panic(err)
	}
	servers := func(options ...scw.RequestOption) {
		response, err := instance.NewAPI(client).ListServers(&instance.ListServersRequest{Zone: scw.ZoneFrPar1}, options...)
		found := 0
		if response != nil {
			found = len(response.Servers)
		}
		fmt.Printf("%s, servers: %d\n", kind(err), found)
	}
	clusters := func(options ...scw.RequestOption) {
		_, err := k8s.NewAPI(client).ListClusters(&k8s.ListClustersRequest{Region: scw.RegionFrPar}, options...)
		fmt.Println(kind(err))
	}
	fmt.Print("zone of the request: ")
	servers()
	fmt.Print("WithZones, this one: ")
	servers(scw.WithZones(scw.ZoneFrPar1))
	fmt.Print("WithZones, and another: ")
	servers(scw.WithZones(scw.ZoneFrPar1, scw.ZoneNlAms1))
	fmt.Print("region of the request: ")
	clusters()
	fmt.Print("WithRegions, this one: ")
	clusters(scw.WithRegions(scw.RegionFrPar))
}

// kind is the error's type as errors.As finds it.
func kind(err error) string {
	var denied *scw.PermissionsDeniedError
	var response *scw.ResponseError
	switch {
	case err == nil:
		return "no error"
	case errors.As(err, &denied):
		return "PermissionsDeniedError"
	case errors.As(err, &response):
		return fmt.Sprintf("ResponseError %d", response.StatusCode)
	default:
		return "none of the SDK's types"
	}
}
GO
{
	go mod init finding.test
	go get github.com/scaleway/scaleway-sdk-go/scw@v1.39.0
	nice -n 5 go build -o run .
} >log 2>&1 || { cat log >&2 && exit 1; }
output=$(./run)
echo "$output"

if [ "$output" != "zone of the request: PermissionsDeniedError, servers: 0
WithZones, this one: none of the SDK's types, servers: 0
WithZones, and another: none of the SDK's types, servers: 0
region of the request: ResponseError 429
WithRegions, this one: none of the SDK's types" ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
