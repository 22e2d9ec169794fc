// Package programs builds the programs that the local environment and the tests
// run: those of the product, and those of the cluster around it, from pinned
// modules below hack/tools.
package programs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Program is a program that Go builds.
type Program struct {
	// Name is the name of the binary.
	Name string
	// Module is the folder of its module, relative to the repository.
	Module string
	// Package is the main package, relative to Module.
	Package string
	// LDFlags are passed to the linker beside -s -w. Third-party programs only.
	LDFlags []string
	// ThirdParty programs change only with their module folder. A hash of
	// that folder shows whether they are up to date. The others are built each
	// time, with Go's own cache.
	ThirdParty bool
}

// kubernetesVersion must be the version in hack/tools/kubernetes/go.mod:
// binaries built from modules do not know it by themselves, and the API server
// derives from it the features that it serves.
const kubernetesVersion = "v1.37.2"

// Kubernetes is the multi-call binary of the control plane, the node agents,
// kubectl and etcd.
func Kubernetes() Program {
	major, minor, _ := strings.Cut(strings.TrimPrefix(kubernetesVersion, "v"), ".")
	minor, _, _ = strings.Cut(minor, ".")
	var flags []string
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		flags = append(flags, "-X", pkg+".gitVersion="+kubernetesVersion, "-X", pkg+".gitMajor="+major, "-X", pkg+".gitMinor="+minor)
	}
	return Program{Name: "kubernetes", Module: "hack/tools/kubernetes", Package: ".", LDFlags: flags, ThirdParty: true}
}

// Kwok plays the kubelet for nodes that exist only in the API.
func Kwok() Program {
	return Program{Name: "kwok", Module: "hack/tools/kubernetes", Package: "./kwok", ThirdParty: true}
}

// CoreDNS is the cluster's DNS server.
func CoreDNS() Program {
	return Program{Name: "coredns", Module: "hack/tools/kubernetes", Package: "./coredns", ThirdParty: true}
}

// CertManager is cert-manager's controller, webhook and cainjector.
func CertManager() Program {
	return Program{Name: "cert-manager", Module: "hack/tools/certmanager", Package: ".", ThirdParty: true}
}

// Webhook is the product's webhook.
func Webhook() Program { return Program{Name: "webhook", Module: ".", Package: "./webhook"} }

// KubectlEgress is the product's plugin of kubectl.
func KubectlEgress() Program {
	return Program{Name: "kubectl-egress", Module: ".", Package: "./webhook/kubectl-egress"}
}

// Sidecar is the product's program in pods.
func Sidecar() Program { return Program{Name: "sidecar", Module: ".", Package: "./webhook/sidecar"} }

// Bootstrap is the product's provisioning program.
func Bootstrap() Program { return Program{Name: "bootstrap", Module: ".", Package: "./bootstrap"} }

// Demo is the product's demo application.
func Demo() Program { return Program{Name: "demo", Module: ".", Package: "./demo"} }

// Probe is the client that end-to-end tests run in pods.
func Probe() Program { return Program{Name: "probe", Module: "hack", Package: "./test/probe"} }

// Local is the local environment's own program.
func Local() Program { return Program{Name: "local", Module: "hack", Package: "./local"} }

// NetpolPlugin is the CNI plugin that reports pods to the enforcer of
// NetworkPolicies. It is a program of its own because it runs for each pod, and
// Local takes longer to start.
func NetpolPlugin() Program {
	return Program{Name: "egress-netpol", Module: "hack", Package: "./local/netpol/plugin"}
}

// Builder builds programs of one checkout into a cache folder.
type Builder struct {
	root, cache string
}

// New returns a builder for the checkout that contains the working directory.
// It keeps binaries in the user's cache folder (os.UserCacheDir), not in the
// checkout.
func New() (*Builder, error) {
	root, err := checkout()
	if err != nil {
		return nil, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("finding the user's cache folder for binaries: %w", err)
	}
	cache = filepath.Join(cache, "egress-scw", "bin")
	return &Builder{root, cache}, os.MkdirAll(cache, 0o755)
}

// Root is the folder of the checkout.
func (b *Builder) Root() string { return b.root }

// Build returns the path of the program's binary, and builds it if necessary. The
// path belongs to this version of the program: a build of another checkout, or of a
// later state of this one, has another path.
func (b *Builder) Build(ctx context.Context, p Program) (string, error) {
	if !p.ThirdParty {
		paths, err := b.buildOwn(ctx, p.Module, []Program{p})
		return paths[p.Name], err
	}
	hash, err := b.hash(p)
	if err != nil {
		return "", err
	}
	path := b.path(p.Name, hash)
	if exists, err := b.take(path); exists || err != nil {
		return path, err
	}
	made, err := b.compile(ctx, p)
	if err != nil {
		return "", err
	}
	defer os.Remove(made)
	return path, b.keep(made, path, keepThirdParty)
}

// BuildAll builds programs with different names, and returns their paths by name. Those of
// a module of the checkout are built by one call of Go, which mostly reads their packages.
func (b *Builder) BuildAll(ctx context.Context, programs ...Program) (map[string]string, error) {
	paths, own := map[string]string{}, map[string][]Program{}
	for _, p := range programs {
		if !p.ThirdParty {
			own[p.Module] = append(own[p.Module], p)
			continue
		}
		path, err := b.Build(ctx, p)
		if err != nil {
			return nil, err
		}
		paths[p.Name] = path
	}
	for _, module := range slices.Sorted(maps.Keys(own)) {
		made, err := b.buildOwn(ctx, module, own[module])
		if err != nil {
			return nil, err
		}
		maps.Copy(paths, made)
	}
	return paths, nil
}

// buildOwn builds programs of a module of the checkout. Their paths contain the hashes of
// their content: Go alone knows all of its inputs.
func (b *Builder) buildOwn(ctx context.Context, module string, programs []Program) (paths map[string]string, err error) {
	folder, err := os.MkdirTemp(b.cache, "."+programs[0].Name+"-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	var packages []string
	for _, p := range programs {
		if err := copyFrom(b.latest(p), p.in(folder)); err != nil {
			return nil, err
		}
		packages = append(packages, p.Package)
	}
	// The slash makes Go name each binary by its package.
	if err := b.goBuild(ctx, module, nil, folder+"/", packages...); err != nil {
		return nil, err
	}
	paths = map[string]string{}
	for _, p := range programs {
		if paths[p.Name], err = b.keepOwn(p, p.in(folder)); err != nil {
			return nil, err
		}
	}
	return paths, nil
}

// in is the file of the program's binary in a folder, as Go names it.
func (p Program) in(folder string) string { return filepath.Join(folder, filepath.Base(p.Package)) }

// keepOwn moves a new build of a program of the checkout to the path of its version.
func (b *Builder) keepOwn(p Program, made string) (string, error) {
	content, err := os.ReadFile(made)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(content)
	path := b.path(p.Name, hex.EncodeToString(sum[:])[:hashLength])
	if err := b.keep(made, path, keepOwn); err != nil {
		return "", err
	}
	return path, b.setLatest(b.latest(p), path)
}

// compile builds a third-party program into a temporary file.
func (b *Builder) compile(ctx context.Context, p Program) (path string, err error) {
	temporary, err := os.CreateTemp(b.cache, "."+p.Name+"-*")
	if err != nil {
		return "", err
	}
	if err := errors.Join(temporary.Close(), b.goBuild(ctx, p.Module, p.LDFlags, temporary.Name(), p.Package)); err != nil {
		return "", errors.Join(err, os.Remove(temporary.Name()))
	}
	return temporary.Name(), nil
}

// goBuild runs "go build" in a module.
func (b *Builder) goBuild(ctx context.Context, module string, flags []string, output string, packages ...string) error {
	args := append([]string{"build", "-buildvcs=false", "-ldflags=" + strings.Join(append([]string{"-s", "-w"}, flags...), " "), "-o", output}, packages...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = filepath.Join(b.root, module)
	// Without cgo the binaries run in images that contain no other files.
	// Builds with and without cgo share no cache.
	// GOGC: a tenth of the time to compile would be garbage collection.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOGC=400")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s in %s: %w\n%s", strings.Join(args, " "), cmd.Dir, err, out)
	}
	return nil
}

// copyFrom copies an executable: Go does not link a file again whose build ID is up to
// date. It is not an error if there is none.
func copyFrom(from, to string) error {
	content, err := os.ReadFile(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.WriteFile(to, content, 0o755); err != nil {
		return fmt.Errorf("copying %s, to link it only if it changed: %w", from, err)
	}
	return nil
}

// hash covers everything that determines a third-party program's binary.
func (b *Builder) hash(p Program) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), p.Package, p.LDFlags)
	dir := filepath.Join(b.root, p.Module)
	var files []string
	for _, pattern := range []string{"go.mod", "go.sum", "*.go", filepath.Join(p.Package, "*.go")} {
		matches, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return "", err
		}
		files = append(files, matches...)
	}
	slices.Sort(files)
	for _, file := range slices.Compact(files) {
		content, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n%s", filepath.Base(file), len(content), content)
	}
	return hex.EncodeToString(h.Sum(nil))[:hashLength], nil
}

// checkout finds the folder of the product's go.mod, from the working
// directory upwards.
func checkout() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(mod, []byte("module egress.scw\n")) {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("not in a checkout of egress.scw: neither this folder nor a parent has its go.mod")
		}
		dir = parent
	}
}
