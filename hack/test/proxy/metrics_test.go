package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"egress.scw/cloudinit"
	"egress.scw/cloudinit/squid"
	"egress.scw/hack/local/machine"
	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/proxystatus"
	"egress.scw/webhook/api/v1alpha1"
)

// The number of clients that send requests of a tenant, and the number of rotations
// of the audit log during these requests.
const (
	rotatedClients = 4
	rotations      = 3
)

// checkMetrics sends requests with unique hosts while the audit log is rotated.
// Each host must be in the audit log, over all its files, exactly once, and the
// tenant's metrics must grow by the sums in the log.
func (w *world) checkMetrics(t *testing.T, vm *machine.VM) {
	markAuditLog(t, vm) // lines that are written later would be counted among those of this check
	before := settled(t)
	hosts := askWhileRotating(t, vm)

	want, got := map[string]int{}, map[string]int{}
	for _, host := range hosts {
		want[host] = 1
	}
	var received, sent float64
	eventually(t, "the audit log", func() error {
		clear(got)
		received, sent = 0, 0
		for _, record := range wholeAuditLog(t, vm) {
			if strings.HasSuffix(record.Host, ".rotated.example") {
				got[record.Host]++
				received += float64(record.BytesReceived)
				sent += float64(record.BytesSent)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("of %d requests, %d hosts are in it; -asked for +logged:\n%.2000s", len(hosts), len(got), diff)
		}
		return nil
	})
	t.Logf("%d requests, %d rotations: %d lines", len(hosts), rotations, len(got))

	grown := map[string]float64{
		names.MetricRequests + `{tenant="client-b",verdict="denied"}`: float64(len(hosts)),
		names.MetricDenials + `{rule="domain",tenant="client-b"}`:     float64(len(hosts)),
		names.MetricReceivedBytes + `{tenant="client-b"}`:             received,
		names.MetricSentBytes + `{tenant="client-b"}`:                 sent,
	}
	eventually(t, "metrics", func() error {
		after := scrape(t)
		difference := map[string]float64{}
		for name := range grown {
			difference[name] = after[name] - before[name]
		}
		if diff := cmp.Diff(grown, difference); diff != "" {
			return fmt.Errorf("growth, -want +got:\n%s", diff)
		}
		return nil
	})
}

// askWhileRotating returns the hosts of the requests. The tenant's list contains
// none of them.
func askWhileRotating(t *testing.T, vm *machine.VM) []string {
	t.Helper()
	// One rotation at a time: a second one would find the state file of the first locked.
	in(t, vm, "systemctl", "stop", "logrotate.timer", "logrotate.service")
	defer in(t, vm, "systemctl", "start", "logrotate.timer")
	var done atomic.Bool
	asked := make([][]string, rotatedClients)
	var clients sync.WaitGroup
	for client := range rotatedClients {
		clients.Go(func() {
			for i := 0; !done.Load(); i++ {
				host := fmt.Sprintf("r%d-%d.rotated.example", client, i)
				got, err := get(t.Context(), sharedPort, "http://"+host+"/")
				if err != nil || got.status != http.StatusForbidden {
					t.Errorf("%s: %+v, %v, want status 403", host, got, err)
					return
				}
				asked[client] = append(asked[client], host)
			}
		})
	}
	// The clients end after successful and after failed rotations.
	defer clients.Wait()
	defer done.Store(true)
	for range rotations {
		eventually(t, "a rotation", func() error { // which is put off if a reader is not stopped within 10 s
			_, err := vm.Exec(t.Context(), "logrotate", "--force", "/etc/logrotate.d/squid")
			return err
		})
		time.Sleep(2 * time.Second) // two files of the same second would conflict; the timer's are a minute apart
	}
	done.Store(true)
	clients.Wait()
	return slices.Concat(asked...)
}

// wholeAuditLog returns the lines of all files of the audit log. The file that is written
// to is the last one of them, so that only the last line can be incomplete.
func wholeAuditLog(t *testing.T, vm *machine.VM) []squid.AuditRecord {
	t.Helper()
	text, err := vm.Exec(t.Context(), "sh", "-c", "zcat --force $(ls -r "+cloudinit.AuditLog+"*)")
	if err != nil {
		t.Fatal(err)
	}
	var records []squid.AuditRecord
	for line := range strings.Lines(text) {
		if !strings.HasSuffix(line, "\n") {
			break // still being written
		}
		var record squid.AuditRecord
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		records = append(records, record)
	}
	return records
}

// scrape returns the product's own metrics of both exporters, as a client in the Private
// Network reads them.
func scrape(t *testing.T) map[string]float64 {
	t.Helper()
	result := map[string]float64{}
	for _, port := range []int{names.TenantMetricsPort, names.MachineMetricsPort} {
		eventually(t, "a response of the metrics' port", func() error {
			metrics, err := metricsAt(t.Context(), port) // mtail does not respond while the audit log is rotated
			maps.Copy(result, metrics)
			return err
		})
	}
	maps.DeleteFunc(result, func(name string, _ float64) bool { return !strings.HasPrefix(name, "egress_proxy_") })
	if len(result) == 0 {
		t.Fatal("there are no metrics")
	}
	return result
}

// settled returns the result of scrape, once mtail has read all lines logged before. An mtail
// that gets no CPU for a while answers two scrapes around that time before it reads on.
func settled(t *testing.T) map[string]float64 {
	t.Helper()
	const looks = 4
	last, same := scrape(t), 1
	eventually(t, "metrics that stay as they are", func() error {
		time.Sleep(time.Second) // four times mtail's polling interval
		now := scrape(t)
		diff := cmp.Diff(last, now, cmpopts.IgnoreMapEntries(func(name string, _ float64) bool { return strings.HasPrefix(name, "egress_proxy_config_") }))
		last = now
		if diff != "" {
			same = 1
			return fmt.Errorf("-before +after:\n%s", diff)
		}
		if same++; same < looks {
			return fmt.Errorf("they are the same in %d looks, want %d", same, looks)
		}
		return nil
	})
	return last
}

// metricsAt reads the metrics of one of the exporters.
func metricsAt(ctx context.Context, port int) (map[string]float64, error) {
	conn, err := dial(ctx, netnsNode, fmt.Sprintf("%s:%d", proxyAddress, port))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET /metrics HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", proxyAddress); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(conn.reader, nil)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	result := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if i := strings.LastIndexByte(line, ' '); i > 0 && !strings.HasPrefix(line, "#") {
			if result[line[:i]], err = strconv.ParseFloat(line[i+1:], 64); err != nil {
				return nil, fmt.Errorf("%s: %w", line, err)
			}
		}
	}
	return result, nil
}

// checkExporters: both exporters respond to the Private Network. They respond
// neither to requests through Squid, nor to Squid's user, in case a request
// tricks Squid.
func checkExporters(t *testing.T, vm *machine.VM) {
	t.Helper()
	waitForSquidMetrics(t) // of a Squid that has just read its file
	for _, port := range []int{names.TenantMetricsPort, names.MachineMetricsPort, names.SquidMetricsPort} {
		target := fmt.Sprintf("http://%s:%d/metrics", proxyAddress, port)
		if got, err := get(t.Context(), openPort, target); err != nil || got.status != http.StatusForbidden {
			t.Errorf("%s by the proxy: %+v, %v, want status 403", target, got, err)
		}
		if out, err := vm.Exec(t.Context(), "setpriv", "--reuid=proxy", "--clear-groups", "curl", "--silent", "--max-time", "5", target); err == nil {
			t.Errorf("%s answers to Squid's user: %.100s", target, out)
		}
		in(t, vm, "curl", "--silent", "--fail", "--max-time", "60", "--output", "/dev/null", target) // the control, on a busy machine too
	}
}

// waitForSquidMetrics waits until Squid gives its statistics to their exporter.
func waitForSquidMetrics(t *testing.T) {
	t.Helper()
	eventually(t, "Squid's own metrics", func() error {
		metrics, err := metricsAt(t.Context(), names.SquidMetricsPort)
		if up := metrics[`squid_up{host="127.0.0.1"}`]; err == nil && up != 1 {
			err = fmt.Errorf("squid_up is %g", up)
		}
		return err
	})
}

// checkStatus: the state of the machine is told to the Private Network, lists the
// tenants, and is no proxy. Squid's user does not reach it.
func checkStatus(t *testing.T, vm *machine.VM, tenants []v1alpha1.Tenant) {
	t.Helper()
	mark := markAuditLog(t, vm)
	target := fmt.Sprintf("http://%s:%d%s", proxyAddress, names.StatusPort, names.StatusPath)
	client := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) { return dial(ctx, netnsNode, address) }, DisableKeepAlives: true,
	}, Timeout: time.Minute}
	var served []proxystatus.Tenant
	eventually(t, target, func() error { // the tenants' ports are opened before this one
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		page, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s, %w:\n%s", response.Status, err, page)
		}
		served, err = proxystatus.Parse(page)
		return err
	})
	want := map[string]string{}
	for _, tenant := range tenants {
		want[tenant.Name] = tenant.Revision()
	}
	got := map[string]string{}
	for _, tenant := range served {
		got[tenant.Name] = tenant.Revision
	}
	if !maps.Equal(got, want) {
		t.Errorf("%s lists %v, want %v", target, got, want)
	}
	if got, err := get(t.Context(), openPort, target); err != nil || got.status != http.StatusForbidden {
		t.Errorf("%s by the proxy: %+v, %v, want status 403", target, got, err)
	}
	if out, err := vm.Exec(t.Context(), "setpriv", "--reuid=proxy", "--clear-groups", "curl", "--silent", "--max-time", "5", target); err == nil {
		t.Errorf("%s answers to Squid's user: %.100s", target, out)
	}
	for _, record := range auditLog(t, vm)[mark:] {
		if record.Port == strconv.Itoa(names.StatusPort) {
			t.Errorf("the audit log has a request for the state: %+v", record)
		}
	}
}

// checkRefusalShows waits until the metrics report whether the configuration
// sent to the machine is refused.
func checkRefusalShows(t *testing.T, want float64) {
	t.Helper()
	eventually(t, names.MetricConfigRefused, func() error {
		got := scrape(t)
		switch {
		case got[names.MetricConfigFetched] != 1 || got[names.MetricConfigLive] == 0:
			return fmt.Errorf("no configuration: %v", got)
		case got[names.MetricConfigRefused] != want:
			return fmt.Errorf("is %v, want %v", got[names.MetricConfigRefused], want)
		}
		return nil
	})
}
