package docs_test

import (
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"egress.scw/bootstrap/config"
	"egress.scw/hack/local/programs"
)

// The page of the container of the proxy and the files that it names have the same
// addresses and ranges.
func TestTryAddresses(t *testing.T) {
	egress, err := config.Load("hack/try/egress.yaml", []byte(read(t, "hack/try/egress.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	commands := page{"docs/try.md", read(t, "docs/try.md")}.commands(t)
	for _, want := range []string{
		"--subnet " + egress.Spec.Network.CIDR.String() + " ", "--ip " + egress.Spec.Proxy.PrivateIP.String() + " ",
		"egress.scw/tenant=" + egress.Spec.Tenants[0].Name + "\n", "https://" + egress.Spec.Tenants[0].Allow.Domains[0] + "/\n",
	} {
		if !strings.Contains(commands, want) {
			t.Errorf("the commands of docs/try.md lack %q, which follows from hack/try/egress.yaml", want)
		}
	}
	_, rest, _ := strings.Cut(commands, "--ip-range ")
	rest, _, _ = strings.Cut(rest, " ")
	nodes, err := netip.ParsePrefix(rest)
	if err != nil || !egress.Spec.Network.CIDR.Overlaps(nodes) || nodes.Contains(egress.Spec.Proxy.PrivateIP) {
		t.Errorf("--ip-range %s (%v): must be a part of %s without %s", rest, err, egress.Spec.Network.CIDR, egress.Spec.Proxy.PrivateIP)
	}

	var cluster struct {
		Networking struct{ PodSubnet, ServiceSubnet netip.Prefix }
	}
	if err := yaml.Unmarshal([]byte(read(t, "hack/try/kind.yaml")), &cluster); err != nil {
		t.Fatal(err)
	}
	if got := []netip.Prefix{cluster.Networking.PodSubnet, cluster.Networking.ServiceSubnet}; !slices.Equal(got, egress.Spec.Cluster.CIDRs) {
		t.Errorf("hack/try/kind.yaml has the ranges %v, hack/try/egress.yaml %v", got, egress.Spec.Cluster.CIDRs)
	}
}

// The chart accepts the values that bootstrap renders for the container.
func TestTryValues(t *testing.T) {
	builder, err := programs.New()
	if err != nil {
		t.Fatal(err)
	}
	bootstrap, err := builder.Build(t.Context(), programs.Bootstrap())
	if err != nil {
		t.Fatal(err)
	}
	const command = "render --config hack/try/egress.yaml --only values"
	if commands := (page{"docs/try.md", read(t, "docs/try.md")}).commands(t); !strings.Contains(commands, "bin/bootstrap "+command+" > values.yaml\n") {
		t.Errorf("docs/try.md has no command bin/bootstrap %s", command)
	}
	run := exec.CommandContext(t.Context(), bootstrap, strings.Fields(command)...)
	run.Dir = builder.Root()
	var problems strings.Builder
	run.Stderr = &problems
	output, err := run.Output()
	if err != nil {
		t.Fatalf("bootstrap %s: %v\n%s", command, err, problems.String())
	}
	values := map[string]any{}
	if err := yaml.Unmarshal(output, &values); err != nil {
		t.Fatal(err)
	}
	if _, err := renderChart(t, values); err != nil {
		t.Errorf("the chart refuses the values of bootstrap %s: %v", command, err)
	}
}
