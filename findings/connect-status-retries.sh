#!/bin/bash
# connect-status-retries.sh: retries by status meet the answer to CONNECT.
#
# Versions: curl 7.88.1-10+deb12u15, wget 1.21.3-1+deb12u1 (Debian 12),
# github.com/hashicorp/go-retryablehttp v0.7.8, Go 1.26.8.
#
# Expected: "curl --retry" tries again after a 503, "wget --retry-on-http-error=503" too,
# and none of the three repeats a request that was refused with a 403. Which part of the
# URL follows "http" makes no difference: in both cases the status is the proxy's.
# Happens: for https:// the answer to CONNECT is not a response for which retries are
# configured. curl and wget give up after the first 503. curl says "The requested URL
# returned error: 503" and exits with 22, as if it had tried often enough. For
# go-retryablehttp it is an error of the connection like any other, and all such are
# retried: a 403 as well.
# Matters: installation scripts and pipelines have these options for the moments in which a
# proxy restarts, or a name does not resolve. They help for http:// only, which is how they
# are tried out, and hardly any download uses. curl needs --retry-all-errors, which then
# repeats refused requests as well. A program with go-retryablehttp and its own settings
# makes five requests in 15 seconds for a host that is not allowed, before it says so, and
# the proxy's log has five denials.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export GOTOOLCHAIN=go1.26.8 CGO_ENABLED=0

# The program is the proxy, runs curl and wget, and is the third client itself.
cat >main.go <<'GO'
package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

func main() {
	var requests, status atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.WriteHeader(int(status.Load()))
	}))
	clients := []struct {
		name string
		get  func(target string)
	}{
		{"curl", func(target string) {
			run(proxy.URL, "root/usr/bin/curl", "--silent", "--show-error", "--fail", "--retry", "2", "--retry-delay", "1", target)
		}},
		{"curl --retry-all-errors", func(target string) {
			run(proxy.URL, "root/usr/bin/curl", "--silent", "--fail", "--retry", "2", "--retry-delay", "1", "--retry-all-errors", target)
		}},
		{"wget", func(target string) {
			run(proxy.URL, "root/usr/bin/wget", "--quiet", "--output-document=-", "--tries=3", "--waitretry=1", "--retry-on-http-error=503", target)
		}},
		{"go-retryablehttp", func(target string) { get(proxy.URL, target) }},
	}
	for _, client := range clients {
		fmt.Printf("%s:", client.name)
		for _, answer := range []int32{http.StatusServiceUnavailable, http.StatusForbidden} {
			for _, scheme := range []string{"http", "https"} {
				status.Store(answer)
				requests.Store(0)
				client.get(scheme + "://www.example.test/")
				fmt.Printf(" %s %d: %d", scheme, answer, requests.Load())
			}
		}
		fmt.Println()
	}
}

func run(proxy string, command ...string) {
	client := exec.Command(command[0], command[1:]...)
	client.Env = append(os.Environ(), "http_proxy="+proxy, "https_proxy="+proxy)
	client.Stderr = os.Stderr
	_ = client.Run() // It fails in each case.
}

func get(proxy, target string) {
	address, err := url.Parse(proxy)
	check(err)
	client := retryablehttp.NewClient()
	client.RetryMax, client.RetryWaitMin, client.RetryWaitMax = 2, 10*time.Millisecond, 20*time.Millisecond
	client.HTTPClient.Transport.(*http.Transport).Proxy = http.ProxyURL(address)
	client.Logger = nil
	if response, err := client.Get(target); err == nil {
		check(response.Body.Close())
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
GO
# Other libraries than these come with curl and apt.
{
	apt-get download curl=7.88.1-10+deb12u15 libcurl4=7.88.1-10+deb12u15 wget=1.21.3-1+deb12u1
	for package in *.deb; do dpkg-deb -x "$package" root; done
	go mod init finding.test
	go get github.com/hashicorp/go-retryablehttp@v0.7.8
	nice -n 5 go build -o run .
} >log 2>&1 || { cat log >&2 && exit 1; }
# No settings of this machine.
output=$(env -u no_proxy -u NO_PROXY -u ALL_PROXY -u all_proxy HOME="$work" LD_LIBRARY_PATH="$work/root/usr/lib/x86_64-linux-gnu" ./run)
echo "$output"

if [ "$output" != 'curl: http 503: 3 https 503: 1 http 403: 1 https 403: 1
curl --retry-all-errors: http 503: 3 https 503: 3 http 403: 3 https 403: 3
wget: http 503: 3 https 503: 1 http 403: 1 https 403: 1
go-retryablehttp: http 503: 3 https 503: 3 http 403: 1 https 403: 3' ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
