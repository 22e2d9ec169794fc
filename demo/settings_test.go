package main

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shown are the settings in a form to compare: the targets in the order ipEcho,
// ipInfo, echo, denied, direct.
type shown struct {
	Listen, MetricsListen string
	Targets               [5]string
	Path                  egressPath
	PerMinute             int
}

func show(s settings) shown {
	return shown{
		Listen: s.listen, MetricsListen: s.metricsListen, Path: s.path, PerMinute: s.checksPerMinute,
		Targets: [5]string{
			s.targets.ipEcho.String(), s.targets.ipInfo.String(), s.targets.echo.String(), s.targets.denied.String(), s.targets.direct.String(),
		},
	}
}

func TestParseSettings(t *testing.T) {
	tests := []struct {
		name string
		args []string
		env  map[string]string
		want func(*shown) // changes the defaults
	}{
		{name: "defaults", want: func(*shown) {}},
		{
			name: "flags",
			args: []string{
				"--listen=127.0.0.1:1", "--metrics-listen=:9090", "--ip-echo-url=http://a.test:81/ip", "--ip-info-url=http://i.test/json", "--echo-url=http://b.test/x",
				"--denied-url=https://d.test", "--direct-url=https://c.test", "--path=Gateway", "--checks-per-minute=6000",
			},
			want: func(s *shown) {
				s.Listen, s.MetricsListen, s.Path, s.PerMinute = "127.0.0.1:1", ":9090", pathGateway, 6000
				s.Targets = [5]string{"http://a.test:81/ip", "http://i.test/json", "http://b.test/x", "https://d.test", "https://c.test"}
			},
		},
		{
			name: "variables",
			env: map[string]string{
				"EGRESS_DEMO_LISTEN": "127.0.0.1:1", "EGRESS_DEMO_METRICS_LISTEN": ":9090", "EGRESS_DEMO_IP_ECHO_URL": "http://a.test:81/ip",
				"EGRESS_DEMO_IP_INFO_URL": "http://i.test/json", "EGRESS_DEMO_ECHO_URL": "http://b.test/x", "EGRESS_DEMO_DENIED_URL": "https://d.test",
				"EGRESS_DEMO_DIRECT_URL": "https://c.test", "EGRESS_DEMO_PATH": "Gateway", "EGRESS_DEMO_CHECKS_PER_MINUTE": "6000",
			},
			want: func(s *shown) {
				s.Listen, s.MetricsListen, s.Path, s.PerMinute = "127.0.0.1:1", ":9090", pathGateway, 6000
				s.Targets = [5]string{"http://a.test:81/ip", "http://i.test/json", "http://b.test/x", "https://d.test", "https://c.test"}
			},
		},
		{
			name: "a flag wins, and an empty variable is not set",
			args: []string{"--checks-per-minute=7"},
			env:  map[string]string{"EGRESS_DEMO_CHECKS_PER_MINUTE": "6", "EGRESS_DEMO_PATH": ""},
			want: func(s *shown) { s.PerMinute = 7 },
		},
		{
			name: "direct follows ip echo off the TLS port",
			args: []string{"--ip-echo-url=https://[2001:db8::1]:8443/ip"},
			want: func(s *shown) {
				s.Targets[0], s.Targets[4] = "https://[2001:db8::1]:8443/ip", "http://[2001:db8::1]/ip"
			},
		},
		{
			name: "direct keeps the port of plain HTTP",
			args: []string{"--ip-echo-url=http://a.test:81/ip"},
			want: func(s *shown) { s.Targets[0], s.Targets[4] = "http://a.test:81/ip", "http://a.test:81/ip" },
		},
		{
			name: "denied follows echo",
			args: []string{"--echo-url=http://[2001:db8::1]:81/x"},
			want: func(s *shown) {
				s.Targets[2], s.Targets[3] = "http://[2001:db8::1]:81/x", "http://[2001:db8::1]:8443/x"
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseSettings(test.args, variables(test.env))
			if err != nil {
				t.Fatal(err)
			}
			want := shown{
				Listen: ":8080", Path: pathProxy, PerMinute: 60,
				Targets: [5]string{
					"https://api.ipify.org?format=json", "https://ipinfo.io/json", "https://httpbin.org", "https://httpbin.org:8443", "http://api.ipify.org?format=json",
				},
			}
			test.want(&want)
			if diff := cmp.Diff(want, show(got)); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestInvalidSettings(t *testing.T) {
	tests := []struct {
		name string
		args []string
		env  map[string]string
		want []string // lines, or their beginnings
	}{
		{name: "no scheme", args: []string{"--echo-url=httpbin.org"}, want: []string{`--echo-url: "httpbin.org" is not an absolute http or https URL`}},
		{name: "other scheme", args: []string{"--direct-url=file:///etc/passwd"}, want: []string{`--direct-url: "file:///etc/passwd" is not an absolute http or https URL`}},
		{name: "no host", args: []string{"--ip-echo-url=https://:443/"}, want: []string{`--ip-echo-url: "https://:443/" is not`}},
		{name: "not a URL", args: []string{"--ip-echo-url=https://a b/"}, want: []string{`--ip-echo-url: parse "https://a b/"`}},
		{name: "credentials", args: []string{"--echo-url=https://me:secret@b.test"}, want: []string{"--echo-url: must not contain credentials"}},
		{name: "argument", args: []string{"serve"}, want: []string{`unexpected argument "serve"`}},
		{
			name: "all at once, each by its source",
			args: []string{"--denied-url=ftp://a.test", "--path=Both"},
			env:  map[string]string{"EGRESS_DEMO_IP_INFO_URL": "ipinfo.io", "EGRESS_DEMO_PATH": "Proxy", "EGRESS_DEMO_CHECKS_PER_MINUTE": "many", "EGRESS_DEMO_USERNAME": "shop"},
			want: []string{
				`EGRESS_DEMO_CHECKS_PER_MINUTE: "many" is not a whole number`,
				`EGRESS_DEMO_IP_INFO_URL: "ipinfo.io" is not an absolute http or https URL`,
				`--denied-url: "ftp://a.test" is not an absolute http or https URL`,
				`--path: "Both" is neither Proxy nor Gateway`,
				`EGRESS_DEMO_CHECKS_PER_MINUTE: 0 is not between 1 and 6000`,
				`EGRESS_DEMO_USERNAME and EGRESS_DEMO_PASSWORD: only one of them is set`,
			},
		},
		{name: "no check at all", args: []string{"--checks-per-minute=0"}, want: []string{"--checks-per-minute: 0 is not between 1 and 6000"}},
		{
			name: "a name that basic authentication cannot carry", env: map[string]string{"EGRESS_DEMO_USERNAME": "a:b", "EGRESS_DEMO_PASSWORD": "secret"},
			want: []string{"EGRESS_DEMO_USERNAME: must not contain a colon"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := parseSettings(test.args, variables(test.env))
			if err == nil {
				t.Fatal("accepted")
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(test.want) {
				t.Fatalf("%d errors, want %d: %q", len(lines), len(test.want), lines)
			}
			for i, want := range test.want {
				if !strings.HasPrefix(lines[i], want) {
					t.Errorf("error %q, want %q", lines[i], want)
				}
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error shows a password: %q", err)
			}
		})
	}
}

// TestSettingsAreDocumented compares the table of the demo's page with the flags.
func TestSettingsAreDocumented(t *testing.T) {
	manual, err := os.ReadFile("../docs/demo.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"LISTEN", "METRICS_LISTEN", "IP_ECHO_URL", "IP_INFO_URL", "ECHO_URL", "DENIED_URL", "DIRECT_URL", "PATH", "CHECKS_PER_MINUTE", "USERNAME", "PASSWORD",
	} {
		if !strings.Contains(string(manual), "`"+variablePrefix+name+"`") {
			t.Errorf("docs/demo.md does not explain %s%s", variablePrefix, name)
		}
	}
}
