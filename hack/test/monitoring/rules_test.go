package monitoring

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// at is the time of the evaluations, and end that of the last sample: at the cause of
// an alert has lasted for half an hour.
const (
	calm = 10 * time.Minute
	at   = 40 * time.Minute
	end  = 60 * time.Minute
)

// cause is a state of the series, and the alerts that it makes fire.
type cause struct {
	// values are samples of series by their name without the target's labels, of
	// series that exist or of new ones.
	values map[string]string
	// removed are prefixes of series that do not exist.
	removed []string
	// at is the time of the evaluation. Default: 40 minutes.
	at     time.Duration
	firing []string
}

// causes has a case for each alert, and for values that are near to one.
func causes() map[string]cause {
	const config, unopened = `egress_proxy_config_`, `mtail_log_errors_total`
	return map[string]cause{
		"all is well": {},
		"no replica of the webhook": {
			values: map[string]string{"up@webhook": "1+0x19 0+0x100"},
			firing: []string{`EgressWebhookDown{severity="critical"}`},
		},
		"the webhook is not scraped": {
			removed: []string{`up{instance="10.0.0.1:8080"`},
			firing:  []string{`EgressWebhookDown{severity="critical"}`},
		},
		"one replica of two": {values: map[string]string{"up{replica=\"two\"}@webhook": "1+0x19 0+0x100"}},
		"the API server is not readable": {
			values: map[string]string{`egress_webhook_pod_admissions_total{decision="error",reason="Unavailable"}@webhook`: "0+0x19 0+1x100"},
			firing: []string{`EgressPodsRefused{reason="Unavailable",severity="critical"}`},
		},
		"one pod was refused": {
			values: map[string]string{`egress_webhook_pod_admissions_total{decision="error",reason="Unavailable"}@webhook`: "0+0x70 1+0x100"},
		},
		"pods are denied for their own faults": {
			values: map[string]string{`egress_webhook_pod_admissions_total{decision="deny",reason="InvalidAnnotation"}@webhook`: "0+0x19 0+1x100"},
		},
		"answers take 2.5 seconds": {
			values: map[string]string{
				`egress_webhook_pod_admission_duration_seconds_bucket{le="1"}@webhook`:    "0+0x120",
				`egress_webhook_pod_admission_duration_seconds_bucket{le="2.5"}@webhook`:  "0+5x120",
				`egress_webhook_pod_admission_duration_seconds_bucket{le="5"}@webhook`:    "0+5x120",
				`egress_webhook_pod_admission_duration_seconds_bucket{le="+Inf"}@webhook`: "0+5x120",
			},
			firing: []string{`EgressWebhookSlow{severity="warning"}`},
		},
		"no leader": {
			values: map[string]string{`leader_election_master_status{name="egress-webhook"}@webhook`: "0+0x120"},
			firing: []string{`EgressNoLeader{severity="critical"}`},
		},
		"a controller fails": {
			values: map[string]string{`controller_runtime_reconcile_errors_total{controller="tenant"}@webhook`: "0+1x120"},
			firing: []string{`EgressReconcileErrors{controller="tenant",severity="warning"}`},
		},
		"a controller failed once": {
			values: map[string]string{`controller_runtime_reconcile_errors_total{controller="tenant"}@webhook`: "0+0x60 1+0x60"},
		},
		"two tenants have one port": {
			values: map[string]string{`egress_webhook_tenants{reason="PortConflict"}@webhook`: "0+0x19 2+0x100"},
			firing: []string{`EgressTenantNotReady{reason="PortConflict",severity="warning"}`},
		},
		"the proxy does not serve a tenant": {
			values: map[string]string{
				`egress_webhook_proxy_reachable{proxy="172.16.28.8",tenant="client-a"}@webhook`: "1+0x19 0+0x100",
				`egress_webhook_proxy_reachable{proxy="172.16.28.8",tenant="client-b"}@webhook`: "1+0x120",
			},
			firing: []string{`EgressTenantNotServed{proxy="172.16.28.8",severity="critical",tenant="client-a"}`},
		},
		"a machine does not answer": {
			values: map[string]string{
				`egress_webhook_proxy_up{proxy="172.16.28.8"}@webhook`: "1+0x120",
				`egress_webhook_proxy_up{proxy="172.16.28.9"}@webhook`: "1+0x19 0+0x100",
			},
			firing: []string{`EgressMachineUnanswered{proxy="172.16.28.9",severity="critical"}`},
		},
		"a namespace of no tenant": {
			values: map[string]string{`egress_webhook_unknown_tenant_namespaces@webhook`: "0+0x19 1+0x100"},
			firing: []string{`EgressUnknownTenant{severity="warning"}`},
		},
		"a policy was not changed, by one request": {
			values: map[string]string{`egress_webhook_policy_admissions_total{decision="deny",reason="PolicyLocked"}@webhook`: "0+0x74 1+0x60"},
			firing: []string{`EgressPolicyChangeRefused{severity="warning"}`},
		},
		"a policy was edited once": {
			values: map[string]string{`egress_webhook_policy_changes_total{change="repaired"}@webhook`: "0+0x74 1+0x60"},
			firing: []string{`EgressPolicyRepaired{severity="warning"}`},
		},
		"policies are updated": {values: map[string]string{`egress_webhook_policy_changes_total{change="updated"}@webhook`: "0+1x120"}},
		"the certificate is not readable": {
			values: map[string]string{`certwatcher_read_certificate_errors_total@webhook`: "0+0x40 1+0x80"},
			firing: []string{`EgressCertificateUnreadable{severity="warning"}`},
		},
		"the watcher fails": {
			values: map[string]string{
				`egress_bootstrap_plans_total{result="failed"}@watch`:    "0+0x19 0+0.2x100",
				`egress_bootstrap_plans_total{result="unchanged"}@watch`: "0+1x19 19+0x100",
			},
			firing: []string{`EgressWatchFailing{severity="warning"}`},
		},
		"the watcher failed a few times": {
			values: map[string]string{
				`egress_bootstrap_plans_total{result="failed"}@watch`:    "0+0x19 0+0.2x100",
				`egress_bootstrap_plans_total{result="unchanged"}@watch`: "0+0.1x120",
			},
		},
		"a plan is blocked": {
			values: map[string]string{`egress_bootstrap_blocked_steps@watch`: "0+0x19 2+0x100"},
			firing: []string{`EgressWatchBlocked{severity="warning"}`},
		},
		"the chart has another address of the proxy": {
			values: map[string]string{`egress_bootstrap_values_outdated@watch`: "0+0x19 1+0x100"},
			firing: []string{`EgressValuesOutdated{severity="warning"}`},
		},
		"an exporter is down": {
			values: map[string]string{"up@tenants": "1+0x19 0+0x100"},
			firing: []string{`EgressProxyDown{instance="172.16.28.8:3903",job="egress-proxy",severity="critical"}`},
		},
		"the machine is not scraped": {
			removed: []string{`up{instance="172.16.28.8:`, "egress_proxy_", "squid_", "node_"},
			firing: []string{
				`EgressProxyDown{job="egress-proxy",severity="critical"}`, `EgressConfigNotFetched{severity="warning"}`,
			},
		},
		"Squid has ended": {
			values: map[string]string{`squid_up{host="127.0.0.1"}@squid`: "1+0x19 0+0x100"},
			firing: []string{`EgressSquidDown{host="127.0.0.1",instance="172.16.28.8:9301",job="egress-proxy",severity="critical"}`},
		},
		"a configuration is refused": {
			values: map[string]string{config + "refused@machine": "0+0x19 1+0x100"},
			firing: []string{`EgressConfigRefused{instance="172.16.28.8:9100",job="egress-proxy",severity="warning"}`},
		},
		"no configuration is fetched": {
			values: map[string]string{config + "fetched@machine": "1+0x19 0+0x100"},
			firing: []string{`EgressConfigNotFetched{instance="172.16.28.8:9100",job="egress-proxy",severity="warning"}`},
		},
		"egress-sync does not run any more": {
			values: map[string]string{config + "last_run_timestamp_seconds@machine": "0+30x19 570+0x100"},
			firing: []string{`EgressConfigNotFetched{instance="172.16.28.8:9100",job="egress-proxy",severity="warning"}`},
		},
		"a port changes hands": {
			values: map[string]string{`egress_proxy_port_closed{tenant="client-a"}@machine`: "0+0x19 1+0x100"},
			firing: []string{`EgressPortClosed{severity="warning",tenant="client-a"}`},
		},
		"a port has changed hands": {
			values: map[string]string{`egress_proxy_port_closed{tenant="client-a"}@machine`: "0+0x19 1+0x4 0+0x100"},
		},
		"a tenant is denied hosts": {
			values: map[string]string{`egress_proxy_denials_total{rule="domain",tenant="client-a"}@tenants`: "0+10x120"},
			firing: []string{`EgressTenantDenied{severity="warning",tenant="client-a"}`},
		},
		"a tenant is denied a host": {
			values: map[string]string{`egress_proxy_denials_total{rule="domain",tenant="client-a"}@tenants`: "0+1x120"},
		},
		"a tenant asks for private addresses": {
			values: map[string]string{`egress_proxy_denials_total{rule="forbidden-destination",tenant="client-a"}@tenants`: "0+10x120"},
		},
		"connections without requests": {
			values: map[string]string{`egress_proxy_requests_total{tenant="client-b",verdict="-"}@tenants`: "0+60x120"},
			firing: []string{`EgressUnparsableConnections{severity="warning",tenant="client-b"}`},
		},
		"Squid's statistics are read every second": {
			values: map[string]string{`egress_proxy_requests_total{tenant="-",verdict="-"}@tenants`: "0+90x120"},
		},
		"the first request that Enforce would deny": {
			values: map[string]string{`egress_proxy_would_be_denials_total{rule="port",tenant="client-c"}@tenants`: "_x60 1+0x60"},
			firing: []string{`EgressWouldBeDenied{severity="info",tenant="client-c"}`},
		},
		"a further request that Enforce would deny": {
			values: map[string]string{`egress_proxy_would_be_denials_total{rule="domain",tenant="client-b"}@tenants`: "1+0x140 2+0x60"},
			at:     80 * time.Minute,
			firing: []string{`EgressWouldBeDenied{severity="info",tenant="client-b"}`},
		},
		"requests that Enforce would have denied, two hours ago": {at: 100 * time.Minute},
		"too many connections": {
			values: map[string]string{`egress_proxy_refused_connections_total{tenant="client-a"}@machine`: "0+0x74 1+0x60"},
			firing: []string{`EgressConnectionsRefused{severity="warning",tenant="client-a"}`},
		},
		"HAProxy does not run": {
			values: map[string]string{`egress_proxy_sidecars_served@machine`: "1+0x19 0+0x100"},
			firing: []string{`EgressSidecarsNotServed{instance="172.16.28.8:9100",job="egress-proxy",severity="critical"}`},
		},
		"no tenant has a sidecar yet": {
			values: map[string]string{`egress_proxy_sidecars_served@machine`: "0+0x120"},
		},
		"certificates have expired": {
			values: map[string]string{`egress_proxy_sidecar_refused_total{reason="certificate-expired"}@tenants`: "0+60x120"},
			firing: []string{`EgressCertificatesRefused{reason="certificate-expired",severity="warning"}`},
		},
		"tenants with too many tunnels of sidecars": {
			values: map[string]string{`egress_proxy_sidecar_refused_total{reason="connections"}@tenants`: "0+60x120"},
		},
		"Squid was not restarted": {
			values: map[string]string{`egress_proxy_squid_outdated@machine`: "0+0x19 1+0x100"},
			firing: []string{`EgressSquidOutdated{instance="172.16.28.8:9100",job="egress-proxy",severity="warning"}`},
		},
		"the disk has a tenth left": {
			values: map[string]string{`egress_proxy_disk_free_bytes@machine`: "1000000000+0x120"},
			firing: []string{`EgressProxyDiskFull{instance="172.16.28.8:9100",job="egress-proxy",severity="warning"}`},
		},
		"an unknown format of the audit log": {
			values: map[string]string{`egress_proxy_audit_unreadable_lines_total@tenants`: "0+0x60 3+0x60"},
			firing: []string{`EgressAuditUnreadable{instance="172.16.28.8:3903",severity="warning"}`},
		},
		"mtail cannot open the audit log": {
			values: map[string]string{unopened + `{logfile="/var/log/squid/audit.log"}@tenants`: "_x70 7+120x60"},
			firing: []string{`EgressAuditUnreadable{instance="172.16.28.8:3903",severity="warning"}`},
		},
		"mtail could not open the audit log once": {
			values: map[string]string{unopened + `{logfile="/var/log/squid/audit.log"}@tenants`: "_x70 1+0x60"},
		},
	}
}

// seriesOf returns the recorded series with those of a cause. The clock of promtool
// begins at 0, so that a machine that works has the time itself as that of its last
// run. The requests of the recorded audit log are older than the first sample.
func seriesOf(t *testing.T, recorded Scrape, c cause) []Series {
	t.Helper()
	targets := map[string]Target{"webhook": webhookTarget, "watch": watchTarget, "tenants": tenantsTarget, "machine": machineTarget, "squid": squidTarget}
	values := map[string]string{
		machineTarget.Series("egress_proxy_config_last_run_timestamp_seconds"):       "0+30x250",
		webhookTarget.Series(`leader_election_master_status{name="egress-webhook"}`): "1+0x250",
	}
	for name, samples := range c.values {
		series, target, found := cutLast(name, "@")
		if !found || targets[target] == (Target{}) {
			t.Fatalf("%s names no target", name)
		}
		values[targets[target].Series(series)] = samples
	}
	for name, value := range recorded {
		if values[name] == "" {
			values[name] = fmt.Sprintf("%g+0x250", value)
		}
	}
	var all []Series
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.ContainsFunc(c.removed, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			all = append(all, Series{name, values[name]})
		}
	}
	return all
}

// Each alert fires from the series of its cause, and no alert fires without.
func TestAlertsFire(t *testing.T) {
	requirePrograms(t, "promtool")
	rules, recorded := Rules(t), scrape(t)
	for name, cause := range causes() {
		t.Run(name, func(t *testing.T) {
			when := cause.at
			if when == 0 {
				when = at
			}
			series := seriesOf(t, recorded, cause)
			if when < time.Hour {
				// The recorded requests are less than an hour old then.
				series = slices.DeleteFunc(series, func(s Series) bool {
					return strings.HasPrefix(s.Name, "egress_proxy_would_be_denials_total") && strings.Contains(s.Name, "client-b")
				})
			}
			if err := Check(t.Context(), t.TempDir(), rules, Alerts(series, when, cause.firing...)); err != nil {
				t.Error(err)
			}
		})
	}
}

// Each alert has a cause, a severity, a summary, a description and a link. Its texts
// contain only labels that the alert has.
func TestAlertsAreComplete(t *testing.T) {
	fired := map[string]string{}
	for _, cause := range causes() {
		for _, alert := range cause.firing {
			name, labels, _ := strings.Cut(alert, "{")
			fired[name] += labels
		}
	}
	inText := regexp.MustCompile(`\$labels\.(\w+)`)
	for _, group := range RuleObject(t).Spec.Groups {
		for _, rule := range group.Rules {
			labels, found := fired[rule.Alert]
			if !found {
				t.Errorf("%s: no test makes it fire", rule.Alert)
			}
			delete(fired, rule.Alert)
			if !slices.Contains([]string{"critical", "warning", "info"}, rule.Labels["severity"]) {
				t.Errorf("%s has the severity %q", rule.Alert, rule.Labels["severity"])
			}
			if want := "https://git.example.com/egress/docs/alerts.md#" + strings.ToLower(rule.Alert); rule.Annotations["runbook_url"] != want {
				t.Errorf("%s has the link %q, want %s", rule.Alert, rule.Annotations["runbook_url"], want)
			}
			for _, key := range []string{"summary", "description"} {
				text := rule.Annotations[key]
				if !strings.HasSuffix(text, ".") {
					t.Errorf("%s: %s is %q, no sentence", rule.Alert, key, text)
				}
				for _, match := range inText.FindAllStringSubmatch(text, -1) {
					if !strings.Contains(labels, match[1]+`="`) {
						t.Errorf("%s: %s has the label %s, which the alert does not have", rule.Alert, key, match[1])
					}
				}
			}
		}
	}
	if len(fired) > 0 {
		t.Errorf("there are no alerts %v", slices.Sorted(maps.Keys(fired)))
	}
}

// Every query of the dashboards returns data while the programs have something to
// report.
func TestPanelsShowData(t *testing.T) {
	requirePrograms(t, "promtool")
	values := map[string]string{
		`egress_webhook_proxy_reachable{proxy="172.16.28.8",tenant="client-a"}@webhook`: "0+0x120",
		`egress_webhook_unknown_tenant_namespaces@webhook`:                              "2+0x120",
		`egress_proxy_would_be_denials_total{rule="domain",tenant="client-a"}@tenants`:  "0+0x120",
	}
	recorded := scrape(t)
	recorded[machineTarget.Series("egress_proxy_config_live_timestamp_seconds")] = 1
	series := seriesOf(t, recorded, cause{values: values})
	for i, s := range series {
		name, _, _ := strings.Cut(s.Name, "{")
		for _, suffix := range []string{"_total", "_bucket", "_count", "_sum"} {
			if strings.HasSuffix(name, suffix) {
				series[i].Values = "0+5x250"
			}
		}
	}
	var evaluations []Evaluation
	for _, q := range queries(t) {
		if strings.HasPrefix(q.place, "egress-") {
			evaluations = append(evaluations, Evaluation{series, at, "count(" + q.expression + ") > bool 0", []string{"{}"}})
		}
	}
	if err := Check(context.WithoutCancel(t.Context()), t.TempDir(), Rules(t), evaluations...); err != nil {
		t.Error(err)
	}
}
