package kubectl

import (
	"os"
	"path/filepath"
	"testing"
)

// The environment of all tests has a proxy and a kubeconfig that lead nowhere. net/http
// reads the former once per process.
func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "egress-kubectl")
	if err != nil {
		panic(err)
	}
	for name, value := range map[string]string{
		"HTTPS_PROXY": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": "", "no_proxy": "",
		"KUBECONFIG": filepath.Join(folder, "none"), "KUBECACHEDIR": filepath.Join(folder, "cache"),
	} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	status := m.Run()
	if err := os.RemoveAll(folder); err != nil {
		panic(err)
	}
	os.Exit(status)
}
