package programs

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// gobgpModule is required at a pseudo-version that module proxies refuse. Only the
// BGP control plane imports it.
const gobgpModule = "github.com/osrg/gobgp/v4"

// Cilium is a build of Cilium's agent, without its BGP control plane.
type Cilium struct {
	// Agent and Plugin are the paths of cilium-agent and cilium-cni.
	Agent, Plugin string
	// Library is the agent's library folder. It contains the source of the
	// datapath, which the agent compiles with clang while it runs.
	Library string
	// CRDs is the folder of Cilium's CustomResourceDefinitions, in a folder for
	// each version.
	CRDs string
}

// Names in the folder of a build.
const (
	ciliumAgent  = "cilium-agent"
	ciliumPlugin = "cilium-cni"
	ciliumCRDs   = "crds"
)

//go:embed cilium/without_bgp.go.txt
var withoutBGP string

// edit replaces a text that occurs once in a file of a module.
type edit struct{ file, old, new string }

var ciliumEdits = []edit{
	{"daemon/cmd/cells.go", "\t\"github.com/cilium/cilium/pkg/bgp\"\n", ""},
	{"daemon/cmd/cells.go", "\t\tbgp.Cell,\n", "\t\twithoutBGP,\n"},
}

// apply edits a file below a folder. It is an error if the text does not occur,
// or occurs twice: another version of the module needs another edit.
func (e edit) apply(dir string) error {
	path := filepath.Join(dir, e.file)
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if n := strings.Count(string(content), e.old); n != 1 {
		return fmt.Errorf("%s contains %q %d times, not once: adapt ciliumEdits in hack/local/programs to this version", e.file, e.old, n)
	}
	return os.WriteFile(path, []byte(strings.Replace(string(content), e.old, e.new, 1)), 0o644)
}

// BuildCilium returns the build of the pinned version of Cilium, and makes it if
// necessary: on two cores that takes 5 minutes, 2.5 GB of memory, and 8 GB of
// disk in Go's caches.
func (b *Builder) BuildCilium(ctx context.Context) (*Cilium, error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), ciliumVersion, ciliumSum, ciliumEdits, withoutBGP)
	path := b.path("cilium", hex.EncodeToString(h.Sum(nil))[:hashLength])
	built := &Cilium{
		Agent: filepath.Join(path, ciliumAgent), Plugin: filepath.Join(path, ciliumPlugin),
		Library: path, CRDs: filepath.Join(path, ciliumCRDs),
	}
	if exists, err := b.take(path); exists || err != nil {
		return built, err
	}
	work, err := os.MkdirTemp(b.cache, ".cilium-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	source, out := filepath.Join(work, "source"), filepath.Join(work, "out")
	if err := copyCilium(ctx, work, source); err != nil {
		return nil, fmt.Errorf("source of Cilium %s: %w", ciliumVersion, err)
	}
	if err := compileCilium(ctx, source, out); err != nil {
		return nil, fmt.Errorf("building Cilium %s: %w", ciliumVersion, err)
	}
	return built, b.keep(out, path, keepThirdParty)
}

// copyCilium downloads the module and copies it with the edits.
func copyCilium(ctx context.Context, work, source string) error {
	module, err := downloadCilium(ctx, work)
	if err != nil {
		return err
	}
	if err := os.CopyFS(source, os.DirFS(module)); err != nil {
		return err
	}
	var errs []error
	for _, edit := range ciliumEdits {
		errs = append(errs, edit.apply(source))
	}
	errs = append(errs, os.WriteFile(filepath.Join(source, "daemon/cmd/without_bgp.go"), []byte(withoutBGP), 0o644))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	_, err = runGo(ctx, source, "mod", "edit", "-droprequire="+gobgpModule)
	return err
}

// compileCilium builds the programs, and copies the files that they need.
func compileCilium(ctx context.Context, source, out string) error {
	for name, pkg := range map[string]string{ciliumAgent: "./daemon", ciliumPlugin: "./plugins/cilium-cni"} {
		if _, err := runGo(ctx, source, "build", "-mod=mod", "-buildvcs=false", "-ldflags=-s -w", "-o", filepath.Join(out, name), pkg); err != nil {
			return err
		}
	}
	for from, to := range map[string]string{"bpf": "bpf", ciliumCRDSource: ciliumCRDs} {
		if err := os.CopyFS(filepath.Join(out, to), os.DirFS(filepath.Join(source, from))); err != nil {
			return err
		}
	}
	return nil
}
