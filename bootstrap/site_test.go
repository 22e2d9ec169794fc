package main

import (
	"bytes"
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"egress.scw/bootstrap/scaleway"
	"egress.scw/bootstrap/scwfake"
)

// Keys that must not appear in any output. They are well-formed, and not in use.
const (
	canaryAccessKey = "SCWCANARYCANARYCANAR"
	canarySecretKey = "c0ffee00-dead-4bee-8f00-5ca1ab1e0000"
)

// site is a project at a fake API, and a folder with an egress.yaml.
type site struct {
	*scwfake.API

	dir    string
	server *httptest.Server

	accessKey, secretKey string
	// env changes the environment of processes; nil unsets a variable.
	env map[string]*string
}

func newSite(t testing.TB, config string, options scwfake.Options) *site {
	t.Helper()
	options.Token, options.AccessKey = canarySecretKey, canaryAccessKey
	api := scwfake.New(options)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "egress.yaml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	s := &site{API: api, dir: dir, server: httptest.NewServer(api), accessKey: canaryAccessKey, secretKey: canarySecretKey}
	t.Cleanup(func() {
		s.Close()
		s.server.CloseClientConnections()
		s.server.Close()
	})
	return s
}

// settled waits until all requests have taken effect, including those of a killed
// process. Later requests use another address.
func (s *site) settled() {
	s.server.Close()
	s.server = httptest.NewServer(s.server.Config.Handler)
}

// user returns the site for another user of its project.
func (s *site) user(access, secret string) *site {
	as := *s
	as.accessKey, as.secretKey = access, secret
	return &as
}

// environment is that of a run in this process, with the credentials and the folder of the
// site. Both output streams are one, as those of process are.
func (s *site) environment(args ...string) (environment, *lockedBuffer) {
	enterKey := func(access, secret, project string) (scaleway.Credentials, error) {
		if project == "" {
			project = scwfake.DefaultProjectID
		}
		return scaleway.NewCredentials(access, secret, project, s.server.URL)
	}
	findKey := func() (scaleway.Credentials, error) { return enterKey(s.accessKey, s.secretKey, "") }
	output := &lockedBuffer{}
	return environment{
		args: append(withoutWait(args), "--config", filepath.Join(s.dir, "egress.yaml")), stdin: strings.NewReader(""), stdout: output, stderr: output,
		getenv: func(string) string { return "" }, checkPlaces: scaleway.CheckPlaces,
		login:    func() (*account, error) { return impatientLogin(findKey) },
		scaleway: impatientOptions(), findKey: findKey, enterKey: enterKey,
	}, output
}

// withoutWait makes apply not wait: the fake servers have no machines that report.
func withoutWait(args []string) []string {
	args = slices.Clone(args)
	if args[0] == "apply" {
		args = append(args, "--wait=false")
	}
	return args
}

// runUntil runs the program in this process until it is done or the context ends, which
// is what main makes of SIGINT. It returns the exit code, and the output with paths that
// start at the folder of the site.
func (s *site) runUntil(ctx context.Context, args ...string) (code int, output string) {
	env, written := s.environment(args...)
	code = exitCode(written, run(ctx, env))
	return code, strings.ReplaceAll(written.String(), s.dir+"/", "")
}

// run runs the program in this process, and returns its exit code and its output.
func (s *site) run(t testing.TB, args ...string) (code int, output string) {
	t.Helper()
	return s.runUntil(t.Context(), args...)
}

func (s *site) mustRun(t testing.TB, args ...string) string {
	t.Helper()
	code, output := s.run(t, args...)
	if code != exitDone {
		t.Fatalf("bootstrap %v: exit code %d\n%s", args, code, output)
	}
	return output
}

// requireConverged runs apply, and requires exactly the expected resources, and
// an empty plan.
func (s *site) requireConverged(t *testing.T, want []string, after string) {
	t.Helper()
	s.mustRun(t, "apply", "--yes")
	if diff := cmp.Diff(want, scwfake.Summary(s.Inventory())); diff != "" {
		t.Errorf("wrong resources after %s: -want +got\n%s", after, diff)
	}
	s.mustRun(t, "plan") // exit code 2 if the plan is not empty
}

// requireNoLeftovers requires a folder with complete outputs and without
// temporary files, beside the files of the test.
func requireNoLeftovers(t *testing.T, dir string, own ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	want := append([]string{"egress.yaml", "kubeconfig.yaml", "values.yaml"}, own...)
	slices.Sort(want)
	if !slices.Equal(want, names) {
		t.Errorf("the folder contains %q, want %q", names, want)
	}
}

// lockedBuffer is a buffer that is read while a run writes to it.
type lockedBuffer struct {
	mutex sync.Mutex
	text  bytes.Buffer
}

func (b *lockedBuffer) Write(data []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.text.Write(data)
}

func (b *lockedBuffer) String() string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.text.String()
}
