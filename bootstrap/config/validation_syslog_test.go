package config

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// exampleCA is the certificate in the documented example.
func exampleCA(t *testing.T) string {
	t.Helper()
	egress, err := LoadEgress(exampleFile, readExample(t))
	if err != nil {
		t.Fatal(err)
	}
	return egress.Proxy.AuditLog.Syslog.CA
}

func TestSyslogValidate(t *testing.T) {
	t.Parallel()
	ca := exampleCA(t)
	const name = "must be a full DNS name in lower case, such as logs.example.com"
	const machine = "must be the IPv4 address of one machine that is neither loopback nor link-local"
	for title, test := range map[string]struct {
		change func(*SyslogConfig)
		want   []string
	}{
		"as it is":         {func(*SyslogConfig) {}, nil},
		"nothing but name": {func(s *SyslogConfig) { *s = SyslogConfig{Host: "logs.example.com", Port: 6514} }, nil},
		"private address":  {func(s *SyslogConfig) { s.Address = "172.16.0.20" }, nil},
		"two certificates": {func(s *SyslogConfig) { s.CA = ca + "\n" + ca }, nil},

		"no host":           {func(s *SyslogConfig) { s.Host = "" }, []string{`syslog.host: Invalid value: "": ` + name}},
		"short name":        {func(s *SyslogConfig) { s.Host = "logs" }, []string{`syslog.host: Invalid value: "logs": ` + name}},
		"any name":          {func(s *SyslogConfig) { s.Host = "*.example.com" }, []string{`syslog.host: Invalid value: "*.example.com": ` + name}},
		"quote in the name": {func(s *SyslogConfig) { s.Host = `a.b" x="` }, []string{`syslog.host: Invalid value: "a.b\" x=\"": ` + name}},
		"address as name": {
			func(s *SyslogConfig) { s.Host = "192.0.2.1" },
			[]string{`syslog.host: Invalid value: "192.0.2.1": must be a name, which the server's certificate holds; where it is reached goes into address`},
		},
		"name as address":  {func(s *SyslogConfig) { s.Address = "logs.example.com" }, []string{`syslog.address: Invalid value: "logs.example.com": ` + machine}},
		"loopback":         {func(s *SyslogConfig) { s.Address = "127.0.0.1" }, []string{`syslog.address: Invalid value: "127.0.0.1": ` + machine}},
		"metadata service": {func(s *SyslogConfig) { s.Address = "169.254.42.42" }, []string{`syslog.address: Invalid value: "169.254.42.42": ` + machine}},
		"IPv6":             {func(s *SyslogConfig) { s.Address = "2001:db8::1" }, []string{`syslog.address: Invalid value: "2001:db8::1": ` + machine}},
		"no port":          {func(s *SyslogConfig) { s.Port = -1 }, []string{`syslog.port: Invalid value: -1: must be between 1 and 65535`}},
		"port too high":    {func(s *SyslogConfig) { s.Port = 65536 }, []string{`syslog.port: Invalid value: 65536: must be between 1 and 65535`}},
		"a file's name":    {func(s *SyslogConfig) { s.CA = "/etc/ssl/ca.pem" }, []string{`syslog.ca: Invalid value: must be certificates in PEM, and nothing else`}},
		"text behind":      {func(s *SyslogConfig) { s.CA = ca + "x" }, []string{`syslog.ca: Invalid value: must be certificates in PEM, and nothing else`}},
		"blank":            {func(s *SyslogConfig) { s.CA = " \n" }, []string{`syslog.ca: Invalid value: must be certificates in PEM`}},
		"too long":         {func(s *SyslogConfig) { s.CA = strings.Repeat(ca, 30) }, []string{`syslog.ca: Invalid value: must have at most 16384 bytes`}},
		"a key": {
			func(s *SyslogConfig) { s.CA = ca + strings.ReplaceAll(ca, "CERTIFICATE", "PRIVATE KEY") },
			[]string{`syslog.ca: Invalid value: must hold certificates only, holds "PRIVATE KEY": what is in here is no secret`},
		},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			egress, err := LoadEgress(exampleFile, readExample(t))
			if err != nil {
				t.Fatal(err)
			}
			test.change(egress.Proxy.AuditLog.Syslog)
			var got []string
			for _, err := range egress.Validate() {
				got = append(got, strings.TrimPrefix(err.Error(), "proxy.auditLog."))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// A certificate that is none, and what stands around those that are.
func TestSyslogAuthorities(t *testing.T) {
	t.Parallel()
	ca := exampleCA(t)
	broken := SyslogConfig{CA: regexp.MustCompile(`(?m)^MI.*$`).ReplaceAllString(ca, "MIIB")}
	if _, err := broken.Authorities(); err == nil {
		t.Error("a certificate that cannot be read is taken")
	}
	surrounded := SyslogConfig{CA: "Logs of Example Corp\n" + ca}
	got, err := surrounded.Authorities()
	if err != nil || string(got) != ca {
		t.Errorf("%v, and certificates are not as they were: %s", err, cmp.Diff(ca, string(got)))
	}
}

func TestSyslogPortHasDefault(t *testing.T) {
	t.Parallel()
	egress, err := LoadEgress("egress.yaml", []byte(minimal+"  auditLog: {syslog: {host: logs.example.com}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := egress.Proxy.AuditLog.Syslog.Port; got != 6514 {
		t.Errorf("port %d, want 6514", got)
	}
}
