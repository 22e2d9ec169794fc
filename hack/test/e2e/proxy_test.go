package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"

	"egress.scw/cloudinit"
	"egress.scw/hack/local/environment"
	"egress.scw/hack/local/network"
	"egress.scw/hack/test/stopwatch"
	"egress.scw/webhook/api/names"
)

// updateTime bounds the time from the start of bootstrap apply until its configuration
// is live on the proxy. The product promises 6 s on a machine without other work.
const updateTime = 20 * time.Second

// A domain is added to a tenant's list on the running proxy within the promised
// time. An open tunnel of the same tenant stays open.
func TestDomainIsAdded(t *testing.T) {
	requireEnvironment(t)
	const name, port = "client-c", "3131"
	config := func(domains ...string) string {
		return withTenant(t, "    - name: "+name+"\n      proxy: {port: "+port+"}\n      allow: {mode: Enforce, domains: ["+strings.Join(domains, ", ")+"]}\n")
	}
	t.Cleanup(func() { apply(t, shared.ConfigFile()) })
	apply(t, config(environment.IPEchoName))
	eventually(t, "the port of "+name, func() (bool, string) { return answers(t, port), "no answer on " + port })

	_, position, err := shared.Audit(0)
	if err != nil {
		t.Fatal(err)
	}
	kept := keepAsking(t, port, false)
	client := clientOnNode(t, port, true)
	if _, err := ask(t.Context(), client, environment.HTTPBinName); err == nil || !strings.Contains(err.Error(), "Forbidden") {
		t.Errorf("%s, which is in no list: %v; want the proxy's refusal", environment.HTTPBinName, err)
	}
	wider := config(environment.IPEchoName, environment.HTTPBinName)
	checkPlan(t, wider, "update user-data")
	watch := stopwatch.Start()
	apply(t, wider)
	// apply waits until the machine reports that it serves the list.
	if _, err := ask(t.Context(), client, environment.HTTPBinName); err != nil {
		t.Errorf("%s after apply: %v", environment.HTTPBinName, err)
	}
	took := watch.Elapsed().Round(time.Second / 10)
	t.Logf("allowed %s after bootstrap apply was started", took)
	if took > updateTime {
		t.Errorf("allowed %s after bootstrap apply was started, and not within %s", took, updateTime)
	}
	if n, interruptions := kept(); n == 0 || len(interruptions) > 0 {
		t.Errorf("%d requests in the tunnel, interruptions: %v", n, interruptions)
	}
	checkVerdicts(t, position, name, environment.HTTPBinName, "denied", "allowed")
}

// checkVerdicts compares a tenant's verdicts for a host in the audit log from a
// position on, without repetitions.
func checkVerdicts(t *testing.T, position int64, tenant, host string, want ...string) {
	t.Helper()
	eventually(t, "the audit log", func() (bool, string) {
		records, _, err := shared.Audit(position)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, record := range records {
			if record.Tenant == tenant && record.Host == host && (len(got) == 0 || got[len(got)-1] != string(record.Verdict)) {
				got = append(got, string(record.Verdict))
			}
		}
		return strings.Join(got, " ") == strings.Join(want, " "), fmt.Sprintf("verdicts %q, want %q", got, want)
	})
}

// A squid.conf that Squid would not accept is written into the user data. The
// proxy keeps the old one and reports the error, and the next apply repairs it.
func TestUnreadableConfigurationIsRefused(t *testing.T) {
	requireEnvironment(t)
	api, server := proxyServer(t)
	read := func() []byte {
		content, err := api.GetServerUserData(&instance.GetServerUserDataRequest{ServerID: server.ID, Key: cloudinit.UserDataSquidConf})
		if err != nil {
			t.Fatal(err)
		}
		value, err := io.ReadAll(content)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	good, err := cloudinit.DecodeSquidConf(read())
	if err != nil {
		t.Fatal(err)
	}
	bad, err := cloudinit.EncodeSquidConf(append(good, "no_such_directive on\n"...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { apply(t, shared.ConfigFile()) })
	if err := api.SetServerUserData(&instance.SetServerUserDataRequest{
		ServerID: server.ID, Key: cloudinit.UserDataSquidConf, Content: bytes.NewReader(bad),
	}); err != nil {
		t.Fatal(err)
	}
	waitMetric(t, names.MetricConfigRefused, "1")
	for tenant, port := range map[string]string{"client-a": "3129", "client-b": "3130"} {
		if seen, err := ask(t.Context(), clientOnNode(t, port, true), environment.IPEchoName); err != nil || seen != egressAddress(t, tenant) {
			t.Errorf("%s, with the old configuration: seen as %q, %v", tenant, seen, err)
		}
	}
	checkPlan(t, shared.ConfigFile(), "update user-data")
	apply(t, shared.ConfigFile())
	waitMetric(t, names.MetricConfigRefused, "0")
}

// waitMetric waits until a metric of the proxy has a value that matches the expression.
func waitMetric(t *testing.T, name, want string) {
	t.Helper()
	wanted := regexp.MustCompile(`(?m)^` + name + ` ` + want + `$`)
	line := regexp.MustCompile(`(?m)^` + name + ` .*$`)
	eventually(t, name+" to be "+want, func() (bool, string) {
		body, err := exported(t, names.MachineMetricsPort)
		return err == nil && wanted.MatchString(body), fmt.Sprintf("%q, %v", line.FindString(body), err)
	})
}

// exported returns the metrics on a port of the proxy.
func exported(t *testing.T, port int) (string, error) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: dialFromNode, DisableKeepAlives: true}, Timeout: time.Minute}
	url := "http://" + net.JoinHostPort(shared.Plan.ProxyPrivate.String(), fmt.Sprint(port)) + "/metrics"
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

// The proxy's server is rebooted through the API, as users do. It starts by
// itself, with the configuration that it has received since its first boot.
func TestProxyReboot(t *testing.T) {
	requireEnvironment(t)
	const marker = "/run/egress-e2e"
	vm, err := shared.Machine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := vm.Exec(t.Context(), "touch", marker); err != nil {
		t.Fatal(err)
	}
	gateway := gatewayLink(t)
	api, server := proxyServer(t)
	timeout, pause := 5*time.Minute, 200*time.Millisecond
	if err := api.ServerActionAndWait(&instance.ServerActionAndWaitRequest{
		ServerID: server.ID, Action: instance.ServerActionReboot, Timeout: &timeout, RetryInterval: &pause,
	}); err != nil {
		t.Fatal(err)
	}
	if vm, err = shared.Machine(t.Context()); err != nil {
		t.Fatal(err)
	}
	booting, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	if err := vm.Wait(booting); err != nil {
		t.Fatal(err)
	}
	if _, err := vm.Exec(t.Context(), "test", "!", "-e", marker); err != nil {
		t.Errorf("it has not been rebooted: %v", err)
	}
	// Until then, Squid may read its configuration once more, and refuses connections
	// while it does.
	waitMetric(t, names.MetricConfigLive, "[1-9].*")
	for tenant, port := range map[string]string{"client-a": "3129", "client-b": "3130"} {
		eventually(t, tenant, func() (bool, string) {
			seen, err := ask(t.Context(), clientOnNode(t, port, true), environment.IPEchoName)
			return err == nil && seen == egressAddress(t, tenant), fmt.Sprintf("seen as %q, %v", seen, err)
		})
	}
	checkPlan(t, shared.ConfigFile())
	if now := gatewayLink(t); now != gateway {
		t.Errorf("the gateway was %q, and is %q: nodes lose it for a while", gateway, now)
	}
}

// gatewayLink is the gateway's link on the Private Network, with its address.
func gatewayLink(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ip", "-n", shared.Plan.Netns(network.Gateway), "-brief", "link", "show", network.PrivateBridge).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// proxyServer finds the server that bootstrap has made, by its tag.
func proxyServer(t *testing.T) (*instance.API, *instance.Server) {
	t.Helper()
	client, err := shared.Scaleway()
	if err != nil {
		t.Fatal(err)
	}
	api := instance.NewAPI(client)
	list, err := api.ListServers(&instance.ListServersRequest{Tags: []string{"egress-scw=local"}})
	if err != nil || len(list.Servers) != 1 {
		t.Fatalf("servers: %+v, %v; want one", list, err)
	}
	return api, list.Servers[0]
}
