package proxy

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"egress.scw/bootstrap/config"
	"egress.scw/cloudinit"
	"egress.scw/webhook/api/names"
)

// fault is a state of the machine, and the alerts that it makes fire.
type fault struct {
	name string
	// alerts are NAME{labels}.
	alerts        []string
	cause, repair func(*testing.T)
}

// checkAlerts brings about the causes of alerts, and evaluates the chart's rules with a
// Prometheus that scrapes the machine. Before its fault, and some time after the repair,
// an alert does not fire. The faults of one element of the list are there together.
//
// The Prometheus is sixty times faster than the rules (see startPrometheus): an alert
// about the last hour ends a minute after the repair.
func (s *sidecars) checkAlerts(t *testing.T) {
	s.mountLogs(t)
	s.startPrometheus(t)
	eventually(t, "answers of all exporters", func() error { return unscraped(t.Context()) })
	for _, faults := range [][]fault{
		{s.laterConfiguration()},
		{s.wouldBeDenied(), s.unparsable(), s.fullDisk(), s.noMetadata()},
		{s.stoppedSquid()},
		{s.hungSquid()},
		{s.stopped("mtail", exporterDown(names.TenantMetricsPort))},
		{s.stopped("prometheus-node-exporter", exporterDown(names.MachineMetricsPort), "EgressConfigNotFetched{}")},
		{s.unreadableLog()},
	} {
		for _, f := range faults {
			s.waitForAlerts(t, f.name+": before", false, f.alerts)
		}
		start := time.Now()
		for _, f := range faults {
			f.cause(t)
		}
		for _, f := range faults {
			s.waitForAlerts(t, f.name, true, f.alerts)
			t.Logf("%s: %s after %s", f.name, strings.Join(f.alerts, ", "), time.Since(start).Round(time.Second/10))
		}
		for _, f := range faults {
			f.repair(t)
		}
	}
	start := time.Now()
	eventually(t, "the end of all alerts", func() error {
		alerts, err := firing(t.Context())
		if err == nil && len(alerts) > 0 {
			err = fmt.Errorf("they are %v", alerts)
		}
		return err
	})
	t.Logf("no alert fires, %s after the last repair", time.Since(start).Round(time.Second/10))
}

// waitForAlerts waits until each of the alerts fires, or does not. Their summaries are
// complete.
func (s *sidecars) waitForAlerts(t *testing.T, what string, fires bool, wanted []string) {
	t.Helper()
	eventually(t, what, func() error {
		alerts, err := firing(t.Context())
		if err != nil {
			return err
		}
		for _, name := range wanted {
			summary, found := alerts[name]
			if found != fires {
				return fmt.Errorf("%s fires: %t, want %t; all are %v", name, found, fires, alerts)
			}
			if found && (summary == "" || strings.Contains(summary, "<")) {
				t.Errorf("%s has the summary %q", name, summary)
			}
		}
		return nil
	})
}

// mountLogs gives the machine a small file system for its logs, in place of this
// machine's.
func (s *sidecars) mountLogs(t *testing.T) {
	t.Helper()
	in(t, s.vm, "sh", "-ec", `
mkdir /mnt/logs
mount -t tmpfs -o size=128M,mode=0755,uid=$(id -u proxy),gid=$(id -g proxy) tmpfs /mnt/logs
cp -a /var/log/squid/. /mnt/logs
mount --bind /mnt/logs /var/log/squid
systemctl restart squid mtail`)
}

// laterConfiguration publishes a squid.conf that is not of the machine's version: its
// lines of the audit log have a further field, and HAProxy refuses its authority.
func (s *sidecars) laterConfiguration() fault {
	publish := func(t *testing.T, change func(string) string) {
		t.Helper()
		conf := s.squidConf(t, config.ProxyMachine{SourceAddress: s.egress, Identity: s.identity, Authority: string(s.authority.Public)}, s.tenants)
		value := encoded(t, []byte(change(string(conf))))
		s.server.setSquidConf(value)
		s.reported(t, func(status *cloudinit.Status) bool { return status.Served == cloudinit.Digest(value) })
	}
	authority, lastField := regexp.MustCompile(`(?m)^# authority .*$`), `"durationMillis":%tr`
	return fault{
		name:   "a squid.conf of a later version",
		alerts: []string{machineAlert("EgressSidecarsNotServed"), auditUnreadable},
		cause: func(t *testing.T) {
			publish(t, func(conf string) string {
				if !authority.MatchString(conf) || !strings.Contains(conf, lastField) {
					t.Fatalf("squid.conf has another format:\n%s", conf)
				}
				return strings.Replace(authority.ReplaceAllString(conf, "# authority AAAA"), lastField, lastField+`,"later":"%tr"`, 1)
			})
			s.request(t, sharedPort, echoName)
		},
		repair: func(t *testing.T) { publish(t, func(conf string) string { return conf }) },
	}
}

// wouldBeDenied requests a host that the tenant in mode Report does not list.
func (s *sidecars) wouldBeDenied() fault {
	return fault{
		name:   "a request that Enforce would deny",
		alerts: []string{`EgressWouldBeDenied{tenant="client-a"}`},
		cause:  func(t *testing.T) { s.request(t, ownPort, fmt.Sprintf(hostOther, 0)) },
		repair: func(*testing.T) {},
	}
}

func (s *sidecars) request(t *testing.T, port int, host string) {
	t.Helper()
	if got, err := get(t.Context(), port, "http://"+host+"/ip"); err != nil || got.status != http.StatusOK {
		t.Fatalf("%s: %+v, %v", host, got, err)
	}
}

// unparsable is a client that speaks TLS to the port of a tenant.
func (s *sidecars) unparsable() fault {
	var client sync.WaitGroup
	ctx, stop := context.WithCancel(context.Background())
	return fault{
		name:   "a client that speaks TLS to the proxy",
		alerts: []string{`EgressUnparsableConnections{tenant="client-b"}`},
		cause: func(t *testing.T) {
			t.Cleanup(func() { stop(); client.Wait() })
			client.Go(func() {
				for ; ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
					if conn, err := dial(ctx, netnsNode, fmt.Sprintf("%s:%d", s.private, sharedPort)); err == nil {
						_ = tls.Client(conn.Conn, &tls.Config{ServerName: s.private}).HandshakeContext(ctx) // it fails
						conn.Close()
					}
				}
			})
		},
		repair: func(*testing.T) { stop(); client.Wait() },
	}
}

// fullDisk fills the file system of the logs but for 6 MiB. The logs of before take the more
// room the longer the earlier steps have taken.
func (s *sidecars) fullDisk() fault {
	return fault{
		name:   "a file system of the logs that is nearly full",
		alerts: []string{machineAlert("EgressProxyDiskFull")},
		cause: func(t *testing.T) {
			in(t, s.vm, "sh", "-ec", "fallocate --length=$(($(df --output=avail --block-size=1 /var/log/squid | tail -n 1) - 6291456)) /var/log/squid/other")
		},
		repair: func(t *testing.T) { in(t, s.vm, "rm", "/var/log/squid/other") },
	}
}

// noMetadata takes the answers of the metadata service away.
func (s *sidecars) noMetadata() fault {
	const table = "table ip away { chain prerouting { type filter hook prerouting priority -300; ip daddr " + metadataAddress + " drop; }; }"
	return fault{
		name:   "a metadata service that does not answer",
		alerts: []string{machineAlert("EgressConfigNotFetched")},
		cause:  func(t *testing.T) { execute(t, table, "ip", "netns", "exec", netnsInternet, "nft", "-f", "-") },
		repair: func(t *testing.T) {
			execute(t, "", "ip", "netns", "exec", netnsInternet, "nft", "delete", "table", "ip", "away")
		},
	}
}

// stoppedSquid stops Squid, which systemd and egress-sync would start again.
func (s *sidecars) stoppedSquid() fault {
	return fault{
		name:   "Squid stopped",
		alerts: []string{fmt.Sprintf("EgressSquidDown{host=%q,instance=%q,job=%q}", "127.0.0.1", instance(names.SquidMetricsPort), "egress-proxy")},
		cause: func(t *testing.T) {
			in(t, s.vm, "systemctl", "mask", "--runtime", "squid.service")
			in(t, s.vm, "systemctl", "stop", "squid.service")
		},
		repair: func(t *testing.T) {
			in(t, s.vm, "systemctl", "unmask", "--runtime", "squid.service")
			in(t, s.vm, "systemctl", "start", "squid.service")
			// It opens its ports after systemd takes it for started. The next fault is
			// one of a Squid that has.
			waitForSquidMetrics(t)
		},
	}
}

// hungSquid is a Squid that accepts connections and answers none. Its exporter does not
// answer either.
func (s *sidecars) hungSquid() fault {
	return fault{
		name:   "Squid hangs",
		alerts: []string{exporterDown(names.SquidMetricsPort)},
		cause:  func(t *testing.T) { in(t, s.vm, "systemctl", "kill", "--signal=STOP", "squid.service") },
		repair: func(t *testing.T) { in(t, s.vm, "systemctl", "kill", "--signal=CONT", "squid.service") },
	}
}

// stopped stops an exporter.
func (s *sidecars) stopped(unit string, alerts ...string) fault {
	return fault{
		name: unit + " stopped", alerts: alerts,
		cause:  func(t *testing.T) { in(t, s.vm, "systemctl", "stop", unit+".service") },
		repair: func(t *testing.T) { in(t, s.vm, "systemctl", "start", unit+".service") },
	}
}

// unreadableLog gives the audit log an owner and a mode with which mtail cannot open it.
func (s *sidecars) unreadableLog() fault {
	return fault{
		name:   "an audit log that mtail cannot open",
		alerts: []string{auditUnreadable},
		cause: func(t *testing.T) {
			in(t, s.vm, "sh", "-ec", "chown root:root "+cloudinit.AuditLog+"; chmod 0600 "+cloudinit.AuditLog+"; systemctl restart mtail")
		},
		repair: func(t *testing.T) {
			in(t, s.vm, "sh", "-ec", "chown proxy:proxy "+cloudinit.AuditLog+"; chmod 0640 "+cloudinit.AuditLog)
		},
	}
}

var auditUnreadable = fmt.Sprintf("EgressAuditUnreadable{instance=%q}", instance(names.TenantMetricsPort))

func instance(port int) string { return fmt.Sprintf("%s:%d", proxyAddress, port) }

// exporterDown is the alert for an exporter that does not answer.
func exporterDown(port int) string {
	return fmt.Sprintf("EgressProxyDown{instance=%q,job=%q}", instance(port), "egress-proxy")
}

// machineAlert is an alert from a series of the machine without a label of its own.
func machineAlert(name string) string {
	return fmt.Sprintf("%s{instance=%q,job=%q}", name, instance(names.MachineMetricsPort), "egress-proxy")
}
