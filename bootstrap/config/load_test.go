package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"egress.scw/cloudinit"
)

// minimal is the shortest valid file: seven lines.
const minimal = `apiVersion: egress.scw/v1alpha1
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

// complaints are the lines of the error of loading a file, without its name.
func complaints(tb testing.TB, text string) []string {
	tb.Helper()
	egress, err := LoadEgress("egress.yaml", []byte(text))
	if err == nil {
		if egress == nil {
			tb.Fatal("neither error nor result")
		}
		return nil
	}
	if _, ok := errors.AsType[*ConfigError](err); !ok {
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

func TestLoadEgress(t *testing.T) {
	t.Parallel()
	got, err := LoadEgress("egress.yaml", []byte(minimal+"cluster: {version: \"1.34\", pools: [{name: a, nodeType: PRO2-XXS}]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := &Egress{
		Name: "test", Region: "fr-par", Zone: "fr-par-1",
		Network: NetworkConfig{CIDR: "172.16.0.0/22"},
		Gateway: GatewayConfig{Enabled: new(true), Type: "VPC-GW-S", Masquerade: new(true), DefaultRoute: new(true)},
		Proxy: ProxyConfig{
			Type: "PLAY2-NANO", Image: "debian_bookworm", VolumeGB: 20, PrivateIP: "172.16.0.10", Egress: cloudinit.SourceFlexibleIP,
			NameServers: []string{"51.159.69.162", "51.159.69.156"},
		},
		Cluster: &ClusterConfig{
			Version: "1.34", CNI: "cilium", PodCIDR: "100.64.0.0/15", ServiceCIDR: "10.32.0.0/20",
			Pools: []PoolConfig{{Name: "a", NodeType: "PRO2-XXS", Zone: "fr-par-1", Size: 1, Autohealing: new(true), VolumeGB: 20}},
		},
		Outputs: OutputsConfig{Kubeconfig: "kubeconfig.yaml", Values: "values.yaml", HideKubeconfig: new(true)},
	}
	want.APIVersion, want.Kind = "egress.scw/v1alpha1", "Egress"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("wrong (-want +got):\n%s", diff)
	}
}

func TestLoadEgressErrors(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"minimal":               {minimal, nil},
		"begins with a comment": {"# a comment\n---\n" + minimal + "...\n", nil},
		"lines of Windows":      {strings.ReplaceAll(minimal, "\n", "\r\n"), nil},
		"as JSON": {
			`{"apiVersion": "egress.scw/v1alpha1", "kind": "Egress", "name": "test", "zone": "fr-par-1", "network": {"cidr": "172.16.0.0/22"}, "proxy": {"privateIP": "172.16.0.10"}}`, nil,
		},
		"null is not set": {minimal + "cluster:\nregistry: ~\ntenants: null\noutputs:\n", nil},

		"empty":             {"", []string{"1: is empty: begin with apiVersion: egress.scw/v1alpha1 and kind: Egress"}},
		"nothing but lines": {"\n# nothing\n\n", []string{"1: is empty: begin with apiVersion: egress.scw/v1alpha1 and kind: Egress"}},
		"empty document":    {"---\n", []string{"1: is empty: begin with apiVersion: egress.scw/v1alpha1 and kind: Egress"}},
		"too long":          {strings.Repeat("#", 1<<20+1), []string{"1: has more than 1048576 bytes: is it the right file?"}},
		"a list":            {"\n- a\n", []string{"2: must be fields with values, is a list"}},
		"a text":            {"hello\n", []string{`1: must be fields with values, is the text "hello"`}},
		"two documents":     {minimal + "---\na: 1\n", []string{"8: a second document begins here: the file must hold one; remove the line ---"}},
		"no document after": {minimal + "---\n", []string{"8: a second document begins here: the file must hold one; remove the line ---"}},
		"no UTF-8":          {"a: 1\nb: \xff\n", []string{"2: is not UTF-8: save the file as UTF-8"}},
		"control character": {"a: 1\n\nb: \x1b[0m\n", []string{"3: contains the control character U+001B: remove it"}},

		"tab":                 {"a:\n\tb: 1\n", []string{"2: is indented with a tab: write spaces"}},
		"tab after spaces":    {"a:\n  b: 1\n  \tc: 1\n", []string{"3: is indented with a tab: write spaces"}},
		"colon in a text":     {"a: b: c\n", []string{"1: is not YAML: mapping values are not allowed in this context; look at indentation and quotes, here and around"}},
		"colon further down":  {"z: 1\na: b: c\n", []string{"2: is not YAML: mapping values are not allowed in this context; look at indentation and quotes, here and around"}},
		"indented too little": {"a:\n  b: 1\n c: 2\n", []string{"3: is not YAML: did not find expected key; look at indentation and quotes, here and around"}},
		"bracket left open":   {"a: 1\nb: [1,2\nc: 3\n", []string{"2: is not YAML: did not find expected ',' or ']'; look at indentation and quotes, here and around"}},
		"brace left open":     {"{", []string{"1: is not YAML: did not find expected node content; look at indentation and quotes, here and around"}},
		"quote left open":     {"a: 1\nb: 'x\nc: 3\n", []string{"2: is not YAML: found unexpected end of stream; look at indentation and quotes, here and around"}},
		"bad second document": {"a: 1\n...\nb: 2\n", []string{"3: is not YAML: did not find expected <document start>; look at indentation and quotes, here and around"}},
		"reserved character":  {"a: 1\nb: @x\n", []string{"2: is not YAML: found character that cannot start any token; look at indentation and quotes, here and around"}},
		"unknown alias":       {"a: 1\nb: *x\n", []string{"2: *x refers to nothing: &x must come before it"}},

		"other kind":        {"apiVersion: egress.scw/v1alpha1\nkind: EgressTenant\nspec: {}\n", []string{`2: kind: must be Egress, is "EgressTenant": is it the right file?`}},
		"other API version": {strings.Replace(minimal, "v1alpha1", "v2", 1), []string{`1: apiVersion: must be egress.scw/v1alpha1, is "egress.scw/v2": is it the right file?`}},
		"no kind":           {strings.Replace(minimal, "kind: Egress\n", "", 1), []string{"1: kind: is required: write Egress"}},
		"no type":           {"name: test\n", []string{"1: network: is required", "1: zone: is required", "1: apiVersion: is required: write egress.scw/v1alpha1", "1: kind: is required: write Egress", "1: proxy.privateIP: Required value: the address that the proxy is to have in the Private Network"}},

		"unknown field":            {minimal + "  tipe: PLAY2-NANO\n", []string{`8: proxy.tipe: unknown field; did you mean "type"?`}},
		"unknown field, far off":   {minimal + "colour: blue\n", []string{"8: colour: unknown field"}},
		"unknown field, short":     {minimal + "cluster: {version: '1.34', pools: [{name: a, nodeType: PRO2-XXS}], xy: 1}\n", []string{"8: cluster.xy: unknown field"}},
		"field in other case":      {minimal + "  NAMESERVERS: []\n", []string{`8: proxy.NAMESERVERS: unknown field; did you mean "nameServers"?`}},
		"inlined type is no field": {minimal + "TypeMeta: {}\n", []string{"8: TypeMeta: unknown field"}},
		"unprintable field":        {minimal + "\"a\\nb\\e\": 1\n", []string{`8: a\nb\x1b: unknown field`}},
		"unknown for a required":   {strings.Replace(minimal, "zone:", "zoen:", 1), []string{`4: zoen: unknown field; did you mean "zone"?`}},
		"unknown for one of two":   {strings.Replace(minimal, "cidr", "cird", 1), []string{`5: network.cird: unknown field; did you mean "cidr"?`}},
		"field twice":              {minimal + "zone: fr-par-2\n", []string{"8: zone: stands here a second time, after line 4: remove one"}},

		"missing field":            {strings.Replace(minimal, "  privateIP: 172.16.0.10\n", "  type: PLAY2-NANO\n", 1), []string{"6: proxy.privateIP: is required"}},
		"missing field in a list":  {minimal + "tenants:\n  - name: a\n    proxy: {port: 3129}\n  - name: b\n", []string{"11: tenants[1].proxy: Required value: path Proxy needs a port of the proxy: set proxy.port"}},
		"required, but null":       {strings.Replace(minimal, "zone: fr-par-1", "zone:", 1), []string{"4: zone: is required"}},
		"required, but empty":      {strings.Replace(minimal, "zone: fr-par-1", "zone: ''", 1), []string{"4: zone: Required value: a zone such as fr-par-1"}},
		"zero for the default":     {minimal + "  volumeGB: 0\n", []string{"8: proxy.volumeGB: must not be 0, which would be read as not set: for the default, leave it out"}},
		"zero where it means zero": {minimal + "cluster:\n  version: '1.34'\n  autoUpgrade: {day: any, startHour: 0}\n  pools: [{name: a, nodeType: PRO2-XXS, autoscaling: {min: 0, max: 1}}]\n", nil},

		"version without quotes": {minimal + "cluster:\n  version: 1.34\n  pools: [{name: a, nodeType: PRO2-XXS}]\n", []string{`9: cluster.version: must be a text, is 1.34: put it in quotes, "1.34"`}},
		"text that is true":      {strings.Replace(minimal, "test", "true", 1), []string{`3: name: must be a text, is true: put it in quotes, "true"`}},
		"text that is a date":    {strings.Replace(minimal, "test", "2026-01-02", 1), []string{`3: name: must be a text, is the date 2026-01-02: put it in quotes, "2026-01-02"`}},
		"text that is a list":    {strings.Replace(minimal, "test", "[a]", 1), []string{"3: name: must be a text, is a list"}},
		"text that is yes":       {strings.Replace(minimal, "test", "yes", 1), nil},
		"yes for true":           {minimal + "gateway: {enabled: yes}\n", []string{`8: gateway.enabled: must be true or false, without quotes, is the text "yes"`}},
		"true in quotes":         {minimal + "gateway: {enabled: 'true'}\n", []string{`8: gateway.enabled: must be true or false, without quotes, is the text "true"`}},
		"map for true":           {minimal + "gateway: {enabled: {}}\n", []string{"8: gateway.enabled: must be true or false, without quotes, is a map"}},
		"text for a number":      {minimal + "  volumeGB: '20'\n", []string{`8: proxy.volumeGB: must be an integer, without quotes, is the text "20"`}},
		"fraction":               {minimal + "  volumeGB: 20.5\n", []string{"8: proxy.volumeGB: must be an integer, without quotes, is 20.5"}},
		"octal":                  {minimal + "  volumeGB: 020\n", []string{"8: proxy.volumeGB: must be a decimal integer, is 020"}},
		"hexadecimal":            {minimal + "  volumeGB: 0x20\n", []string{"8: proxy.volumeGB: must be a decimal integer, is 0x20"}},
		"underscores":            {minimal + "  volumeGB: 2_0\n", []string{"8: proxy.volumeGB: must be a decimal integer, is 2_0"}},
		"large":                  {minimal + "  volumeGB: 2147483648\n", []string{"8: proxy.volumeGB: must be a smaller integer"}},
		"list for fields":        {strings.Replace(minimal, "{cidr: 172.16.0.0/22}", "[]", 1), []string{"5: network: must be fields with values, is a list"}},
		"text for a list":        {minimal + "tenants: a\n", []string{`8: tenants: must be a list, is the text "a"`}},
		"empty item":             {minimal + "tenants:\n  - {name: a, proxy: {port: 3129}}\n  -\n", []string{"10: tenants[1]: is empty: remove it"}},
		"list for labels":        {minimal + "cluster:\n  version: '1.34'\n  pools: [{name: a, nodeType: PRO2-XXS, labels: [a]}]\n", []string{"10: cluster.pools[0].labels: must be names with values, is a list"}},
		"label that is true":     {minimal + "cluster:\n  version: '1.34'\n  pools:\n    - name: a\n      nodeType: PRO2-XXS\n      labels:\n        a/b.c: true\n        d:\n        1: x\n", []string{`14: cluster.pools[0].labels[a/b.c]: must be a text, is true: put it in quotes, "true"`, `15: cluster.pools[0].labels[d]: must be a text: for an empty one write ""`, `16: cluster.pools[0].labels: has the key 1, which must be a text: put it in quotes, "1"`}},
		"list for a key":         {minimal + "? [a]\n: b\n", []string{"8: has a list for a key, which must be a text"}},
		"tag":                    {minimal + "gateway: !x {}\n", []string{"8: gateway: has the tag !x, which is not supported: remove it, and put texts in quotes"}},

		"alias":      {minimal + "tenants:\n  - {name: &a a, proxy: {port: 3129}, noProxy: &n [x.example]}\n  - {name: b, proxy: {port: 3130}, noProxy: *n}\n", nil},
		"merge key":  {minimal + "gateway: &g {enabled: true}\noutputs:\n  <<: *g\n", []string{"10: outputs: merge keys (<<) are not supported: write the fields out"}},
		"alias loop": {minimal + "tenants: &a [*a]\n", []string{"8: tenants[0]: must be fields with values, is a list"}},
		"aliases that multiply": {
			minimal + "tenants:\n  - &t {name: a, proxy: {port: 3129}, noProxy: &n [" + strings.Repeat("a,", 1000) + "]}\n" + strings.Repeat("  - *t\n", 200),
			[]string{"9: tenants[49].noProxy[740]: is too much: the file holds more than 50000 values, counting every use of an alias"},
		},

		"value that is wrong":     {strings.Replace(minimal, "172.16.0.10", "172.16.4.1", 1), []string{`7: proxy.privateIP: Invalid value: "172.16.4.1": must be in network.cidr, 172.16.0.0/22`}},
		"default that is missing": {strings.Replace(minimal, "fr-par-1", "it-mil-1", 1), []string{"6: proxy.nameServers: Required value: Scaleway documents no public resolvers in it-mil-1: name those to ask, by their IPv4 addresses"}},
		"output is the file":      {minimal + "outputs: {values: ./egress.yaml}\n", []string{`8: outputs.values: Invalid value: "./egress.yaml": must be another file than this one`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, complaints(t, test.text)); diff != "" {
				t.Errorf("wrong (-want +got):\n%s", diff)
			}
		})
	}
}

// Errors of form and of value come together, by line, and none follows from
// another.
func TestLoadEgressAllErrorsAtOnce(t *testing.T) {
	t.Parallel()
	const text = `apiVersion: egress.scw/v1alpha1
kind: Egress
name: Test
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
  version: 1.34
  pools:
    - name: a
      nodeType: pro2_xxs
tenants:
  - name: a
    proxy: {port: 80}
  - name: a
`
	want := []string{
		`3: name: Invalid value: "Test": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`,
		`4: zone: Invalid value: "fr-par": must be a zone such as fr-par-1`,
		`6: network.cidr: Invalid value: "172.16.0.1/22": must have no host bits: write 172.16.0.0/22`,
		`7: network.colour: unknown field`,
		`9: gateway.enabled: must be true or false, without quotes, is the text "yes"`,
		`10: proxy.privateIP: is required`,
		`11: proxy.tipe: unknown field; did you mean "type"?`,
		`12: proxy.volumeGB: Invalid value: 5: must be between 10 and 1000`,
		`14: cluster.version: must be a text, is 1.34: put it in quotes, "1.34"`,
		`17: cluster.pools[0].nodeType: Invalid value: "pro2_xxs": must be in upper case with dashes: write PRO2-XXS`,
		`20: tenants[0].proxy.port: Invalid value: 80: must be between 3129 and 3255, the range that the proxy's firewall opens`,
		`21: tenants[1].proxy: is required`,
		`21: tenants[1].name: Duplicate value: "a"`,
	}
	if diff := cmp.Diff(want, complaints(t, text)); diff != "" {
		t.Errorf("wrong (-want +got):\n%s", diff)
	}
}

// Whoever wants to go on checking gets what could be read, but never half.
func TestLoadEgressResultBesideErrors(t *testing.T) {
	t.Parallel()
	egress, err := LoadEgress("egress.yaml", []byte(strings.Replace(minimal, "fr-par-1", "paris", 1)))
	if egress == nil || err == nil || egress.Zone != "paris" || egress.Proxy.Type == "" {
		t.Errorf("wrong value: got %+v and %v, want both", egress, err)
	}
	egress, err = LoadEgress("egress.yaml", []byte(minimal+"colour: blue\n"))
	if egress != nil || err == nil {
		t.Errorf("unknown field: got %+v and %v, want only the error", egress, err)
	}
}

func TestExample(t *testing.T) {
	t.Parallel()
	data := readExample(t)
	egress, err := LoadEgress(exampleFile, data)
	if err != nil {
		t.Fatal(err)
	}
	if len(egress.Tenants) != 3 || len(egress.Cluster.Pools) != 2 {
		t.Errorf("got %d tenants and %d pools, want 3 and 2", len(egress.Tenants), len(egress.Cluster.Pools))
	}
	for _, path := range leaves(t, reflect.TypeFor[Egress](), "") {
		name := path[strings.LastIndexByte(path, '.')+1:]
		if !regexp.MustCompile(`(?m)^[ #-]*(.*\{.*)?\b` + name + `:`).Match(data) {
			t.Errorf("%s is not in the example", path)
		}
	}
	// Each field stands below its parent: with the comments taken off the two
	// fields that exclude others, the file decodes all the same.
	all := regexp.MustCompile(`(?m)^( +)# (id|cidrs): `).ReplaceAll(data, []byte("$1$2: "))
	if strings.Count(string(all), "\n  id: ") != 2 {
		t.Error("the commented-out fields are not where they were")
	}
	egress, err = LoadEgress(exampleFile, all)
	if egress == nil {
		t.Fatal(err)
	}
	for _, path := range unset(reflect.ValueOf(*egress), "") {
		// These two say what is the default of their type.
		if path != "registry.public" && !strings.HasSuffix(path, "]") {
			t.Errorf("%s is not set in the example", path)
		}
	}
}

// leaves are the paths of all fields; of lists, without index.
func leaves(tb testing.TB, of reflect.Type, path string) []string {
	tb.Helper()
	var all []string
	switch of.Kind() {
	case reflect.Pointer, reflect.Slice:
		return leaves(tb, of.Elem(), path)
	case reflect.Struct:
		for name, each := range jsonFields(of) {
			child := strings.TrimPrefix(path+"."+name, ".")
			all = append(append(all, child), leaves(tb, of.FieldByIndex(each.index).Type, child)...)
		}
	case reflect.Map:
		if of.Key().Kind() != reflect.String || of.Elem().Kind() != reflect.String {
			tb.Errorf("%s: no map of texts", path)
		}
	case reflect.String, reflect.Bool, reflect.Int32:
	default:
		tb.Errorf("%s: LoadEgress cannot decode %s", path, of)
	}
	slices.Sort(all)
	return all
}

// unset are the paths of fields that are not set anywhere, other than by items
// of lists that set fewer than others.
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
		var all []string
		for name, each := range jsonFields(value.Type()) {
			all = append(all, unset(value.FieldByIndex(each.index), strings.TrimPrefix(path+"."+name, "."))...)
		}
		return all
	default:
		if value.IsZero() {
			return []string{path}
		}
	}
	return nil
}

// FuzzLoadEgress looks for panics, for errors that are not one line per problem
// with a line of the file, and for files that are not the same when read again.
func FuzzLoadEgress(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add(readExample(f))
	for _, text := range []string{
		"", "---\n", "- a", "{", "a: &a [*a]", "a: &a {<<: *a}", "? {a: b}\n: c", "\t", "a: !!binary x", "a: 1\n---\nb", "%YAML 1.2\n---\n",
		minimal + "cluster: {version: 1.34, pools: [{labels: {a: b}, taints: [{}]}]}\ntenants: [{name: a, proxy: {port: 3129}, noProxy: [x]}]\n",
		minimal + "cluster: {cidrs: [10.0.0.0/8, '::/0', fe80::1%eth0/64]}\n",
		minimal + "\"a\\nb\": |\n  text\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		egress, err := LoadEgress("egress.yaml", data)
		if err != nil {
			checkConfigError(t, err, data)
			return
		}
		again, err := yaml.Marshal(egress)
		if err != nil {
			t.Fatal(err)
		}
		same, err := LoadEgress("egress.yaml", again)
		if err != nil {
			t.Fatalf("not read again: %v\n%s", err, again)
		}
		if diff := cmp.Diff(egress, same); diff != "" {
			t.Errorf("another when read again:\n%s", diff)
		}
	})
}

func checkConfigError(tb testing.TB, err error, data []byte) {
	tb.Helper()
	var config *ConfigError
	if !errors.As(err, &config) || len(config.Problems) == 0 {
		tb.Fatalf("no problems in %#v", err)
	}
	if lines := strings.Count(err.Error(), "\n") + 1; lines != len(config.Problems) {
		tb.Errorf("%d lines for %d problems:\n%s", lines, len(config.Problems), err)
	}
	last := 1
	for _, problem := range config.Problems {
		// NEL, CR and two more separate lines of YAML, too.
		if most := 2 + strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + strings.Count(string(data), "\u0085") +
			strings.Count(string(data), "\u2028") + strings.Count(string(data), "\u2029"); problem.Line < last || problem.Line > most {
			tb.Errorf("line %d after line %d in a file of %d: %v", problem.Line, last, most, problem)
		}
		last = problem.Line
		if problem.Detail == "" {
			tb.Error(fmt.Errorf("no detail in %+v", problem))
		}
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
