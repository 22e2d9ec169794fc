#!/bin/bash
# scaleway-milan-public-suffix.sh: the Public Suffix List meets the regions of
# Scaleway.
#
# Versions: golang.org/x/net v0.62.0 (publicsuffix) and
# github.com/scaleway/scaleway-sdk-go v1.39.0 (the regions).
#
# Expected: a bucket's registrable domain (the name below a public suffix) has
# the same form in each region: BUCKET.s3.REGION.scw.cloud.
# Happens: the list has s3.REGION.scw.cloud for Paris, Amsterdam and Warsaw, and
# not for Milan. There, the registrable domain of each bucket is scw.cloud, as
# is that of the container registries of all regions.
# Matters: reports of egress group hosts by registrable domain, and lists of
# domains are proposed by it. Three regions give a line for each bucket. Milan
# gives one line, "scw.cloud", which as a rule (.scw.cloud) admits each bucket
# of each customer of Scaleway. The same service in a newer region needs another
# grouping; the name of the endpoint tells, not the list.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat >main.go <<'GO'
package main

import (
	"fmt"

	"github.com/scaleway/scaleway-sdk-go/scw"
	"golang.org/x/net/publicsuffix"
)

func main() {
	for _, region := range scw.AllRegions {
		for _, name := range []string{"invoices.s3", "rg"} {
			host := fmt.Sprintf("%s.%s.scw.cloud", name, region)
			domain, err := publicsuffix.EffectiveTLDPlusOne(host)
			if err != nil {
				panic(err)
			}
			fmt.Println(host, "->", domain)
		}
	}
}
GO
{
	go mod init finding.test
	go get github.com/scaleway/scaleway-sdk-go/scw@v1.39.0 golang.org/x/net/publicsuffix@v0.62.0
} >log 2>&1 || { cat log >&2 && exit 1; }
output=$(nice -n 5 go run .)
echo "$output"

if [ "$output" != 'invoices.s3.fr-par.scw.cloud -> invoices.s3.fr-par.scw.cloud
rg.fr-par.scw.cloud -> scw.cloud
invoices.s3.nl-ams.scw.cloud -> invoices.s3.nl-ams.scw.cloud
rg.nl-ams.scw.cloud -> scw.cloud
invoices.s3.pl-waw.scw.cloud -> invoices.s3.pl-waw.scw.cloud
rg.pl-waw.scw.cloud -> scw.cloud
invoices.s3.it-mil.scw.cloud -> scw.cloud
rg.it-mil.scw.cloud -> scw.cloud' ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
