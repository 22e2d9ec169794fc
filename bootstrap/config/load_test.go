package config

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"sigs.k8s.io/yaml"

	"egress.scw/bootstrap/config/strictyaml"
	"egress.scw/cloudinit"
)

// minimal is the shortest valid file: nine lines.
const minimal = `apiVersion: egress.scw/v1alpha1
kind: Egress
metadata:
  name: test
spec:
  zone: fr-par-1
  network: {cidr: 172.16.0.0/22}
  proxy:
    privateIP: 172.16.0.10
`

// former is a file in the former form, with all fields at the top level.
const former = `apiVersion: egress.scw/v1alpha1
kind: Egress
name: test
zone: fr-par-1
network: {cidr: 172.16.0.0/22}
proxy:
  privateIP: 172.16.0.10
`

// exampleFile is the documented example.
const exampleFile = "../egress.example.yaml"

func readExample(tb testing.TB) []byte {
	tb.Helper()
	data, err := os.ReadFile(exampleFile)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// compareAddresses compares addresses and ranges by their values.
func compareAddresses() cmp.Option { return cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}) }

// complaints returns the lines of the error of loading a file, without its name.
func complaints(tb testing.TB, text string) []string {
	tb.Helper()
	egress, err := Load("egress.yaml", []byte(text))
	if err == nil {
		if egress == nil {
			tb.Fatal("neither an error nor a result")
		}
		return nil
	}
	if _, ok := errors.AsType[*strictyaml.Error](err); !ok {
		tb.Fatalf("error of type %T", err)
	}
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		rest, ok := strings.CutPrefix(line, "egress.yaml:")
		if !ok {
			tb.Errorf("no file in %q", line)
		}
		lines[i] = rest
	}
	return lines
}

func TestLoad(t *testing.T) {
	t.Parallel()
	got, err := Load("egress.yaml", []byte(minimal+"  cluster: {version: \"1.99\", pools: [{name: a, nodeType: PRO2-XXS}]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := &Egress{Metadata: Metadata{Name: "test"}, Spec: Spec{
		Region: "fr-par", Zone: "fr-par-1",
		Network: Network{CIDR: netip.MustParsePrefix("172.16.0.0/22")},
		Gateway: Gateway{Enabled: new(true), Zone: "fr-par-1", Type: "VPC-GW-S", Masquerade: new(true), DefaultRoute: new(true)},
		Proxy: ProxyMachine{
			Replicas: 1, Type: "PLAY2-NANO", Image: "debian_trixie", VolumeGB: 20, PrivateIP: netip.MustParseAddr("172.16.0.10"),
			SourceAddress: cloudinit.SourceFlexibleIP, Identity: cloudinit.IdentityPort,
		},
		Cluster: &Cluster{
			Version: "1.99", CNI: "cilium", PodCIDR: netip.MustParsePrefix("100.64.0.0/15"), ServiceCIDR: netip.MustParsePrefix("10.32.0.0/20"),
			Autoscaler: &Autoscaler{Expander: "random", ScaleDownDelayAfterAdd: "10m", ScaleDownUnneededTime: "10m"},
			Pools:      []Pool{{Name: "a", NodeType: "PRO2-XXS", Zone: "fr-par-1", Size: 1, Autohealing: new(true), VolumeGB: 20}},
		},
		Outputs: Outputs{Kubeconfig: "kubeconfig.yaml", Values: "values.yaml", KnownHosts: "known_hosts", HideKubeconfig: new(true)},
	}}
	want.APIVersion, want.Kind = "egress.scw/v1alpha1", "Egress"
	if diff := cmp.Diff(want, got, compareAddresses()); diff != "" {
		t.Errorf("wrong (-want +got):\n%s", diff)
	}
}

func TestLoadErrors(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"minimal": {minimal, nil},
		"as JSON": {
			`{"apiVersion": "egress.scw/v1alpha1", "kind": "Egress", "metadata": {"name": "test"}, "spec": {"zone": "fr-par-1", "network": {"cidr": "172.16.0.0/22"}, "proxy": {"privateIP": "172.16.0.10"}}}`, nil,
		},
		"null is not set": {minimal + "  tenants: null\n  outputs:\n", nil},
		"tenant with empty groups": {minimal + "  tenants:\n    - name: a\n      proxy: {port: 3129}\n      allow:\n      # mode: Enforce\n      sidecar: ~\n", []string{
			"13: spec.tenants[0].allow: is empty: write its fields below it, or {} for the defaults, or remove it",
			"15: spec.tenants[0].sidecar: is empty: write its fields below it, or {} for the defaults, or remove it",
		}},
		"labels and annotations of kustomize": {strings.Replace(minimal, "  name: test\n", "  name: test\n  labels: {a: b}\n  annotations: {c: d}\n", 1), nil},
		"other metadata":                      {strings.Replace(minimal, "  name: test\n", "  name: test\n  namespace: a\n", 1), []string{"5: metadata.namespace: unknown field"}},

		"empty":    {"# nothing\n", []string{"1: is empty: begin with apiVersion: egress.scw/v1alpha1 and kind: Egress"}},
		"not YAML": {"a: b: c\n", []string{"1: is not YAML: mapping values are not allowed in this context; check indentation and quotes in this line and those around it"}},

		"other kind":        {"apiVersion: egress.scw/v1alpha1\nkind: EgressTenant\nspec: {}\n", []string{`2: kind: must be Egress, is "EgressTenant": is it the right file?`}},
		"other API version": {strings.Replace(minimal, "v1alpha1", "v2", 1), []string{`1: apiVersion: must be egress.scw/v1alpha1, is "egress.scw/v2": is it the right file?`}},
		"no kind":           {strings.Replace(minimal, "kind: Egress\n", "", 1), []string{"1: kind: is required: write Egress"}},
		"no type":           {"metadata: {name: test}\n", []string{"1: spec: is required", "1: apiVersion: is required: write egress.scw/v1alpha1", "1: kind: is required: write Egress"}},
		"empty spec": {"apiVersion: egress.scw/v1alpha1\nkind: Egress\nmetadata: {name: test}\nspec: {}\n", []string{
			"4: spec.network: is required", "4: spec.zone: is required", "4: spec.proxy.privateIP: Required value: the address of the proxy in the Private Network",
		}},

		"former form":               {former, []string{"3: has the former form: move name below metadata, and zone, network, proxy below spec"}},
		"former form without name":  {strings.Replace(former, "name: test\n", "metadata: {name: test}\n", 1), []string{"4: has the former form: move zone, network, proxy below spec"}},
		"former name only":          {"apiVersion: egress.scw/v1alpha1\nkind: Egress\nname: test\n", []string{"3: has the former form: move name below metadata"}},
		"former form of other kind": {strings.Replace(former, "kind: Egress", "kind: Other", 1), []string{`2: kind: must be Egress, is "Other": is it the right file?`}},
		"former form with mistakes": {former + "tipe: a\nzone: b\n", []string{"3: has the former form: move name below metadata, and zone, network, proxy below spec"}},
		"former field beside spec":  {minimal + "zone: fr-par-1\n", []string{"10: zone: unknown field: move it below spec"}},
		"former name beside spec":   {minimal + "name: test\n", []string{"10: name: unknown field: move it below metadata"}},
		"former name in spec":       {minimal + "  name: test\n", []string{"10: spec.name: unknown field: move it below metadata"}},
		"former name of a field":    {minimal + "    egress: Gateway\n", []string{"10: spec.proxy.egress: unknown field: it is now called sourceAddress"}},
		"other field beside spec":   {minimal + "colour: blue\n", []string{"10: colour: unknown field"}},

		"unknown field":          {minimal + "    tipe: PLAY2-NANO\n", []string{`10: spec.proxy.tipe: unknown field; did you mean "type"?`}},
		"unknown for a required": {strings.Replace(minimal, "zone:", "zoen:", 1), []string{`6: spec.zoen: unknown field; did you mean "zone"?`}},
		"unknown for one of two": {strings.Replace(minimal, "cidr", "cird", 1), []string{`7: spec.network.cird: unknown field; did you mean "cidr"?`}},

		"missing field":            {strings.Replace(minimal, "    privateIP: 172.16.0.10\n", "    type: PLAY2-NANO\n", 1), []string{"8: spec.proxy.privateIP: Required value: the address of the proxy in the Private Network"}},
		"missing field in a list":  {minimal + "  tenants:\n    - name: a\n      proxy: {port: 3129}\n    - name: b\n", []string{"13: spec.tenants[1].proxy: Required value: path Proxy needs a port of the proxy: set proxy.port"}},
		"required, but empty":      {strings.Replace(minimal, "zone: fr-par-1", "zone: ''", 1), []string{"6: spec.zone: Required value: a zone such as fr-par-1"}},
		"zero for the default":     {minimal + "    volumeGB: 0\n", []string{"10: spec.proxy.volumeGB: must not be 0, which would be read as not set: leave it out for the default"}},
		"zero where it means zero": {minimal + "  cluster:\n    version: '1.99'\n    autoUpgrade: {day: any, startHour: 0}\n    pools: [{name: a, nodeType: PRO2-XXS, autoscaling: {min: 0, max: 1}}]\n", nil},

		"version without quotes": {minimal + "  cluster:\n    version: 1.99\n    pools: [{name: a, nodeType: PRO2-XXS}]\n", []string{`11: spec.cluster.version: must be a string, is 1.99: quote it, "1.99"`}},
		"label that is true":     {minimal + "  cluster: {version: '1.99', pools: [{name: a, nodeType: PRO2-XXS, labels: {a/b.c: true}}]}\n", []string{`10: spec.cluster.pools[0].labels[a/b.c]: must be a string, is true: quote it, "true"`}},
		"alias":                  {minimal + "  tenants:\n    - {name: &a a, proxy: {port: 3129}, noProxy: &n [x.example]}\n    - {name: b, proxy: {port: 3130}, noProxy: *n}\n", nil},

		"range with host bits":   {strings.Replace(minimal, "172.16.0.0/22", "172.16.0.10/22", 1), []string{`7: spec.network.cidr: Invalid value: "172.16.0.10/22": must have no host bits: write 172.16.0.0/22`}},
		"range of one address":   {strings.Replace(minimal, "172.16.0.0/22", "172.16.0.10", 1), []string{`7: spec.network.cidr: Invalid value: "172.16.0.10": must be a CIDR: for this one address write 172.16.0.10/32`}},
		"range of no form":       {strings.Replace(minimal, "172.16.0.0/22", "a", 1), []string{`7: spec.network.cidr: Invalid value: "a": must be a CIDR such as 192.0.2.0/24`}},
		"range that is empty":    {strings.Replace(minimal, "172.16.0.0/22", "''", 1), []string{`7: spec.network.cidr: Invalid value: "": must be a CIDR such as 192.0.2.0/24`}},
		"range of IPv4 in IPv6":  {strings.Replace(minimal, "172.16.0.0/22", "'::ffff:172.16.0.0/118'", 1), []string{`7: spec.network.cidr: Invalid value: "::ffff:172.16.0.0/118": must be written as an IPv4 range, which it is`}},
		"range that is a number": {strings.Replace(minimal, "172.16.0.0/22", "1", 1), []string{`7: spec.network.cidr: must be a string, is 1: quote it, "1"`}},
		"address with a mask":    {strings.Replace(minimal, "172.16.0.10", "172.16.0.10/22", 1), []string{`9: spec.proxy.privateIP: Invalid value: "172.16.0.10/22": must be an IPv4 address such as 172.16.0.10`}},
		"address of IPv6":        {strings.Replace(minimal, "172.16.0.10", "fd00::1", 1), []string{`9: spec.proxy.privateIP: Invalid value: "fd00::1": must be an IPv4 address such as 172.16.0.10`}},
		"address that is empty":  {strings.Replace(minimal, "172.16.0.10", "''", 1), []string{`9: spec.proxy.privateIP: Invalid value: "": must be an IPv4 address such as 172.16.0.10`}},
		"name servers of all sorts": {minimal + "    nameServers:\n      - dns.example\n      - 2001:db8::1\n      - 127.0.0.53\n", []string{
			`11: spec.proxy.nameServers[0]: Invalid value: "dns.example": must be an IPv4 address such as 172.16.0.10`,
			`12: spec.proxy.nameServers[1]: Invalid value: "2001:db8::1": must be an IPv4 address such as 172.16.0.10`,
			`13: spec.proxy.nameServers[2]: Invalid value: "127.0.0.53": must be the address of one machine, neither loopback nor link-local`,
		}},
		"syslog server by its name": {minimal + "    auditLog: {syslog: {host: logs.example.com, address: logs.example.com}}\n", []string{
			`10: spec.proxy.auditLog.syslog.address: Invalid value: "logs.example.com": must be an IPv4 address such as 172.16.0.10`,
		}},
		"control plane for all sorts": {minimal + "  cluster:\n    version: '1.99'\n    acl: [198.51.100.1/24, 198.51.100.0/24, 198.51.100.0/24, '']\n    pools: [{name: a, nodeType: PRO2-XXS}]\n", []string{
			`12: spec.cluster.acl[0]: Invalid value: "198.51.100.1/24": must have no host bits: write 198.51.100.0/24`,
			`12: spec.cluster.acl[3]: Invalid value: "": must be a CIDR such as 192.0.2.0/24`,
			`12: spec.cluster.acl[2]: Duplicate value: "198.51.100.0/24"`,
		}},
		"unmanaged cluster with host bits": {minimal + "  cluster: {cidrs: [10.96.0.1/12]}\n", []string{`10: spec.cluster.cidrs[0]: Invalid value: "10.96.0.1/12": must have no host bits: write 10.96.0.0/12`}},
		// The default of a range that is wrong is not in the file, so nothing
		// conflicts with it.
		"wrong range instead of a default": {
			strings.NewReplacer("172.16.0.0/22", "10.32.0.0/22", "172.16.0.10", "10.32.0.10").Replace(minimal) +
				"  cluster:\n    version: '1.99'\n    podCIDR: a\n    serviceCIDR: 10.32.0.1/20\n    pools: [{name: a, nodeType: PRO2-XXS}]\n",
			[]string{
				`12: spec.cluster.podCIDR: Invalid value: "a": must be a CIDR such as 192.0.2.0/24`,
				`13: spec.cluster.serviceCIDR: Invalid value: "10.32.0.1/20": must have no host bits: write 10.32.0.0/20`,
			},
		},

		"wrong value":        {strings.Replace(minimal, "172.16.0.10", "172.16.4.1", 1), []string{`9: spec.proxy.privateIP: Invalid value: "172.16.4.1": must be in spec.network.cidr, 172.16.0.0/22`}},
		"missing default":    {strings.Replace(minimal, "fr-par-1", "it-mil-1", 1), []string{"8: spec.proxy.nameServers: Required value: Scaleway documents no public resolvers in it-mil-1: list the IPv4 addresses of name servers"}},
		"output is the file": {minimal + "  outputs: {values: ./egress.yaml}\n", []string{`10: spec.outputs.values: Invalid value: "./egress.yaml": must be another file than this one`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, complaints(t, test.text)); diff != "" {
				t.Errorf("wrong (-want +got):\n%s", diff)
			}
		})
	}
}

// Outputs that are written in different ways may be one file.
func TestLoadOutputsByPath(t *testing.T) {
	t.Parallel()
	whole := func(name string) string {
		path, err := filepath.Abs(name)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	for file, outputs := range map[string]string{
		"egress.yaml":          "{values: " + whole("egress.yaml") + "}",
		whole("a/egress.yaml"): "{values: " + whole("a/egress.yaml") + "}",
		"./a/egress.yaml":      "{values: ../a/egress.yaml, knownHosts: b}",
		"a/egress.yaml":        "{kubeconfig: out/k, values: " + whole("a/out/k") + "}",
		"a/../egress.yaml":     "{kubeconfig: " + whole("k") + ", values: k}",
	} {
		_, err := Load(file, []byte(minimal+"  outputs: "+outputs+"\n"))
		if err == nil || !strings.Contains(err.Error(), "spec.outputs.values: Invalid value: ") || !strings.Contains(err.Error(), "must be another file than ") {
			t.Errorf("%s in %s: %v", outputs, file, err)
		}
	}
	if _, err := Load("a/egress.yaml", []byte(minimal+"  outputs: {kubeconfig: egress/k, values: "+whole("egress.yaml")+"}\n")); err != nil {
		t.Error(err)
	}
}

// Errors of form and of value are reported together, ordered by line, without
// errors that are consequences of others.
func TestLoadAllErrorsAtOnce(t *testing.T) {
	t.Parallel()
	const text = `apiVersion: egress.scw/v1alpha1
kind: Egress
metadata:
  name: Test
spec:
  zone: fr-par
  network:
    cidr: 172.16.0.1/22
    colour: blue
  gateway:
    enabled: yes
  proxy:
    tipe: play2-nano
    volumeGB: 5
  cluster:
    version: 1.99
    pools:
      - name: a
        nodeType: pro2_xxs
  tenants:
    - name: a
      proxy: {port: 80}
    - name: a
`
	want := []string{
		`4: metadata.name: Invalid value: "Test": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`,
		`6: spec.zone: Invalid value: "fr-par": must be a zone such as fr-par-1`,
		`8: spec.network.cidr: Invalid value: "172.16.0.1/22": must have no host bits: write 172.16.0.0/22`,
		`9: spec.network.colour: unknown field`,
		`11: spec.gateway.enabled: must be true or false, without quotes, is the string "yes"`,
		`12: spec.proxy.privateIP: Required value: the address of the proxy in the Private Network`,
		`13: spec.proxy.tipe: unknown field; did you mean "type"?`,
		`14: spec.proxy.volumeGB: Invalid value: 5: must be between 10 and 1000`,
		`16: spec.cluster.version: must be a string, is 1.99: quote it, "1.99"`,
		`19: spec.cluster.pools[0].nodeType: Invalid value: "pro2_xxs": must be in upper case with dashes: write PRO2-XXS`,
		`22: spec.tenants[0].proxy.port: Invalid value: 80: must be between 3129 and 3255, the range that the proxy's firewall opens`,
		`23: spec.tenants[1].proxy: Required value: path Proxy needs a port of the proxy: set proxy.port`,
		`23: spec.tenants[1].name: Duplicate value: "a"`,
	}
	if diff := cmp.Diff(want, complaints(t, text)); diff != "" {
		t.Errorf("wrong (-want +got):\n%s", diff)
	}
}

// If only values are wrong, the result is returned beside the error, so that the
// caller can check it further. A result that may be incomplete is not returned.
func TestLoadResultBesideErrors(t *testing.T) {
	t.Parallel()
	for _, wrong := range []string{"zone: paris", "zone: paris\n  region: a"} {
		egress, err := Load("egress.yaml", []byte(strings.Replace(minimal, "zone: fr-par-1", wrong, 1)))
		if egress == nil || err == nil || egress.Spec.Zone != "paris" || egress.Spec.Proxy.Type == "" {
			t.Errorf("wrong value: got %+v and %v, want both", egress, err)
		}
	}
	egress, err := Load("egress.yaml", []byte(strings.Replace(minimal, "172.16.0.0/22", "a", 1)))
	if egress == nil || err == nil || egress.Spec.Network.CIDR.IsValid() {
		t.Errorf("range that cannot be parsed: got %+v and %v, want both", egress, err)
	}
	egress, err = Load("egress.yaml", []byte(minimal+"colour: blue\n"))
	if egress != nil || err == nil {
		t.Errorf("unknown field: got %+v and %v, want only the error", egress, err)
	}
}

func TestExample(t *testing.T) {
	t.Parallel()
	data := readExample(t)
	egress, err := Load(exampleFile, data)
	if err != nil {
		t.Fatal(err)
	}
	if len(egress.Spec.Tenants) != 3 || len(egress.Spec.Cluster.Pools) != 2 {
		t.Errorf("got %d tenants and %d pools, want 3 and 2", len(egress.Spec.Tenants), len(egress.Spec.Cluster.Pools))
	}
	for _, path := range leaves(t, reflect.TypeFor[Egress](), "") {
		name := path[strings.LastIndexByte(path, '.')+1:]
		if !regexp.MustCompile(`(?m)^[ #-]*(.*\{.*)?\b` + name + `:`).Match(data) {
			t.Errorf("%s is missing in the example", path)
		}
	}
	// Each field is below its parent: the file can be decoded also with the
	// commented-out fields, which exclude others or depend on the date.
	all := regexp.MustCompile(`(?m)^( +)# (id|cidrs|version|privateIPs): `).ReplaceAll(data, []byte("$1$2: "))
	if strings.Count(string(all), "\n    id: ") != 2 {
		t.Error("the commented-out fields are not where they were")
	}
	egress, err = Load(exampleFile, all)
	if egress == nil {
		t.Fatal(err)
	}
	for _, path := range unset(reflect.ValueOf(*egress), "") {
		// These are set to the zero value of their type.
		if path != "spec.registry.public" && path != "spec.cluster.autoscaler.scaleDownDisabled" && !strings.HasSuffix(path, "]") {
			t.Errorf("%s is not set in the example", path)
		}
	}
}

// leaves returns the paths of all fields, without the indices of lists.
func leaves(tb testing.TB, of reflect.Type, path string) []string {
	tb.Helper()
	var all []string
	if of == reflect.TypeFor[netip.Addr]() || of == reflect.TypeFor[netip.Prefix]() {
		return nil
	}
	switch of.Kind() {
	case reflect.Pointer, reflect.Slice:
		return leaves(tb, of.Elem(), path)
	case reflect.Struct:
		for name, index := range jsonFields(of) {
			child := strings.TrimPrefix(path+"."+name, ".")
			all = append(append(all, child), leaves(tb, of.FieldByIndex(index).Type, child)...)
		}
	case reflect.Map:
		if of.Key().Kind() != reflect.String || of.Elem().Kind() != reflect.String {
			tb.Errorf("%s: not a map of strings", path)
		}
	case reflect.String, reflect.Bool, reflect.Int32:
	default:
		tb.Errorf("%s: Load cannot decode %s", path, of)
	}
	slices.Sort(all)
	return all
}

// unset returns the paths of fields that are not set. A field of list items is
// unset if no item sets it.
func unset(value reflect.Value, path string) []string {
	switch value.Kind() {
	case reflect.Pointer:
		if value.IsNil() {
			return []string{path}
		}
		if value.Elem().Kind() == reflect.Struct {
			return unset(value.Elem(), path)
		}
	case reflect.Slice:
		if value.Len() == 0 {
			return []string{path}
		}
		if value.Type().Elem().Kind() != reflect.Struct {
			return nil
		}
		in := map[string]int{}
		for i := range value.Len() {
			for _, each := range unset(value.Index(i), path) {
				in[each]++
			}
		}
		var all []string
		for each, times := range in {
			if times == value.Len() {
				all = append(all, each)
			}
		}
		return all
	case reflect.Struct:
		if fields := jsonFields(value.Type()); len(fields) == 0 {
			break // an address or a range
		}
		var all []string
		for name, index := range jsonFields(value.Type()) {
			all = append(all, unset(value.FieldByIndex(index), strings.TrimPrefix(path+"."+name, "."))...)
		}
		return all
	default:
	}
	if value.IsZero() {
		return []string{path}
	}
	return nil
}

// jsonFields returns the indices of the exported fields of a struct by their JSON
// names, including those of inlined structs.
func jsonFields(of reflect.Type) map[string][]int {
	fields := map[string][]int{}
	for i := range of.NumField() {
		each := of.Field(i)
		name, _, _ := strings.Cut(each.Tag.Get("json"), ",")
		switch {
		case !each.IsExported():
		case each.Anonymous && name == "":
			for name, index := range jsonFields(each.Type) {
				fields[name] = append([]int{i}, index...)
			}
		default:
			fields[name] = []int{i}
		}
	}
	return fields
}

func TestSyslogPortHasDefault(t *testing.T) {
	t.Parallel()
	egress, err := Load("egress.yaml", []byte(minimal+"    auditLog: {syslog: {host: logs.example.com}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := egress.Spec.Proxy.AuditLog.Syslog.Port; got != 6514 {
		t.Errorf("port %d, want 6514", got)
	}
}

// FuzzLoad looks for panics, for errors without a problem in a line of the file,
// and for files that differ when their result is loaded again.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add([]byte(former))
	f.Add(readExample(f))
	for _, text := range []string{
		"", "{",
		minimal + "  cluster: {version: 1.99, pools: [{labels: {a: b}, taints: [{}]}]}\n  tenants: [{name: a, proxy: {port: 3129}, noProxy: [x]}]\n",
		minimal + "  cluster: {cidrs: [10.0.0.0/8, '::/0', fe80::1%eth0/64]}\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		egress, err := Load("egress.yaml", data)
		if err != nil {
			all, ok := errors.AsType[*strictyaml.Error](err)
			if !ok || len(all.Problems) == 0 || all.Problems[0].Line < 1 {
				t.Errorf("%#v", err)
			}
			return
		}
		again, err := yaml.Marshal(egress)
		if err != nil {
			t.Fatal(err)
		}
		same, err := Load("egress.yaml", again)
		if err != nil {
			t.Fatalf("not loaded again: %v\n%s", err, again)
		}
		if diff := cmp.Diff(egress, same, compareAddresses(), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("differs when loaded again:\n%s", diff)
		}
	})
}
