package explain

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/kubectl-egress/state"
	"egress.scw/webhook/kubectl-egress/statetest"
)

// The remedies are those of the comments, of which docs/reference/reasons.md consists.
func TestRemediesAreThoseOfTheComments(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../api/names/reasons.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	documented := map[names.Reason]string{}
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || spec.Doc == nil || len(spec.Values) != 1 {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		comment := strings.Join(strings.Fields(spec.Doc.Text()), " ")
		if _, remedy, found := strings.Cut(comment, "Remedy: "); found {
			documented[names.Reason(value)] = remedy
		}
		return true
	})
	if diff := cmp.Diff(documented, remedies); diff != "" || len(documented) < 20 {
		t.Errorf("-comments +remedies\n%s", diff)
	}
}

func TestExpand(t *testing.T) {
	values := map[string]string{"A": "1", "B": "$(A)"}
	for text, want := range map[string]string{
		"": "", "x": "x", "$(A)": "1", "a$(A)b$(A)": "a1b1", "$$(A)": "$(A)", "$(NONE)": "$(NONE)", "$(A": "$(A", "$": "$", "$x": "$x", "$(B)": "$(A)", "$$$(A)": "$1",
	} {
		if got := expand(text, values); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestParseTarget(t *testing.T) {
	for text, want := range map[string]string{
		"https://api.github.com": "CONNECT api.github.com:443", "api.github.com": "CONNECT api.github.com:443", "http://x.example/path": "GET x.example:80",
		"wss://x.example": "CONNECT x.example:443", "ws://x.example:8080": "GET x.example:8080", "https://[2001:db8::1]:8443/": "CONNECT [2001:db8::1]:8443",
		"ftp://x.example": "", "https://": "", "https://x.example:0": "", "https://x.example:http": "", "http://x example": "",
	} {
		target, err := ParseTarget(text)
		if got := target.Method + " " + target.String(); err == nil && got != want || (err != nil) != (want == "") {
			t.Errorf("%s: got %s, %v; want %q", text, got, err, want)
		}
	}
}

func TestAllowed(t *testing.T) {
	tenants := statetest.Tenants()
	report := tenants[0]
	report.Spec.Allow = &v1alpha1.AllowSpec{Mode: policy.ModeReport, Domains: []string{"api.github.com"}}
	gateway := v1alpha1.EgressTenant{Spec: v1alpha1.EgressTenantSpec{Path: v1alpha1.PathGateway}}
	for name, test := range map[string]struct {
		tenant  v1alpha1.EgressTenant
		url     string
		verdict policy.Verdict
		rule    policy.Rule
	}{
		"listed":             {tenants[0], "https://api.github.com/repos", policy.VerdictAllowed, ""},
		"below a listed one": {tenants[0], "http://www.example.com", policy.VerdictAllowed, ""},
		"not listed":         {tenants[0], "https://example.org", policy.VerdictDenied, policy.RuleDomain},
		"another port":       {tenants[0], "https://api.github.com:8443", policy.VerdictDenied, policy.RulePort},
		"mail":               {tenants[1], "https://smtp.example.org:25", policy.VerdictDenied, policy.RuleForbiddenPort},
		"metadata":           {tenants[1], "http://169.254.42.42/conf", policy.VerdictDenied, policy.RuleForbiddenDestination},
		"address":            {tenants[0], "https://198.51.100.1", policy.VerdictDenied, policy.RuleDomain},
		"open":               {tenants[1], "https://example.org", policy.VerdictAllowed, ""},
		"report":             {report, "https://example.org", policy.VerdictWouldDeny, policy.RuleDomain},
		"gateway":            {gateway, "https://example.org", policy.VerdictAllowed, ""},
		"gateway, private":   {gateway, "https://10.0.0.1", policy.VerdictDenied, policy.RuleForbiddenDestination},
	} {
		t.Run(name, func(t *testing.T) {
			target, err := ParseTarget(test.url)
			if err != nil {
				t.Fatal(err)
			}
			got := Allowed(&test.tenant, target)
			if got.Verdict != test.verdict || got.Rule != test.rule || got.Message == "" {
				t.Errorf("got %+v, want %s %s", got, test.verdict, test.rule)
			}
		})
	}
}

// The way of a URL from a pod of client-a, by the variables that it gets.
func TestRoutes(t *testing.T) {
	s := statetest.Healthy(t)
	s.Tenants[0].Spec.ClusterAccess = []v1alpha1.ClusterAccess{{CIDR: "172.16.28.20/32", Ports: []int32{5432}}}
	for namespace := range s.Policies {
		object, _ := s.Namespace(namespace)
		s.Policies[namespace] = s.WantedPolicy(object)
	}
	namespace, _ := s.Namespace(statetest.Orders)
	plain := `{"spec": {"containers": [{"name": "web"}]}}`
	direct := `{"spec": {"containers": [{"name": "web", "env": [{"name": "HTTPS_PROXY", "value": "http://172.16.28.8:3129"}]}]}}`
	neighbour := `{"spec": {"containers": [{"name": "web", "env": [{"name": "HTTPS_PROXY", "value": "http://10.32.4.32:3128"}]}]}}`
	own := `{"spec": {"containers": [{"name": "web", "env": [{"name": "HTTPS_PROXY", "value": "http://proxy.corp:8080"}]}]}}`
	elsewhere := `{"spec": {"containers": [{"name": "web", "env": [{"name": "HTTPS_PROXY", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]}]}}`
	reference := strings.ReplaceAll(elsewhere, "HTTPS_PROXY", "https_proxy")
	lower := strings.ReplaceAll(elsewhere, "HTTPS_PROXY", "no_proxy")
	unreadable := `{"spec": {"containers": [{"name": "web", "env": [{"name": "HTTPS_PROXY", "value": "http://a b"}]}]}}`
	for name, test := range map[string]struct {
		pod, url string
		way      Way
		open     Openness
	}{
		"from elsewhere":    {elsewhere, "https://api.github.com", WayUnknown, Depends},
		"by reference":      {reference, "https://api.github.com", WayUnknown, Depends},
		"other scheme":      {elsewhere, "http://api.github.com", WayProxy, Open},
		"lower case":        {lower, "https://api.github.com", WayUnknown, Depends},
		"unreadable":        {unreadable, "https://api.github.com", WayProxy, Closed},
		"allowed":           {plain, "https://api.github.com", WayProxy, Open},
		"machine's address": {direct, "https://api.github.com", WayProxy, Open},
		"other's Service":   {neighbour, "https://api.github.com", WayProxy, Closed},
		"denied":            {plain, "https://example.org", WayProxy, Closed},
		"a Service":         {plain, "http://db.stock.svc.cluster.local:5432", WayDirect, Depends},
		"loopback":          {plain, "http://localhost:8080", WayDirect, Open},
		"clusterAccess":     {plain, "http://172.16.28.20:5432", WayDirect, Open},
		"another port":      {plain, "http://172.16.28.20:5433", WayDirect, Depends},
		"other's proxy":     {own, "https://api.github.com", WayProxy, Closed},
		"public address":    {plain, "https://198.51.100.1", WayProxy, Closed},
		"metadata service":  {plain, "http://169.254.42.42", WayProxy, Closed},
	} {
		t.Run(name, func(t *testing.T) {
			target, err := ParseTarget(test.url)
			if err != nil {
				t.Fatal(err)
			}
			pod, err := OfManifest(s, state.Manifest{Name: "pod/web", Pod: []byte(test.pod)}, namespace, &target)
			if err != nil {
				t.Fatal(err)
			}
			route := pod.Containers[0].Route
			if route.Way != test.way || route.Open != test.open || route.Message == "" {
				t.Errorf("got %+v, want %s %s", route, test.way, test.open)
			}
			if pod.Negative() != (test.open == Closed) {
				t.Errorf("negative: %v", pod.Negative())
			}
		})
	}
}

// The way of a URL from a pod of client-a, whose tenant has the sidecar.
func TestRoutesWithSidecar(t *testing.T) {
	const pod = `{"spec": {"initContainers": [{"name": "egress-sidecar"}], "containers": [{"name": "web"%s}]}}`
	set, unset := fmt.Sprintf(pod, `, "env": [{"name": "HTTPS_PROXY", "value": "http://127.0.0.1:3128"}]`), fmt.Sprintf(pod, "")
	old := `{"spec": {"containers": [{"name": "web", "env": [{"name": "HTTPS_PROXY", "value": "http://172.16.28.8:3129"}]}]}}`
	for name, test := range map[string]struct {
		sidecar  *v1alpha1.Sidecar
		identity v1alpha1.Identity
		pod, url string
		way      Way
		open     Openness
		says     string
	}{
		"by variables":          {&v1alpha1.Sidecar{}, v1alpha1.IdentityRequired, set, "https://api.github.com", WayProxy, Open, "api.github.com"},
		"denied":                {&v1alpha1.Sidecar{}, v1alpha1.IdentityOffered, set, "https://example.org", WayProxy, Closed, "does not cover"},
		"older pod":             {&v1alpha1.Sidecar{}, v1alpha1.IdentityOffered, old, "https://api.github.com", WayProxy, Open, "api.github.com"},
		"older pod, required":   {&v1alpha1.Sidecar{}, v1alpha1.IdentityRequired, old, "https://api.github.com", WayProxy, Closed, "the pod has no sidecar"},
		"sidecar of the past":   {nil, v1alpha1.IdentityOffered, set, "https://api.github.com", WayProxy, Closed, "the tenant has no spec.sidecar"},
		"without variables":     {&v1alpha1.Sidecar{}, v1alpha1.IdentityOffered, unset, "https://api.github.com", WayDirect, Depends, "the container has no proxy variables"},
		"captured":              {&v1alpha1.Sidecar{Capture: v1alpha1.CaptureNames}, v1alpha1.IdentityOffered, unset, "https://api.github.com", WayCapture, Open, "the sidecar takes the connection"},
		"captured and denied":   {&v1alpha1.Sidecar{Capture: v1alpha1.CaptureNames}, v1alpha1.IdentityOffered, unset, "https://example.org", WayCapture, Closed, "does not cover"},
		"port not captured":     {&v1alpha1.Sidecar{Capture: v1alpha1.CaptureNames}, v1alpha1.IdentityOffered, unset, "https://api.github.com:8443", WayCapture, Closed, "8443 is not one"},
		"name of the cluster":   {&v1alpha1.Sidecar{Capture: v1alpha1.CaptureNames}, v1alpha1.IdentityOffered, unset, "http://db.stock.svc.cluster.local", WayDirect, Depends, "resolves to"},
		"private name":          {&v1alpha1.Sidecar{Capture: v1alpha1.CaptureNames}, v1alpha1.IdentityOffered, unset, "http://db.internal", WayDirect, Depends, "resolves to"},
		"name of one label":     {&v1alpha1.Sidecar{Capture: v1alpha1.CaptureNames}, v1alpha1.IdentityOffered, unset, "http://db", WayDirect, Depends, "resolves to"},
		"address, not captured": {&v1alpha1.Sidecar{Capture: v1alpha1.CaptureNames}, v1alpha1.IdentityOffered, unset, "https://198.51.100.1", WayDirect, Depends, "only if it is that of a pod"},
	} {
		t.Run(name, func(t *testing.T) {
			s := statetest.Healthy(t)
			s.Settings.Proxy.Identity, s.Tenants[0].Spec.Sidecar = test.identity, test.sidecar
			object, _ := s.Namespace(statetest.Orders)
			s.Policies[statetest.Orders] = s.WantedPolicy(object)
			target, err := ParseTarget(test.url)
			if err != nil {
				t.Fatal(err)
			}
			ways := waysOf(s, object, strings.Contains(test.pod, names.SidecarName))
			var pod corev1.Pod
			if err := json.Unmarshal([]byte(test.pod), &pod); err != nil {
				t.Fatal(err)
			}
			found := containers(&pod)
			if len(found) != 1 {
				t.Fatalf("containers %+v, want web alone", found)
			}
			route := ways.routeOf(&found[0], target)
			if route.Way != test.way || route.Open != test.open || !strings.Contains(route.Message, test.says) {
				t.Errorf("got %+v, want %s %s: %s", route, test.way, test.open, test.says)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	values, unknown := environment(&corev1.Container{Env: []corev1.EnvVar{
		{Name: "A", Value: "1"},
		{Name: "A", Value: "2"},
		{Name: "B", Value: "$(A)$(C)"},
		{Name: "C", Value: "3"},
		{Name: "D", ValueFrom: &corev1.EnvVarSource{}},
		{Name: "E", ValueFrom: &corev1.EnvVarSource{}},
		{Name: "E", Value: "4"},
		{Name: "F", Value: "$(D)$(E)"},
	}})
	if want := map[string]string{"A": "2", "B": "2$(C)", "C": "3", "E": "4"}; !maps.Equal(values, want) {
		t.Errorf("got %v, want %v", values, want)
	}
	if diff := cmp.Diff([]string{"D", "F"}, unknown); diff != "" {
		t.Errorf("values from elsewhere: %s", diff)
	}
}
