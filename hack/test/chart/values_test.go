package chart_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/action"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// A wrong value is refused before anything is sent to a cluster, with its path.
func TestWrongValues(t *testing.T) {
	tenants := func(list string) string { return minimalValues + "\ntenants: [" + list + "]" }
	for name, test := range map[string]struct {
		values string
		want   []string // all in the error
	}{
		"empty values":               {"{}", []string{"'/proxy'", "missing property 'addresses'"}},
		"no proxy address":           {"proxy: {addresses: []}", []string{"'/proxy/addresses'", "minItems: got 0, want 1"}},
		"proxy by name":              {"proxy: {addresses: [squid.example.com]}", []string{"'/proxy/addresses/0'", "not valid ipv4"}},
		"proxy with port":            {"proxy: {addresses: ['172.16.28.8:3128']}", []string{"'/proxy/addresses/0'"}},
		"proxy address out of range": {"proxy: {addresses: [172.16.28.256]}", []string{"'/proxy/addresses/0'"}},
		"proxy address with zone":    {"proxy: {addresses: ['fe80::1%eth0']}", []string{"'/proxy/addresses/0'"}},
		"duplicate proxy address":    {"proxy: {addresses: [172.16.28.8, 172.16.28.8]}", []string{"'/proxy/addresses'", "items at 0 and 1 are equal"}},
		"second proxy address":       {"proxy: {addresses: [172.16.28.8, x]}", []string{"'/proxy/addresses/1'"}},
		"one address, not a list":    {"proxy: {addresses: 172.16.28.8}", []string{"'/proxy/addresses'", "got string, want array"}},
		"egress by name":             {"proxy: {addresses: [172.16.28.8], egressAddresses: {shared: [egress.example.com]}}", []string{"'/proxy/egressAddresses/shared/0'", "not valid ipv4"}},
		"duplicate egress address":   {"proxy: {addresses: [172.16.28.8], egressAddresses: {shared: [203.0.113.50, 203.0.113.50]}}", []string{"'/proxy/egressAddresses/shared'", "equal"}},
		"egress of a tenant by name": {"proxy: {addresses: [172.16.28.8], egressAddresses: {dedicated: {client-a: [x]}}}", []string{"'/proxy/egressAddresses/dedicated/client-a/0'"}},
		"egress of a tenant, one":    {"proxy: {addresses: [172.16.28.8], egressAddresses: {dedicated: {client-a: 203.0.113.51}}}", []string{"'/proxy/egressAddresses/dedicated/client-a'", "got string, want array"}},
		"egress of no tenant's name": {"proxy: {addresses: [172.16.28.8], egressAddresses: {dedicated: {Client: [203.0.113.51]}}}", []string{"'/proxy/egressAddresses/dedicated'", "'Client' not allowed"}},
		"egress of another kind":     {"proxy: {addresses: [172.16.28.8], egressAddresses: {public: []}}", []string{"'/proxy/egressAddresses'", "'public' not allowed"}},
		"no egress at all":           {"proxy: {addresses: [172.16.28.8], egressAddresses: null}", []string{"'/proxy'", "missing property 'egressAddresses'"}},
		"unknown key":                {minimalValues + "\nreplica: 2", []string{"''", "'replica' not allowed"}},
		"guard that does not exist":  {minimalValues + "\nguards: {all: false}", []string{"'/guards'", "'all' not allowed"}},
		"guard as text":              {minimalValues + "\nguards: {volumes: 'no'}", []string{"'/guards/volumes'", "got string, want boolean"}},
		"registry with a scheme":     {minimalValues + "\nguards: {imageRegistries: ['https://rg.fr-par.scw.cloud']}", []string{"'/guards/imageRegistries/0'", "does not match pattern"}},
		"registry with a slash":      {minimalValues + "\nguards: {imageRegistries: ['rg.fr-par.scw.cloud/']}", []string{"'/guards/imageRegistries/0'", "does not match pattern"}},
		"registry without a dot":     {minimalValues + "\nguards: {imageRegistries: [library]}", []string{"'/guards/imageRegistries/0'", "does not match pattern"}},
		"controller without a name":  {minimalValues + "\nguards: {loadBalancerControllers: {users: ['']}}", []string{"'/guards/loadBalancerControllers/users/0'", "minLength"}},
		"priority out of range":      {minimalValues + "\nclusterNetworkPolicy: {priority: 1001}", []string{"'/clusterNetworkPolicy/priority'", "maximum"}},
		"two kinds of destination":   {minimalValues + "\nclusterNetworkPolicy: {destinations: [{namespaces: {}, networks: [10.0.0.0/8]}]}", []string{"'/clusterNetworkPolicy/destinations/0'", "maxProperties"}},
		"destination as address":     {minimalValues + "\nclusterNetworkPolicy: {destinations: [{networks: [10.0.0.1]}]}", []string{"'/clusterNetworkPolicy/destinations/0/networks/0'"}},
		"unknown key inside":         {"proxy: {addresses: [172.16.28.8], port: 3128}", []string{"'/proxy'", "'port' not allowed"}},

		"port below the range":     {tenants("{name: a, proxy: {port: 3128}}"), []string{"'/tenants/0/proxy/port'", "minimum: got 3,128, want 3,129"}},
		"port above the range":     {tenants("{name: a, proxy: {port: 3256}}"), []string{"'/tenants/0/proxy/port'", "maximum: got 3,256, want 3,255"}},
		"port as text":             {tenants("{name: a, proxy: {port: '3129'}}"), []string{"'/tenants/0/proxy/port'", "got string, want integer"}},
		"port missing":             {tenants("{name: a, proxy: {}}"), []string{"'/tenants/0/proxy'", "missing property 'port'"}},
		"tenant without proxy":     {tenants("{name: a}"), []string{"'/tenants/0'", "missing property 'proxy'"}},
		"tenant without name":      {tenants("{proxy: {port: 3129}}"), []string{"'/tenants/0'", "missing property 'name'"}},
		"tenant with capitals":     {tenants("{name: Client, proxy: {port: 3129}}"), []string{"'/tenants/0/name'", "does not match pattern"}},
		"tenant name with a dot":   {tenants("{name: a.b, proxy: {port: 3129}}"), []string{"'/tenants/0/name'", "does not match pattern"}},
		"tenant name too long":     {tenants("{name: " + strings.Repeat("a", 64) + ", proxy: {port: 3129}}"), []string{"'/tenants/0/name'", "maxLength"}},
		"unknown egress":           {tenants("{name: a, proxy: {port: 3129, egressIP: Own}}"), []string{"'/tenants/0/proxy/egressIP'", "'Shared', 'Dedicated'"}},
		"unknown path":             {tenants("{name: a, path: Tunnel, proxy: {port: 3129}}"), []string{"'/tenants/0/path'", "'Proxy'"}},
		"unknown field of tenant":  {tenants("{name: a, proxy: {port: 3129}, noproxy: [x]}"), []string{"'/tenants/0'", "'noproxy' not allowed"}},
		"unknown mode":             {tenants("{name: a, proxy: {port: 3129}, allow: {mode: Deny, domains: [x]}}"), []string{"'/tenants/0/allow/mode'", "'Enforce', 'Report', 'Open'"}},
		"list without domains":     {tenants("{name: a, proxy: {port: 3129}, allow: {}}"), []string{"'/tenants/0/allow'", "missing property 'domains'"}},
		"list of no domain":        {tenants("{name: a, proxy: {port: 3129}, allow: {mode: Enforce, domains: []}}"), []string{"'/tenants/0/allow/domains'", "minItems"}},
		"open with domains":        {tenants("{name: a, proxy: {port: 3129}, allow: {mode: Open, domains: [x]}}"), []string{"'/tenants/0/allow/domains'", "maxItems"}},
		"duplicate domain":         {tenants("{name: a, proxy: {port: 3129}, allow: {domains: [x, x]}}"), []string{"'/tenants/0/allow/domains'", "equal"}},
		"asterisk in domain":       {tenants("{name: a, proxy: {port: 3129}, allow: {domains: ['*.example.com']}}"), []string{"'/tenants/0/allow/domains/0'", "does not match pattern"}},
		"newline ends domain":      {tenants(`{name: a, proxy: {port: 3129}, allow: {domains: ["a\n"]}}`), []string{"'/tenants/0/allow/domains/0'", "does not match pattern"}},
		"domain with a port":       {tenants("{name: a, proxy: {port: 3129}, allow: {domains: ['example.com:443']}}"), []string{"'/tenants/0/allow/domains/0'", "does not match pattern"}},
		"allowed port too high":    {tenants("{name: a, proxy: {port: 3129}, allow: {domains: [x], ports: [65536]}}"), []string{"'/tenants/0/allow/ports/0'", "maximum"}},
		"allowed port too low":     {tenants("{name: a, proxy: {port: 3129}, allow: {domains: [x], ports: [443, 0]}}"), []string{"'/tenants/0/allow/ports/1'", "minimum"}},
		"port of mail":             {tenants("{name: a, proxy: {port: 3129}, allow: {domains: [x], ports: [443, 25]}}"), []string{"'/tenants/0/allow/ports/1'", "'not' failed"}},
		"port of DNS":              {tenants("{name: a, proxy: {port: 3129}, allow: {mode: Open, ports: [53]}}"), []string{"'/tenants/0/allow/ports/0'", "'not' failed"}},
		"too many allowed ports":   {tenants("{name: a, proxy: {port: 3129}, allow: {domains: [x], ports: [" + series("%d", 17) + "]}}"), []string{"'/tenants/0/allow/ports'", "maxItems: got 17, want 16"}},
		"too many domains":         {tenants("{name: a, proxy: {port: 3129}, allow: {domains: [" + series("h%d.example.com", 1001) + "]}}"), []string{"'/tenants/0/allow/domains'", "maxItems: got 1,001, want 1,000"}},
		"unknown field of allow":   {tenants("{name: a, proxy: {port: 3129}, allow: {hosts: [x], domains: [x]}}"), []string{"'/tenants/0/allow'", "'hosts' not allowed"}},
		"newline in noProxy":       {tenants(`{name: a, proxy: {port: 3129}, noProxy: [x, "a\nb"]}`), []string{"'/tenants/0/noProxy/1'", "does not match pattern"}},
		"newline ends noProxy":     {tenants(`{name: a, proxy: {port: 3129}, noProxy: ["a\n"]}`), []string{"'/tenants/0/noProxy/0'", "does not match pattern"}},
		"comma in noProxy":         {tenants(`{name: a, proxy: {port: 3129}, noProxy: ["a,b"]}`), []string{"'/tenants/0/noProxy/0'"}},
		"asterisk in noProxy":      {tenants(`{name: a, proxy: {port: 3129}, noProxy: ["*.example.com"]}`), []string{"'/tenants/0/noProxy/0'"}},
		"empty noProxy entry":      {tenants(`{name: a, proxy: {port: 3129}, noProxy: [""]}`), []string{"'/tenants/0/noProxy/0'", "minLength"}},
		"other runtime":            {tenants(`{name: a, proxy: {port: 3129}, runtimes: [java]}`), []string{"'/tenants/0/runtimes/0'"}},
		"duplicate runtime":        {tenants(`{name: a, proxy: {port: 3129}, runtimes: [Java, Java]}`), []string{"'/tenants/0/runtimes'", "equal"}},
		"runtimes with Gateway":    {tenants(`{name: a, path: Gateway, runtimes: [Java]}`), []string{"'/tenants/0/runtimes'"}},
		"duplicate noProxy entry":  {tenants(`{name: a, proxy: {port: 3129}, noProxy: [x, x]}`), []string{"'/tenants/0/noProxy'", "equal"}},
		"two tenants, one name":    {tenants("{name: a, proxy: {port: 3129}}, {name: b, proxy: {port: 3130}}, {name: a, proxy: {port: 3131}}"), []string{"tenants[2].name: a is already the name of tenants[0]"}},
		"two tenants, one port":    {tenants("{name: a, proxy: {port: 3129}}, {name: b, proxy: {port: 3129}}"), []string{"tenants[1].proxy.port: 3129 is already the port of tenants[0] (a)"}},
		"too many of their own":    {tenants(dedicatedTenants(5)), []string{"tenants[4].proxy.egressIP: must be Shared: a proxy has dedicated addresses for at most 4 tenants"}},
		"tenants as a map":         {minimalValues + "\ntenants: {a: {proxy: {port: 3129}}}", []string{"'/tenants'", "got object, want array"}},
		"cluster CIDR as address":  {minimalValues + "\ncluster: {cidrs: [10.32.0.0]}", []string{"'/cluster/cidrs/0'"}},
		"cluster CIDR too wide":    {minimalValues + "\ncluster: {cidrs: [10.32.0.0/33]}", []string{"'/cluster/cidrs/0'"}},
		"cluster CIDR, IPv6":       {minimalValues + "\ncluster: {cidrs: ['fd00::/129']}", []string{"'/cluster/cidrs/0'"}},
		"cluster domain":           {minimalValues + "\ncluster: {domain: .cluster.local}", []string{"'/cluster/domain'"}},
		"no cluster domain":        {minimalValues + "\ncluster: {domain: null}", []string{"'/cluster'", "missing property 'domain'"}},
		"bad DNS pod label":        {minimalValues + "\ndns: {pods: [{namespace: dns, podLabels: {k8s-app: 'a,b'}}]}", []string{"'/dns/pods/0/podLabels/k8s-app'", "does not match pattern"}},
		"bad DNS pod label key":    {minimalValues + "\ndns: {pods: [{namespace: dns, podLabels: {'a=b': c}}]}", []string{"'/dns/pods/0/podLabels'", "'a=b' not allowed"}},
		"DNS pods without labels":  {minimalValues + "\ndns: {pods: [{namespace: dns, podLabels: {}}]}", []string{"'/dns/pods/0/podLabels'", "minProperties"}},
		"DNS pods without ports":   {minimalValues + "\ndns: {pods: [{namespace: dns, podLabels: {a: b}, ports: []}]}", []string{"'/dns/pods/0/ports'", "minItems"}},
		"node-local DNS by name":   {minimalValues + "\ndns: {nodeLocalAddress: dns.local}", []string{"'/dns/nodeLocalAddress'"}},
		"no cert-manager":          {minimalValues + "\ncertManager: {namespace: ''}", []string{"'/certManager/namespace'"}},
		"repository with tag":      {minimalValues + "\nimage: {repository: 'registry.example.com/webhook:v1'}", []string{"'/image/repository'"}},
		"digest without algorithm": {minimalValues + "\nimage: {digest: abc}", []string{"'/image/digest'"}},
		"pull policy":              {minimalValues + "\nimage: {pullPolicy: Sometimes}", []string{"'/image/pullPolicy'", "'Always', 'IfNotPresent', 'Never'"}},
		"no replicas":              {minimalValues + "\nreplicas: 0", []string{"'/replicas'", "minimum: got 0, want 1"}},
		"log level":                {minimalValues + "\nlogLevel: verbose", []string{"'/logLevel'", "'debug', 'info', 'error'"}},
		"API server port":          {minimalValues + "\nnetworkPolicy: {apiServerPorts: [0]}", []string{"'/networkPolicy/apiServerPorts/0'"}},
		"interval of a day":        {minimalValues + "\nmonitoring: {interval: 24h}", []string{"'/monitoring/interval'", "does not match pattern"}},
		"machine by name":          {minimalValues + "\nmonitoring: {scrapeConfig: {addresses: [proxy.local]}}", []string{"'/monitoring/scrapeConfig/addresses/0'", "not valid ipv4"}},
		"no port of metrics":       {minimalValues + "\nmonitoring: {scrapeConfig: {ports: []}}", []string{"'/monitoring/scrapeConfig/ports'", "minItems"}},
		"runbook with an anchor":   {minimalValues + "\nmonitoring: {rules: {runbookURL: 'https://a/b#c'}}", []string{"'/monitoring/rules/runbookURL'", "does not match pattern"}},
		"alert that is not there":  {minimalValues + "\nmonitoring: {rules: {enabled: true, disabled: [EgressTired]}}", []string{"monitoring.rules.disabled[0]: there is no alert EgressTired"}},
		"the chart's label":        {minimalValues + "\nmonitoring: {labels: {app.kubernetes.io/name: x}}", []string{"'/monitoring/labels/app.kubernetes.io~1name'"}},
		"quantity":                 {minimalValues + "\nresources: {limits: {memory: lots}}", []string{"'/resources/limits/memory'"}},
		"label of the chart's own": {minimalValues + "\npodLabels: {app.kubernetes.io/name: x}", []string{"'/podLabels/app.kubernetes.io~1name'", "false"}},
		"the chart's annotation":   {minimalValues + "\npodAnnotations: {checksum/settings: x}", []string{"'/podAnnotations/checksum~1settings'"}},
		"unknown toleration field": {minimalValues + "\ntolerations: [{keys: x}]", []string{"'/tolerations/0'", "'keys' not allowed"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := install(t, test.values)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not contain %q:\n%v", want, err)
				}
			}
		})
	}
}

// series returns the numbers from 1 to n, each in the format.
func series(format string, count int) string {
	list := make([]string, count)
	for i := range list {
		list[i] = fmt.Sprintf(format, i+1)
	}
	return strings.Join(list, ", ")
}

// dedicatedTenants are n tenants with addresses of their own.
func dedicatedTenants(count int) string {
	var list []string
	for i := range count {
		list = append(list, fmt.Sprintf("{name: t%d, proxy: {port: %d, egressIP: Dedicated}}", i, names.TenantPortMin+i))
	}
	return strings.Join(list, ", ")
}

// The number of tenants with addresses of their own is at most the maximum of
// validation.
func TestDedicatedTenants(t *testing.T) {
	r := mustInstall(t, minimalValues+"\ntenants: ["+dedicatedTenants(v1alpha1.MaxDedicatedAddresses)+"]")
	for _, tenant := range all[*v1alpha1.EgressTenant](r) {
		if !tenant.Spec.HasDedicatedIP() {
			t.Errorf("%s: egressIP %q", tenant.Name, tenant.Spec.Proxy.EgressIP)
		}
	}
}

// Kubernetes before 1.30 would drop the preStop sleep, and so lose requests.
// Managed clusters append a suffix to the version.
func TestKubernetesVersions(t *testing.T) {
	for version, accepted := range map[string]bool{"v1.29.14": false, "v1.30.0": true, "v1.31.2-scw.1": true, "v1.37.2": true} {
		if _, err := installOn(t, version, minimalValues); (err == nil) != accepted {
			t.Errorf("Kubernetes %s: got error %v, want accepted: %t", version, err, accepted)
		}
	}
}

// The schema of a tenant in the values is that of the CRD's spec, so that Helm
// refuses exactly the values that the API server would refuse.
func TestTenantSchemaMatchesTheCRD(t *testing.T) {
	var schema struct {
		Definitions struct {
			Tenant map[string]any `json:"tenant"`
		} `json:"definitions"`
	}
	unmarshal(t, load(t).Schema, &schema)
	tenant := schema.Definitions.Tenant
	properties, ok := tenant["properties"].(map[string]any)
	if !ok || properties["name"] == nil {
		t.Fatalf("a tenant has no name in the schema: %v", tenant)
	}
	delete(properties, "name") // metadata.name in the CRD

	raw, err := json.Marshal(definition(t).Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"])
	if err != nil {
		t.Fatal(err)
	}
	var spec map[string]any
	unmarshal(t, raw, &spec)
	if diff := cmp.Diff(normalForm(spec), normalForm(tenant)); diff != "" {
		t.Errorf("definitions.tenant of values.schema.json is not the CRD's spec: -crd +values\n%s", diff)
	}
}

// normalForm drops the parts of a schema that the CRD and the values express
// differently: descriptions, sets, closed objects, conditions (TestWrongValues
// tries those of the values), and the name, which an EgressTenant has in its
// metadata.
func normalForm(schema map[string]any) map[string]any {
	kept := make(map[string]any, len(schema))
	for key, value := range schema {
		switch v := value.(type) {
		case map[string]any:
			kept[key] = normalForm(v)
		case []any:
			var list []any
			for _, item := range v {
				if item != "name" {
					list = append(list, item)
				}
			}
			if list != nil {
				kept[key] = list
			}
		default:
			kept[key] = v
		}
	}
	if kept["x-kubernetes-list-type"] == "set" {
		kept["uniqueItems"] = true
	}
	for _, key := range []string{"description", "format", "additionalProperties", "x-kubernetes-list-type", "x-kubernetes-validations", "not", "if", "then", "else", "oneOf", "dependencies"} {
		delete(kept, key)
	}
	return kept
}

func unmarshal(t *testing.T, raw []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatal(err)
	}
}

// Every value that the schema allows is in values.yaml, which users and the
// README rely on.
func TestSchemaAndValuesHaveTheSameKeys(t *testing.T) {
	c := load(t)
	var schema map[string]any
	unmarshal(t, c.Schema, &schema)
	properties, ok := schema["properties"].(map[string]any)
	if !ok {
		t.Fatal("the schema has no properties")
	}
	delete(properties, "global") // Helm's
	requireKeys(t, "", properties, c.Values)
}

func requireKeys(t *testing.T, path string, properties, values map[string]any) {
	t.Helper()
	for key, property := range properties {
		value, ok := values[key]
		if !ok {
			t.Errorf("values.yaml does not list %s", path+key)
			continue
		}
		inner, ok := property.(map[string]any)["properties"].(map[string]any)
		if v, isMap := value.(map[string]any); ok && isMap && len(v) > 0 {
			requireKeys(t, path+key+".", inner, v)
		}
	}
}

// Helm's own lint, warnings included.
func TestLint(t *testing.T) {
	lint := action.NewLint()
	lint.Strict = true
	lint.Namespace = releaseNamespace
	for _, err := range lint.Run([]string{"../../../charts/egress-webhook"}, parse(t, minimalValues)).Errors {
		t.Error(err)
	}
}
