#!/bin/bash
# alertmanager-receiver-proxy.sh: the proxy of Alertmanager's global http_config meets a
# receiver, or a token, with settings of its own.
#
# Version: github.com/prometheus/alertmanager v0.34.2 with prometheus/common v0.70.1.
#
# Expected: "global" has the proxy for all that Alertmanager sends. A receiver that adds
# one line about something else (HTTP/2, a header, a redirect) changes that alone.
# Happens: the http_config of a receiver takes the place of the global one as a whole. Its
# messages are sent directly, for webhook, Slack and PagerDuty alike. Teams (msteamsv2) is the
# one kind of receiver that keeps proxy_url (config/config.go), but neither
# proxy_from_environment nor no_proxy, so that Teams at a host of no_proxy is asked for at
# the proxy. And whoever keeps the proxy for a message does not have it for the token that
# the message needs: oauth2 has a proxy_url of its own. All of these configurations are valid,
# without a warning.
# Matters: where the proxy is the only way out, the alerts of one receiver stop after a
# change that has nothing to do with proxies, and those are the alerts about the proxy, too.
# The error is a time-out, and the metric alertmanager_notifications_failed_total the only
# trace. Each http_config and each oauth2 below a receiver needs the proxy again.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export CGO_ENABLED=0

# The program is the proxy, the services that are alerted, and Alertmanager's part that
# reads the configuration and makes a client of each receiver.
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/prometheus/alertmanager/config"
	common "github.com/prometheus/common/config"
)

const receivers = `
route: {receiver: all}
receivers:
- name: all
  webhook_configs: [{url: "http://service.test/"%[1]s}]
  slack_configs: [{api_url: "http://service.test/"%[1]s}]
  pagerduty_configs: [{routing_key: key, url: "http://service.test/"%[1]s}]
  msteamsv2_configs: [{webhook_url: "http://service.test/"%[1]s}]
`

func main() {
	proxy, direct := server("proxy"), server("direct")
	check(os.Setenv("HTTP_PROXY", proxy))
	url := "proxy_url: " + proxy
	for _, global := range []string{url, "proxy_from_environment: true", url + ", no_proxy: service.test"} {
		for _, own := range []string{"", "enable_http2: false"} {
			try(global, own, direct)
		}
	}
	try(url+", oauth2: {client_id: me, client_secret: key, token_url: \"http://service.test/token\"}", "", direct)
}

// try prints how each receiver's message travels, and its token.
func try(global, own, direct string) {
	line := ""
	if own != "" {
		line = ", http_config: {" + own + "}"
	}
	read, err := config.Load("global: {http_config: {" + global + "}}\n" + fmt.Sprintf(receivers, line))
	check(err)
	all := read.Receivers[0]
	var ways []string
	for _, receiver := range []struct {
		name   string
		config *common.HTTPClientConfig
	}{
		{"webhook", all.WebhookConfigs[0].HTTPConfig},
		{"slack", all.SlackConfigs[0].HTTPConfig},
		{"pagerduty", all.PagerdutyConfigs[0].HTTPConfig},
		{"msteamsv2", all.MSTeamsV2Configs[0].HTTPConfig},
	} {
		ways = append(ways, receiver.name+" "+way(*receiver.config, direct))
	}
	fmt.Printf("global {%s}, receiver {%s}: %s\n", global, own, strings.Join(ways, ", "))
}

// way sends a message. A connection to the service leads to the server "direct".
func way(settings common.HTTPClientConfig, direct string) string {
	seen = nil
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == "service.test:80" {
			address = strings.TrimPrefix(direct, "http://")
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	client, err := common.NewClientFromConfig(settings, "notifier", common.WithDialContextFunc(dial))
	check(err)
	response, err := client.Post("http://service.test/", "application/json", strings.NewReader("{}"))
	check(err)
	check(response.Body.Close())
	return strings.Join(seen, " and ")
}

var seen []string

// server answers messages, and requests for a token, and notes them.
func server(name string) string {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			seen = append(seen, "token "+name)
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"access_token": "token", "token_type": "bearer"}`)
			return
		}
		seen = append(seen, name)
	})).URL
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
GO
{
	go mod init finding.test
	go get github.com/prometheus/alertmanager/config@v0.34.2
	nice -n 5 go build -o run .
	go list -m github.com/prometheus/common
} >log 2>&1 || { cat log >&2 && exit 1; }
tail -n 1 log
output=$(./run | sed 's|http://127[0-9.:]*|PROXY|; s|oauth2: {.*"}|oauth2|')
echo "$output"

if [ "$output" != 'global {proxy_url: PROXY}, receiver {}: webhook proxy, slack proxy, pagerduty proxy, msteamsv2 proxy
global {proxy_url: PROXY}, receiver {enable_http2: false}: webhook direct, slack direct, pagerduty direct, msteamsv2 proxy
global {proxy_from_environment: true}, receiver {}: webhook proxy, slack proxy, pagerduty proxy, msteamsv2 proxy
global {proxy_from_environment: true}, receiver {enable_http2: false}: webhook direct, slack direct, pagerduty direct, msteamsv2 direct
global {proxy_url: PROXY, no_proxy: service.test}, receiver {}: webhook direct, slack direct, pagerduty direct, msteamsv2 direct
global {proxy_url: PROXY, no_proxy: service.test}, receiver {enable_http2: false}: webhook direct, slack direct, pagerduty direct, msteamsv2 proxy
global {proxy_url: PROXY, oauth2}, receiver {}: webhook token direct and proxy, slack token direct and proxy, pagerduty token direct and proxy, msteamsv2 token direct and proxy' ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
