package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"egress.scw/bootstrap/scwfake"
)

// keys are the forms in which credentials could appear.
func keys() []string {
	// The debug log of the SDK prints the beginning of the secret key.
	beginning, _, _ := strings.Cut(canarySecretKey, "-")
	return append(encoded(canaryAccessKey, canarySecretKey), beginning)
}

// encoded returns strings unchanged and in base64, in all three alignments that
// the preceding text can cause.
func encoded(texts ...string) []string {
	var all []string
	for _, text := range texts {
		all = append(all, text)
		for shift := range 3 {
			code := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + text))
			all = append(all, code[4:len(code)-4])
		}
	}
	return all
}

// requireNone requires a text without secrets.
func requireNone(t *testing.T, where, text string, secrets []string) {
	t.Helper()
	for _, secret := range secrets {
		if i := strings.Index(text, secret); i >= 0 {
			t.Errorf("%s: contains a secret: %q", where, text[max(0, i-80):min(len(text), i+80)])
			return
		}
	}
}

// record is a log that can be read while handlers of abandoned requests write to
// it.
type record struct {
	mutex sync.Mutex
	text  bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.text.String()
}

// tap is a proxy of the fake. It records requests, except the header for the
// secret key, and can spoil responses.
type tap struct {
	api  http.Handler
	sent record

	mutex sync.Mutex
	spoil func(r *http.Request) (status int, body string)
	// authorized are the requests with the key in its header.
	authorized int
}

func (p *tap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	p.mutex.Lock()
	spoil := p.spoil
	if r.Header.Get("X-Auth-Token") == canarySecretKey {
		p.authorized++
	}
	p.mutex.Unlock()
	header := r.Header.Clone()
	header.Del("X-Auth-Token")
	fmt.Fprintf(&p.sent, "%s %s\n%v\n%s\n", r.Method, r.URL, header, body)
	if spoil != nil {
		if status, text := spoil(r); status != 0 {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text)
			return
		}
	}
	p.api.ServeHTTP(w, r)
}

// spoilBy spoils all further responses; nil ends that.
func (p *tap) spoilBy(spoil func(*http.Request) (int, string)) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.spoil = spoil
}

// watched is a site that records all output of the program.
type watched struct {
	*site

	tap *tap
	log *record
}

func newWatched(t *testing.T, config string) *watched {
	t.Helper()
	log := &record{}
	s := newSite(t, config, scwfake.Options{Log: log, Kubeconfig: func(id, name string) ([]byte, error) {
		return []byte(scalewayKubeconfig(name, id)), nil
	}})
	p := &tap{api: s.API}
	s.server.Close()
	s.server = httptest.NewServer(p)
	return &watched{s, p, log}
}

// run runs the program as a process, and requires output without secrets, except the
// kubeconfig on standard output if it is shown.
func (w *watched) run(t *testing.T, shown bool, args ...string) (code int, stdout string) {
	t.Helper()
	cmd, _ := w.process(t.Context(), args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	what := strings.Join(args, " ")
	if text := errs.String(); strings.Contains(text, "panic:") || strings.Contains(text, "goroutine ") {
		t.Errorf("%s: %s", what, text)
	}
	both := append(keys(), encoded(token)...)
	requireNone(t, what+": standard error", errs.String(), both)
	if shown {
		both = keys()
	}
	requireNone(t, what+": standard output", out.String(), both)
	requireNone(t, what+": arguments", strings.Join(cmd.Args, " "), both)
	return cmd.ProcessState.ExitCode(), out.String()
}

// requireClean checks everything that runs leave behind.
func (w *watched) requireClean(t *testing.T) {
	t.Helper()
	both := append(keys(), encoded(token)...)
	requireNone(t, "what was sent", w.tap.sent.String(), both)
	requireNone(t, "the fake's log", w.log.String(), both)
	for _, item := range w.Inventory() {
		requireNone(t, item.Kind, fmt.Sprintf("%+v", item), both)
		if item.Kind == "server" {
			w.requireCleanUserData(t, item)
		}
	}
	for _, call := range w.Calls() {
		requireNone(t, "a request", call.Path, both)
	}
	err := filepath.WalkDir(w.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if entry.Name() == "kubeconfig.yaml" {
			requireMode(t, path, 0o600)
			requireNone(t, entry.Name(), string(text), keys())
			return err
		}
		requireNone(t, entry.Name(), string(text), both)
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func (w *watched) requireCleanUserData(t *testing.T, server scwfake.Item) {
	t.Helper()
	path := "/instance/v1/zones/" + server.Place + "/servers/" + server.ID + "/user_data"
	var list struct {
		UserData []string `json:"user_data"`
	}
	if err := json.Unmarshal(w.request(t, http.MethodGet, path, nil), &list); err != nil {
		t.Fatal(err)
	}
	for _, key := range list.UserData {
		requireNone(t, "user data "+key, string(w.request(t, http.MethodGet, path+"/"+key, nil)), append(keys(), encoded(token)...))
	}
}

// TestSecretsOfAFullRun looks for keys in all output of successful runs.
func TestSecretsOfAFullRun(t *testing.T) {
	t.Parallel()
	for _, hide := range []bool{true, false} {
		for _, output := range outputs() {
			for _, debug := range []string{"", "true", "nonsense"} {
				t.Run(fmt.Sprintf("hide=%t %s debug=%s", hide, output, debug), func(t *testing.T) {
					t.Parallel()
					w := newWatched(t, fmt.Sprintf("%s  outputs: {hideKubeconfig: %t}\n", baseConfig, hide))
					if debug != "" {
						w.env = map[string]*string{"SCW_DEBUG": &debug}
					}
					shown := !hide && output == outputJSON
					w.run(t, false, "plan", "-o", output)
					code, stdout := w.run(t, shown, "apply", "--yes", "-o", output)
					if code != exitDone || strings.Contains(stdout, token) != shown {
						t.Errorf("exit code %d; the kubeconfig is shown: %t\n%s", code, shown, stdout)
					}
					if !strings.Contains(w.read(t, "kubeconfig.yaml"), token) {
						t.Error("the written kubeconfig has no token: the test would not find leaks")
					}
					w.requireClean(t)
					w.run(t, false, "status", "-o", output)
					w.run(t, false, "render")
					w.configure(t, strings.Replace(baseConfig, "3129", "3131", 1))
					w.run(t, false, "plan", "-o", output)
					w.run(t, false, "apply", "--yes", "-o", output)
					w.requireClean(t)
					if code, _ := w.run(t, false, "destroy", "--yes", "-o", output); code != exitDone {
						t.Errorf("destroy: exit code %d", code)
					}
					w.requireClean(t)
					if w.tap.authorized == 0 {
						t.Error("no request had the key: the test would not find leaks")
					}
				})
			}
		}
	}
}

// trouble is a failure that lasts for a whole run.
type trouble struct {
	name   string
	faults []scwfake.Fault
	spoil  func(*http.Request) (status int, body string)
}

// echoed is a response that repeats the request, including the key.
func echoed(r *http.Request) string {
	text, _ := json.Marshal(r.Header)
	return string(text)
}

func troubles() []trouble {
	list := []trouble{
		{name: "401", spoil: func(*http.Request) (int, string) {
			return http.StatusUnauthorized, `{"type": "denied_authentication", "method": "api_key", "reason": "expired"}`
		}},
		{name: "403 without a type", spoil: func(*http.Request) (int, string) { return http.StatusForbidden, `{"message": "no"}` }},
		{name: "no JSON", spoil: func(*http.Request) (int, string) { return http.StatusOK, `{"id": "` }},
		{name: "JSON of another form", spoil: func(*http.Request) (int, string) { return http.StatusOK, `["surprise"]` }},
		{name: "an error of another form", spoil: func(*http.Request) (int, string) { return http.StatusBadRequest, `["surprise"]` }},
		{name: "empty objects", spoil: func(*http.Request) (int, string) { return http.StatusOK, `{}` }},
		{name: "the request as the response", spoil: func(r *http.Request) (int, string) { return http.StatusOK, echoed(r) }},
		{name: "an invalid kubeconfig", spoil: func(r *http.Request) (int, string) {
			if !strings.HasSuffix(r.URL.Path, "/kubeconfig") {
				return 0, ""
			}
			content := base64.StdEncoding.EncodeToString([]byte("users: " + token + "\n"))
			return http.StatusOK, `{"name": "kubeconfig", "content_type": "application/octet-stream", "content": "` + content + `"}`
		}},
	}
	for _, kind := range []scwfake.FaultKind{
		scwfake.FaultTooManyRequests, scwfake.FaultInternal, scwfake.FaultUnavailable, scwfake.FaultReplyLost, scwfake.FaultTimeout,
		scwfake.FaultReset, scwfake.FaultQuota, scwfake.FaultOutOfStock, scwfake.FaultPermissionsDenied,
	} {
		count := 1 << 20
		if kind == scwfake.FaultTimeout {
			count = 3 // each takes a second
		}
		list = append(list,
			trouble{name: string(kind) + " from the middle on", faults: []scwfake.Fault{{Call: 25, Count: count, Kind: kind}}},
			trouble{name: string(kind) + " on each write", faults: []scwfake.Fault{
				{Method: http.MethodPost, Count: count, Kind: kind},
				{Method: http.MethodPatch, Count: count, Kind: kind},
				{Method: http.MethodDelete, Count: count, Kind: kind},
			}},
		)
	}
	return list
}

// TestSecretsInTrouble looks for keys in the output of each command under each
// kind of failure.
func TestSecretsInTrouble(t *testing.T) {
	t.Parallel()
	for _, trouble := range troubles() {
		for _, made := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, made=%t", trouble.name, made), func(t *testing.T) {
				t.Parallel()
				w := newWatched(t, baseConfig+"  outputs: {hideKubeconfig: false}\n")
				w.env = map[string]*string{"SCW_DEBUG": new("1"), asImpatient: new("1s")}
				if made {
					w.mustRun(t, "apply", "--yes")
					w.configure(t, replaced(t, "192.0.2.0/24", "192.0.2.9/32")+"  outputs: {hideKubeconfig: false}\n")
				}
				for _, args := range [][]string{{"apply", "--yes"}, {"plan"}, {"status", "-o", "json"}, {"destroy", "--yes"}} {
					w.ResetCount()
					w.SetFaults(trouble.faults)
					w.tap.spoilBy(trouble.spoil)
					w.run(t, false, args...)
				}
				w.SetFaults(nil)
				w.tap.spoilBy(nil)
				w.requireClean(t)
			})
		}
	}
}

// TestSecretsOffline requires errors about credentials that do not repeat them.
func TestSecretsOffline(t *testing.T) {
	t.Parallel()
	swapped := map[string]*string{"SCW_ACCESS_KEY": new(canarySecretKey), "SCW_SECRET_KEY": new(canaryAccessKey)}
	for _, c := range []struct {
		name string
		env  map[string]*string
		file string
		want string
	}{
		{"swapped", swapped, "", "is malformed"},
		{"with a blank", map[string]*string{"SCW_ACCESS_KEY": new(canaryAccessKey + " "), "SCW_SECRET_KEY": new(canarySecretKey + "\n")}, "", "is malformed"},
		{"in an address", map[string]*string{"SCW_API_URL": new("ftp://me:" + canarySecretKey + "@api.scaleway.com")}, "", "the API's address"},
		{"in an address that is none", map[string]*string{"SCW_API_URL": new("https://me:" + canarySecretKey + "@api.scaleway.com:port")}, "", "the API's address"},
		{"in a file that is no YAML", nil, "access_key: " + canaryAccessKey + "\n\tsecret_key: " + canarySecretKey, "cannot be read"},
		{"in a file of another form", nil, canarySecretKey, "cannot be read"},
		{"of a profile that is not there", map[string]*string{"SCW_PROFILE": new("other")}, "secret_key: " + canarySecretKey + "\n", `the profile "other" is not in`},
	} {
		w := newWatched(t, baseConfig)
		w.env = c.env
		if c.file != "" {
			file := filepath.Join(t.TempDir(), "config.yaml")
			if err := os.WriteFile(file, []byte(c.file), 0o600); err != nil {
				t.Fatal(err)
			}
			env := map[string]*string{"SCW_CONFIG_PATH": &file}
			maps.Copy(env, c.env)
			w.env = env
		}
		code, output := w.runProcess(t, "plan")
		if code != exitFailed || !strings.Contains(output, c.want) {
			t.Errorf("%s: exit code %d, want 1 and %q\n%s", c.name, code, c.want, output)
		}
		requireNone(t, c.name, output, keys())
		if w.Requests() > 0 {
			t.Errorf("%s: %d requests", c.name, w.Requests())
		}
	}
}
