package main

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"egress.scw/bootstrap/scwfake"
)

// request sends a request to the fake, like another user of the project, and
// returns the body of the response.
func (s *site) request(t testing.TB, method, path string, body any) []byte {
	t.Helper()
	var text bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&text).Encode(body); err != nil {
			t.Fatal(err)
		}
	}
	request, err := http.NewRequestWithContext(t.Context(), method, s.server.URL+path, &text)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Auth-Token", canarySecretKey)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode >= http.StatusBadRequest {
		t.Fatalf("%s %s: %s %v\n%s", method, path, response.Status, err, answer)
	}
	return answer
}

// object is a JSON object.
type object map[string]any

// create creates a resource at the fake and returns its ID.
func (s *site) create(t testing.TB, path string, body object) string {
	t.Helper()
	var made struct {
		ID     string
		Server struct{ ID string }
	}
	if err := json.Unmarshal(s.request(t, http.MethodPost, path, body), &made); err != nil {
		t.Fatal(err)
	}
	return made.ID + made.Server.ID
}

func (s *site) createNetwork(t testing.TB, region, cidr string) string {
	t.Helper()
	vpc := s.create(t, "/vpc/v2/regions/"+region+"/vpcs", object{"name": "theirs"})
	return s.create(t, "/vpc/v2/regions/"+region+"/private-networks", object{"name": "theirs", "vpc_id": vpc, "subnets": []string{cidr}})
}

// kubernetesVersions returns the listed versions, the newest one first. The last one is
// deprecated.
func (s *site) kubernetesVersions(t testing.TB) []string {
	t.Helper()
	var list struct{ Versions []struct{ Name string } }
	if err := json.Unmarshal(s.request(t, http.MethodGet, "/k8s/v1/regions/fr-par/versions", nil), &list); err != nil {
		t.Fatal(err)
	}
	names := make([]string, 0, len(list.Versions))
	for _, version := range list.Versions {
		names = append(names, version.Name)
	}
	return names
}

func (s *site) createCluster(t testing.TB, network string) string {
	t.Helper()
	return s.create(t, "/k8s/v1/regions/fr-par/clusters", object{
		"name": "theirs", "type": "kapsule", "version": s.kubernetesVersions(t)[0], "cni": "cilium", "private_network_id": network,
	})
}

// createServer creates an Instance with an address in a network.
func (s *site) createServer(t testing.TB, name, network, address string) {
	t.Helper()
	type image struct{ ID, Arch string }
	var images struct {
		LocalImages []image `json:"local_images"`
	}
	answer := s.request(t, http.MethodGet, "/marketplace/v2/local-images?image_label=debian_bookworm&zone=fr-par-1&type=instance_sbs", nil)
	if err := json.Unmarshal(answer, &images); err != nil {
		t.Fatal(err)
	}
	intel := slices.IndexFunc(images.LocalImages, func(i image) bool { return i.Arch == "x86_64" })
	if intel < 0 {
		t.Fatalf("no image in %s", answer)
	}
	const servers = "/instance/v1/zones/fr-par-1/servers"
	server := s.create(t, servers, object{
		"name": name, "commercial_type": "PLAY2-NANO", "image": images.LocalImages[intel].ID,
		"volumes": object{"0": object{"volume_type": "sbs_volume", "size": 20_000_000_000}},
	})
	booked := s.create(t, "/ipam/v1/regions/fr-par/ips", object{"address": address, "source": object{"private_network_id": network}})
	s.request(t, http.MethodPost, servers+"/"+server+"/private_nics", object{"private_network_id": network, "ipam_ip_ids": []string{booked}})
}

// configure replaces the configuration.
func (s *site) configure(t testing.TB, config string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, "egress.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
}

// existingCluster replaces the cluster of the configuration, except its pools.
func existingCluster(id string) []string {
	return []string{baseConfig[strings.Index(baseConfig, "    acl:"):strings.Index(baseConfig, "    pools:")], "    id: " + id + "\n"}
}

func existingNetwork(id string) []string { return []string{"cidr: 172.16.28.0/22", "id: " + id} }

// setEnv sets and unsets (by nil) variables of a process.
func setEnv(cmd *exec.Cmd, env map[string]*string) {
	for _, name := range slices.Sorted(maps.Keys(env)) {
		cmd.Env = slices.DeleteFunc(cmd.Env, func(entry string) bool { return strings.HasPrefix(entry, name+"=") })
		if value := env[name]; value != nil {
			cmd.Env = append(cmd.Env, name+"="+*value)
		}
	}
}

const unusedID = "99999999-9999-4999-8999-999999999999"

// denied makes the fake deny all requests below paths.
func denied(paths ...string) []scwfake.Fault {
	faults := make([]scwfake.Fault, 0, len(paths))
	for _, path := range paths {
		faults = append(faults, scwfake.Fault{Path: path, Count: 1 << 20, Kind: scwfake.FaultPermissionsDenied})
	}
	return faults
}

// refusal is bad input with the expected errors.
type refusal struct {
	name string
	// config are replacements in baseConfig.
	config []string
	// prepare creates resources first, and may return further replacements.
	prepare func(*testing.T, *site) []string
	env     map[string]*string
	faults  []scwfake.Fault
	// offline is whether the errors are found without a request.
	offline bool
	// want are the errors, one per line, in any order.
	want []string
}

func missingAndMalformed() []refusal {
	return []refusal{
		{
			name: "no credentials", offline: true,
			env: map[string]*string{"SCW_ACCESS_KEY": nil, "SCW_SECRET_KEY": nil, "SCW_DEFAULT_PROJECT_ID": nil},
			want: []string{
				"Error: credentials: SCW_ACCESS_KEY is not set, and the Scaleway configuration file (",
				"Error: credentials: SCW_SECRET_KEY is not set, and the Scaleway configuration file (",
			},
		},
		{
			name: "no project", offline: true, env: map[string]*string{"SCW_DEFAULT_PROJECT_ID": nil},
			want: []string{"Error: egress.yaml: spec.project: is required, because the credentials have no project: set it, or SCW_DEFAULT_PROJECT_ID"},
		},
		{
			name: "malformed credentials", offline: true,
			env: map[string]*string{
				"SCW_ACCESS_KEY": new("SCWshort"), "SCW_SECRET_KEY": new("no-uuid"), "SCW_DEFAULT_PROJECT_ID": new("mine"), "SCW_API_URL": new("http://127.0.0.1:1/"),
			},
			want: []string{
				"Error: credentials: SCW_ACCESS_KEY (access_key in the configuration file) is malformed: it must be SCW and 17 capital letters or digits",
				"Error: credentials: SCW_SECRET_KEY (secret_key in the configuration file) is malformed: it must be a UUID",
				`Error: credentials: the project "mine" (SCW_DEFAULT_PROJECT_ID) is not a UUID`,
				`Error: credentials: the API's address "http://127.0.0.1:1/" (SCW_API_URL) must be a URL such as https://api.scaleway.com, without a slash at its end`,
			},
		},
		{
			name: "malformed project", offline: true, config: []string{"spec:\n", "spec:\n  project: fr-par/11111111-2222-3333-4444-555555555555\n"},
			want: []string{`Error: egress.yaml:5: spec.project: Invalid value: "fr-par/11111111-2222-3333-4444-555555555555": must be a UUID in lower case`},
		},
		{
			name: "unknown zone", offline: true, config: []string{"fr-par-1", "fr-par-9"},
			want: []string{
				"Error: spec.zone: there is no zone fr-par-9: there are [fr-par-1 fr-par-2",
				"Error: egress.yaml:7: spec.proxy.nameServers: Required value: Scaleway documents no public resolvers in fr-par-9",
			},
		},
		{
			name: "unknown region", offline: true,
			config: []string{"fr-par-1", "fr-lyo-1\n  region: fr-lyo", "proxy:\n", "proxy:\n    nameServers: [9.9.9.9]\n"},
			want: []string{
				"Error: spec.zone: there is no zone fr-lyo-1: there are [fr-par-1 fr-par-2",
				"Error: spec.region: there is no region fr-lyo: there are [fr-par nl-ams",
			},
		},
		{
			name: "a zone without gateways", offline: true, config: []string{"fr-par-1", "fr-par-3"},
			want: []string{"Error: spec.gateway.zone: there are no Public Gateways in fr-par-3, only in fr-par-1, fr-par-2: a gateway can be in another zone"},
		},
		{
			name: "a gateway in no zone", offline: true, config: []string{"proxy:\n", "gateway: {zone: par1}\n  proxy:\n"},
			want: []string{`spec.gateway.zone: Invalid value: "par1": must be a zone such as fr-par-1`},
		},
		{
			name: "a region without a registry and without machines", offline: true,
			config: []string{"fr-par-1", "it-mil-1", "proxy:\n", "proxy:\n    nameServers: [9.9.9.9]\n"},
			want: []string{
				"Error: spec.zone: there are no Instances with Block Storage in it-mil-1, only in fr-par-1, ",
				"Error: spec.registry: there are no container registries in it-mil, only in fr-par, nl-ams, pl-waw: leave registry out, or choose another region",
			},
		},
		{
			name: "an address that Scaleway reserves", offline: true, config: []string{"172.16.28.8", "172.16.28.1"},
			want: []string{`egress.yaml:8: spec.proxy.privateIP: Invalid value: "172.16.28.1": must not be one of the first two and the last two addresses of spec.network.cidr, 172.16.28.0/22: Scaleway reserves them`},
		},
		{
			name: "ranges that Scaleway reserves", offline: true, config: []string{"172.16.28.0/22", "100.64.4.0/22"},
			want: []string{
				`egress.yaml:6: spec.network.cidr: Invalid value: "100.64.4.0/22": must not overlap with 100.64.0.0/10: Scaleway reserves it`,
				`egress.yaml:8: spec.proxy.privateIP: Invalid value: "172.16.28.8": must be in spec.network.cidr, 100.64.4.0/22`,
			},
		},
		{
			name: "ranges that Kubernetes reserves", offline: true, config: []string{"172.16.28.0/22", "198.18.0.0/22"},
			want: []string{
				`egress.yaml:6: spec.network.cidr: Invalid value: "198.18.0.0/22": must not overlap with 198.18.0.0/15: Scaleway's Kubernetes reserves it`,
				`egress.yaml:8: spec.proxy.privateIP: Invalid value: "172.16.28.8": must be in spec.network.cidr, 198.18.0.0/22`,
			},
		},
		{
			name: "repeated names and ports", offline: true, config: []string{"name: client-b, proxy: {port: 3130", "name: client-a, proxy: {port: 3129"},
			want: []string{
				`spec.tenants[1].name: Duplicate value: "client-a"`,
				"spec.tenants[1].proxy.port: Duplicate value: 3129",
			},
		},
		{
			name: "a fifth address", offline: true,
			config: []string{"tenants:\n", `tenants:
    - {name: client-c, proxy: {port: 3141, egressIP: Dedicated}}
    - {name: client-d, proxy: {port: 3142, egressIP: Dedicated}}
    - {name: client-e, proxy: {port: 3143, egressIP: Dedicated}}
    - {name: client-f, proxy: {port: 3144, egressIP: Dedicated}}
`},
			want: []string{`spec.tenants[5].proxy.egressIP: Invalid value: "Dedicated": must be Shared: a proxy has dedicated addresses for at most 4 tenants`},
		},
		{
			name: "the proxy outside its network", offline: true, config: []string{"172.16.28.8", "172.16.32.8"},
			want: []string{`spec.proxy.privateIP: Invalid value: "172.16.32.8": must be in spec.network.cidr, 172.16.28.0/22`},
		},
		{
			name: "everything at once", offline: true,
			config: []string{"fr-par-1", "fr-par-9", "172.16.28.8", "172.16.32.8", "port: 3130", "port: 80"},
			env:    map[string]*string{"SCW_ACCESS_KEY": nil, "SCW_SECRET_KEY": new("no-uuid"), "SCW_API_URL": new("https:localhost")},
			want: []string{
				"spec.zone: there is no zone fr-par-9", "spec.proxy.nameServers: Required value: Scaleway documents no public resolvers in fr-par-9",
				"spec.proxy.privateIP: Invalid value", "spec.tenants[1].proxy.port: Invalid value: 80: must be between",
				"SCW_ACCESS_KEY is not set", "SCW_SECRET_KEY (secret_key in the configuration file) is malformed", `the API's address "https:localhost"`,
			},
		},
		{
			name: "credentials and outputs", offline: true,
			config: []string{"tenants:\n", "outputs: {values: egress.d/values.yaml, kubeconfig: /none/kubeconfig.yaml}\n  tenants:\n"},
			env:    map[string]*string{"SCW_SECRET_KEY": nil},
			want: []string{
				"SCW_SECRET_KEY is not set",
				"spec.outputs.values: egress.d/values.yaml: the folder egress.d does not exist",
				"spec.outputs.kubeconfig: /none/kubeconfig.yaml: the folder /none does not exist",
			},
		},
	}
}

// unknownToScaleway are errors that need requests.
func unknownToScaleway() []refusal {
	return []refusal{
		{
			name: "the proxy outside an existing network",
			prepare: func(t *testing.T, s *site) []string {
				return existingNetwork(s.createNetwork(t, "fr-par", "172.16.64.0/22"))
			},
			want: []string{"Error: spec.proxy.privateIP: 172.16.28.8 is not in 172.16.64.0/22, the range of the Private Network "},
		},
		{
			name: "a network in another region",
			prepare: func(t *testing.T, s *site) []string {
				return existingNetwork(s.createNetwork(t, "nl-ams", "172.16.28.0/22"))
			},
			want: []string{"is in the region nl-ams, and egress.yaml says fr-par: networks do not span regions"},
		},
		{
			name: "an unknown network and an unknown cluster", config: append(existingNetwork(unusedID), existingCluster(unusedID)...),
			want: []string{
				"Error: spec.network.id: there is no Private Network " + unusedID + ", or the API key may not see it",
				"Error: spec.cluster.id: there is no cluster " + unusedID + " in fr-par, or the API key may not see it",
			},
		},
		{
			name: "a cluster in another network", prepare: func(t *testing.T, s *site) []string {
				other := s.createCluster(t, s.createNetwork(t, "fr-par", "172.16.64.0/22"))
				return append(existingNetwork(s.createNetwork(t, "fr-par", "172.16.28.0/22")), existingCluster(other)...)
			},
			want: []string{"proxy would be in "},
		},
		{
			name: "a cluster in another network, which does not have the address", prepare: func(t *testing.T, s *site) []string {
				other := s.createCluster(t, s.createNetwork(t, "fr-par", "172.16.64.0/22"))
				return append(existingNetwork(s.createNetwork(t, "fr-par", "172.16.68.0/22")), existingCluster(other)...)
			},
			want: []string{"proxy would be in ", "spec.proxy.privateIP: 172.16.28.8 is not in 172.16.68.0/22"},
		},
		{
			name: "an address that Scaleway reserves in an existing network", config: []string{"172.16.28.8", "172.16.64.1"},
			prepare: func(t *testing.T, s *site) []string {
				return existingNetwork(s.createNetwork(t, "fr-par", "172.16.64.0/22"))
			},
			want: []string{"Error: spec.proxy.privateIP: 172.16.64.1 is one of the first two and the last two addresses of 172.16.64.0/22, the range of the Private Network "},
		},
		{
			name: "a version that is deprecated", prepare: func(t *testing.T, s *site) []string {
				listed := s.kubernetesVersions(t)
				return []string{"    acl:", "    version: \"" + listed[len(listed)-1] + "\"\n    acl:"}
			},
			want: []string{"Error: spec.cluster.version: Scaleway creates no clusters with Kubernetes 1."},
		},
		{
			name: "a type of gateway that does not exist", config: []string{"proxy:\n", "gateway: {type: VPC-GW-XXL}\n  proxy:\n"},
			want: []string{"Error: spec.gateway.type: there is no VPC-GW-XXL in fr-par-1; there are VPC-GW-L, VPC-GW-M, VPC-GW-S, VPC-GW-XL\n"},
		},
		{
			name: "types, image and version that do not exist",
			config: []string{
				"proxy:\n", "proxy:\n    type: PLAY2-S\n    image: debian_buzz\n", "nodeType: PRO2-XXS", "nodeType: PRO2-XXXXL", "    acl:", "    version: \"1.19\"\n    acl:",
			},
			want: []string{
				"Error: spec.proxy.type: there is no PLAY2-S in fr-par-1; there are PLAY2-MICRO, PLAY2-NANO, PLAY2-PICO\n",
				"Error: spec.proxy.image: there is no image debian_buzz in fr-par-1\n",
				"Error: spec.cluster.pools[system].nodeType: there is no PRO2-XXXXL in fr-par-1; there are PRO2-L, PRO2-M, PRO2-S, PRO2-XS, PRO2-XXS\n",
				"Error: spec.cluster.version: there is no Kubernetes 1.19 in fr-par: there are 1.3",
			},
		},
		{
			name: "an image that does not fit", config: []string{"proxy:\n", "proxy:\n    image: debian_buzz\n"},
			want: []string{"Error: spec.proxy.image: there is no image debian_buzz for a PLAY2-NANO in fr-par-1\n"},
		},
		{
			name: "an address and a name that are taken",
			prepare: func(t *testing.T, s *site) []string {
				s.create(t, "/registry/v1/regions/fr-par/namespaces", object{"name": "example-production"})
				network := s.createNetwork(t, "fr-par", "172.16.28.0/22")
				s.createServer(t, "their-database", network, "172.16.28.8")
				return existingNetwork(network)
			},
			want: []string{
				"Error: spec.proxy.privateIP: 172.16.28.8 is taken by instance_private_nic their-database (172.16.28.8)\n",
				"Error: spec.registry.name: there is a namespace example-production already, and this stack did not create it: choose another name, or leave registry out\n",
			},
		},
		{
			name: "an unknown key", env: map[string]*string{"SCW_SECRET_KEY": new(unusedID)},
			want: []string{"the API does not accept the credentials: check SCW_ACCESS_KEY and SCW_SECRET_KEY, and that the key has not expired"},
		},
		{
			name:   "a key that may not see everything",
			faults: denied("/vpc/v2/regions/fr-par/vpcs", "/vpc-gw/", "/block/", "/k8s/", "/registry/"),
			want: []string{
				"its IAM policy needs VPCFullAccess for this project", "its IAM policy needs VPCGatewayFullAccess for this project",
				"its IAM policy needs BlockStorageFullAccess for this project", "its IAM policy needs KubernetesFullAccess for this project",
				"its IAM policy needs ContainerRegistryFullAccess for this project",
			},
		},
		{
			name: "a key without Instances and Private Networks", faults: denied("/instance/v1/zones/fr-par-1/servers", "/vpc/v2/regions/fr-par/private-networks"),
			want: []string{"its IAM policy needs InstancesFullAccess for this project", "its IAM policy needs PrivateNetworksFullAccess for this project"},
		},
		{
			name: "a key without IPAM", faults: denied("/ipam/"),
			prepare: func(t *testing.T, s *site) []string {
				return existingNetwork(s.createNetwork(t, "fr-par", "172.16.28.0/22"))
			},
			want: []string{"its IAM policy needs IPAMFullAccess for this project"},
		},
	}
}

// TestRefusedBeforeTheFirstWrite requires all errors at once, before the first
// change at Scaleway.
func TestRefusedBeforeTheFirstWrite(t *testing.T) {
	t.Parallel()
	for _, c := range slices.Concat(missingAndMalformed(), unknownToScaleway()) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, replaced(t, c.config...), scwfake.Options{})
			if c.prepare != nil {
				s.configure(t, replaced(t, append(c.config, c.prepare(t, s)...)...))
			}
			s.SetFaults(c.faults)
			before := s.Inventory()
			s.ResetCount()
			apply := s.run
			if len(c.env) > 0 {
				s.env, apply = c.env, s.runProcess
			}
			code, output := apply(t, "apply", "--yes")
			if code != exitFailed {
				t.Errorf("exit code %d, want %d", code, exitFailed)
			}
			requireErrors(t, output, c.want)
			requireOnlyReads(t, s, c.offline)
			if after := s.Inventory(); len(after) != len(before) {
				t.Errorf("the resources are %v after the run, and %v before", after, before)
			}
		})
	}
}

// requireErrors requires each of the errors once, and no others.
func requireErrors(t *testing.T, output string, want []string) {
	t.Helper()
	var errs []string
	for line := range strings.Lines(output) {
		if strings.HasPrefix(line, "Error: ") {
			errs = append(errs, line)
		}
	}
	if len(errs) != len(want) {
		t.Errorf("%d errors, want %d", len(errs), len(want))
	}
	for _, text := range want {
		if n := len(slices.Collect(filter(errs, text))); n != 1 {
			t.Errorf("%d errors with %q", n, text)
		}
	}
	if t.Failed() {
		t.Log(output)
	}
}

// filter yields the lines that contain a string.
func filter(lines []string, text string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, line := range lines {
			if strings.Contains(line, text) && !yield(line) {
				return
			}
		}
	}
}

func requireOnlyReads(t *testing.T, s *site, offline bool) {
	t.Helper()
	if n := s.Requests(); offline && n > 0 {
		t.Errorf("%d requests, want none", n)
	}
	for _, call := range s.Calls() {
		if call.Method != http.MethodGet {
			t.Errorf("%s %s before the refusal", call.Method, call.Path)
		}
	}
}

// A name that another organization uses is only found when the resource is
// created. The error names the field, and all other steps are executed.
func TestForeignNamespace(t *testing.T) {
	t.Parallel()
	s := newSite(t, baseConfig, scwfake.Options{ForeignNamespaces: []string{"example-production"}})
	code, output := s.run(t, "apply", "--yes")
	if code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}
	requireErrors(t, output, []string{
		"Error: create registry (example-production): spec.registry.name: the name example-production is taken in fr-par, " +
			"maybe by another organization, because names are unique over all of them: choose another one (",
	})
	if !slices.ContainsFunc(s.Inventory(), func(item scwfake.Item) bool { return item.Kind == "pool" }) {
		t.Error("resources that do not need the registry were not created")
	}
	s.configure(t, replaced(t, "example-production", "example-production-2"))
	s.mustRun(t, "apply", "--yes")
	s.mustRun(t, "plan")
}
