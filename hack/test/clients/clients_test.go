package clients

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"egress.scw/hack/local/lock"
	"egress.scw/hack/local/process"
	"egress.scw/hack/local/progress"
	"egress.scw/hack/test/clients/matrix"
)

var (
	conformance = flag.Bool("conformance", false, "run the real clients, which are installed from package registries the first time (root)")
	update      = flag.Bool("update", false, "write the outcomes into the rows instead of comparing them")
)

// lockFile keeps two runs from using the same network namespaces.
const lockFile = "/run/egress-clients-test.lock"

// TestClients requests every target with every client, under the injected variables
// alone and with those of the client's runtimes, and compares the outcomes with the
// client's row.
func TestClients(t *testing.T) {
	if !*conformance {
		t.Skip("make clients runs the real clients: it installs them from package registries")
	}
	clients, err := matrix.Clients()
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := lock.Take(lockFile)
	if err != nil {
		t.Fatalf("another run of make clients: %v", err)
	}
	t.Cleanup(unlock)
	log := progress.New(os.Stderr)
	root, err := makeRoot(t.Context(), log, clients)
	if err != nil {
		t.Fatal(err)
	}
	folder := temporary(t)
	programs := filepath.Join(folder, "layer")
	if err := log.Step("programs of the clients", func() error { return layer(t.Context(), programs, root) }); err != nil {
		t.Fatal(err)
	}
	installed, err := installedVersions(t.Context(), root, filepath.Join(programs, matrix.Programs, "go", "clients"), clients)
	if err != nil {
		t.Fatal(err)
	}
	for i := range clients {
		client := &clients[i]
		t.Run(client.ID, func(t *testing.T) {
			t.Parallel()
			if err := installed.check(client); err != nil {
				t.Error(err)
			}
			testClient(t, root, programs, folder, client)
			log.Printf("%s", client.Name)
		})
	}
}

// temporary returns a folder that make clean removes too.
func temporary(t *testing.T) string {
	t.Helper()
	environment, err := process.Temporary()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := environment.Remove(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return string(environment)
}

func testClient(t *testing.T, root *root, programs, folder string, client *matrix.Client) {
	t.Helper()
	modes := []bool{false}
	if len(client.Runtimes) > 0 {
		modes = append(modes, true)
	}
	folder = filepath.Join(folder, client.ID)
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	var seen matrix.Deviations
	for _, runtimes := range modes {
		var names []string
		if runtimes {
			names = client.Runtimes
		}
		environment, err := Environment(names)
		if err != nil {
			t.Fatal(err)
		}
		proxy, err := proxyOf(environment)
		if err != nil {
			t.Fatal(err)
		}
		world, err := newWorld(t.Context(), client.ID, folder, root, proxy)
		if err != nil {
			t.Fatal(err)
		}
		for _, target := range matrix.Targets() {
			observed, printed := world.request(t.Context(), root, programs, client, target, environment)
			got := matrix.Judge(target, observed)
			if want := client.Expected(target, runtimes); got != want && !*update {
				t.Errorf("%s (runtimes %q): %s, want %s; the recorder saw %+v, and the client printed: %s", target.Name, names, got, want, observed, printed)
			}
			seen.Set(runtimes, target, got)
		}
		if err := world.close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if *update {
		if err := writeDeviations(filepath.Join("matrix", "rows", client.ID+".yaml"), seen); err != nil {
			t.Error(err)
		}
	}
}

// The environment is the product's: the proxy of the tenant, and for each client with
// runtimes further variables.
func TestEnvironment(t *testing.T) {
	plain, err := Environment(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, variable := range []string{
		"KUBERNETES_SERVICE_HOST=10.32.0.1", "HTTP_PROXY=http://172.16.28.8:3129", "http_proxy=http://172.16.28.8:3129",
		"HTTPS_PROXY=http://172.16.28.8:3129", "https_proxy=http://172.16.28.8:3129",
	} {
		if !slices.Contains(plain, variable) {
			t.Errorf("%s is missing in %q", variable, plain)
		}
	}
	if proxy, err := proxyOf(plain); err != nil || proxy.String() != "172.16.28.8:3129" {
		t.Errorf("the proxy is %v, %v", proxy, err)
	}
	clients, err := matrix.Clients()
	if err != nil {
		t.Fatal(err)
	}
	for i := range clients {
		environment, err := Environment(clients[i].Runtimes)
		if err != nil || (len(environment) > len(plain)) != (len(clients[i].Runtimes) > 0) {
			t.Errorf("%s: runtimes %q make the environment %q, %v", clients[i].ID, clients[i].Runtimes, environment, err)
		}
	}
}
