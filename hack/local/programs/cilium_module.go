package programs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Cilium's module. The sum is the one of the module's zip file in go.sum's form:
// there is no go.sum that could name it, because the module is not imported.
const (
	ciliumModule  = "github.com/cilium/cilium"
	ciliumVersion = "v1.20.2"
	ciliumSum     = "h1:dqiEGIcXc+gqCLYG/l7VCFJ8GHyb4HUrwbZOpkX5dL8="
)

// ciliumCRDSource is the folder of the CustomResourceDefinitions in the module.
const ciliumCRDSource = "pkg/k8s/apis/cilium.io/client/crds"

// CiliumDefinitions returns the folder of Cilium's CustomResourceDefinitions of
// version v2. It downloads Cilium's module, of 37 MB, if necessary.
func (b *Builder) CiliumDefinitions(ctx context.Context) (string, error) {
	module, err := downloadCilium(ctx, b.cache)
	return filepath.Join(module, ciliumCRDSource, "v2"), err
}

// downloadCilium returns the folder of the module in Go's cache, which is
// read-only. The working directory is one without a module.
func downloadCilium(ctx context.Context, work string) (dir string, err error) {
	out, err := runGo(ctx, work, "mod", "download", "-json", ciliumModule+"@"+ciliumVersion)
	if err != nil {
		return "", err
	}
	var module struct{ Dir, Sum string }
	if err := json.Unmarshal(out, &module); err != nil {
		return "", fmt.Errorf("go mod download: %w", err)
	}
	if module.Sum != ciliumSum {
		return "", fmt.Errorf("go mod download: the module has the sum %s, not the pinned %s", module.Sum, ciliumSum)
	}
	return module.Dir, nil
}

// runGo returns the standard output of a go command.
func runGo(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go %s in %s: %w\n%s%s", strings.Join(args, " "), dir, err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.Bytes(), nil
}
