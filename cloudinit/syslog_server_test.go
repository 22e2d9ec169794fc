package cloudinit

import (
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// exampleCA returns the certificate of the documented example.
func exampleCA(t *testing.T) string {
	t.Helper()
	example, err := os.ReadFile("../bootstrap/egress.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	ca := regexp.MustCompile(`(?s) ca: \|\n( *-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n)`).FindStringSubmatch(string(example))
	if ca == nil {
		t.Fatal("the example has no certificate")
	}
	return regexp.MustCompile(`(?m)^ +`).ReplaceAllString(ca[1], "")
}

func TestSyslogValidate(t *testing.T) {
	t.Parallel()
	ca := exampleCA(t)
	const name = "must be a full DNS name in lower case, such as logs.example.com"
	const machine = "must be the IPv4 address of one machine that is neither loopback nor link-local"
	for title, test := range map[string]struct {
		change func(*Syslog)
		want   []string
	}{
		"valid":            {func(*Syslog) {}, nil},
		"name only":        {func(s *Syslog) { *s = Syslog{Host: "logs.example.com", Port: 6514} }, nil},
		"private address":  {func(s *Syslog) { s.Address = netip.MustParseAddr("172.16.0.20") }, nil},
		"two certificates": {func(s *Syslog) { s.CA = ca + "\n" + ca }, nil},

		"no host":           {func(s *Syslog) { s.Host = "" }, []string{`syslog.host: Invalid value: "": ` + name}},
		"short name":        {func(s *Syslog) { s.Host = "logs" }, []string{`syslog.host: Invalid value: "logs": ` + name}},
		"wildcard":          {func(s *Syslog) { s.Host = "*.example.com" }, []string{`syslog.host: Invalid value: "*.example.com": ` + name}},
		"quote in the name": {func(s *Syslog) { s.Host = `a.b" x="` }, []string{`syslog.host: Invalid value: "a.b\" x=\"": ` + name}},
		"address as name": {
			func(s *Syslog) { s.Host = "192.0.2.1" },
			[]string{`syslog.host: Invalid value: "192.0.2.1": must be the name in the certificate of the server: set its IP address in the field address`},
		},
		"loopback":         {func(s *Syslog) { s.Address = netip.MustParseAddr("127.0.0.1") }, []string{`syslog.address: Invalid value: "127.0.0.1": ` + machine}},
		"metadata service": {func(s *Syslog) { s.Address = netip.MustParseAddr("169.254.42.42") }, []string{`syslog.address: Invalid value: "169.254.42.42": ` + machine}},
		"IPv6":             {func(s *Syslog) { s.Address = netip.MustParseAddr("2001:db8::1") }, []string{`syslog.address: Invalid value: "2001:db8::1": ` + machine}},
		"no port":          {func(s *Syslog) { s.Port = -1 }, []string{`syslog.port: Invalid value: -1: must be between 1 and 65535`}},
		"port too high":    {func(s *Syslog) { s.Port = 65536 }, []string{`syslog.port: Invalid value: 65536: must be between 1 and 65535`}},
		"a file's name":    {func(s *Syslog) { s.CA = "/etc/ssl/ca.pem" }, []string{`syslog.ca: Invalid value: must contain only certificates in PEM`}},
		"text behind":      {func(s *Syslog) { s.CA = ca + "x" }, []string{`syslog.ca: Invalid value: must contain only certificates in PEM`}},
		"blank":            {func(s *Syslog) { s.CA = " \n" }, []string{`syslog.ca: Invalid value: must be certificates in PEM`}},
		"too long":         {func(s *Syslog) { s.CA = strings.Repeat(ca, 30) }, []string{`syslog.ca: Invalid value: must have at most 16384 bytes`}},
		"a key": {
			func(s *Syslog) { s.CA = ca + strings.ReplaceAll(ca, "CERTIFICATE", "PRIVATE KEY") },
			[]string{`syslog.ca: Invalid value: must contain only certificates, contains "PRIVATE KEY": secrets must not be in user data`},
		},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			server := Syslog{Host: "logs.example.com", Address: netip.MustParseAddr("198.51.100.20"), Port: 6514, CA: ca}
			test.change(&server)
			var got []string
			for _, err := range server.Validate(field.NewPath("syslog")) {
				got = append(got, err.Error())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// A certificate that cannot be parsed is an error. Text around certificates is
// removed.
func TestSyslogAuthorities(t *testing.T) {
	t.Parallel()
	ca := exampleCA(t)
	broken := Syslog{CA: regexp.MustCompile(`(?m)^MI.*$`).ReplaceAllString(ca, "MIIB")}
	if _, err := broken.Authorities(); err == nil {
		t.Error("a certificate that cannot be parsed is accepted")
	}
	surrounded := Syslog{CA: "Logs of Example Corp\n" + ca}
	got, err := surrounded.Authorities()
	if err != nil || string(got) != ca {
		t.Errorf("error %v, or certificates differ: %s", err, cmp.Diff(ca, string(got)))
	}
}
