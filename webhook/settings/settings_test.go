package settings

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/yaml"

	"egress.scw/webhook/api/v1alpha1"
)

const header = "apiVersion: egress.scw/v1alpha1\nkind: WebhookSettings\n"

// minimal is a settings file with the required fields only.
const minimal = header + "proxy: {addresses: [172.16.28.8]}\n"

// certificate is that of a machine. Its dates do not matter: sidecars compare it as a
// whole.
const certificate = `-----BEGIN CERTIFICATE-----
MIIBdjCCARugAwIBAgIUAfjb8VOR1MJJIf0wz06TXZIfWK4wCgYIKoZIzj0EAwIw
EDEOMAwGA1UEAwwFcHJveHkwHhcNMjYxMTI5MDEzMDMxWhcNMzYxMTI2MDEzMDMx
WjAQMQ4wDAYDVQQDDAVwcm94eTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABBwq
zcJQwGaIJOKHgVvM7fSA+d4FYok8jxeWWlcJzCPhxkLSRgQltavyGjqhPOXJzskc
kfJnPLgZV7+CEe8lY8qjUzBRMB0GA1UdDgQWBBRxFZFxfNCMgnqHkgWncdNRxRIk
tTAfBgNVHSMEGDAWgBRxFZFxfNCMgnqHkgWncdNRxRIktTAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0kAMEYCIQCJXWna+FDkGCKqy7DMbyY2V6XG+89Zoa4j
g4CYxs2dqQIhAJl/TEVGMo/+A/AYuH/era1tu6DnEvcI4wBuMpTCNL+T
-----END CERTIFICATE-----
`

// escaped writes text as a part of a YAML string in double quotes.
func escaped(text string) string { return strings.ReplaceAll(text, "\n", `\n`) }

func addresses(texts ...string) []netip.Addr {
	var parsed []netip.Addr
	for _, text := range texts {
		parsed = append(parsed, netip.MustParseAddr(text))
	}
	return parsed
}

func compare(t *testing.T, want, got *Settings) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func defaultSettings() *Settings {
	return &Settings{
		Proxy:               Proxy{Addresses: addresses("172.16.28.8"), Egress: EgressAddresses{Dedicated: map[string][]netip.Addr{}}, VerifyPorts: true, Identity: v1alpha1.IdentityPort},
		Cluster:             Cluster{Domain: "cluster.local"},
		DNS:                 DNS{Pods: []DNSPods{{Namespace: "kube-system", PodLabels: map[string]string{"k8s-app": "kube-dns"}, Ports: []uint16{53}}}},
		ProtectedNamespaces: sets.New("kube-system"),
		Namespaces:          Namespaces{PodSecurity: PodSecurityBaseline},
		Admission:           Admission{BindAddress: BindAddress{Port: 9443}, CertDir: "/etc/egress-webhook/tls"},
		Metrics:             &BindAddress{Port: 8080},
		Probes:              &BindAddress{Port: 8081},
		LeaderElection:      LeaderElection{Enabled: true},
		LogLevel:            slog.LevelInfo,
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	got, err := Parse([]byte(header + `
proxy:
  addresses: [172.16.28.8, "::ffff:172.16.28.9", "2001:DB8::8"]
  spareAddress: "::ffff:172.16.28.70"
  egressAddresses:
    shared: [203.0.113.50, "2001:DB8:0::50"]
    dedicated: {client-b: [203.0.113.51], client-a: ["::ffff:203.0.113.52"]}
    gateway: [203.0.113.1, "2001:db8::1"]
  verifyPorts: false
  identity: Offered
  machines:
    - {address: "2001:DB8:0::8", certificate: "` + escaped(certificate) + `"}
    - {address: 172.16.28.8, certificate: "A comment.\n` + escaped(certificate+certificate) + `\n"}
cluster:
  domain: Blue.Example.Internal.
  cidrs: [10.32.0.7/20, "::ffff:10.48.0.0/112", "2001:DB8::/32"]
dns:
  pods:
    - {namespace: dns, podLabels: {app: dns, example.com/tier: ""}, ports: [5353, 53]}
    - {namespace: kube-system, podLabels: {k8s-app: kube-dns}}
  nodeLocalAddress: 169.254.20.10
  closed: {address: "::ffff:10.32.0.11", pods: {namespace: egress-system, podLabels: {app: closed-dns}}}
sidecar: {image: "registry.example/egress-sidecar:v1@sha256:0"}
protectedNamespaces: [pki, kube-system, pki]
namespaces: {podSecurity: restricted}
admission: {bindAddress: "[::1]:9444", certDir: ./tls}
metrics: {bindAddress: ""}
probes: {bindAddress: "127.0.0.1:0"}
leaderElection: {enabled: false, namespace: egress-system}
memoryLimit: 0.5Gi
logLevel: debug
`))
	if err != nil {
		t.Fatal(err)
	}
	compare(t, &Settings{
		Proxy: Proxy{
			Addresses: addresses("172.16.28.8", "172.16.28.9", "2001:db8::8"),
			Spare:     netip.MustParseAddr("172.16.28.70"),
			Egress: EgressAddresses{
				Shared:    addresses("203.0.113.50", "2001:db8::50"),
				Dedicated: map[string][]netip.Addr{"client-a": addresses("203.0.113.52"), "client-b": addresses("203.0.113.51")},
				Gateway:   addresses("203.0.113.1", "2001:db8::1"),
			},
			Identity: v1alpha1.IdentityOffered,
			Machines: []Machine{
				{Address: netip.MustParseAddr("2001:db8::8"), Certificate: certificate},
				{Address: netip.MustParseAddr("172.16.28.8"), Certificate: certificate + certificate},
			},
		},
		Cluster: Cluster{
			Domain: "blue.example.internal",
			CIDRs:  []netip.Prefix{netip.MustParsePrefix("10.32.0.0/20"), netip.MustParsePrefix("10.48.0.0/16"), netip.MustParsePrefix("2001:db8::/32")},
		},
		DNS: DNS{
			Pods: []DNSPods{
				{Namespace: "dns", PodLabels: map[string]string{"app": "dns", "example.com/tier": ""}, Ports: []uint16{5353, 53}},
				{Namespace: "kube-system", PodLabels: map[string]string{"k8s-app": "kube-dns"}, Ports: []uint16{53}},
			},
			NodeLocal: netip.MustParseAddr("169.254.20.10"),
			Closed: &ClosedDNS{
				Address: netip.MustParseAddr("10.32.0.11"),
				Pods:    DNSPods{Namespace: "egress-system", PodLabels: map[string]string{"app": "closed-dns"}, Ports: []uint16{53}},
			},
		},
		Sidecar:             Sidecar{Image: "registry.example/egress-sidecar:v1@sha256:0"},
		ProtectedNamespaces: sets.New("kube-system", "pki"),
		Namespaces:          Namespaces{PodSecurity: PodSecurityRestricted},
		Admission:           Admission{BindAddress: BindAddress{Host: netip.IPv6Loopback(), Port: 9444}, CertDir: "./tls"},
		Probes:              &BindAddress{Host: netip.MustParseAddr("127.0.0.1")},
		LeaderElection:      LeaderElection{Namespace: "egress-system"},
		MemoryLimit:         512 << 20,
		LogLevel:            slog.LevelDebug,
	}, got)
}

// TestParseDefaults: a field has its default if it is missing, and if it is
// null.
func TestParseDefaults(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{
		"missing": minimal,
		"empty objects": header + `{"proxy": {"addresses": ["172.16.28.8"], "egressAddresses": {}}, "cluster": {}, "dns": {}, "namespaces": {}, "admission": {},
			"metrics": {}, "probes": {}, "leaderElection": {}}`,
		"null objects": minimal + "cluster: null\ndns: null\nnamespaces: null\nadmission: null\nmetrics: null\nprobes: null\nleaderElection: null\n",
		"null fields": header + `
proxy: {addresses: [172.16.28.8], egressAddresses: {shared: null, dedicated: null, gateway: null}, identity: null, machines: null}
sidecar: {image: null}
cluster: {domain: null, cidrs: null}
dns: {pods: null, nodeLocalAddress: null, closed: null}
protectedNamespaces: null
namespaces: {podSecurity: null}
admission: {bindAddress: null, certDir: null}
metrics: {bindAddress: null}
probes: {bindAddress: null}
leaderElection: {enabled: null, namespace: null}
logLevel: null
`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if strings.Contains(data, header+"{") {
				data = strings.Replace(data, header+"{", `{"apiVersion": "egress.scw/v1alpha1", "kind": "WebhookSettings", `, 1)
			}
			got, err := Parse([]byte(data))
			if err != nil {
				t.Fatal(err)
			}
			compare(t, defaultSettings(), got)
		})
	}
}

// TestDefaultIsWhatAMissingFieldMeans: the exported defaults are those of Parse.
func TestDefaultIsWhatAMissingFieldMeans(t *testing.T) {
	t.Parallel()
	file := Default()
	file.Proxy.Addresses = []string{"172.16.28.8"}
	data, err := yaml.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(data)
	if err != nil {
		t.Fatalf("%v in:\n%s", err, data)
	}
	compare(t, defaultSettings(), got)
}

func TestParseWithoutProtectedNamespaces(t *testing.T) {
	t.Parallel()
	got, err := Parse([]byte(minimal + "protectedNamespaces: []\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.ProtectedNamespaces) > 0 {
		t.Errorf("protected namespaces are %q", sets.List(got.ProtectedNamespaces))
	}
}

// TestParseRefuses: every error has the path of its field, and is the only one.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	machines := func(list string) string {
		return header + "proxy: {addresses: [172.16.28.8, 172.16.28.9], machines: [" + list + "]}\n"
	}
	pem := `"` + escaped(certificate) + `"`
	proxy := func(address string) string { return header + "proxy: {addresses: [" + address + "]}\n" }
	for name, test := range map[string]struct {
		data string
		want []string // the beginning of each error
	}{
		"another version":          {strings.Replace(minimal, "v1alpha1", "v1", 1), []string{`apiVersion: Unsupported value: "egress.scw/v1": supported values: "egress.scw/v1alpha1"`}},
		"a spare that is no spare": {header + "proxy: {addresses: [172.16.28.8], spareAddress: '::ffff:172.16.28.8'}", []string{"proxy.spareAddress: Invalid value"}},
		"a spare of IPv6":          {header + "proxy: {addresses: [172.16.28.8], spareAddress: '2001:db8::1'}", []string{"proxy.spareAddress: Invalid value"}},
		"a spare on loopback":      {header + "proxy: {addresses: [172.16.28.8], spareAddress: 127.0.0.1}", []string{"proxy.spareAddress: Invalid value"}},
		"another kind":             {strings.Replace(minimal, "WebhookSettings", "EgressTenant", 1), []string{`kind: Unsupported value: "EgressTenant"`}},
		"no version and kind":      {"proxy: {addresses: [172.16.28.8]}", []string{`apiVersion: Unsupported value: ""`, `kind: Unsupported value: ""`}},
		"no proxy":                 {header, []string{"proxy.addresses: Required value"}},
		"proxy null":               {header + "proxy: null", []string{"proxy.addresses: Required value"}},
		"proxy by name":            {proxy("proxy.internal"), []string{`proxy.addresses[0]: Invalid value: "proxy.internal": must be an IP address`}},
		"proxy with port":          {proxy(`"172.16.28.8:3129"`), []string{"proxy.addresses[0]: Invalid value"}},
		"proxy with length":        {proxy("172.16.28.8/32"), []string{"proxy.addresses[0]: Invalid value"}},
		"proxy with zone":          {proxy("fe80::1%eth0"), []string{"proxy.addresses[0]: Invalid value"}},
		"proxy unspecified":        {proxy("0.0.0.0"), []string{"proxy.addresses[0]: Invalid value"}},
		"proxy on loopback":        {proxy("127.0.0.1"), []string{"proxy.addresses[0]: Invalid value"}},
		"proxy on mapped loop":     {proxy(`"::ffff:127.0.0.1"`), []string{"proxy.addresses[0]: Invalid value"}},
		"proxy is metadata":        {proxy("169.254.42.42"), []string{"proxy.addresses[0]: Invalid value"}},
		"proxy is broadcast":       {proxy("255.255.255.255"), []string{"proxy.addresses[0]: Invalid value"}},
		"proxy twice":              {proxy(`172.16.28.8, "::ffff:172.16.28.8"`), []string{"proxy.addresses[1]: Duplicate value"}},
		"empty domain":             {minimal + "cluster: {domain: ''}", []string{`cluster.domain: Invalid value: "": is empty`}},
		"no domain":                {minimal + "cluster: {domain: cluster_local}", []string{"cluster.domain: Invalid value"}},
		"public domain":            {minimal + "cluster: {domain: co.uk}", []string{`cluster.domain: Invalid value: "co.uk": is a public suffix`}},
		"domain is a CIDR":         {minimal + "cluster: {domain: 10.0.0.0/8}", []string{"cluster.domain: Invalid value"}},
		"CIDRs":                    {minimal + "cluster: {cidrs: [10.32.0.0/20, 10.32.0.1, 0.0.0.0/0, '::ffff:0:0/96', '::/0', internal]}", []string{"cluster.cidrs[1]", "cluster.cidrs[2]", "cluster.cidrs[3]", "cluster.cidrs[4]", "cluster.cidrs[5]"}},
		"no DNS pods":              {minimal + "dns: {pods: []}", []string{"dns.pods: Required value"}},
		"too many ranges":          {minimal + "cluster: {cidrs: [" + strings.Repeat("10.32.0.0/20,", 65) + "]}", []string{"cluster.cidrs: Too many: 65"}},
		"no DNS namespace":         {minimal + "dns: {pods: [{podLabels: {a: b}}]}", []string{`dns.pods[0].namespace: Invalid value: ""`}},
		"DNS namespace":            {minimal + "dns: {pods: [{namespace: Kube_System, podLabels: {a: b}}]}", []string{`dns.pods[0].namespace: Invalid value: "Kube_System"`}},
		"no labels":                {minimal + "dns: {pods: [{namespace: dns, podLabels: {}}]}", []string{"dns.pods[0].podLabels: Required value"}},
		"labels":                   {minimal + "dns: {pods: [{namespace: dns, podLabels: {k8s-app: kube dns, a=b: c}}]}", []string{"dns.pods[0].podLabels[a=b]: Invalid value", "dns.pods[0].podLabels[k8s-app]: Invalid value"}},
		"no DNS ports":             {minimal + "dns: {pods: [{namespace: dns, podLabels: {a: b}, ports: []}]}", []string{"dns.pods[0].ports: Required value"}},
		"DNS ports":                {minimal + "dns: {pods: [{namespace: dns, podLabels: {a: b}, ports: [0, 53, 65536, 53]}]}", []string{"dns.pods[0].ports[0]: Invalid value: 0", "dns.pods[0].ports[2]: Invalid value: 65536", "dns.pods[0].ports[3]: Duplicate value: 53"}},
		"gateway by name":          {header + "proxy: {addresses: [172.16.28.8], egressAddresses: {gateway: [gw, 203.0.113.1, 203.0.113.1]}}", []string{"proxy.egressAddresses.gateway[0]: Invalid value", "proxy.egressAddresses.gateway[2]: Duplicate value"}},
		"node-local by name":       {minimal + "dns: {nodeLocalAddress: local}", []string{"dns.nodeLocalAddress: Invalid value"}},
		"node-local multicast":     {minimal + "dns: {nodeLocalAddress: 224.0.0.1}", []string{`dns.nodeLocalAddress: Invalid value: "224.0.0.1"`}},
		"node-local with zone":     {minimal + "dns: {nodeLocalAddress: 'fe80::1%eth0'}", []string{"dns.nodeLocalAddress: Invalid value"}},
		"protected namespaces":     {minimal + "protectedNamespaces: [kube-system, Kube_System, '']", []string{"protectedNamespaces[1]: Invalid value", "protectedNamespaces[2]: Invalid value"}},
		"listen on a name":         {minimal + "admission: {bindAddress: 'localhost:9443'}", []string{`admission.bindAddress: Invalid value: "localhost:9443"`}},
		"listen without port":      {minimal + "admission: {bindAddress: '9443'}", []string{"admission.bindAddress: Invalid value"}},
		"listen on a high port":    {minimal + "admission: {bindAddress: ':65536'}", []string{"admission.bindAddress: Invalid value"}},
		"listen on port 0":         {minimal + "admission: {bindAddress: ':0'}", []string{"admission.bindAddress: Invalid value"}},
		"listen nowhere":           {minimal + "admission: {bindAddress: ''}", []string{"admission.bindAddress: Invalid value"}},
		"no certificate":           {minimal + "admission: {certDir: ''}", []string{"admission.certDir: Required value"}},
		"metrics by service name":  {minimal + "metrics: {bindAddress: ':http'}", []string{"metrics.bindAddress: Invalid value"}},
		"probes without port":      {minimal + "probes: {bindAddress: '127.0.0.1'}", []string{"probes.bindAddress: Invalid value"}},
		"namespace of the Lease":   {minimal + "leaderElection: {namespace: a/b}", []string{"leaderElection.namespace: Invalid value"}},
		"Pod Security Standard":    {minimal + "namespaces: {podSecurity: privileged}", []string{`namespaces.podSecurity: Unsupported value: "privileged": supported values: "baseline", "restricted", "off"`}},
		"memory limit":             {minimal + "memoryLimit: 256MB", []string{`memoryLimit: Invalid value: "256MB": must be a quantity of memory of at least 64Mi`}},
		"small memory limit":       {minimal + "memoryLimit: 63Mi", []string{`memoryLimit: Invalid value: "63Mi"`}},
		"log level":                {minimal + "logLevel: loud", []string{`logLevel: Unsupported value: "loud": supported values: "debug", "info", "error"`}},
		"identity":                 {header + "proxy: {addresses: [172.16.28.8], identity: port}", []string{`proxy.identity: Unsupported value: "port": supported values: "Port", "Offered", "Required"`}},
		"machine elsewhere":        {machines("{address: 172.16.28.10, certificate: " + pem + "}"), []string{`proxy.machines[0].address: Invalid value: "172.16.28.10": must be one of proxy.addresses`}},
		"machine twice":            {machines("{address: 172.16.28.8, certificate: " + pem + "}, {address: '::ffff:172.16.28.8', certificate: " + pem + "}"), []string{"proxy.machines[1].address: Duplicate value"}},
		"machine with port":        {machines(`{address: "172.16.28.8:3443", certificate: ` + pem + "}"), []string{"proxy.machines[0].address: Invalid value"}},
		"empty machine":            {machines("{}"), []string{"proxy.machines[0].address: Invalid value", `proxy.machines[0].certificate: Invalid value: "": must be a certificate in PEM`}},
		"machine with a key":       {machines(`{address: 172.16.28.8, certificate: "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"}`), []string{`proxy.machines[0].certificate: Invalid value: "-----BEGIN EC PRIVATE KEY-----\nAAAA\n----…": must be a certificate in PEM`}},
		"machine with a chain":     {machines(`{address: 172.16.28.8, certificate: "` + escaped(certificate+certificate+certificate) + `"}`), []string{"proxy.machines[0].certificate: Invalid value"}},
		"text behind a machine":    {machines(`{address: 172.16.28.8, certificate: "` + escaped(certificate) + `x"}`), []string{"proxy.machines[0].certificate: Invalid value"}},
		"broken certificate":       {machines(`{address: 172.16.28.8, certificate: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}`), []string{"proxy.machines[0].certificate: Invalid value"}},
		"too many machines":        {header + "proxy: {addresses: [172.16.28.8], machines: [" + strings.Repeat("{address: 172.16.28.8, certificate: "+pem+"},", 17) + "]}", []string{"proxy.machines: Too many: 17"}},
		"empty closed DNS":         {minimal + "dns: {closed: {}}", []string{`dns.closed.address: Invalid value: ""`, `dns.closed.pods.namespace: Invalid value: ""`, "dns.closed.pods.podLabels: Required value"}},
		"closed DNS on loopback":   {minimal + "dns: {closed: {address: 127.0.0.1, pods: {namespace: dns, podLabels: {a: b}}}}", []string{"dns.closed.address: Invalid value"}},
		"image with a space":       {minimal + "sidecar: {image: 'sidecar: v1'}", []string{`sidecar.image: Invalid value: "sidecar: v1"`}},
		"unknown fields":           {minimal + "logLevels: info\ndns: {nodeLocal: 169.254.20.10}", []string{"dns.nodeLocal: Forbidden: the settings file has no such field", "logLevels: Forbidden"}},
		"case of a field":          {minimal + "loglevel: debug", []string{"loglevel: Forbidden"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings, err := Parse([]byte(test.data))
			if settings != nil {
				t.Errorf("settings come with the error: %+v", settings)
			}
			checkErrors(t, err, test.want)
		})
	}
}

func checkErrors(t *testing.T, err error, want []string) {
	t.Helper()
	all, ok := errors.AsType[Errors](err)
	if !ok || len(all) != len(want) {
		t.Fatalf("error is %v, want %d errors: %q", err, len(want), want)
	}
	for i := range want {
		if got := all[i].Error(); !strings.HasPrefix(got, want[i]) {
			t.Errorf("error %d is %q, want %q…", i, got, want[i])
		}
	}
}

// TestParseRefusesTypes: a value of the wrong type is reported once, whatever
// else its default would lead to.
func TestParseRefusesTypes(t *testing.T) {
	t.Parallel()
	_, err := Parse([]byte(header + `
proxy: {addresses: 172.16.28.8, egressAddresses: {shared: [1.5, x], dedicated: [203.0.113.50]}}
cluster: {domain: 5, cidrs: {}}
dns:
  port: 53
  pods:
    - {namespace: dns, podLabels: {app: dns, "0": 1, example.com/a.b: yes}}
    - {namespace: [], podLabels: {app: dns}, ports: [53, 99999999999, 5.3, dns, 0]}
    - dns
admission: [":9443"]
leaderElection: {enabled: "no"}
logLevel: loud
`))
	checkErrors(t, err, []string{
		`admission: Invalid value: [":9443"]: found a list where an object belongs`,
		`cluster.cidrs: Invalid value: {}: found an object where a list belongs`,
		`cluster.domain: Invalid value: 5: found a number where a string belongs`,
		`dns.pods[0].podLabels[0]: Invalid value: 1: found a number where a string belongs`,
		`dns.pods[0].podLabels[example.com/a.b]: Invalid value: true: found a boolean where a string belongs`,
		`dns.pods[1].namespace: Invalid value: []: found a list where a string belongs`,
		`dns.pods[1].ports[1]: Invalid value: 9.9999999999e+10: found a number where an integer belongs`,
		`dns.pods[1].ports[2]: Invalid value: 5.3: found a number where an integer belongs`,
		`dns.pods[1].ports[3]: Invalid value: "dns": found a string where an integer belongs`,
		`dns.pods[2]: Invalid value: "dns": found a string where an object belongs`,
		`leaderElection.enabled: Invalid value: "no": found a string where a boolean belongs`,
		`proxy.addresses: Invalid value: "172.16.28.8": found a string where a list belongs`,
		`proxy.egressAddresses.dedicated: Invalid value: ["203.0.113.50"]: found a list where an object belongs`,
		`proxy.egressAddresses.shared[0]: Invalid value: 1.5: found a number where a string belongs`,
		`dns.port: Forbidden`,
		`proxy.egressAddresses.shared[1]: Invalid value: "x"`,
		`dns.pods[1].ports[4]: Invalid value: 0: must be between`,
		`logLevel: Unsupported value: "loud"`,
	})
}

// TestParseRefusesOtherFiles: these errors name lines, as no field has a path.
func TestParseRefusesOtherFiles(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ data, want string }{
		"empty":            {"", "not a YAML object: write one with apiVersion egress.scw/v1alpha1 and kind WebhookSettings"},
		"a list":           {"[]", "not a YAML object"},
		"a string":         {"settings", "not a YAML object"},
		"no YAML":          {"proxy: {", "not valid YAML"},
		"duplicate fields": {minimal + "dns: {pods: [], pods: []}\nproxy: {}\n", `line 4: key "pods" already set`},
		"duplicate at top": {minimal + "dns: {pods: [], pods: []}\nproxy: {}\n", `line 5: key "proxy" already set`},
		"dedented rest":    {"  " + strings.ReplaceAll(minimal, "\n", "\n  ") + "\nlogLevel: debug\n", "not valid YAML"},
		"two documents":    {minimal + "---\n" + minimal, "more than one YAML document"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings, err := Parse([]byte(test.data))
			if settings != nil || err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %q", err, test.want)
			}
		})
	}
}

func TestParseAcceptsADocumentMarker(t *testing.T) {
	t.Parallel()
	got, err := Parse([]byte("# A comment.\n---\n" + minimal))
	if err != nil {
		t.Fatal(err)
	}
	compare(t, defaultSettings(), got)
}

// TestLoadNamesTheFile: the log of a pod that does not start shows the file
// and one line for each error.
func TestLoadNamesTheFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(file, []byte(header+"logLevel: loud\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(file)
	want := fmt.Sprintf("wrong settings in %s:\n  proxy.addresses: ", file)
	if err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "\n  logLevel: ") {
		t.Errorf("error is %v", err)
	}
	if err := os.WriteFile(file, []byte(minimal), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(file); err != nil {
		t.Error(err)
	}
	if _, err := Load(file + ".missing"); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), file+".missing") {
		t.Errorf("error is %v", err)
	}
}

func TestBindAddressString(t *testing.T) {
	t.Parallel()
	for _, text := range []string{":8080", "127.0.0.1:0", "[::1]:9443", "[fe80::1%eth0]:80"} {
		address, err := parseBindAddress(text)
		if err != nil {
			t.Error(err)
		}
		if got := address.String(); got != text {
			t.Errorf("%s becomes %s", text, got)
		}
	}
}
