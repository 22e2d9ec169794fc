package kubectl

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
)

func TestCommands(t *testing.T) {
	const configMap = "{apiVersion: v1, kind: ConfigMap, metadata: {name: one, namespace: default}, data: {key: %s}}"
	s := newServer(t)
	k, kubeconfig := New(), "--kubeconfig="+s.kubeconfig(t)
	for name, test := range map[string]struct {
		stdin  string
		args   []string
		stdout string
		stderr string // a part
		status int
	}{
		"output":               {"", []string{"get", "namespace", "one", "-o", "jsonpath={.metadata.name}"}, "one", "Warning: about one", 0},
		"name":                 {"", []string{"get", "namespace", "one", "-o", "name"}, "namespace/one\n", "", 0},
		"error of the server":  {"", []string{"get", "namespace", "missing"}, "", `Error from server (NotFound): namespaces "missing" not found`, 1},
		"--ignore-not-found":   {"", []string{"get", "namespace", "missing", "--ignore-not-found"}, "", "", 0},
		"unknown flag":         {"", []string{"get", "namespace", "--none"}, "", "unknown flag: --none", 1},
		"unknown kind":         {"", []string{"get", "none"}, "", `the server doesn't have a resource type "none"`, 1},
		"manifest":             {fmt.Sprintf(configMap, "value"), []string{"create", "--validate=ignore", "-f", "-"}, "configmap/one created\n", "", 0},
		"manifest, long":       {fmt.Sprintf(configMap, "value"), []string{"create", "--validate=ignore", "--output=name", "--filename=-"}, "configmap/one\n", "", 0},
		"refused manifest":     {fmt.Sprintf(configMap, "refused"), []string{"create", "--validate=ignore", "-f", "-"}, "", `Error from server (Forbidden): error when creating "STDIN": no`, 1},
		"raw":                  {`{"kind":"Namespace"}`, []string{"replace", "--raw", "/api/v1/namespaces/one/finalize", "-f", "-"}, `{"kind":"Namespace"}`, "", 0},
		"program in container": {"", []string{"exec", "app", "--", "/main", "dial", "-f", "-"}, "/main dial -f -", "main: probe: refusedcommand terminated with exit code 7", 7},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stdout, stderr, err := k.Run(t.Context(), strings.NewReader(test.stdin), append([]string{kubeconfig}, test.args...)...)
			var exit ExitError
			if err != nil && !errors.As(err, &exit) || exit.Status != test.status {
				t.Errorf("error %v, want status %d", err, test.status)
			}
			if stdout != test.stdout || !strings.Contains(stderr, test.stderr) {
				t.Errorf("printed %q and %q, want %q and %q", stdout, stderr, test.stdout, test.stderr)
			}
		})
	}
}

// A command that would end the process of the test, read its input or start a program
// is left to the caller, with its input.
func TestUnsupported(t *testing.T) {
	s := newServer(t)
	for _, args := range [][]string{{"auth", "can-i", "get", "pods"}, {"diff", "-f", "-"}, {"edit", "namespace", "one"}, {"version"}, {"none"}, {}} {
		stdin := strings.NewReader("text")
		_, _, err := New().Run(t.Context(), stdin, append([]string{"--kubeconfig", s.kubeconfig(t)}, args...)...)
		if !errors.Is(err, errors.ErrUnsupported) || stdin.Len() == 0 {
			t.Errorf("%q: error %v, %d bytes of the input are left", args, err, stdin.Len())
		}
	}
}

// The environment has a proxy that does not exist (TestMain), and a connection by it
// would fail. Calls share one connection and what the server told of its resources.
func TestConnectionIsShared(t *testing.T) {
	s := newServer(t)
	file := s.kubeconfig(t)
	asked, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.Replace(s.URL, "127.0.0.1", "0.0.0.0", 1), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if proxy, err := http.ProxyFromEnvironment(asked); proxy == nil || err != nil {
		t.Fatalf("the environment has the proxy %v, %v: the test proves nothing", proxy, err)
	}
	k := New()
	for range 3 {
		if _, _, err := k.Run(t.Context(), nil, "--kubeconfig", file, "get", "namespace", "one"); err != nil {
			t.Fatal(err)
		}
	}
	connections, discovered := s.counted("/apis")
	if connections != 1 || len(discovered) != 1 {
		t.Errorf("%d connections and %d requests of discovery, want one of each", connections, len(discovered))
	}
	_, requests := s.counted("/api/v1/namespaces/one")
	if len(requests) != 3 || !strings.HasPrefix(requests[0].userAgent, "kubectl/") {
		t.Errorf("requests %v; want three of kubectl", requests)
	}
}

// kubectl get does not follow the context, but its request ends.
func TestContextEnds(t *testing.T) {
	s := newServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-s.blocked
		cancel()
	}()
	_, _, err := New().Run(ctx, nil, "--kubeconfig", s.kubeconfig(t), "get", "namespace", "blocked")
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	<-s.blocked
}

// Calls at the same time get their own outputs and warnings.
func TestCallsAtTheSameTime(t *testing.T) {
	s := newServer(t)
	k, file := New(), s.kubeconfig(t)
	var calls sync.WaitGroup
	for i := range 16 {
		calls.Go(func() {
			name := fmt.Sprintf("n%02d", i)
			for range 4 {
				stdout, stderr, err := k.Run(t.Context(), nil, "--kubeconfig", file, "get", "namespace", name, "-o", "name")
				if stdout != "namespace/"+name+"\n" || stderr != "Warning: about "+name+"\n" || err != nil {
					t.Errorf("%q, %q, %v", stdout, stderr, err)
				}
			}
		})
	}
	calls.Wait()
}

// No file with an input is left.
func TestInputIsRemoved(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	s := newServer(t)
	_, _, err := New().Run(t.Context(), strings.NewReader("{apiVersion: v1, kind: Namespace, metadata: {name: one}}"), "--kubeconfig", s.kubeconfig(t), "create", "--validate=ignore", "-f", "-")
	if err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
