package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

// token is a secret that must not be printed.
const token = "a-very-secret-token"

// scalewayKubeconfig returns a kubeconfig in the form of Kapsule: its entries are
// named after the cluster.
func scalewayKubeconfig(name, id string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: admin@%[1]s
clusters:
- name: "%[1]s"
  cluster:
    certificate-authority-data: Q0E=
    server: https://%[2]s.api.k8s.fr-par.scw.cloud:6443
contexts:
- name: admin@%[1]s
  context: {cluster: "%[1]s", user: %[1]s-admin}
preferences: {}
users:
- name: %[1]s-admin
  user: {token: %[3]s}
`, name, id, token)
}

func TestMergeKubeconfig(t *testing.T) {
	t.Parallel()
	const ours = "egress-production"
	merged := func(t *testing.T, file string, name, id string) string {
		t.Helper()
		text, _, err := mergeKubeconfig([]byte(file), []byte(scalewayKubeconfig(name, id)), id)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	other := merged(t, "", "other", "two")
	for _, c := range []struct {
		name, file string
		context    string   // the new current context
		servers    []string // by context: context=ID of the cluster
	}{
		{"no file", "", "admin@egress-production", []string{"admin@egress-production=one"}},
		{"blank file", " \n", "admin@egress-production", []string{"admin@egress-production=one"}},
		{"itself", scalewayKubeconfig(ours, "one"), "admin@egress-production", []string{"admin@egress-production=one"}},
		{
			"another cluster", other, "admin@egress-production",
			[]string{"admin@egress-production=one", "admin@other=two"},
		},
		{
			"another cluster of the same name", merged(t, other, ours, "three"), "admin@egress-production-one",
			[]string{"admin@egress-production=three", "admin@egress-production-one=one", "admin@other=two"},
		},
		{
			"itself beside another cluster of the same name", merged(t, scalewayKubeconfig(ours, "three"), ours, "one"), "admin@egress-production-one",
			[]string{"admin@egress-production=three", "admin@egress-production-one=one"},
		},
		{
			"another cluster whose user has the name",
			strings.NewReplacer("name: other-admin", "name: egress-production-admin", "user: other-admin", "user: egress-production-admin").Replace(other),
			"admin@egress-production-one",
			[]string{"admin@other=two", "admin@egress-production-one=one"},
		},
	} {
		text, current, err := mergeKubeconfig([]byte(c.file), []byte(scalewayKubeconfig(ours, "one")), "one")
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		config, err := clientcmd.Load(text)
		if err != nil {
			t.Fatal(err)
		}
		if current != c.context || config.CurrentContext != c.context {
			t.Errorf("%s: the current context is %s (%s), want %s", c.name, config.CurrentContext, current, c.context)
		}
		if len(config.Contexts) != len(c.servers) {
			t.Errorf("%s: %d contexts, want %d", c.name, len(config.Contexts), len(c.servers))
		}
		for _, want := range c.servers {
			name, id, _ := strings.Cut(want, "=")
			context := config.Contexts[name]
			if context == nil {
				t.Errorf("%s: no context %s", c.name, name)
				continue
			}
			if server := config.Clusters[context.Cluster].Server; !strings.Contains(server, id) {
				t.Errorf("%s: the context %s has the server %s", c.name, name, server)
			}
			if user := config.AuthInfos[context.AuthInfo]; user == nil || user.Token != token {
				t.Errorf("%s: the context %s has no user", c.name, name)
			}
		}
		again, _, err := mergeKubeconfig(text, []byte(scalewayKubeconfig(ours, "one")), "one")
		if err != nil || string(again) != string(text) {
			t.Errorf("%s: a second merge changes the result: %v", c.name, err)
		}
	}
}

func TestWriteKubeconfig(t *testing.T) {
	t.Parallel()
	added := []byte(scalewayKubeconfig("egress-production", "one"))
	t.Run("new", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "kubeconfig.yaml")
		if _, err := writeKubeconfig(file, added, "one"); err != nil {
			t.Fatal(err)
		}
		requireMode(t, file, modeSecret)
	})
	t.Run("less strict mode", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "kubeconfig.yaml")
		if err := os.WriteFile(file, []byte(scalewayKubeconfig("other", "two")), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := writeKubeconfig(file, added, "one"); err != nil {
			t.Fatal(err)
		}
		requireMode(t, file, modeSecret)
	})
	t.Run("symbolic link", func(t *testing.T) {
		t.Parallel()
		folder := t.TempDir()
		target, link := filepath.Join(folder, "config"), filepath.Join(folder, "kubeconfig.yaml")
		if err := os.WriteFile(target, []byte(scalewayKubeconfig("other", "two")), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("config", link); err != nil {
			t.Fatal(err)
		}
		if _, err := writeKubeconfig(link, added, "one"); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
			t.Errorf("the symbolic link was replaced: %v", err)
		}
		config, err := clientcmd.LoadFromFile(target)
		if err != nil || len(config.Contexts) != 2 {
			t.Errorf("the target of the link was not written: %v", err)
		}
	})
	t.Run("dangling link", func(t *testing.T) {
		t.Parallel()
		link := filepath.Join(t.TempDir(), "kubeconfig.yaml")
		if err := os.Symlink("nowhere", link); err != nil {
			t.Fatal(err)
		}
		if _, err := writeKubeconfig(link, added, "one"); err == nil {
			t.Error("no error")
		}
	})
	t.Run("no folder", func(t *testing.T) {
		t.Parallel()
		if _, err := writeKubeconfig(filepath.Join(t.TempDir(), "no", "kubeconfig.yaml"), added, "one"); err == nil || !strings.Contains(err.Error(), "does not exist") {
			t.Errorf("got %v", err)
		}
	})
}

// TestUnownedFiles runs apply with outputs that other programs wrote. They are
// kept, their content is not printed, and no request is sent to Scaleway.
func TestUnownedFiles(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ file, text, want string }{
		{"kubeconfig.yaml", "password: " + token, "spec.outputs.kubeconfig: kubeconfig.yaml: is not a kubeconfig"},
		{"kubeconfig.yaml", "{" + token, "is not a kubeconfig"},
		{"kubeconfig.yaml", "apiVersion: v1\nkind: Secret\nstringData: {a: " + token + "}\n", "is not a kubeconfig"},
		{"kubeconfig.yaml", "apiVersion: v1\nkind: Config\nclusters: " + token, "is not a kubeconfig"},
		{"values.yaml", "proxy: {addresses: [" + token + "]}\n", "spec.outputs.values: values.yaml: was not written by bootstrap"},
	} {
		s := newSession(t, baseConfig)
		s.write(t, c.file, c.text)
		got := s.run(t.Context(), "--yes")
		if got.code != exitFailed || !strings.Contains(got.stderr, c.want) {
			t.Errorf("%s: exit code %d, %q", c.text, got.code, got.stderr)
		}
		if strings.Contains(got.stderr+got.stdout, token) {
			t.Errorf("%s: the error contains the file: %s", c.text, got.stderr)
		}
		if s.read(t, c.file) != c.text {
			t.Errorf("%s: the file has changed", c.text)
		}
	}
}

func requireMode(t *testing.T, file string, want os.FileMode) {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != want {
		t.Errorf("%s has the mode %o, want %o", file, info.Mode().Perm(), want)
	}
}
