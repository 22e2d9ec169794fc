package main

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"text/template"

	"github.com/scaleway/scaleway-sdk-go/validation"
	"sigs.k8s.io/yaml"

	"egress.scw/webhook/api/names"
)

// Values of --cluster, besides the ID of a cluster.
const (
	clusterCreate = "create"
	clusterNone   = "none"
)

// answers are the values of a new egress.yaml.
type answers struct {
	name, project, region, zone, network, privateIP, proxyType, cluster, tenants string
}

// question asks for one value.
type question struct {
	flag, text string
	value      *string
	// fallback returns the default where it depends on earlier answers. Nil: the
	// default is that of the flag.
	fallback func() string
	// example is a valid answer where the default is not known yet.
	example string
}

func (a *answers) questions(project string) []question {
	return []question{
		{"name", "Name of the stack", &a.name, nil, ""},
		{"project", "ID of the Scaleway project", &a.project, func() string { return project }, ""},
		{"region", "Region", &a.region, func() string { return regionOf(a.zone) }, ""},
		{"zone", "Zone of the machines", &a.zone, func() string { return a.region + "-1" }, ""},
		{"network", "Range of the Private Network to create, or ID of an existing one", &a.network, nil, ""},
		{"private-ip", "Address of the proxy in the network", &a.privateIP, func() string { return eighthAddress(a.network) }, "10.0.0.8"},
		{"proxy-type", "Commercial type of the proxy", &a.proxyType, nil, ""},
		{"cluster", "Cluster: create, none, or the ID of an existing one", &a.cluster, nil, ""},
		{"tenants", "Names of the first tenants, separated by commas", &a.tenants, nil, ""},
	}
}

// regionOf returns the region of a zone, or the default region.
func regionOf(zone string) string {
	if i := strings.LastIndex(zone, "-"); i > 0 {
		return zone[:i]
	}
	return "fr-par"
}

// eighthAddress returns the eighth address of a range. Scaleway reserves the first two.
// It returns "" for the ID of a network, whose range is not known.
func eighthAddress(network string) string {
	const number = 8
	prefix, err := netip.ParsePrefix(network)
	if err != nil {
		return ""
	}
	address := prefix.Masked().Addr()
	for range number {
		address = address.Next()
	}
	return address.String()
}

// render returns the egress.yaml. Its values are not validated: config.Load does that.
func (a *answers) render() ([]byte, error) {
	var text bytes.Buffer
	err := egressTemplate.Execute(&text, map[string]any{
		"Name": a.name, "Project": a.project, "Region": a.region, "Zone": a.zone,
		"Network": a.network, "NetworkIsID": validation.IsUUID(a.network), "PrivateIP": a.privateIP,
		"ProxyType": a.proxyType, "Cluster": a.cluster, "Tenants": a.tenantPorts(),
	})
	return text.Bytes(), err
}

// tenantPort is a tenant with the port that it gets.
type tenantPort struct {
	Name string
	Port int
}

func (a *answers) tenantPorts() []tenantPort {
	var tenants []tenantPort
	for name := range strings.SplitSeq(a.tenants, ",") {
		if name = strings.TrimSpace(name); name != "" {
			tenants = append(tenants, tenantPort{name, names.TenantPortMin + len(tenants)})
		}
	}
	return tenants
}

var egressTemplate = template.Must(template.New("egress.yaml").Funcs(template.FuncMap{"value": scalar}).Parse(
	`# Written by bootstrap init. bootstrap/egress.example.yaml explains every field.
apiVersion: egress.scw/v1alpha1
kind: Egress
metadata:
  name: {{value .Name}}
spec:
{{- if .Project}}
  project: {{value .Project}}
{{- end}}
  region: {{value .Region}}
  zone: {{value .Zone}}
  network:
    {{if .NetworkIsID}}id{{else}}cidr{{end}}: {{value .Network}}
  proxy:
    type: {{value .ProxyType}}
    privateIP: {{value .PrivateIP}}
{{- if eq .Cluster "create"}}
  cluster:
    # Networks that may reach the control plane. Without acl, Scaleway admits all
    # addresses.
    # acl: [198.51.100.0/24]
    pools:
      - name: system
        nodeType: PRO2-XXS
        size: 2
{{- else if ne .Cluster "none"}}
  cluster:
    id: {{value .Cluster}}
{{- end}}
{{- if .Tenants}}
  tenants:
{{- range .Tenants}}
    - name: {{value .Name}}
      proxy: {port: {{.Port}}}
{{- end}}
{{- end}}
`))

// scalar returns a string as a value in YAML, with quotes where it needs them.
func scalar(text string) (string, error) {
	if strings.ContainsAny(text, "\n\r\t") {
		return "", errors.New("a value contains a line break or a tab")
	}
	encoded, err := yaml.Marshal(text)
	return strings.TrimSpace(string(encoded)), err
}
