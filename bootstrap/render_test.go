package main

import (
	"strings"
	"testing"

	"gotest.tools/v3/golden"

	"egress.scw/bootstrap/stack"
)

// renderCases are changes to baseConfig.
func renderCases() map[string][]string {
	return map[string][]string{
		"created": nil,
		"existing": {
			"cidr: 172.16.28.0/22", "id: 22222222-3333-4444-8555-666666666666",
			baseConfig[strings.Index(baseConfig, "    acl:"):strings.Index(baseConfig, "    pools:")], "    id: 33333333-4444-5555-8666-777777777777\n",
		},
	}
}

// TestRenderGolden omits the user data and squid.conf from the golden files. They
// have their own golden files, and are compared with the output of their
// renderers.
func TestRenderGolden(t *testing.T) {
	var used []string
	for name, oldnew := range renderCases() {
		config := replaced(t, oldnew...)
		s := newSession(t, config)
		// render needs no credentials.
		s.login = func() (*account, error) { panic("render reads credentials") }
		userData, squidConf := renderedAt(t, newSpec(t, config))
		short := strings.NewReplacer(userData, "(user data: see cloudinit/testdata)\n", squidConf, "(squid.conf: see cloudinit/squid/testdata)\n")
		for _, only := range append([]string{""}, onlyParts()...) {
			file := "render-" + name + ".golden.txt"
			arguments := []string{"render"}
			if only != "" {
				file = "render-" + name + "-" + only + ".golden.txt"
				arguments = append(arguments, "--only", only)
			}
			used = append(used, file)
			got := s.run(t.Context(), arguments...)
			if got.code != exitDone || got.stderr != "" {
				t.Errorf("%s %q: exit code %d, %s", name, arguments, got.code, got.stderr)
			}
			golden.Assert(t, short.Replace(got.stdout), file)
		}
	}
	noStale(t, "render-*", used)
}

// renderedAt renders with the placeholder addresses.
func renderedAt(t *testing.T, spec stack.Spec) (userData, squidConf string) {
	t.Helper()
	if spec.Network.ID != "" {
		spec.Network = newSpec(t, baseConfig).Network
	}
	graph, _ := made(t, spec)
	conf, err := graph.Proxies[0].SquidConf()
	if err != nil {
		t.Fatal(err)
	}
	// The first line states the format, and stays before comments.
	_, rest, _ := strings.Cut(string(graph.Proxies[0].Server.CloudInit), "\n")
	return rest, string(conf)
}

// TestRenderMachines: each of several machines has files of its own, and the whole output
// tells how to print each.
func TestRenderMachines(t *testing.T) {
	t.Parallel()
	s := newSession(t, replaced(t, twoMachines()...))
	whole := require(t, exitDone, s.run(t.Context(), "render")).stdout
	for only, own := range map[string][2]string{
		onlyUserData:  {"hostname: egress-production-proxy", "hostname: egress-production-proxy-2"},
		onlySquidConf: {"http_port 172.16.28.8:3129 name=client-a", "http_port 172.16.28.9:3129 name=client-a"},
	} {
		var files [2]string
		for i, args := range [][]string{{"--machine", "proxy"}, {"--machine", "proxy-2"}} {
			files[i] = require(t, exitDone, s.run(t.Context(), append([]string{"render", "--only", only}, args...)...)).stdout
			tail := files[i][len(files[i])/2:] // without the comment
			if !strings.Contains(files[i], own[i]+"\n") || !strings.Contains(whole, strings.TrimSpace(tail)) {
				t.Errorf("--only %s %s: no %s, or not part of the whole:\n%s", only, args, own[i], files[i])
			}
		}
		if files[0] == files[1] || require(t, exitDone, s.run(t.Context(), "render", "--only", only)).stdout != files[0] {
			t.Errorf("--only %s: not the first machine by default, or the same for both", only)
		}
		if flags := "(--only " + only + " --machine proxy-2)"; !strings.Contains(whole, flags) {
			t.Errorf("the whole does not tell %s", flags)
		}
	}
	for want, args := range map[string][]string{
		`--machine: there is no machine "proxy-3": with spec.proxy.replicas: 2 there is proxy, proxy-2`: {"--only", onlySquidConf, "--machine", "proxy-3"},
		"--machine: needs --only user-data or --only squid-conf":                                        {"--machine", "proxy-2"},
		"--machine: needs --only user-data or --only squid-conf, which each":                            {"--only", onlyValues, "--machine", "proxy-2"},
	} {
		got := require(t, exitFailed, s.run(t.Context(), append([]string{"render"}, args...)...))
		if !strings.Contains(got.stderr, want) || got.stdout != "" {
			t.Errorf("%q: no %q in %s", args, want, got.stderr)
		}
	}
}

// TestRenderErrors requires all errors at once.
func TestRenderErrors(t *testing.T) {
	t.Parallel()
	s := newSession(t, replaced(t, "port: 3129", "port: 80", "zone: fr-par-1", "zoone: fr-par-1"))
	got := s.run(t.Context(), "render", "--only=all")
	if got.code != exitFailed || got.stdout != "" || strings.Count(got.stderr, "Error: ") < 3 {
		t.Errorf("exit code %d, output %q, standard error\n%s", got.code, got.stdout, got.stderr)
	}
}
