package environment

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"egress.scw/hack/local/cluster"
	"egress.scw/hack/local/process"
)

// Commands that a server did not get are repeated with their input. Others are not.
func TestKubectlIsRepeated(t *testing.T) {
	for name, test := range map[string]struct {
		err   string
		calls string
		works bool
	}{
		"webhook":       {`failed calling webhook "pods.egress.scw": context deadline exceeded`, "..", true},
		"TLS handshake": {"error dialing backend: net/http: TLS handshake timeout", "..", true},
		"refusal":       {`admission webhook "policies.egress.scw" denied the request`, ".", false},
	} {
		t.Run(name, func(t *testing.T) {
			calls := filepath.Join(t.TempDir(), "calls")
			program := filepath.Join(t.TempDir(), "kubernetes")
			script := "#!/bin/sh\nprintf . >>'" + calls + "'\ntest ! \"$(cat '" + calls + "')\" = . || { echo '" + test.err + "' >&2; exit 1; }\ncat\n"
			if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
				t.Fatal(err)
			}
			e := &Environment{Cluster: cluster.Open(cluster.Config{Environment: process.Environment(t.TempDir()), Binary: program})}
			out, err := e.Kubectl(t.Context(), strings.NewReader("manifest"), "apply")
			if (err == nil) != test.works || test.works && out != "manifest" {
				t.Errorf("%q, %v", out, err)
			}
			if got, err := os.ReadFile(calls); string(got) != test.calls {
				t.Errorf("called %d times, %v; want %d", len(got), err, len(test.calls))
			}
		})
	}
}
